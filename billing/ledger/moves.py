"""Requests and results of the ledger's moves: frozen records without behaviour.

Invariant: an amount that reaches the SQL has passed `checked`.
"""

import datetime as dt
import uuid
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from billing.ledger.errors import AmountInvalid
from core import amounts
from core.ids import new_id

NO_FINGERPRINT = b""
STORABLE = Decimal("99999999999999.999999")  # numeric(20,6)


def checked(amount: object, *, zero: bool = False, most: Decimal = amounts.LARGEST) -> Decimal:
    """Return the amount if the ledger can store it exactly.

    Raises AmountInvalid for floats, NaN, negatives, zero (unless allowed), more than six places and more than
    `most`.
    """
    if not isinstance(amount, Decimal) or not amount.is_finite():
        raise AmountInvalid(amount)
    if amount < 0 or (amount == 0 and not zero) or amount > most:
        raise AmountInvalid(amount)
    if amount != amounts.rounded(amount):
        raise AmountInvalid(amount)
    return amount


@dataclass(frozen=True, kw_only=True, slots=True)
class ChargeRequest:
    """A use to charge or hold: `credits` is its cost, `covers` the names that let a grant pay for it."""

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
    """Credits drawn from one grant."""

    grant: uuid.UUID
    kind: str
    credits: Decimal


@dataclass(frozen=True, kw_only=True, slots=True)
class Charged:
    """A charge; `replayed` when its key had charged the same body before."""

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
    """A hold after the move."""

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
    """A grant; `repaid` is the part that repaid the account's debt."""

    grant_id: uuid.UUID
    balance_after: Decimal
    repaid: Decimal
    replayed: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class Corrected:
    """A reversal, claw-back, restoration or adjustment: credits moved, debt added (negative: cancelled)."""

    correction_id: uuid.UUID
    credits: Decimal
    debt: Decimal
    balance_after: Decimal
    detail: list[dict[str, str]]
    created_at: dt.datetime
    replayed: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class AllowanceTerms:
    """What a plan grants per day, per month or once.

    `lasts` is "period" (until the next one), "forever", or a PostgreSQL interval such as "1 month".
    Months are counted from `anchor_at`; days begin at local midnight of the account. With 0 credits the
    running period counts as granted and gives nothing.
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
        checked(self.credits, zero=True)
