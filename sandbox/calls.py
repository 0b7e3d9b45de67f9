"""A call: the instant at which something happens in the sandbox and who asked for it.

Invariant: no module below the doors reads the clock; whatever is created in one call carries the call's
instant (a customer on a test clock lives at the clock's instant instead, see sandbox.objects.clocks).
"""

import dataclasses
from datetime import UTC, datetime
from typing import Any, Self


@dataclasses.dataclass(frozen=True, kw_only=True)
class Call:
    """`now` in Unix seconds; `params` decoded and checked against the SDK's types; `ids` from the path."""

    now: int
    params: dict[str, Any] = dataclasses.field(default_factory=dict)
    ids: dict[str, str] = dataclasses.field(default_factory=dict)
    request_id: str | None = None
    idempotency_key: str | None = None

    @property
    def moment(self) -> datetime:
        return datetime.fromtimestamp(self.now, tz=UTC)

    def at(self, now: int) -> Self:
        """The same call at another instant (that of a test clock)."""
        return dataclasses.replace(self, now=now)

    def asking(self, **params: Any) -> Self:
        """The same call with other parameters, for one handler that uses another."""
        return dataclasses.replace(self, params=params)


def by_page(now: datetime) -> Call:
    """A call made by a person on a page, or by the passing of time: no API request stands behind it."""
    return Call(now=int(now.timestamp()))
