"""The time zones that an account can choose.

Invariant: Python and PostgreSQL both support each of them; the ledger counts days in SQL.
"""

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


def is_valid(name: str) -> bool:
    return name in names()
