"""Purchases, the subscription, and settings of alerts and automatic top-ups."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from refill_client.models.offers import Quota


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkout:
    """A purchase and its payment page."""

    id: str
    """Id of the purchase."""
    purchase: str
    url: str
    status: str
    amount: int
    """Minor units of the currency."""
    currency: str
    credits: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class Refund:
    id: str
    purchase: str
    status: str
    amount: int
    """Minor units of the currency."""
    currency: str
    credits: Decimal
    reason: str
    decision: str
    created_at: datetime
    decided_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Refundable:
    """What a refund request would return now."""

    amount: int
    """Minor units of the currency."""
    code: str | None = None
    """Why nothing can be refunded."""
    credits: Decimal | None = None
    until: datetime | None = None
    """End of the refund period."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Purchase:
    id: str
    account: str
    status: str
    kind: str
    origin: str
    pack: str | None
    plan: str | None
    label: str
    quantity: int
    credits: Decimal
    credits_left: Decimal
    amount: int
    """Minor units: the price; once paid, the money received, tax included."""
    list_amount: int
    """Minor units of the currency."""
    tax: int
    """Minor units of tax in the whole purchase."""
    balance_used: int
    """Minor units paid from the credit balance at Stripe."""
    refunded: int
    """Minor units of the currency."""
    dispute: str | None
    """Status of the dispute that withdrew the money or is not decided; null when there is none."""
    currency: str
    payment_method: str | None
    invoice_number: str | None
    receipt_url: str | None
    checkout_url: str | None
    failure: str | None
    created_at: datetime
    paid_at: datetime | None
    refunds: list[Refund] | None = None
    refundable: Refundable | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Cancellation:
    feedback: str | None
    comment: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class PendingChange:
    """A change of plan whose payment the cardholder has to confirm with the bank."""

    plan: str
    url: str
    """Stripe's page, where the cardholder confirms the payment."""
    expires_at: datetime
    """Until then; afterwards nothing changes and nothing is charged."""
    message: str
    """A sentence for the cardholder."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PendingPlan:
    """The purchase of a plan whose payment takes days. `usual_days`: business days, None when unknown."""

    id: str
    plan: str
    interval: str
    payment_method: str | None
    usual_days: int | None
    created_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckoutPreview:
    """What packs would cost. Amounts are minor units of the currency."""

    pack: str
    quantity: int
    credits: Decimal
    list_amount: int
    discount: int
    amount: int
    currency: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Subscription:
    account: str
    plan: str
    name: str
    state: str
    legacy: bool
    interval: str | None
    amount: int
    """Minor units of the currency."""
    currency: str | None
    period_start: datetime
    period_end: datetime | None
    cancel_at_period_end: bool
    next_plan: str | None
    paused_until: datetime | None
    """End of a pause, during which the plan is not paid."""
    cancellation: Cancellation | None
    """The reason given for a cancellation that is scheduled."""
    pending_change: PendingChange | None
    """A change of plan that takes effect when its payment is confirmed."""
    pending_purchase: PendingPlan | None
    """A plan whose payment is being processed; it cannot be bought again meanwhile."""
    recovery_url: str | None
    unlimited_services: list[str]
    quotas: list[Quota]
    checkout: Checkout | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangeCharge:
    """Minor units. The account's credit at Stripe pays its next invoices."""

    price: int
    """Price of the new period."""
    unused: int
    """Credited for the unused part of the current period."""
    credit_used: int
    """Paid from the account's credit at Stripe."""
    credit_added: int
    """Added to the account's credit, because it exceeds the price."""
    added_to_next_invoice: int
    """Not charged now, because it is less than the smallest amount that can be charged."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GrantOutcome:
    """What a change of plan does to a grant."""

    label: str
    remaining: Decimal
    fate: str
    """`stays`, `carried` to the new plan, `lost` now, or expires when the change takes effect (`until`)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NewGrant:
    """Credits that a change of plan grants at once."""

    label: str
    credits: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangePreview:
    """What a change of plan would cost and do."""

    kind: str
    plan: str
    interval: str | None
    currency: str
    amount: int
    """Price of the new plan each interval, in minor units."""
    due_now: int
    """Amount charged at once, in minor units."""
    charge: ChangeCharge | None
    """How the amount of a change that takes effect at once comes about."""
    takes_effect: datetime
    leaves_legacy: bool
    """Whether the change leaves a legacy plan, which cannot be undone."""
    grants: list[GrantOutcome]
    arrivals: list[NewGrant]


@dataclass(frozen=True, slots=True, kw_only=True)
class Redemption:
    code: str
    kind: str
    credits: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class OverduePayment:
    """With `paid` false and no `url` nothing was due."""

    paid: bool
    url: str | None
    """The page on which the buyer pays: the bank wants the payment confirmed."""
    subscription: Subscription
