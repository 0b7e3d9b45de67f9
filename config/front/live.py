"""Open streams of Server-Sent Events: they tell browsers when what they show is out of date, and clients of
the API what happens.

Invariants: a stream takes no thread; one query asks for all followed accounts, and none is sent while nobody
follows one; a stream ends within CHECK_SECONDS after its session, key, user, membership or chosen account
changed, and the client asks Django whether it may follow again. A page's event states the account's version,
not what happened, so that a lost or repeated one does no harm and the newest replaces those before it. A
stream of the API has the events since its position (usage.api.events), read when the version changes.

Facts relied on:
- A browser parses the stream, and opens it again `retry` milliseconds after it ended, as
  https://html.spec.whatwg.org/multipage/server-sent-events.html says.
- granian's `response_stream` gives a transport whose `send_bytes` puts the data into an unbounded queue; it
  raises once the client has gone; the response ends when the transport is deleted (src/rsgi/io.rs of granian
  2.8). A client that does not read lets its queue grow, therefore no stream is older than LONGEST_SECONDS.
- granian waits for open responses before a process ends, so the streams end themselves on SIGTERM.
"""

import asyncio
import random
import signal
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from types import FrameType
from typing import Any, TypeVar
from uuid import UUID

import structlog
from django.db import connection
from django.utils import timezone

from config.front.wsgi_bridge import Bridge
from core import json_body, problems
from usage import live_updates
from usage.api import events
from usage.live_updates import Follower
from usage.views.live import FOLLOW

PATHS = ("/live", "/api/v1/events")
LOOK_SECONDS = 0.25  # between two queries, and at least
REST = 4  # times as long as the last query took: the queries take at most a fifth of the time
EVENT_SECONDS = 0.75  # between two events of one account that changes all the time
BEAT_SECONDS = 20.0  # proxies close connections that are silent for longer, often after 60 s
CHECK_SECONDS = 5.0
LONGEST_SECONDS = 30 * 60.0
BROKEN_SECONDS = 2.0  # until the next attempt while the database cannot be reached
MOST_OF_GROUP = 6  # a browser opens one for all its tabs where it can (static/js/live.js)
EVENT_THREADS = 4  # a wallet that is due and in use holds one for a quarter of a second
MOST_STREAMS = 12_000  # fewer than WEB_CONNECTIONS: pages need some too
REOPENED_EACH_SECOND = 100  # each takes Django about 6 ms

log = structlog.get_logger(__name__)
Result = TypeVar("Result")
Headers = list[tuple[str, str]]


class _Held:
    """Takes Django's response to the request for a stream, in place of the client's protocol."""

    def __init__(self) -> None:
        self.follower: Follower | None = None
        self.status, self.headers, self.body = 500, Headers(), b""

    def follow(self, follower: Follower) -> None:
        self.follower = follower

    def response_bytes(self, status: int, headers: Headers, body: bytes) -> None:
        self.status, self.headers, self.body = status, headers, body

    def response_empty(self, status: int, headers: Headers) -> None:
        self.status, self.headers = status, headers


@dataclass(eq=False, slots=True)
class Stream:
    """One open response."""

    follower: Follower
    transport: Any
    beat_at: float
    ends_at: float
    position: events.Position | None  # None: a page's stream


@dataclass(eq=False, slots=True)
class Followed:
    """An account that somebody follows. `sent` is the version of its last event.

    `has_events` when there may be events that its streams of the API have not sent.
    """

    sent: str
    streams: set[Stream]
    next_at: float = 0.0
    has_events: bool = False
    feeding: asyncio.Task[None] | None = None


