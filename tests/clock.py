"""The date of a test run: a random one of MOMENTS, or the variable DATE; it is printed in the header.

Invariant: every test starts at the run's moment, whatever the real date and the duration of earlier tests,
and time passes from there. A process started by a test uses this clock through `environment()`. PostgreSQL
uses the real time: no SQL statement of the product reads the server's clock.
"""

import os
import random
import time
from datetime import UTC, datetime, timedelta

import time_machine

MOMENTS = {
    "2026-11-01T05:59:00Z": "one minute before summer time ends in the United States",
    "2026-12-31T23:58:00Z": "two minutes before the end of a year",
    "2027-01-31T23:30:00Z": "the 31st, before a month without a 31st",
    "2027-03-14T06:59:00Z": "one minute before summer time begins in the United States",
    "2027-03-28T00:59:00Z": "one minute before summer time begins in Europe",
    "2027-06-16T10:20:00Z": "an ordinary day",
    "2027-10-31T00:59:00Z": "one minute before summer time ends in Europe",
    "2028-01-01T00:00:00Z": "the first second of a year",
    "2028-02-29T12:00:00Z": "a leap day",
    "2028-02-29T23:58:00Z": "two minutes before the end of a leap day",
}
SHIFT = "REFILL_TEST_CLOCK_SHIFT"  # seconds between the real clock and that of a test

_traveller: time_machine.Traveller | None = None
_moment = ""


def start() -> None:
    """Select the moment and set the clock. Raises ValueError for a DATE that is not a date."""
    global _moment, _traveller
    _moment = os.environ.get("DATE") or random.SystemRandom().choice(list(MOMENTS))
    os.environ["DATE"] = _moment  # for the processes among which the tests are divided
    _traveller = time_machine.travel(parsed(_moment)).start()


def restart() -> None:
    """Set the clock to the moment of the run; called before every test."""
    assert _traveller is not None
    _traveller.move_to(parsed(_moment))


def moment() -> str:
    """The moment at which every test of this run starts, in the format of DATE."""
    return _moment


def header() -> str:
    """The line of pytest's header with the run's date."""
    meaning = MOMENTS.get(_moment)
    return f"date: DATE={_moment}" + (f" ({meaning})" if meaning else "")


def noon() -> datetime:
    """Noon of the run's date, for what must not cross midnight."""
    return parsed(_moment).replace(hour=12, minute=0)


def environment(now: datetime | None = None) -> dict[str, str]:
    """The variable by which a child process with `tests.web_settings` uses the clock of this process, or
    one on which it is `now`."""
    shift = (now or datetime.now(UTC)).timestamp() - time_machine.escape_hatch.time.time()
    return {SHIFT: str(shift)}


def follow() -> None:
    """Set the clock of a child process to that of the test that started it."""
    time_machine.travel(timedelta(seconds=float(os.environ[SHIFT]))).start()
    time.time()  # with time-machine, time passes from the first call on


def parsed(text: str) -> datetime:
    """Parse a date (noon UTC) or a time (UTC when it has no zone)."""
    if len(text) == len("2028-02-29"):
        text += "T12:00"
    moment = datetime.fromisoformat(text)
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC)
