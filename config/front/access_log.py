"""The access log: a line of JSON on standard output for each request that has ended.

Invariants: no query string, header or body is written, and of pages the route instead of the path, which may
contain a secret (a link that resets a password); writing delays no request: a thread writes, and lines are
dropped and counted while the reader of standard output is too slow.
"""

import os
import threading
import time
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from queue import Empty, SimpleQueue
from typing import Any, NamedTuple
from uuid import UUID

import orjson

from accounts.models import Account
from core import counters

CLIENT_GONE = 499  # no response was sent; the number is nginx's
STANDARD_OUTPUT = 1
MOST_WAITING = 10_000
GATHER_SECONDS = 0.1
# Several processes write to one pipe: a write of at most PIPE_BUF bytes is not mixed with another
# (POSIX, write: https://pubs.opengroup.org/onlinepubs/9799919799/functions/write.html).
LARGEST_WRITE = 4096


class Line(NamedTuple):
    """A request and its response. `length` is None for a stream."""

    began: float  # Unix time
    seconds: float
    method: str
    path: str
    status: int
    length: int | None
    request_id: str
    account_id: UUID | None


class Exchange:
    """One request: takes the place of the server's protocol object and notes what is sent.

    `path` is set by who answers: the path of an API call, or the route of a page.
    """

    def __init__(self, scope: Any, protocol: Any) -> None:
        self._protocol = protocol
        self._method = scope.method
        self._began, self._started = time.time(), time.perf_counter()
        self.path = self.request_id = ""
        self.status = CLIENT_GONE
        self.length: int | None = 0
        self.account_id: UUID | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._protocol, name)

    def __call__(self) -> Any:
        return self._protocol()

    def __aiter__(self) -> Any:
        return self._protocol.__aiter__()

    def response_bytes(self, status: int, headers: list[tuple[str, str]], body: bytes) -> None:
        self._note(status, headers, len(body))
        self._protocol.response_bytes(status, headers, body)

    def response_str(self, status: int, headers: list[tuple[str, str]], body: str) -> None:
        self._note(status, headers, len(body.encode()))
        self._protocol.response_str(status, headers, body)

    def response_empty(self, status: int, headers: list[tuple[str, str]]) -> None:
        self._note(status, headers, 0)
        self._protocol.response_empty(status, headers)

    def response_file(self, status: int, headers: list[tuple[str, str]], file: str) -> None:
        self._note(status, headers, None)
        self._protocol.response_file(status, headers, file)

    def response_stream(self, status: int, headers: list[tuple[str, str]]) -> Any:
        self._note(status, headers, None)
        return self._protocol.response_stream(status, headers)

    def _note(self, status: int, headers: Iterable[tuple[str, str]], length: int | None) -> None:
        self.status, self.length = status, length
        self.request_id = next((value for name, value in headers if name == "X-Request-Id"), "")
        counters.REQUESTS.labels(str(status)).inc()

    def line(self) -> Line:
        """The line of the request, which has ended."""
        return Line(
            self._began,
            time.perf_counter() - self._started,
            self._method,
            self.path,
            self.status,
            self.length,
            self.request_id,
            self.account_id,
        )


class AccessLog:
    """Writes lines from a thread of its own."""

    def __init__(self, write: Callable[[bytes], None]) -> None:
        self._write = write
        self._lines: SimpleQueue[Line | None] = SimpleQueue()
        self._dropped = 0
        self._thread = threading.Thread(target=self._run, name="access-log", daemon=True)

    def start(self) -> None:
        """Begin to write. Called in the process that serves, after its fork."""
        self._thread.start()

    def end(self) -> None:
        """Write what is left."""
        if self._thread.is_alive():
            self._lines.put(None)
            self._thread.join(timeout=2)

    def add(self, line: Line) -> None:
        """Write the line soon."""
        if self._lines.qsize() < MOST_WAITING:
            self._lines.put(line)
        else:
            self._dropped += 1

    def _run(self) -> None:
        ended = False
        while not ended:
            taken = [self._lines.get()]
            if taken[0] is not None:
                time.sleep(GATHER_SECONDS)
            while True:
                try:
                    taken.append(self._lines.get_nowait())
                except Empty:
                    break
            ended = None in taken
            texts = [_text(line) for line in taken if line is not None]
            if self._dropped:
                texts.append(_dropped(self._dropped))
                self._dropped = 0
            for part in _parts(texts):
                self._write(part)


def _text(line: Line) -> bytes:
    fields = {
        "timestamp": _time(line.began),
        "level": "info",
        "logger": "access",
        "event": "request",
        "request_id": line.request_id,
        "method": line.method,
        "path": line.path,
        "status": line.status,
        "bytes": line.length,
        "milliseconds": round(line.seconds * 1000, 1),
        "account_id": None if line.account_id is None else Account.public_id_of(line.account_id),
    }
    return orjson.dumps(fields) + b"\n"


def _dropped(number: int) -> bytes:
    fields = {"level": "warning", "logger": "access", "event": "lines_dropped", "number": number}
    return orjson.dumps({"timestamp": _time(time.time()), **fields}) + b"\n"


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat().replace("+00:00", "Z")


def _parts(texts: Iterable[bytes]) -> Iterable[bytes]:
    """Whole lines, as many together as one write may have."""
    part = b""
    for text in texts:
        if part and len(part) + len(text) > LARGEST_WRITE:
            yield part
            part = b""
        part += text
    if part:
        yield part


def to_standard_output(content: bytes) -> None:
    """Write to the standard output; that its reader has gone is no error."""
    try:
        os.write(STANDARD_OUTPUT, content)
    except OSError:
        return
