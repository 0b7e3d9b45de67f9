"""The time zones that an account can choose, and the instant at which a local day begins.

Invariants: pages, the API and the admin accept exactly these zones; Python and PostgreSQL support each.
The ledger computes days in SQL (`ledger_midnight`); `midnight` is the same rule for ranges that pages show.
"""

import datetime as dt
import zoneinfo
from functools import cache

# Etc/, posix/ and SystemV/ are not places, and names such as US/ are obsolete.
_AREAS = (
    *("Africa/", "America/", "Antarctica/", "Arctic/", "Asia/", "Atlantic/", "Australia/", "Europe/"),
    *("Indian/", "Pacific/"),
)


@cache
def names() -> tuple[str, ...]:
    """IANA names of places, in alphabetical order, and UTC."""
    places = [name for name in zoneinfo.available_timezones() if name.startswith(_AREAS)]
    return tuple(sorted([*places, "UTC"]))


@cache
def _names() -> frozenset[str]:
    return frozenset(names())


def is_valid(name: str) -> bool:
    """Whether an account can choose this zone; the spelling must be that of the IANA name."""
    return name in _names()


@cache
def _spellings() -> dict[str, str]:
    return {name.casefold(): name for name in names()}


def spelled(typed: str) -> str:
    """The zone with this name in any case, with spaces or underscores; else the text itself."""
    return _spellings().get("_".join(typed.split()).casefold(), typed)


def midnight(day: dt.date, zone: zoneinfo.ZoneInfo) -> dt.datetime:
    """The instant at which the local date begins.

    Where clocks go back, midnight can occur twice: the first one counts. A midnight that clocks skip is the
    instant of the change. Both are `fold=0` of PEP 495.
    """
    return dt.datetime.combine(day, dt.time(), zone).astimezone(dt.UTC)
