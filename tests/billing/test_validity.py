"""When credits expire that last for a number of days, months or years."""

from datetime import UTC, datetime, timedelta, timezone

import pytest

from billing import validity

START = datetime(2027, 1, 31, 13, 45, 6, 7, tzinfo=UTC)


@pytest.mark.parametrize(
    ("lasts", "ends"),
    [
        ("forever", None),
        ("", None),
        ("1 day", datetime(2027, 2, 1, 13, 45, 6, 7, tzinfo=UTC)),
        ("90 days", START + timedelta(days=90)),
        ("1 month", datetime(2027, 2, 28, 13, 45, 6, 7, tzinfo=UTC)),
        ("3 months", datetime(2027, 4, 30, 13, 45, 6, 7, tzinfo=UTC)),
        ("12 months", datetime(2028, 1, 31, 13, 45, 6, 7, tzinfo=UTC)),
        ("13 months", datetime(2028, 2, 29, 13, 45, 6, 7, tzinfo=UTC)),
        ("1 year", datetime(2028, 1, 31, 13, 45, 6, 7, tzinfo=UTC)),
        ("2 years", datetime(2029, 1, 31, 13, 45, 6, 7, tzinfo=UTC)),
    ],
)
def test_credits_end_after_their_time(lasts: str, ends: datetime | None) -> None:
    assert validity.ends_at(lasts, START) == ends


@pytest.mark.parametrize(
    ("months", "expected"),
    [
        (0, (2027, 1, 31)), (1, (2027, 2, 28)), (-1, (2026, 12, 31)), (-2, (2026, 11, 30)),
        (11, (2027, 12, 31)), (12, (2028, 1, 31)), (-11, (2026, 2, 28)), (-12, (2026, 1, 31)),
        (-35, (2024, 2, 29)),
    ],
)  # fmt: skip
def test_months_keep_the_day_or_end_with_their_last(months: int, expected: tuple[int, int, int]) -> None:
    moved = validity.add_months(START, months)
    assert (moved.year, moved.month, moved.day) == expected
    assert moved.timetz() == START.timetz()


EAST, WEST = timezone(timedelta(hours=10)), timezone(-timedelta(hours=10))


def test_months_are_those_of_utc() -> None:
    in_march_there = datetime(2027, 3, 1, 5, tzinfo=EAST)  # 28 February, 19:00 UTC
    assert validity.add_months(in_march_there, 1) == datetime(2027, 3, 28, 19, tzinfo=UTC)
    assert validity.month_of(in_march_there) == datetime(2027, 2, 1, tzinfo=UTC)
    assert validity.month_of(datetime(2027, 2, 28, 20, tzinfo=WEST)) == datetime(2027, 3, 1, tzinfo=UTC)
    assert validity.month_of(START) == datetime(2027, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("at", "months"),
    [
        (START, 0),
        (START - timedelta(microseconds=1), -1),
        (datetime(2027, 2, 28, 13, 45, 6, 6, tzinfo=UTC), 0),
        (datetime(2027, 2, 28, 13, 45, 6, 7, tzinfo=UTC), 1),
        (datetime(2027, 3, 30, 23, tzinfo=UTC), 1),
        (datetime(2027, 12, 31, 13, tzinfo=UTC), 10),
        (datetime(2027, 12, 31, 14, tzinfo=UTC), 11),
        (datetime(2028, 1, 31, 14, tzinfo=UTC), 12),
        (datetime(2029, 2, 1, tzinfo=UTC), 24),
        (datetime(2026, 12, 31, 14, tzinfo=UTC), -1),
        (datetime(2026, 1, 1, tzinfo=UTC), -13),
        (datetime(2027, 3, 1, 5, tzinfo=EAST), 1),
    ],
)
def test_how_many_months_are_over_since_a_day(at: datetime, months: int) -> None:
    assert validity.months_since(START, at) == months
