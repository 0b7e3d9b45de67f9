"""Reading a trace of model calls from a CSV file, and charging it through the HTTP API.

The columns are those of the Azure LLM inference traces: TIMESTAMP, ContextTokens, GeneratedTokens.

Invariants: every row has whole, non-negative token counts, or the file is rejected with the line number; a
call's idempotency key consists of the file, the service and the row number, so that running the replay again
charges nothing twice, and a call without a response is retried with the same key.
"""

import csv
import http.client
import json
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

SLICE = Path(__file__).parents[1] / "data" / "azure_llm_trace_slice.csv"
COLUMNS = ("TIMESTAMP", "ContextTokens", "GeneratedTokens")
MAX_ATTEMPTS = 6
TIMEOUT_SECONDS = 30
REFUSAL_STATUSES = (402, 403, 429)


class TraceInvalid(Exception):
    """The file is not a valid trace; the message names the line and the error."""


class ReplayFailed(Exception):
    """The API cannot be reached, or rejects the replay's requests as invalid."""


@dataclass(frozen=True, slots=True)
class TraceCall:
    """One model call of a trace. `row` counts from 1, the header not counted."""

    row: int
    at: datetime
    input_tokens: int
    output_tokens: int


@dataclass(frozen=True, kw_only=True)
class Target:
    """The portal, API key, account and service to charge. `name` identifies the trace in idempotency keys."""

    url: str
    key: str
    account: str
    service: str
    name: str

    def idempotency_key(self, call: TraceCall) -> str:
        return f"replay:{self.name}:{self.service}:{call.row}"


class ChargeResponse(NamedTuple):
    """Response to a charge. `replayed`: it repeats the response to an earlier request with the same key."""

    status: int
    replayed: bool
    body: dict[str, Any]


@dataclass
class Tally:
    """Counts of a replay. `credits` sums all charges, those replayed from an earlier run included."""

    calls: int = 0
    charged: int = 0
    replayed: int = 0
    credits: Decimal = Decimal(0)
    refusals: Counter[str] = field(default_factory=Counter)
    began: float = field(default_factory=time.monotonic)
    seconds: float = 0.0

    @property
    def calls_per_second(self) -> float:
        """Mean rate since the replay began."""
        return self.calls / self.seconds if self.seconds else 0.0

    def count(self, response: ChargeResponse) -> None:
        """Add the response to a call."""
        self.calls += 1
        self.seconds = time.monotonic() - self.began
        if response.status in REFUSAL_STATUSES:
            self.refusals[response.body.get("code", str(response.status))] += 1
            return
        self.charged += 1
        self.replayed += response.replayed
        self.credits += Decimal(response.body["credits"])


def read(path: Path, limit: int | None = None) -> Iterator[TraceCall]:
    """The calls of the file in its order, at most `limit`. Raises TraceInvalid."""
    with path.open(newline="", encoding="utf-8-sig") as file:
        lines = csv.DictReader(file)
        missing = [column for column in COLUMNS if column not in (lines.fieldnames or ())]
        if missing:
            raise TraceInvalid(f"{path} has no column {', '.join(missing)}; required: {', '.join(COLUMNS)}.")
        for number, line in enumerate(lines, start=1):
            if limit is not None and number > limit:
                return
            try:
                yield _trace_call(number, line)
            except (ValueError, TypeError) as error:
                raise TraceInvalid(f"{path}, line {lines.line_num}: {error}") from None


def _trace_call(number: int, line: dict[str, str]) -> TraceCall:
    # The trace has seven decimal digits of a second, one more than Python's datetime.
    at = datetime.fromisoformat(line["TIMESTAMP"][:26]).replace(tzinfo=UTC)
    return TraceCall(number, at, _token_count(line, "ContextTokens"), _token_count(line, "GeneratedTokens"))


