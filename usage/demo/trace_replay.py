"""Charging a trace through the HTTP API, as the AI product's own backend would.

Invariant: the idempotency key of a call is made of the file, the service and the row, so that running again
after a crash charges nothing twice. A call whose answer was lost is asked again with the same key.
"""

import http.client
import json
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any
from urllib.parse import urlsplit

from usage.demo.trace_file import Call

TRIES = 6
TIMEOUT_SECONDS = 30
REFUSALS = (402, 403, 429)


class ReplayFailed(Exception):
    """The API cannot be reached, or answered in a way that says the replay itself is wrong."""


@dataclass(frozen=True, kw_only=True)
class Target:
    """Where to charge, as whom, and for what."""

    url: str
    key: str
    account: str
    service: str
    name: str  # of the trace; stands in the idempotency keys

    def idempotency_key(self, call: Call) -> str:
        return f"replay:{self.name}:{self.service}:{call.row}"


@dataclass
class Tally:
    """What came of it. `credits` sums the charges of this run, `replayed` those that had been made before."""

    calls: int = 0
    charged: int = 0
    replayed: int = 0
    credits: Decimal = Decimal(0)
    refusals: Counter[str] = field(default_factory=Counter)
    began: float = field(default_factory=time.monotonic)
    seconds: float = 0.0

    @property
    def calls_per_second(self) -> float:
        return self.calls / self.seconds if self.seconds else 0.0

    def count(self, status: int, replayed: bool, body: dict[str, Any]) -> None:
        self.calls += 1
        self.seconds = time.monotonic() - self.began
        if status in REFUSALS:
            self.refusals[body.get("code", str(status))] += 1
            return
        self.charged += 1
        self.replayed += replayed
        self.credits += Decimal(body["credits"])


def replay(
    calls: Iterable[Call], target: Target, *, concurrency: int, progress: Callable[[Tally], None]
) -> Tally:
    """Charge every call, `concurrency` at a time, in the order of the trace; `progress` hears of each.

    Raises ReplayFailed; what was charged until then stays charged, and running again goes on from there.
    """
    tally = Tally()
    client = _Client(target)
    with ThreadPoolExecutor(concurrency) as threads:
        under_way: set[Future[tuple[int, bool, dict[str, Any]]]] = set()

        def collect(until: int) -> None:
            nonlocal under_way
            while len(under_way) > until:
                done, under_way = wait(under_way, return_when=FIRST_COMPLETED)
                for answer in done:
                    tally.count(*answer.result())
                    progress(tally)

        try:
            for call in calls:
                under_way.add(threads.submit(client.charge, call))
                collect(until=concurrency * 2)
            collect(until=0)
        except BaseException:
            threads.shutdown(cancel_futures=True)
            raise
        finally:
            client.close()
    return tally


class _Client:
    """One connection for each thread, opened again when it breaks."""

    def __init__(self, target: Target) -> None:
        self.target = target
        self.address = urlsplit(target.url)
        self.local = threading.local()
        self.opened: list[http.client.HTTPConnection] = []

    def close(self) -> None:
        for connection in self.opened:
            connection.close()

    def charge(self, call: Call) -> tuple[int, bool, dict[str, Any]]:
        """Status, whether it is the answer to an earlier call with the same key, and the body."""
        usage = {"input_tokens": call.input_tokens, "output_tokens": call.output_tokens}
        body = {"account": self.target.account, "service": self.target.service, "usage": usage}
        headers = {
            "Authorization": f"Bearer {self.target.key}",
            "Idempotency-Key": self.target.idempotency_key(call),
            "Content-Type": "application/json",
        }
        trouble = ""
        for attempt in range(TRIES):
            if attempt:
                time.sleep(0.2 * 2**attempt)
            try:
                status, replayed, answer = self._ask(json.dumps(body), headers)
            except (OSError, http.client.HTTPException) as error:
                self._hang_up()
                trouble = f"{type(error).__name__}: {error}"
                continue
            if status < 500 and answer.get("code") != "idempotency_key_in_progress":
                if status not in (200, 201, *REFUSALS):
                    raise ReplayFailed(f"Row {call.row} was answered with {status}: {_reason(answer)}")
                return status, replayed, answer
            trouble = f"{status}: {_reason(answer)}"
        raise ReplayFailed(f"Row {call.row} was not charged in {TRIES} tries; the last one: {trouble}")

    def _ask(self, body: str, headers: dict[str, str]) -> tuple[int, bool, dict[str, Any]]:
        connection = getattr(self.local, "connection", None)
        if connection is None:
            kind = (
                http.client.HTTPSConnection if self.address.scheme == "https" else http.client.HTTPConnection
            )
            connection = self.local.connection = kind(self.address.netloc, timeout=TIMEOUT_SECONDS)
            self.opened.append(connection)
        connection.request("POST", f"{self.address.path.rstrip('/')}/api/v1/charges", body, headers)
        response = connection.getresponse()
        text = response.read()
        try:
            answer = json.loads(text)
        except ValueError:
            answer = {"detail": text[:200].decode(errors="replace")}
        replayed = response.headers.get("Idempotent-Replayed") == "true"
        return response.status, replayed, answer

    def _hang_up(self) -> None:
        connection = getattr(self.local, "connection", None)
        if connection is not None:
            connection.close()
            self.local.connection = None


def _reason(answer: dict[str, Any]) -> str:
    return str(answer.get("detail") or answer.get("title") or answer)
