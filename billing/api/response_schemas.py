"""Response bodies of billing's endpoints.

Each object is declared once: the endpoint modules build it, mypy checks what they build against the
declaration, and config.openapi derives the OpenAPI document from it.
"""

from typing import Annotated, Literal, NotRequired, TypedDict

from accounts.models import Account
from billing import models
from billing.models import AutoTopUp, Dispute, Grant, Purchase, Refund, Subscription
from core.json_types import CreditsText, CurrencyText, EmailText, TimeText, UrlText, id_of

AccountId = Annotated[str, id_of(Account)]
PurchaseId = Annotated[str, id_of(Purchase)]
RefundId = Annotated[str, id_of(Refund)]
Interval = Annotated[str, Literal["month", "year"]]

MinorUnits = Annotated[int, "Minor units of the currency."]


class PlanPrice(TypedDict):
    interval: Interval
    currency: CurrencyText
    amount: MinorUnits


class Allowance(TypedDict):
    """Credits that a plan grants each period."""

    label: str
    kind: Annotated[str, Grant.Kind]
    credits: CreditsText
    period: Annotated[str, Literal["day", "month", "once"]]
    services: list[str] | None


class Quota(TypedDict):
    key: str
    label: str
    maximum: int
    period: Annotated[str, Literal["day", "month", "ever"]]
    used: NotRequired[int]


class Plan(TypedDict):
    key: str
    name: str
    summary: str
    features: list[str]
    rank: int
    free: bool
    legacy: bool
    carry_over: bool
    current: bool
    eligible: Annotated[bool, "Whether this account can subscribe to the plan."]
    prices: list[PlanPrice]
    allowances: list[Allowance]
    quotas: list[Quota]
    unlimited_services: list[str]


class Sale(TypedDict):
    label: str
    ends_at: TimeText


class PackPrice(TypedDict):
    currency: CurrencyText
    amount: Annotated[MinorUnits, "Minor units, with the sale."]
    list_amount: Annotated[MinorUnits, "Minor units, without the sale."]
    each: Annotated[str, "Price of one credit in major units."]
    saving_percent: Annotated[int, "Saving per credit compared with the smallest pack."]
    sale: Sale | None


class Pack(TypedDict):
    key: str
    name: str
    summary: str
    credits: CreditsText
    lasts: str
    popular: bool
    paid_plans_only: bool
    eligible: Annotated[bool, "Whether this account can buy the pack."]
    prices: list[PackPrice]


class Checkout(TypedDict):
    """A purchase and its payment page."""

    id: Annotated[PurchaseId, "Id of the purchase."]
    purchase: PurchaseId
    url: UrlText
    status: Annotated[str, Purchase.Status]
    amount: MinorUnits
    currency: CurrencyText
    credits: CreditsText


class CheckoutPreview(TypedDict):
    """What packs would cost: `amount` is `list_amount` less a sale and the `discount` of a code."""

    pack: str
    quantity: int
    credits: CreditsText
    list_amount: MinorUnits
    discount: MinorUnits
    amount: MinorUnits
    currency: CurrencyText


class RefundAnswer(TypedDict):
    id: RefundId
    purchase: PurchaseId
    status: Annotated[str, Refund.Status]
    amount: MinorUnits
    currency: CurrencyText
    credits: CreditsText
    reason: str
    decision: str
    created_at: TimeText
    decided_at: TimeText | None


class Refundable(TypedDict):
    """What a refund request would return now."""

    amount: MinorUnits
    code: NotRequired[Annotated[str, "Why nothing can be refunded."]]
    credits: NotRequired[CreditsText]
    until: NotRequired[Annotated[TimeText, "End of the refund period."]]


