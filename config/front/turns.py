"""Shared work: what arrives while a call runs is done together in the next one.

Invariants: items are worked on in the order of their arrival, each once; the result of an item is set in the
event loop; when the work of a turn fails, each of its items has the result None.
"""

import asyncio
import threading
from collections.abc import Callable, Sequence
from queue import Empty, SimpleQueue
from typing import Generic, TypeVar

import structlog

Item = TypeVar("Item")
Result = TypeVar("Result")
log = structlog.get_logger(__name__)


class Turns(Generic[Item, Result]):
    """`work` gets up to `most` items in a thread of its own, and returns a result for each."""

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
        while True:
            taken = [self._items.get()]
            while len(taken) < self._most:
                try:
                    taken.append(self._items.get_nowait())
                except Empty:
                    break
            results: Sequence[Result | None]
            try:
                results = self._work([item for item, _future in taken])
            except Exception:
                log.exception("shared_call_failed", items=len(taken))
                results = [None] * len(taken)
            futures = [future for _item, future in taken]
            taken[0][1].get_loop().call_soon_threadsafe(_set, futures, results)
            del taken, results, futures


def _set(futures: Sequence["asyncio.Future[Result | None]"], results: Sequence[Result | None]) -> None:
    for future, result in zip(futures, results, strict=True):
        if not future.done():
            future.set_result(result)
