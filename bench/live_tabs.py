"""Open tabs: how many streams of live updates a web process serves, and how late a change arrives.

    python -m bench.live_tabs http://127.0.0.1:8000/live --cookies cookies.txt --tabs 2000

Each line of the file is one session's `Cookie` header; the tabs use them in turn. Without changes of its own it
prints how many streams are open and how many events arrive; `Tabs` is for programs that make the changes.
"""

import argparse
import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

AT_ONCE = 32  # requests for streams under way


@dataclass(eq=False, slots=True)
class Tab:
    """One open stream: the versions it stated with the times at which they arrived."""

    cookie: str
    status: int = 0
    headers: str = ""
    versions: list[tuple[float, str]] = field(default_factory=list)
    text: str = ""
    ended: bool = False


class Tabs:
    """Streams of one address, read by the running event loop."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._host, self._port, self._path = parts.hostname or "", parts.port or 80, parts.path
        self._gate = asyncio.Semaphore(AT_ONCE)
        self._tasks: list[asyncio.Task[None]] = []

    async def open(self, cookies: Sequence[str]) -> list[Tab]:
        """One stream for each cookie; returns when all have answered."""
        return list(await asyncio.gather(*map(self._open, cookies)))

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _open(self, cookie: str) -> Tab:
        tab = Tab(cookie)
        async with self._gate:
            reader, writer = await asyncio.open_connection(self._host, self._port)
            request = (
                f"GET {self._path} HTTP/1.1\r\nHost: {self._host}:{self._port}\r\nCookie: {cookie}\r\n\r\n"
            )
            writer.write(request.encode())
            tab.headers = (await reader.readuntil(b"\r\n\r\n")).decode()
            tab.status = int(tab.headers.split(" ", 2)[1])
        self._tasks.append(asyncio.create_task(self._read(tab, reader, writer)))
        return tab

    async def _read(self, tab: Tab, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while line := await reader.readline():
                text = line.decode().strip()
                tab.text += f"{text}\n"
                if text.startswith("data: "):
                    tab.versions.append((time.monotonic(), text.removeprefix("data: ")))
        finally:
            tab.ended = True
            writer.close()


async def watch(url: str, cookies: Sequence[str], *, count: int, seconds: float) -> None:
    """Open the streams and print what arrives."""
    tabs = Tabs(url)
    began = time.monotonic()
    streams = await tabs.open([cookies[number % len(cookies)] for number in range(count)])
    taken = time.monotonic() - began
    print(f"{sum(tab.status == 200 for tab in streams)} of {count} streams opened in {taken:.1f} s")
    await asyncio.sleep(seconds)
    events = sum(len(tab.versions) - 1 for tab in streams)
    print(f"{sum(not tab.ended for tab in streams)} are open; {events} events in {seconds:.0f} s")
    await tabs.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("url")
    parser.add_argument("--cookies", type=Path, required=True)
    parser.add_argument("--tabs", type=int, default=2000)
    parser.add_argument("--seconds", type=float, default=30)
    options = parser.parse_args()
    cookies = options.cookies.read_text().splitlines()
    asyncio.run(watch(options.url, cookies, count=options.tabs, seconds=options.seconds))


if __name__ == "__main__":
    main()