class PurchaseAnswer(TypedDict):
    id: PurchaseId
    account: AccountId
    status: Annotated[str, Purchase.Status]
    kind: Annotated[str, Purchase.Kind]
    origin: Annotated[str, Purchase.Origin]
    pack: str | None
    plan: str | None
    label: str
    quantity: int
    credits: CreditsText
    credits_left: CreditsText
    amount: Annotated[MinorUnits, "Minor units: the price; once paid, the money received, tax included."]
    list_amount: MinorUnits
    tax: Annotated[MinorUnits, "Minor units of tax in the whole purchase."]
    balance_used: Annotated[int, "Minor units paid from the credit balance at Stripe."]
    refunded: MinorUnits
    dispute: Annotated[
        Annotated[str, Dispute.Status] | None,
        "Status of the dispute that withdrew the money or is not decided; null when there is none.",
    ]
    currency: CurrencyText
    payment_method: str | None
    invoice_number: str | None
    receipt_url: UrlText | None
    checkout_url: UrlText | None
    failure: str | None
    created_at: TimeText
    paid_at: TimeText | None
    refunds: NotRequired[list[RefundAnswer]]
    refundable: NotRequired[Refundable]


class Cancellation(TypedDict):
    feedback: str | None
    comment: str | None


class PendingChange(TypedDict):
    """A change of plan whose payment the cardholder has to confirm with the bank."""

    plan: str
    url: Annotated[UrlText, "Stripe's page, where the cardholder confirms the payment."]
    expires_at: Annotated[TimeText, "Until then; afterwards nothing changes and nothing is charged."]
    message: Annotated[str, "A sentence for the cardholder."]


class PendingPlan(TypedDict):
    """The purchase of a plan whose payment takes days. `usual_days`: business days, null when unknown."""

    id: PurchaseId
    plan: str
    interval: Interval
    payment_method: str | None
    usual_days: int | None
    created_at: TimeText


class SubscriptionAnswer(TypedDict):
    account: AccountId
    plan: str
    name: str
    state: Annotated[str, Subscription.State]
    legacy: bool
    interval: Interval | None
    amount: MinorUnits
    currency: CurrencyText | None
    period_start: TimeText
    period_end: TimeText | None
    cancel_at_period_end: bool
    next_plan: str | None
    paused_until: Annotated[TimeText | None, "End of a pause, during which the plan is not paid."]
    cancellation: Annotated[Cancellation | None, "The reason given for a cancellation that is scheduled."]
    pending_change: Annotated[
        PendingChange | None, "A change of plan that takes effect when its payment is confirmed."
    ]
    pending_purchase: Annotated[
        PendingPlan | None, "A plan whose payment is being processed; it cannot be bought again meanwhile."
    ]
    recovery_url: UrlText | None
    unlimited_services: list[str]
    quotas: list[Quota]
    checkout: NotRequired[Checkout]


class OverduePayment(TypedDict):
    """What became of the payment. With `paid` false and no `url` nothing was due."""

    paid: bool
    url: Annotated[UrlText | None, "The page on which the buyer pays: the bank wants the payment confirmed."]
    subscription: SubscriptionAnswer


class GrantOutcome(TypedDict):
    """What a change of plan does to a grant."""

    label: str
    remaining: CreditsText
    fate: Annotated[
        str,
        Literal["stays", "carried", "lost", "until"],
        "`stays`: unchanged. `carried`: moved to the new plan. `lost`: expires now. `until`: expires when the"
        " change takes effect.",
    ]


class NewGrant(TypedDict):
    """Credits that a change of plan grants at once."""

    label: str
    credits: CreditsText


class ChangeCharge(TypedDict):
    """Minor units. The account's credit at Stripe pays its next invoices."""

    price: Annotated[MinorUnits, "Price of the new period."]
    unused: Annotated[MinorUnits, "Credited for the unused part of the current period."]
    credit_used: Annotated[MinorUnits, "Paid from the account's credit at Stripe."]
    credit_added: Annotated[MinorUnits, "Added to the account's credit, because it exceeds the price."]
    added_to_next_invoice: Annotated[
        MinorUnits, "Not charged now, because it is less than the smallest amount that can be charged."
    ]