def _token_count(line: dict[str, str], column: str) -> int:
    text = line[column] or ""  # None where the line has too few cells
    if not (text.isascii() and text.isdigit()):
        raise ValueError(f"{column} is {text!r}, not a whole number of tokens")
    return int(text)


def replay(
    calls: Iterable[TraceCall], target: Target, *, concurrency: int, progress: Callable[[Tally], None]
) -> Tally:
    """Charge every call in the order of the trace, `concurrency` at a time; `progress` is called after each.

    Raises ReplayFailed. Charges made until then remain; running the replay again continues after them.
    """
    tally = Tally()
    client = _Client(target)
    with ThreadPoolExecutor(concurrency) as executor:
        pending: set[Future[ChargeResponse]] = set()

        def collect(max_pending: int) -> None:
            nonlocal pending
            while len(pending) > max_pending:
                done, pending = wait(pending, return_when=FIRST_COMPLETED)
                for future in done:
                    tally.count(future.result())
                    progress(tally)

        try:
            for call in calls:
                pending.add(executor.submit(client.charge, call))
                collect(max_pending=concurrency * 2)
            collect(max_pending=0)
        except BaseException:
            executor.shutdown(cancel_futures=True)
            raise
        finally:
            client.close()
    return tally


class _Client:
    """HTTP client with one connection per thread, reopened after an error."""

    def __init__(self, target: Target) -> None:
        self.target = target
        self.address = urlsplit(target.url)
        self.local = threading.local()
        self.connections: list[http.client.HTTPConnection] = []

    def close(self) -> None:
        for connection in self.connections:
            connection.close()

    def charge(self, call: TraceCall) -> ChargeResponse:
        """Charge the call, with retries after errors and status 5xx. Raises ReplayFailed."""
        usage = {"input_tokens": call.input_tokens, "output_tokens": call.output_tokens}
        payload = {"account": self.target.account, "service": self.target.service, "usage": usage}
        headers = {
            "Authorization": f"Bearer {self.target.key}",
            "Idempotency-Key": self.target.idempotency_key(call),
            "Content-Type": "application/json",
        }
        last_error = ""
        for attempt in range(MAX_ATTEMPTS):
            if attempt:
                time.sleep(0.2 * 2**attempt)
            try:
                response = self._post(json.dumps(payload), headers)
            except (OSError, http.client.HTTPException) as error:
                self._disconnect()
                last_error = f"{type(error).__name__}: {error}"
                continue
            reason = _reason(response.body)
            if response.status < 500 and response.body.get("code") != "idempotency_key_in_progress":
                if response.status not in (200, 201, *REFUSAL_STATUSES):
                    raise ReplayFailed(f"Row {call.row} failed with status {response.status}: {reason}")
                return response
            last_error = f"{response.status}: {reason}"
        raise ReplayFailed(
            f"Row {call.row} was not charged in {MAX_ATTEMPTS} attempts. Last error: {last_error}"
        )

    def _post(self, payload: str, headers: dict[str, str]) -> ChargeResponse:
        connection = getattr(self.local, "connection", None)
        if connection is None:
            secure = self.address.scheme == "https"
            connection_class = http.client.HTTPSConnection if secure else http.client.HTTPConnection
            connection = connection_class(self.address.netloc, timeout=TIMEOUT_SECONDS)
            self.local.connection = connection
            self.connections.append(connection)
        connection.request("POST", f"{self.address.path.rstrip('/')}/api/v1/charges", payload, headers)
        response = connection.getresponse()
        text = response.read()
        try:
            body = json.loads(text)
        except ValueError:
            body = {"detail": text[:200].decode(errors="replace")}
        replayed = response.headers.get("Idempotent-Replayed") == "true"
        return ChargeResponse(response.status, replayed, body)

    def _disconnect(self) -> None:
        connection = getattr(self.local, "connection", None)
        if connection is not None:
            connection.close()
            self.local.connection = None


def _reason(body: dict[str, Any]) -> str:
    return str(body.get("detail") or body.get("title") or body)
