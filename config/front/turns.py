"""Shared work: what arrives while a call runs is done together in the next one.

Invariants: items are worked on in the order of their arrival, each once; the result of an item is set in the
event loop; when the work of a turn fails, each of its items has the result None.
"""

import asyncio
import threading
import time
from collections import deque
from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import ThreadPoolExecutor
from queue import Empty, SimpleQueue
from typing import Generic, TypeVar

import structlog
from django.db import connection

Item = TypeVar("Item")
Result = TypeVar("Result")
PAUSE_SECONDS = 1.0
GATHER_SECONDS, GATHER_STEP = 0.004, 0.001
log = structlog.get_logger(__name__)


class Turns(Generic[Item, Result]):
    """`work` gets up to `most` items in a thread of its own, and returns a result for each.

    A caller that has its result often sends the next item at once. A turn therefore begins when as many items
    wait as its predecessor had and left behind, or after GATHER_SECONDS: few large turns take less processor
    time than many small ones.
    """

    def __init__(self, work: Callable[[Sequence[Item]], Sequence[Result | None]], *, most: int) -> None:
        self._work = work
        self._most = most
        self._items: SimpleQueue[tuple[Item, asyncio.Future[Result | None]]] = SimpleQueue()
        threading.Thread(target=self._run, name="turns", daemon=True).start()

    async def result(self, item: Item) -> Result | None:
        """The result of the item, once a turn with it has ended."""
        future: asyncio.Future[Result | None] = asyncio.get_running_loop().create_future()
        self._items.put((item, future))
        return await future

    def _run(self) -> None:
        expected = 1
        while True:
            taken = [self._items.get()]
            self._gather(expected - 1)
            while len(taken) < self._most:
                try:
                    taken.append(self._items.get_nowait())
                except Empty:
                    break
            results: Sequence[Result | None]
            renew_connection()
            try:
                results = self._work([item for item, _future in taken])
            except Exception:
                log.exception("shared_call_failed", items=len(taken))
                results = [None] * len(taken)
            futures = [future for _item, future in taken]
            expected = min(len(taken) + self._items.qsize(), self._most)
            taken[0][1].get_loop().call_soon_threadsafe(_set, futures, results)
            del taken, results, futures

    def _gather(self, more: int) -> None:
        """Wait until so many items are there, or GATHER_SECONDS have passed."""
        until = time.monotonic() + GATHER_SECONDS
        while self._items.qsize() < more and time.monotonic() < until:
            time.sleep(GATHER_STEP)


class Lanes(Generic[Item, Result]):
    """Turns by key: the items of one key are worked on in turns of their own, beside those of other keys.

    When the work of a turn fails, its key pauses: for PAUSE_SECONDS its items have the result None at once,
    so that keys whose work lasts until a time limit do not occupy the threads. Used in the event loop only.
    """

    def __init__(
        self, work: Callable[[Sequence[Item]], Sequence[Result | None]], *, most: int, threads: int
    ) -> None:
        self._work = work
        self._most = most
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="lane")
        self._waiting: dict[Hashable, deque[tuple[Item, asyncio.Future[Result | None]]]] = {}
        self._paused: set[Hashable] = set()

    def __contains__(self, key: Hashable) -> bool:
        """Whether a turn of the key runs."""
        return key in self._waiting

    async def result(self, key: Hashable, item: Item) -> Result | None:
        """The result of the item, once a turn with it has ended."""
        if key in self._paused:
            return None
        future: asyncio.Future[Result | None] = asyncio.get_running_loop().create_future()
        if key in self._waiting:
            self._waiting[key].append((item, future))
        else:
            self._waiting[key] = deque([(item, future)])
            self._begin(key)
        return await future

    def _begin(self, key: Hashable) -> None:
        waiting = self._waiting[key]
        taken = [waiting.popleft() for _number in range(min(self._most, len(waiting)))]
        loop = asyncio.get_running_loop()
        self._pool.submit(self._run, key, taken, loop)

    def _run(
        self,
        key: Hashable,
        taken: Sequence[tuple[Item, "asyncio.Future[Result | None]"]],
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        results: Sequence[Result | None] | None = None
        renew_connection()
        try:
            results = self._work([item for item, _future in taken])
        except Exception as error:
            log.warning("turn_of_key_failed", key=str(key), why=str(error).partition("\n")[0])
        loop.call_soon_threadsafe(self._end, key, [future for _item, future in taken], results)

    def _end(
        self,
        key: Hashable,
        futures: Sequence["asyncio.Future[Result | None]"],
        results: Sequence[Result | None] | None,
    ) -> None:
        if results is None:
            futures = [*futures, *(future for _item, future in self._waiting.pop(key))]
            self._paused.add(key)
            asyncio.get_running_loop().call_later(PAUSE_SECONDS, self._paused.discard, key)
        _set(futures, results or [None] * len(futures))
        if results is not None:
            if self._waiting[key]:
                self._begin(key)
            else:
                del self._waiting[key]


def renew_connection() -> None:
    """Close the thread's database connection after an error and when it is old; the next query opens another.

    Django does so at the start of each request, and tests the connection with a query too.
    """
    too_old = connection.close_at is not None and time.monotonic() >= connection.close_at
    if connection.connection is not None and (connection.errors_occurred or too_old):
        connection.close_if_unusable_or_obsolete()


def _set(futures: Sequence["asyncio.Future[Result | None]"], results: Sequence[Result | None]) -> None:
    for future, result in zip(futures, results, strict=True):
        if not future.done():
            future.set_result(result)
