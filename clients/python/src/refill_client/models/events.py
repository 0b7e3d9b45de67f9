"""Events of an account."""

from __future__ import annotations

from dataclasses import dataclass

from refill_client.models.buying import Purchase
from refill_client.models.spending import Balance, Charge


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """An event: the object of its `type` as it is now; None for `reload`."""

    id: str
    type: str
    data: Balance | Charge | Purchase | None
