"""The context of one operation in the sandbox: its time, its parameters and the API request behind it.

Invariant: only views, tasks and commands read the clock. Every object created during a call carries the
call's time; for a customer on a test clock that is the time of the clock (sandbox.objects.clocks).
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
        """The same call at another time (that of a test clock)."""
        return dataclasses.replace(self, now=now)

    def with_params(self, **params: Any) -> Self:
        """The same call with other parameters, to use one handler from another."""
        return dataclasses.replace(self, params=params)


def without_request(now: datetime) -> Call:
    """A call that no API request caused: a form on a page, a background task, a command."""
    return Call(now=int(now.timestamp()))
