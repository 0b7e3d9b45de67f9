"""The accounting zones that may be chosen.

Invariant: every one of them is known to Python and to PostgreSQL alike; the ledger counts days in SQL.
"""

import zoneinfo
from functools import cache

# What areas like Etc/, posix/ or SystemV/ name are not places people live in, and US/ and such are old names.
_AREAS = (
    *("Africa/", "America/", "Antarctica/", "Arctic/", "Asia/", "Atlantic/", "Australia/", "Europe/"),
    *("Indian/", "Pacific/"),
)


@cache
def known() -> tuple[str, ...]:
    """IANA names of places, in alphabetical order, and UTC."""
    places = [name for name in zoneinfo.available_timezones() if name.startswith(_AREAS)]
    return tuple(sorted([*places, "UTC"]))


def is_known(name: str) -> bool:
    return name in known()