class ChangePreview(TypedDict):
    """What a change of plan would cost and do."""

    kind: Annotated[str, Literal["subscribe", "upgrade", "switch", "downgrade", "cancel", "leave", "keep"]]
    plan: str
    interval: Interval | None
    currency: CurrencyText
    amount: Annotated[MinorUnits, "Price of the new plan each interval, in minor units."]
    due_now: Annotated[MinorUnits, "Amount charged at once, in minor units."]
    charge: Annotated[
        ChangeCharge | None, "How the amount of a change that takes effect at once comes about."
    ]
    takes_effect: TimeText
    leaves_legacy: Annotated[bool, "Whether the change leaves a legacy plan, which cannot be undone."]
    grants: list[GrantOutcome]
    arrivals: list[NewGrant]


class Redemption(TypedDict):
    code: str
    kind: Annotated[str, Literal["promotion", "invitation"]]
    credits: CreditsText


class AlertsAnswer(TypedDict):
    enabled: bool
    below: CreditsText
    also_below: Annotated[list[CreditsText], "Further thresholds, the highest first."]
    by_email: bool
    extra_addresses: list[EmailText]
    unconfirmed_addresses: Annotated[
        list[str], "Additional addresses that get no alerts: their readers have not agreed to get any."
    ]


class MonthlyBudgetAnswer(TypedDict):
    credits: Annotated[CreditsText | None, "Null: no budget."]
    pauses: Annotated[bool, "Whether calls beyond the budget are refused."]
    used: Annotated[CreditsText | None, "Used of it this month, running holds included."]
    resets_at: Annotated[TimeText | None, "The end of the month in the account's time zone."]


class Card(TypedDict):
    brand: str
    last4: str
    expires: str


class PaymentMethodAnswer(TypedDict):
    card: Annotated[Card | None, "The saved card, which pays automatic top-ups."]
    plan: Annotated[
        Card | None,
        "What the plan is charged to. `brand` is the type of a method that is not a card.",
    ]


class CardPage(TypedDict):
    """A page on which the buyer saves a card."""

    url: UrlText


class CustomerPortal(TypedDict):
    """Stripe's page of the card, the address and the invoices. It is open for a few minutes."""

    url: UrlText


class ReferralLinkAnswer(TypedDict):
    code: str
    url: Annotated[UrlText, "The link to send to other people."]
    inviter_credits: CreditsText
    invited_credits: CreditsText
    qualifies: Annotated[
        str,
        Literal["sign_up", "first_charge", "first_purchase"],
        "What the invited account must have done before both sides get their credits.",
    ]
    services: Annotated[list[str] | None, "What the credits can be spent on; null: everything."]
    most_invitations: Annotated[int | None, "How many invitations are rewarded; null: all."]


class Referral(TypedDict):
    """An account that signed up through the invitation link."""

    id: Annotated[str, id_of(models.Referral)]
    state: Annotated[str, models.Referral.State]
    reason: Annotated[str | None, "Why there is no reward."]
    created_at: TimeText
    rewarded_at: TimeText | None


class AutoTopUpAnswer(TypedDict):
    enabled: bool
    below: CreditsText
    pack: str | None
    currency: CurrencyText | None
    monthly_amount: MinorUnits
    monthly_count: int
    spent_this_month: MinorUnits
    bought_this_month: int
    last_outcome: Annotated[str, AutoTopUp.Outcome] | None
    last_tried_at: TimeText | None
    card: Card | None
    confirmation_needed: Annotated[
        bool, "Whether the bank wants the last payment confirmed: `POST /auto-top-up/confirm`."
    ]


class ConfirmedTopUp(TypedDict):
    """What became of the payment. With `paid` false and no `url` there was none to confirm."""

    paid: bool
    url: Annotated[UrlText | None, "The bank's page on which the cardholder confirms the payment."]
    auto_top_up: AutoTopUpAnswer