class Streams:
    """The streams of this process. Methods are called in the event loop unless they say otherwise."""

    def __init__(self) -> None:
        self._open = dict[Stream, None]()  # in the order of their beginning
        self._accounts: dict[UUID, Followed] = {}
        self._groups: dict[str, list[Stream]] = {}
        self._reader = ThreadPoolExecutor(max_workers=1, thread_name_prefix="live")
        self._event_reader = ThreadPoolExecutor(max_workers=EVENT_THREADS, thread_name_prefix="events")
        self._watching: asyncio.Task[None] | None = None
        self._ending = False

    def __len__(self) -> int:
        return len(self._open)

    def end_on_signal(self, loop: asyncio.AbstractEventLoop) -> None:
        """End all streams when the process is asked to end, beside what granian does then (main thread).

        The event loop reads signals from its wakeup descriptor, not from the handler that is replaced
        here: https://docs.python.org/3/library/signal.html#signal.set_wakeup_fd
        """

        def end(_number: int, _frame: FrameType | None) -> None:
            loop.call_soon_threadsafe(self.end_all)

        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, end)
            signal.siginterrupt(number, False)

    async def answer(self, environ: dict[str, Any], protocol: Any, bridge: Bridge) -> None:
        """Let Django decide who follows what, and open the stream, or send Django's own response."""
        held = _Held()
        await bridge.answer(environ | {FOLLOW: held.follow}, held)
        if held.follower is None or held.status != 200:
            protocol.response_bytes(held.status, held.headers, held.body)
        elif self._ending or not held.follower.stamp or len(self) >= MOST_STREAMS:
            _refuse(held, protocol)
        else:
            await self.open(held.follower, protocol, held.headers)

    async def open(self, follower: Follower, protocol: Any, headers: Headers) -> None:
        """Begin the response, with the account's version as its first event."""
        now = _time()
        headers = [pair for pair in headers if pair[0].lower() != "content-length"]
        transport = protocol.response_stream(200, [*headers, ("Connection", "close")])
        lasts = LONGEST_SECONDS * random.uniform(0.5, 1)  # noqa: S311 - not a secret
        stream = Stream(follower, transport, now, ends_at=now + lasts, position=follower.position)
        await self._replace_oldest(follower.group)
        self._open[stream] = None
        self._groups.setdefault(follower.group, []).append(stream)
        account = self._accounts.setdefault(follower.account_id, Followed(follower.version, set()))
        account.streams.add(stream)
        await self._tell(stream, account, now)
        if self._watching is None:
            self._watching = asyncio.create_task(self._watch())

    def end_all(self) -> None:
        """End every stream, and open none from now on."""
        self._ending = True
        for stream in list(self._open):
            self._forget(stream)

    async def _watch(self) -> None:
        """Send what changed, as long as anybody follows an account."""
        check_at = _time() + CHECK_SECONDS
        while self._accounts:
            began = _time()
            try:
                if began >= check_at:
                    await self._end_unauthorized()
                    check_at = began + CHECK_SECONDS
                await self._send_changes(began)
                rest = max(LOOK_SECONDS, REST * (_time() - began))
            except Exception as error:  # the database cannot be reached: the streams stay open
                log.warning("live_updates_failed", error=str(error))
                rest = BROKEN_SECONDS
            await asyncio.sleep(rest)
        self._watching = None

    async def _send_changes(self, now: float) -> None:
        """Events for accounts that changed; for streams without an event for long, the same one again."""
        shown = {key: account.sent for key, account in self._accounts.items() if account.next_at <= now}
        versions = await self._read(live_updates.changed, shown)
        for key, version in versions.items():
            if account := self._accounts.get(key):
                account.sent, account.next_at = version, now + EVENT_SECONDS
                for stream in list(account.streams):
                    await self._tell(stream, account, now)
        for stream in list(self._open):
            if stream.ends_at <= now:
                self._forget(stream)
            elif stream.beat_at <= now and (account := self._accounts.get(stream.follower.account_id)):
                if stream.position is None:
                    await self._state(stream, account, now)
                else:
                    await self._send(stream, b": \n\n", now)

    async def _end_unauthorized(self) -> None:
        """End the streams of followers whose stamp has changed; their browsers ask again at once."""
        streams = list(self._open)
        stamps = await self._read(live_updates.stamps, [stream.follower for stream in streams])
        for stream, stamp in zip(streams, stamps, strict=True):
            if stamp != stream.follower.stamp:
                await self._send(stream, b"retry: 1\n\n", _time())
                self._forget(stream)

    async def _read(
        self,
        query: Callable[[Any, datetime], Result],
        subjects: Any,
        threads: ThreadPoolExecutor | None = None,
    ) -> Result:
        """The query's result, from the one thread that reads versions or one of those that read events."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(threads or self._reader, _fresh, query, subjects)

    async def _tell(self, stream: Stream, account: Followed, now: float) -> None:
        """Send the version to a page; let the events of the account be read for a stream of the API."""
        if stream.position is None:
            await self._state(stream, account, now)
            return
        account.has_events = True
        if account.feeding is None:
            account.feeding = asyncio.create_task(self._feed(stream.follower.account_id, account))

    async def _feed(self, account_id: UUID, account: Followed) -> None:
        """Send the events since its position to each stream of the API, until there are no more."""
        while account.has_events:
            account.has_events = False
            waiting = [one for one in account.streams if one.position is not None]
            try:
                for position in {one.position for one in waiting}:
                    reading = await self._read(events.read, (account_id, position), self._event_reader)
                    account.has_events |= reading.more
                    for stream in [one for one in waiting if one.position == position]:
                        stream.position = reading.position
                        if reading.content:
                            await self._send(stream, reading.content, _time())
            except Exception as error:  # the database cannot be reached, or the wallet is due and in use
                log.warning("events_failed", error=str(error))
                account.has_events = True
                await asyncio.sleep(BROKEN_SECONDS)
        account.feeding = None

    async def _replace_oldest(self, group: str) -> None:
        streams = self._groups.get(group, [])
        if len(streams) >= MOST_OF_GROUP:
            await self._send(streams[0], b"event: replaced\ndata: -\n\n", _time())
            self._forget(streams[0])

    async def _send(self, stream: Stream, event: bytes, now: float) -> None:
        try:
            await stream.transport.send_bytes(event)
        except Exception:  # the client has gone; granian raises different errors
            self._forget(stream)
        stream.beat_at = now + BEAT_SECONDS * random.uniform(0.5, 1)  # noqa: S311

    async def _state(self, stream: Stream, account: Followed, now: float) -> None:
        """Send the account's version, and when to come back after a break: later, the more there are."""
        spread = max(2.0, len(self) / REOPENED_EACH_SECOND)
        retry = int(1000 * random.uniform(1, 1 + spread))  # noqa: S311
        version = account.sent or "-"  # an event without data is not delivered
        await self._send(stream, f"retry: {retry}\nid: {version}\ndata: {version}\n\n".encode(), now)

    def _forget(self, stream: Stream) -> None:
        """End the response: its transport has no other owner."""
        if stream not in self._open:
            return
        del self._open[stream]
        follower = stream.follower
        account = self._accounts[follower.account_id]
        account.streams.remove(stream)
        if not account.streams:
            del self._accounts[follower.account_id]
        self._groups[follower.group].remove(stream)
        if not self._groups[follower.group]:
            del self._groups[follower.group]
        stream.transport = None


def _refuse(held: _Held, protocol: Any) -> None:
    """No stream now: an empty response for a page, which polls, and a problem document for the API."""
    if held.follower is not None and held.follower.position is None:
        protocol.response_empty(503, held.headers)
        return
    problem = problems.Problem(503, "unavailable", "Too many streams are open. Try again later.")
    names = {"content-type", "content-length", "retry-after"}
    headers = [pair for pair in held.headers if pair[0].lower() not in names]
    request_id = dict(held.headers).get("X-Request-Id", "")
    content = json_body.dumps(problem.document(request_id)).encode()
    headers += [("Content-Type", problems.MEDIA_TYPE), ("Retry-After", "5")]
    protocol.response_bytes(503, headers, content)


def _time() -> float:
    return asyncio.get_running_loop().time()


def _fresh(query: Callable[[Any, datetime], Result], subjects: Any) -> Result:
    """Run in the reading thread; a connection that failed is replaced for the next call."""
    try:
        return query(subjects, timezone.now())
    except Exception:
        connection.close()
        raise
