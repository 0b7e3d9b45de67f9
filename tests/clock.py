"""The date of a test run: drawn from MOMENTS and printed, or taken from the variable DATE.

Invariant: every test begins at the run's moment, whatever the real date and however long earlier tests took,
and time passes from there. A process that a test starts on the test's rows follows this clock through
`environment()`. PostgreSQL keeps the real time: no statement of the product reads the server's clock.
"""

import os
import random
import time
from datetime import UTC, datetime, timedelta

import time_machine

MOMENTS = {
    "2026-11-01T05:59:00Z": "one minute before the United States leave summer time",
    "2026-12-31T23:58:00Z": "two minutes before the end of a year",
    "2027-01-31T23:30:00Z": "the end of a month whose next one has no such day",
    "2027-03-14T06:59:00Z": "one minute before the United States enter summer time",
    "2027-03-28T00:59:00Z": "one minute before Europe enters summer time",
    "2027-06-16T10:20:00Z": "an ordinary day",
    "2027-10-31T00:59:00Z": "one minute before Europe leaves summer time",
    "2028-01-01T00:00:00Z": "the first second of a year",
    "2028-02-29T12:00:00Z": "a leap day",
    "2028-02-29T23:58:00Z": "two minutes before the end of a leap day",
}
SHIFT = "REFILL_TEST_CLOCK_SHIFT"  # seconds between the real clock and that of a test

_traveller: time_machine.Traveller | None = None
_moment = ""


def start() -> None:
    """Choose the moment and move the clock there. Raises ValueError for a DATE that is not a date."""
    global _moment, _traveller
    _moment = os.environ.get("DATE") or random.SystemRandom().choice(list(MOMENTS))
    _traveller = time_machine.travel(parsed(_moment)).start()


def restart() -> None:
    """Move the clock back to the moment of the run: done before every test."""
    assert _traveller is not None
    _traveller.move_to(parsed(_moment))


def moment() -> str:
    """The moment at which every test of this run begins, as DATE takes it."""
    return _moment


def header() -> str:
    """The line of pytest's header that says how to repeat the run's date."""
    meaning = MOMENTS.get(_moment)
    return f"date: DATE={_moment}" + (f" ({meaning})" if meaning else "")


def environment() -> dict[str, str]:
    """The variable that makes a child process with `tests.web_settings` follow the clock of this one."""
    shift = datetime.now(UTC).timestamp() - time_machine.escape_hatch.time.time()
    return {SHIFT: str(shift)}


def follow() -> None:
    """Move the clock of a child process to that of the test that started it."""
    time_machine.travel(timedelta(seconds=float(os.environ[SHIFT]))).start()
    time.time()  # time-machine lets time pass from the first look at the clock on


def parsed(text: str) -> datetime:
    """A date means its noon; a time without a zone is UTC."""
    if len(text) == len("2028-02-29"):
        text += "T12:00"
    moment = datetime.fromisoformat(text)
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC)
