"""Gives a request of the event loop to a WSGI application in a thread, and its response to the client.

Invariants: a thread is taken when the whole body has arrived, never before; at most `threads` requests are in
the application at once, the others wait in the order of their arrival; the application's iterable is closed
after its last byte (PEP 3333).
"""

import asyncio
import io
import sys
import threading
from collections.abc import Callable, Iterable
from queue import SimpleQueue
from typing import Any

Environ = dict[str, Any]
Wsgi = Callable[[Environ, Callable[..., Any]], Iterable[bytes]]
_BASE: Environ = {
    "GATEWAY_INTERFACE": "CGI/1.1",
    "SCRIPT_NAME": "",
    "wsgi.errors": sys.stderr,
    "wsgi.input_terminated": True,
    "wsgi.multiprocess": True,
    "wsgi.multithread": True,
    "wsgi.run_once": False,
    "wsgi.version": (1, 0),
}


class Bridge:
    """A WSGI application behind `threads` threads."""

    def __init__(self, application: Wsgi, *, threads: int) -> None:
        self._application = application
        self._jobs: SimpleQueue[tuple[Environ, Any, asyncio.Future[None]]] = SimpleQueue()
        for number in range(threads):
            threading.Thread(target=self._serve, name=f"wsgi-{number}", daemon=True).start()

    async def answer(self, environ: Environ, protocol: Any) -> None:
        """Run the application and send its response."""
        finished = asyncio.get_running_loop().create_future()
        self._jobs.put((environ, protocol, finished))
        await finished

    def _serve(self) -> None:
        while True:
            environ, protocol, finished = self._jobs.get()
            loop = finished.get_loop()
            error: BaseException | None = None
            try:
                self._run(environ, protocol, loop)
            except BaseException as raised:
                error = raised
            loop.call_soon_threadsafe(_finish, finished, error)
            del environ, protocol, finished  # not kept while this thread waits

    def _run(self, environ: Environ, protocol: Any, loop: asyncio.AbstractEventLoop) -> None:
        status, headers = 500, []

        def start_response(line: str, given: list[tuple[str, str]], exc_info: Any = None) -> None:
            nonlocal status, headers
            status, headers = int(line[:3]), given

        response = self._application(environ, start_response)
        try:
            if getattr(response, "streaming", False):
                stream = protocol.response_stream(status, headers)
                for chunk in response:
                    asyncio.run_coroutine_threadsafe(stream.send_bytes(chunk), loop).result()
            else:
                body = b"".join(response)
                if environ["REQUEST_METHOD"] == "HEAD":
                    protocol.response_empty(status, headers)
                else:
                    protocol.response_bytes(status, headers, body)
        finally:
            if close := getattr(response, "close", None):
                close()


def environ_of(scope: Any, body: bytes) -> Environ:
    """The WSGI environment of a request whose body has been read."""
    address, _colon, port = scope.server.rpartition(":")
    environ = _BASE | {
        "REQUEST_METHOD": scope.method,
        "PATH_INFO": scope.path.encode("utf-8", "surrogateescape").decode("latin-1"),
        "QUERY_STRING": scope.query_string,
        "SERVER_NAME": address,
        "SERVER_PORT": port,
        "SERVER_PROTOCOL": f"HTTP/{scope.http_version}",
        "REMOTE_ADDR": scope.client.rpartition(":")[0].strip("[]"),
        "wsgi.url_scheme": scope.scheme,
        "wsgi.input": io.BytesIO(body),
    }
    for name, value in scope.headers.items():
        if "_" in name:
            continue  # "X_User" and "X-User" would have the same name in the environment
        key = f"HTTP_{name.upper().replace('-', '_')}"
        if key in environ:
            value = f"{environ[key]}{'; ' if name == 'cookie' else ','}{value}"
        environ[key] = value
    if scope.authority and "HTTP_HOST" not in environ:  # HTTP/2
        environ["HTTP_HOST"] = scope.authority
    for key in ("CONTENT_TYPE", "CONTENT_LENGTH"):
        if (value := environ.pop(f"HTTP_{key}", None)) is not None:
            environ[key] = value
    return environ


def _finish(future: "asyncio.Future[None]", error: BaseException | None) -> None:
    if future.cancelled():
        return
    if error is None:
        future.set_result(None)
    else:
        future.set_exception(error)
