"""A cache whose entries have a lifetime, local to a process and shared by its threads.

Invariants: a value is returned for less than its lifetime, counted from before it was read; a value whose
reading began before a call of `forget` or `clear` is not stored, so that neither is undone by a slow reader.
"""

import time
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from threading import Lock
from typing import Generic, NamedTuple, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class _Entry(NamedTuple, Generic[V]):
    value: V
    read_at: float


class TimedCache(Generic[K, V]):
    """Above `max_entries` the least recently used entry is dropped. `clock` returns seconds."""

    def __init__(
        self, *, seconds: float, max_entries: int, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.clock = clock
        self._lock = Lock()
        self._generation = 0
        self._seconds = seconds
        self._max_entries = max_entries
        self._entries: OrderedDict[K, _Entry[V]] = OrderedDict()  # the least recently used one first

    def get(self, key: K) -> V | None:
        """The cached value, or None."""
        with self._lock:
            entry = self._live(key)
        return None if entry is None else entry.value

    def get_or_load(self, key: K, load: Callable[[K], V]) -> V:
        """The cached value, or `load(key)`, which runs outside the lock; an error of it is not cached."""
        with self._lock:
            entry = self._live(key)
            if entry is not None:
                return entry.value
            generation = self._generation
        read_at = self.clock()
        value = load(key)
        with self._lock:
            if generation == self._generation:
                self._store(key, _Entry(value, read_at))
        return value

    def get_or_load_many(self, keys: Iterable[K], load: Callable[[Sequence[K]], Mapping[K, V]]) -> dict[K, V]:
        """The cached values, and those that `load` returns for the other keys; it may leave some out."""
        found: dict[K, V] = {}
        missing: list[K] = []
        with self._lock:
            generation = self._generation
            for key in keys:
                entry = self._live(key)
                if entry is None:
                    missing.append(key)
                else:
                    found[key] = entry.value
        if missing:
            read_at = self.clock()
            loaded = load(missing)
            found.update(loaded)
            with self._lock:
                if generation == self._generation:
                    for key, value in loaded.items():
                        self._store(key, _Entry(value, read_at))
        return found

    def put(self, key: K, value: V) -> None:
        """Store a value that is read now."""
        read_at = self.clock()
        with self._lock:
            self._store(key, _Entry(value, read_at))

    def update(self, key: K, change: Callable[[V], V]) -> None:
        """Apply `change` to the cached value, if there is one, without extending its lifetime."""
        with self._lock:
            entry = self._live(key)
            if entry is not None:
                self._entries[key] = _Entry(change(entry.value), entry.read_at)

    def forget(self, key: K) -> None:
        """Drop one entry."""
        with self._lock:
            self._generation += 1
            self._entries.pop(key, None)

    def clear(self) -> None:
        """Drop all entries."""
        with self._lock:
            self._generation += 1
            self._entries.clear()

    def _live(self, key: K) -> _Entry[V] | None:
        """The entry, unless its lifetime has ended. The caller has the lock."""
        entry = self._entries.get(key)
        if entry is None or self.clock() - entry.read_at >= self._seconds:
            return None
        self._entries.move_to_end(key)
        return entry

    def _store(self, key: K, entry: _Entry[V]) -> None:
        self._entries[key] = entry
        self._entries.move_to_end(key)
        if len(self._entries) > self._max_entries:
            self._entries.popitem(last=False)
