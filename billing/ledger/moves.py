"""What the moves are asked with and what they answer: plain frozen records."""

import datetime as dt
import uuid
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from billing.ledger.errors import AmountInvalid
from core import amounts
from core.ids import new_id

NO_FINGERPRINT = b""


def checked(amount: object, *, zero: bool = False) -> Decimal:
    """The amount, if it is one the ledger can keep exactly.

    Raises AmountInvalid for floats, NaN, negatives, zero (unless allowed) and more than six places.
    """
    if not isinstance(amount, Decimal) or not amount.is_finite():
        raise AmountInvalid(amount)
    if amount < 0 or (amount == 0 and not zero) or amount > amounts.LARGEST:
        raise AmountInvalid(amount)
    if amount != amounts.rounded(amount):
        raise AmountInvalid(amount)
    return amount


@dataclass(frozen=True, kw_only=True, slots=True)
class ChargeRequest:
    """One use to charge: `credits` is its cost, `covers` the names by which grants may pay for it."""

    account_id: uuid.UUID
    credits: Decimal
    key: str
    service: str
    covers: tuple[str, ...] = ()
    fingerprint: bytes = NO_FINGERPRINT
    action: str = ""
    project_id: uuid.UUID | None = None
    member_id: uuid.UUID | None = None
    api_key_id: uuid.UUID | None = None
    conversation: str = ""
    covered_by: str | None = None
    quota: tuple[str, int] | None = None
    detail: dict[str, Any] = field(default_factory=dict)
    id: uuid.UUID = field(default_factory=new_id)

    def __post_init__(self) -> None:
        checked(self.credits, zero=True)


@dataclass(frozen=True, kw_only=True, slots=True)
class Drawn:
    """So many credits out of one grant."""

    grant: uuid.UUID
    kind: str
    credits: Decimal


@dataclass(frozen=True, kw_only=True, slots=True)
class Charged:
    """A charge as it was made; `replayed` when the key had been used before for the same body."""

    charge_id: uuid.UUID
    credits: Decimal
    uncollected: Decimal
    balance_before: Decimal
    balance_after: Decimal
    drawn: tuple[Drawn, ...]
    detail: dict[str, Any]
    covered_by: str | None
    created_at: dt.datetime
    replayed: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class Held:
    """A hold as it stands after the move."""

    hold_id: uuid.UUID
    status: str
    credits: Decimal
    drawn: tuple[Drawn, ...]
    detail: dict[str, Any]
    expires_at: dt.datetime
    created_at: dt.datetime
    charge_id: uuid.UUID | None
    balance_after: Decimal
    replayed: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class Granted:
    """A grant as it was given; `repaid` is what of it went to the account's debt at once."""

    grant_id: uuid.UUID
    balance_after: Decimal
    repaid: Decimal
    replayed: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class Corrected:
    """A reversal, claw-back, restoration or adjustment: credits moved, debt booked (negative: lifted)."""

    correction_id: uuid.UUID
    credits: Decimal
    debt: Decimal
    balance_after: Decimal
    detail: list[dict[str, str]]
    created_at: dt.datetime
    replayed: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class AllowanceTerms:
    """What a plan gives, again and again or once.

    `lasts` is "period" (until the next one), "forever", or a PostgreSQL interval such as "1 month".
    Months are counted from `anchor_at`; days begin at local midnight of the account.
    """

    key: str
    kind: str
    label: str
    credits: Decimal
    period: str
    anchor_at: dt.datetime
    lasts: str = "period"
    services: tuple[str, ...] | None = None
    priority: int | None = None
    ends_at: dt.datetime | None = None

    def __post_init__(self) -> None:
        checked(self.credits)
