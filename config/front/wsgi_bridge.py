"""Gives a request of the event loop to a WSGI application in a thread, and its response to the client.

Invariants: a thread is taken when the whole body has arrived, never before; at most `threads` requests are in
the application at once, `most_waiting` others wait in the order of their arrival, and more are refused; the
application's iterable is closed after its last byte, or when the client has gone (PEP 3333).
"""

import asyncio
import io
import sys
import threading
from collections.abc import Callable, Iterable
from queue import SimpleQueue
from typing import Any

from config.front import streams

Environ = dict[str, Any]
Wsgi = Callable[[Environ, Callable[..., Any]], Iterable[bytes]]
Headers = list[tuple[str, str]]
_BASE: Environ = {
    "GATEWAY_INTERFACE": "CGI/1.1",
    "SCRIPT_NAME": "",
    "SERVER_SOFTWARE": "Granian",
    "wsgi.errors": sys.stderr,
    "wsgi.input_terminated": True,
    "wsgi.multiprocess": True,
    "wsgi.multithread": True,
    "wsgi.run_once": False,
    "wsgi.version": (1, 0),
}


class Overloaded(Exception):
    """As many requests as allowed are waiting; nothing was begun for this one."""


class Bridge:
    """A WSGI application behind `threads` threads."""

    def __init__(self, application: Wsgi, *, threads: int, most_waiting: int) -> None:
        self._application = application
        self._most_waiting = most_waiting
        self._jobs: SimpleQueue[tuple[Callable[[], None], asyncio.Future[None]]] = SimpleQueue()
        for number in range(threads):
            threading.Thread(target=self._serve, name=f"wsgi-{number}", daemon=True).start()

    async def answer(self, environ: Environ, protocol: Any) -> None:
        """Run the application and send its response. Raises Overloaded, and what the application raises."""
        await self.run(lambda: self.respond(environ, protocol))

    async def run(self, work: Callable[[], None]) -> None:
        """Run `work` in a thread. Raises Overloaded, and what it raises."""
        if self._jobs.qsize() >= self._most_waiting:
            raise Overloaded
        finished = asyncio.get_running_loop().create_future()
        self._jobs.put((work, finished))
        await finished

    def _serve(self) -> None:
        while True:
            work, finished = self._jobs.get()
            loop = finished.get_loop()
            error: BaseException | None = None
            try:
                work()
            except BaseException as raised:
                error = raised
            loop.call_soon_threadsafe(_finish, finished, error)
            del work, finished, error  # not kept while this thread waits

    def respond(self, environ: Environ, protocol: Any) -> None:
        """Run the application in this thread and send its response."""
        status, headers = 500, list[tuple[str, str]]()

        def start_response(line: str, given: Headers, exc_info: Any = None) -> None:
            nonlocal status, headers
            status, headers = int(line[:3]), given

        response = self._application(environ, start_response)
        try:
            if environ["REQUEST_METHOD"] == "HEAD":
                protocol.response_empty(status, headers)
            elif getattr(response, "streaming", False):
                client = (environ["REMOTE_ADDR"], environ["REMOTE_PORT"])
                streams.send(response, status=status, headers=headers, protocol=protocol, client=client)
            else:
                protocol.response_bytes(status, headers, b"".join(response))
        finally:
            if close := getattr(response, "close", None):
                close()


def environ_of(scope: Any, body: Any) -> Environ:
    """The WSGI environment of a request: `body` is what was read of it, or a file object."""
    address, _colon, port = scope.server.rpartition(":")
    client, _colon, client_port = scope.client.rpartition(":")
    environ = _BASE | {
        "REQUEST_METHOD": scope.method,
        "PATH_INFO": scope.path.encode().decode("latin-1"),
        "QUERY_STRING": scope.query_string.encode().decode("latin-1"),
        "SERVER_NAME": address,
        "SERVER_PORT": port,
        "SERVER_PROTOCOL": f"HTTP/{scope.http_version}",
        "REMOTE_ADDR": client.strip("[]"),
        "REMOTE_PORT": client_port,
        "wsgi.url_scheme": scope.scheme,
        "wsgi.input": io.BytesIO(body) if isinstance(body, bytes) else body,
    }
    for name, value in scope.headers.items():
        key = _key_of(name)
        if "_" in name:
            continue  # "X_User" and "X-User" would have the same name in the environment
        if key in environ:
            # with the space, which RFC 9110 (5.3) allows, two idempotency keys are not one valid key
            value = f"{environ[key]}{'; ' if name == 'cookie' else ', '}{value}"
        environ[key] = value
    for name in scope.headers.keys():  # noqa: SIM118 - not a dict; a value that is not ASCII is no item
        if "_" not in name:
            environ.setdefault(_key_of(name), "")
    if scope.authority:  # HTTP/2, and a request line with a whole URL
        environ.setdefault("HTTP_HOST", scope.authority)
    return environ


def _key_of(name: str) -> str:
    """The key of a header, by its lower-case name, in the WSGI environment."""
    key = name.upper().replace("-", "_")
    return key if name in {"content-type", "content-length"} else f"HTTP_{key}"


def _finish(future: "asyncio.Future[None]", error: BaseException | None) -> None:
    if future.cancelled():
        return
    if error is None:
        future.set_result(None)
    else:
        future.set_exception(error)
