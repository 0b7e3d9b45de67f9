"""Entries of a TimedCache expire, can be dropped, and are bounded in number."""

import pytest

from core.caches import TimedCache


class Clock:
    seconds = 1000.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def cache(clock: Clock) -> TimedCache[str, int]:
    return TimedCache(seconds=1.0, max_entries=2, clock=clock)


def fail(key: str) -> int:
    raise AssertionError(f"{key} was read again")


def test_a_value_is_read_once_in_its_lifetime(cache: TimedCache[str, int], clock: Clock) -> None:
    assert cache.get_or_load("a", lambda _key: 1) == 1
    clock.seconds += 0.999
    assert cache.get_or_load("a", fail) == 1
    clock.seconds += 0.001
    assert cache.get_or_load("a", lambda _key: 2) == 2


def test_the_lifetime_begins_before_the_value_is_read(cache: TimedCache[str, int], clock: Clock) -> None:
    def slow(_key: str) -> int:
        clock.seconds += 0.6
        return 1

    cache.get_or_load("a", slow)
    clock.seconds += 0.4
    assert cache.get_or_load("a", lambda _key: 2) == 2


def test_an_error_of_the_reader_is_not_cached(cache: TimedCache[str, int]) -> None:
    with pytest.raises(AssertionError):
        cache.get_or_load("a", fail)
    assert cache.get_or_load("a", lambda _key: 1) == 1


def test_forget_drops_one_entry_and_clear_drops_all(cache: TimedCache[str, int]) -> None:
    for key in ("a", "b"):
        cache.get_or_load(key, lambda _key: 1)
    cache.forget("a")
    assert cache.get_or_load("a", lambda _key: 2) == 2
    assert cache.get_or_load("b", fail) == 1
    cache.clear()
    assert cache.get_or_load("b", lambda _key: 3) == 3


@pytest.mark.parametrize("drop", ["forget", "clear"])
def test_a_read_that_began_before_the_entry_was_dropped_is_not_stored(
    cache: TimedCache[str, int], drop: str
) -> None:
    def overtaken(key: str) -> int:
        cache.forget(key) if drop == "forget" else cache.clear()
        return 1

    assert cache.get_or_load("a", overtaken) == 1
    assert cache.get_or_load("a", lambda _key: 2) == 2


def test_replacing_a_value_does_not_extend_its_lifetime(cache: TimedCache[str, int], clock: Clock) -> None:
    cache.get_or_load("a", lambda _key: 1)
    clock.seconds += 0.9
    cache.update("a", lambda value: 5)
    assert cache.get_or_load("a", fail) == 5
    clock.seconds += 0.1
    cache.update("a", lambda value: 6)
    assert cache.get_or_load("a", lambda _key: 2) == 2


def test_the_least_recently_used_entry_makes_room(cache: TimedCache[str, int]) -> None:
    for key in ("a", "b", "a", "c"):
        cache.get_or_load(key, lambda _key: 1)
    assert cache.get_or_load("a", fail) == 1
    assert cache.get_or_load("b", lambda _key: 2) == 2
