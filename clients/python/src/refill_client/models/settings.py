"""Settings of the account, its saved card and its invitation link."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountSettings:
    account: str
    name: str
    zone: str
    """IANA time zone in which days and months begin."""
    invoice_name: str
    invoice_address: str
    tax_id: str
    on_memorial_wall: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class PaymentMethod:
    card: Card | None
    """The saved card, which pays automatic top-ups."""
    plan: Card | None
    """What the plan is charged to. `brand` is the type of a method that is not a card."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CardPage:
    url: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CustomerPortal:
    """Stripe's page of the card, the address and the invoices."""

    url: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ReferralLink:
    """The invitation link, and what it gives to both sides."""

    code: str
    url: str
    inviter_credits: Decimal
    invited_credits: Decimal
    qualifies: str
    """`sign_up`, `first_charge` or `first_purchase` of the invited account."""
    services: list[str] | None
    most_invitations: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Referral:
    """An account that signed up through the invitation link."""

    id: str
    state: str
    reason: str | None
    created_at: datetime
    rewarded_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Alerts:
    enabled: bool
    below: Decimal
    also_below: list[Decimal]
    """Further thresholds, the highest first."""
    by_email: bool
    extra_addresses: list[str]
    unconfirmed_addresses: list[str]
    """Additional addresses whose readers have not agreed to get alerts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MonthlyBudget:
    credits: Decimal | None
    """None: no budget."""
    pauses: bool
    """Whether calls beyond the budget are refused."""
    used: Decimal | None
    resets_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Card:
    brand: str
    last4: str
    expires: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AutoTopUp:
    enabled: bool
    below: Decimal
    pack: str | None
    currency: str | None
    monthly_amount: int
    """Minor units of the currency."""
    monthly_count: int
    spent_this_month: int
    """Minor units of the currency."""
    bought_this_month: int
    last_outcome: str | None
    last_tried_at: datetime | None
    card: Card | None
    confirmation_needed: bool
    """Whether the bank wants the last payment confirmed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfirmedTopUp:
    """With `paid` false and no `url` there was no payment to confirm."""

    paid: bool
    url: str | None
    auto_top_up: AutoTopUp
