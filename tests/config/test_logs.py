"""Log lines contain the request id and no secrets."""

import io
import json
import logging
import logging.config
from collections.abc import Callable, Iterator

import pytest
import structlog
from django.test import RequestFactory
from django.urls import resolve

from config import logs
from core import ids, request_context

Lines = Callable[[], list[dict[str, object]]]


@pytest.fixture
def lines() -> Iterator[Lines]:
    """A logger `refill.test` with production's format; `lines()` returns the lines it has written."""
    before = structlog.get_config()
    formatter = logs.configuration(as_json=True, level="INFO")["formatters"]["lines"]
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(formatter.pop("()")(**formatter))
    logger = logging.getLogger("refill.test")
    logger.addHandler(handler)
    logger.propagate = False
    yield lambda: [json.loads(line) for line in stream.getvalue().splitlines()]
    logger.removeHandler(handler)
    structlog.configure(**before)


def test_every_line_contains_the_request_id(lines: Lines) -> None:
    request_context.account_id.set(None)  # of this thread's last request
    token = request_context.request_id.set("req-1")
    logging.getLogger("refill.test").warning("hello %s", "world")
    request_context.request_id.reset(token)
    (line,) = lines()
    assert (line["event"], line["request_id"], line["level"]) == ("hello world", "req-1", "warning")
    assert "account_id" not in line


def test_a_line_has_the_account_of_its_request_and_no_secret_of_its_address(lines: Lines) -> None:
    account_id = ids.new_id()
    token = request_context.account_id.set(account_id)
    request = RequestFactory().get("/join/abc/?token=hidden")
    request.resolver_match = resolve(request.path)
    logging.getLogger("refill.test").error("Not Found: %s", request.path, extra={"request": request})
    request_context.account_id.reset(token)
    (line,) = lines()
    assert line["account_id"] == f"acct_{account_id.hex}"
    assert (line["event"], line["request"]) == ("Not Found: /join/<str:token>/", "GET /join/<str:token>/")


@pytest.mark.fault("W9")
@pytest.mark.parametrize(
    "secret",
    [
        "sk_live_51NxyzABCDEF",
        "whsec_0123456789abcdef",
        "rk_account_0123456789abcdefghijklmnopqrstuvwxyz0123456789ABC",
        "Bearer abc.def-ghi",
        "4242 4242 4242 4242",
        "4000002500003155",
    ],
)
def test_a_secret_in_a_message_or_a_traceback_is_hidden(lines: Lines, secret: str) -> None:
    logger = logging.getLogger("refill.test")
    logger.warning("Stripe refused %s.", secret)
    try:
        raise ValueError(f"bad: {secret}")
    except ValueError:
        logger.exception("failed", extra={"data": {"deep": [secret]}})
    written = json.dumps(lines())
    assert secret not in written
    assert written.count(logs.HIDDEN) >= 3


@pytest.mark.fault("W9")
def test_a_field_named_like_a_secret_is_hidden(lines: Lines) -> None:
    logging.getLogger("refill.test").warning("x", extra={"password": "hunter2", "headers": {"Cookie": "a=b"}})
    assert "hunter2" not in json.dumps(lines()) and "a=b" not in json.dumps(lines())


def test_a_password_in_a_url_is_hidden() -> None:
    assert logs.hide("postgres://me:pass@db/x") == "postgres://[secret]@db/x"


@pytest.mark.parametrize(
    "harmless",
    ["2026-11-20T12:00:00.123456Z", "acct_0198c0ffee", "3600.000001", "chg_42", "1795192877832675"],
)
def test_other_words_and_figures_are_not_changed(harmless: str) -> None:
    assert logs.hide(harmless) == harmless


@pytest.mark.parametrize("as_json", [True, False])
def test_an_error_is_one_line_with_its_places_and_causes(as_json: bool) -> None:
    before = structlog.get_config()
    formatter = logs.configuration(as_json=as_json, level="INFO")["formatters"]["lines"]
    written = formatter.pop("()")(**formatter)
    structlog.configure(**before)
    try:
        try:
            json.loads("[")
        except ValueError as error:
            raise RuntimeError("first\nsecond") from error
    except RuntimeError as error:
        record = logging.LogRecord(
            "x", logging.ERROR, "p", 1, "It\nfailed", (), (type(error), error, error.__traceback__)
        )
    line = written.format(record)
    assert "\n" not in line and "It | failed" in line
    assert "RuntimeError: first | second (tests/config/test_logs.py:" in line
    assert "caused by JSONDecodeError: Expecting value" in line and "raw_decode)" in line


def test_a_long_chain_of_deep_errors_stays_short() -> None:
    def deep(levels: int) -> None:
        if levels:
            try:
                deep(levels - 1)
            except ValueError as error:
                raise ValueError("x" * 5000) from error
        else:
            raise ValueError("end")

    with pytest.raises(ValueError) as caught:
        deep(100)
    assert len(logs.trace_of(caught.value)) < 10_000
