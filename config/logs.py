"""Logging: one line for each event, with the request id and a short traceback, without secrets.

Invariant: every event passes `without_secrets` before it is written; a secret in a message or a traceback is
replaced by "[secret]".
"""

import re
import sys
import traceback
from pathlib import Path
from typing import Any

import structlog

from core import request_context
from core.ids import public_id

# Stripe's keys and signing secrets, our own API keys, bearer headers, passwords in URLs.
_SECRETS = re.compile(
    r"\b(?:sk|rk|pk|whsec|rfl|refill)_[A-Za-z0-9_]{6,}"
    r"|(?i:bearer)\s+[^\s'\",;]+"
    r"|(?<=://)[^\s/:@]*:[^\s/@]+(?=@)"
)
_CARD = re.compile(r"(?<![\w.-])\d(?:[ -]?\d){12,18}(?!\w|[.-]\w)", re.ASCII)
_SECRET_FIELDS = re.compile(
    r"(?i)password|passwd|secret|authorization|cookie|api_?key|token$|card_?number|^cvc$"
)
HIDDEN = "[secret]"
LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")
HERE = f"{Path(__file__).resolve().parents[1]}/"
MOST_CAUSES = 5
MOST_FRAMES = 10  # of each cause; the innermost ones
LONGEST_MESSAGE = 1000


def without_secrets(_logger: object, _method: str, event: dict[str, Any]) -> dict[str, Any]:
    """A structlog processor that replaces secrets in every text of the event, at any depth."""
    return {
        name: HIDDEN if _SECRET_FIELDS.search(name) and value else hide(value)
        for name, value in event.items()
    }


def hide(value: Any) -> Any:
    """The value with every secret replaced; values other than text, list and dict are unchanged."""
    if isinstance(value, str):
        return _CARD.sub(_without_card, _SECRETS.sub(HIDDEN, value))
    if isinstance(value, dict):
        return {
            name: HIDDEN if _SECRET_FIELDS.search(str(name)) else hide(inner) for name, inner in value.items()
        }
    if isinstance(value, list | tuple):
        return [hide(inner) for inner in value]
    return value


def _without_card(found: re.Match[str]) -> str:
    """Replace digits that have the check digit of a card number; timestamps and keys stay readable."""
    digits = [int(digit) for digit in found.group() if digit.isdigit()]
    doubled = [2 * d - 9 * (d > 4) for d in digits[-2::-2]]
    return HIDDEN if (sum(digits[-1::-2]) + sum(doubled)) % 10 == 0 else found.group()


def with_request_id(_logger: object, _method: str, event: dict[str, Any]) -> dict[str, Any]:
    """A structlog processor that adds the id of the request ("" outside of one) and of its account."""
    event["request_id"] = request_context.request_id.get()
    request: Any = event.get("request")
    if hasattr(request, "resolver_match"):  # a line of Django, whose texts have secrets of links
        route = f"/{request.resolver_match.route}" if request.resolver_match else ""
        event["request"] = f"{request.method} {route}"
        if route:
            event["event"] = str(event["event"]).replace(request.path, route)
    if account := request_context.account_id.get():
        event.setdefault("account_id", public_id(prefix="acct", value=account))
    return event


def on_one_line(_logger: object, _method: str, event: dict[str, Any]) -> dict[str, Any]:
    """A structlog processor: no line break in the message, and `traceback` instead of `exc_info`."""
    event["event"] = " | ".join(str(event.get("event", "")).splitlines())
    given = event.pop("exc_info", None)
    error = sys.exc_info()[1] if given is True else given[1] if isinstance(given, tuple) else given
    if isinstance(error, BaseException):
        event["traceback"] = trace_of(error)
    return event


def trace_of(error: BaseException) -> str:
    """The error with its causes, each with the frames of our own code and the innermost one, on one line."""
    parts: list[str] = []
    cause: BaseException | None = error
    while cause is not None and len(parts) < MOST_CAUSES:
        frames = traceback.extract_tb(cause.__traceback__)
        own = [frame for frame in frames if _is_ours(frame) or frame is frames[-1]]
        places = " > ".join(
            f"{frame.filename.removeprefix(HERE)}:{frame.lineno} {frame.name}" for frame in own[-MOST_FRAMES:]
        )
        message = " | ".join(str(cause).splitlines())[:LONGEST_MESSAGE]
        parts.append(f"{type(cause).__name__}: {message} ({places})")
        cause = cause.__cause__ or (None if cause.__suppress_context__ else cause.__context__)
    return " caused by ".join(parts)


def _is_ours(frame: traceback.FrameSummary) -> bool:
    return frame.filename.startswith(HERE) and "site-packages" not in frame.filename


def configuration(*, as_json: bool, level: str) -> dict[str, Any]:
    """Django's LOGGING: JSON lines for machines, or readable lines for a terminal."""
    renderer: Any = (
        structlog.processors.JSONRenderer() if as_json else structlog.dev.ConsoleRenderer(colors=False)
    )
    before: list[Any] = [
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.ExtraAdder(),
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        with_request_id,
    ]
    structlog.configure(
        processors=[
            *before[:2],
            *before[3:],
            structlog.stdlib.PositionalArgumentsFormatter(),
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {
            "lines": {
                "()": structlog.stdlib.ProcessorFormatter,
                "foreign_pre_chain": before,
                "processors": [
                    structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                    on_one_line,
                    without_secrets,
                    renderer,
                ],
            }
        },
        "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "lines"}},
        "root": {"handlers": ["stderr"], "level": level},
        "loggers": {
            # Without Django's own handlers each line is written once and in this format.
            "django": {"handlers": [], "propagate": True},
            "django.server": {"handlers": [], "propagate": True},
            # A line for each task received and done adds nothing to the task's own lines.
            **{
                name: {"level": "WARNING" if level == "INFO" else level}
                for name in ("celery.app.trace", "celery.worker.strategy", "celery.beat", "pgmq")
            },
        },
    }


def report_errors(*, dsn: str, environment: str, traces: float) -> None:
    """Send errors to Sentry, and this share of the requests as traces."""
    import sentry_sdk

    sentry_sdk.init(
        dsn=dsn,
        environment=environment,
        send_default_pii=False,
        include_local_variables=False,  # a local variable may contain a key
        traces_sample_rate=traces,
    )
