"""An application for the tests of the bridge: what a WSGI application gets, streams, errors, slowness."""

import json
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from config.front.wsgi_bridge import Bridge, environ_of

CHUNK = b"x" * 65_536
state = {"sent": 0, "closed": 0}


class Stream:
    """As Django's streaming responses."""

    streaming = True

    def __init__(self, chunks: int, pause: float = 0.0, *, fails: bool = False) -> None:
        self._chunks, self._pause, self._fails = chunks, pause, fails

    def __iter__(self) -> Iterator[bytes]:
        for _number in range(self._chunks):
            state["sent"] += 1
            yield CHUNK
            time.sleep(self._pause)
        if self._fails:
            raise ValueError("a stream that fails")

    def close(self) -> None:
        state["closed"] += 1


def wsgi(environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
    path = environ["PATH_INFO"]
    if path == "/raises":
        raise ValueError("an application that fails")
    if path.startswith("/stream/"):
        start("200 OK", [("Content-Type", "text/plain")])
        return Stream(int(path.removeprefix("/stream/")))
    if path.startswith("/fails/"):
        start("200 OK", [])
        return Stream(int(path.removeprefix("/fails/")), fails=True)
    if path == "/endless":
        start("200 OK", [])
        return Stream(100_000)
    if path in {"/204", "/304"}:
        start(f"{path[1:]} Nothing", [])
        return [b""]
    if path == "/slow":
        Path(environ["QUERY_STRING"]).touch()
        time.sleep(1)
    body = environ["wsgi.input"].read()
    shown = {key: value for key, value in environ.items() if not key.startswith("wsgi.")}
    text = json.dumps(shown | state | {"body": body.decode(), "scheme": environ["wsgi.url_scheme"]}).encode()
    start("200 OK", [("Content-Type", "application/json"), ("Content-Length", str(len(text)))])
    return [text]


class Application:
    def __init__(self) -> None:
        self._bridge = Bridge(wsgi, threads=4, most_waiting=100)

    async def __rsgi__(self, scope: Any, protocol: Any) -> None:
        await self._bridge.answer(environ_of(scope, bytes(await protocol())), protocol)


application = Application()
