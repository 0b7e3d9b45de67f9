"""Events of billing for outgoing webhooks. Grants, notices and limits write theirs in SQL (97_events.sql).

Invariant: each function is called in the transaction of the fact, under the lock that decides it.
"""

from datetime import datetime
from typing import Annotated, Literal, TypedDict

from accounts.models import ApiKey, Project, User
from accounts.webhook_endpoints import events
from accounts.webhook_endpoints.events import AccountOfEvent
from billing.models import AutoTopUp, Grant, Purchase, Refund, Subscription
from core.amounts import plain
from core.fields import instant, instant_or_none
from core.json_types import CreditsText, CurrencyText, TimeText, id_of

Type = events.Type
MinorUnits = Annotated[int, "Minor units of the currency."]


class BalanceEvent(TypedDict):
    account: AccountOfEvent
    balance: CreditsText
    threshold: Annotated[CreditsText | None, "Null: no alert is set."]


class GrantOfEvent(TypedDict):
    id: Annotated[str, id_of(Grant)]
    kind: Annotated[str, Grant.Kind]
    label: str
    granted: CreditsText
    expires_at: TimeText | None
    services: list[str] | None
    purchase: Annotated[str, id_of(Purchase)] | None


class GrantEvent(TypedDict):
    account: AccountOfEvent
    grant: GrantOfEvent


class ExpiringGrant(GrantOfEvent):
    remaining: CreditsText


class ExpiryEvent(TypedDict):
    account: AccountOfEvent
    grant: ExpiringGrant


class LimitEvent(TypedDict, total=False):
    """The limit of a project, a member or a key, whose id is the field of that name; or of the account."""

    account: AccountOfEvent
    limit: Annotated[str, Literal["account", "project", "member", "key"]]
    project: Annotated[str, id_of(Project)]
    member: Annotated[str, id_of(User)]
    key: Annotated[str, id_of(ApiKey)]
    period: Annotated[str, Literal["day", "month"]]
    maximum: CreditsText
    resets_at: TimeText


class PurchaseOfEvent(TypedDict):
    id: Annotated[str, id_of(Purchase)]
    status: Annotated[str, Purchase.Status]
    kind: Annotated[str, Purchase.Kind]
    origin: Annotated[str, Purchase.Origin]
    pack: str | None
    plan: str | None
    label: str
    quantity: int
    credits: CreditsText
    amount: Annotated[MinorUnits, "Minor units: the price; once paid, the money received, tax included."]
    refunded: MinorUnits
    currency: CurrencyText
    invoice_number: str | None
    failure: str | None
    created_at: TimeText
    paid_at: TimeText | None


class PurchaseEvent(TypedDict):
    account: AccountOfEvent
    purchase: PurchaseOfEvent


class RefundOfEvent(TypedDict):
    id: Annotated[str, id_of(Refund)]
    amount: MinorUnits
    currency: CurrencyText
    credits: CreditsText


class RefundEvent(TypedDict):
    account: AccountOfEvent
    purchase: PurchaseOfEvent
    refund: RefundOfEvent


class SubscriptionOfEvent(TypedDict):
    plan: str
    state: Annotated[str, Subscription.State]
    interval: str | None
    amount: MinorUnits
    currency: CurrencyText | None
    period_start: TimeText
    period_end: TimeText | None
    cancel_at_period_end: bool
    next_plan: str | None


class SubscriptionEvent(TypedDict):
    account: AccountOfEvent
    subscription: SubscriptionOfEvent


class TopUpFailure(TypedDict):
    outcome: Annotated[str, AutoTopUp.Outcome]
    failures: Annotated[int, "Failures in a row."]
    suspended: Annotated[bool, "Whether automatic top-up waits for another card."]


class TopUpEvent(TypedDict):
    account: AccountOfEvent
    purchase: PurchaseOfEvent
    auto_top_up: TopUpFailure


def purchase_paid(purchase: Purchase, now: datetime) -> None:
    _record_purchase(purchase, Type.PURCHASE_PAID, now)


def purchase_failed(purchase: Purchase, now: datetime) -> None:
    _record_purchase(purchase, Type.PURCHASE_FAILED, now)


def purchase_refunded(purchase: Purchase, refund: Refund, now: datetime) -> None:
    """The money of a refund has left. `purchase.refunded` contains it."""
    described: RefundOfEvent = {
        "id": refund.public_id,
        "amount": refund.amount,
        "currency": refund.currency,
        "credits": plain(refund.credits),
    }
    events.record(
        account_id=purchase.account_id,
        type=Type.PURCHASE_REFUNDED,
        fact=f"refund:{refund.pk.hex}",
        data={"purchase": _purchase(purchase), "refund": described},
        now=now,
    )


def subscription_changed(subscription: Subscription, now: datetime) -> None:
    """Call it before a new version of a locked subscription is saved. Some change nothing visible."""
    described = _subscription(subscription)
    if described == _subscription(Subscription.objects.get(pk=subscription.pk)):
        return
    events.record(
        account_id=subscription.account_id,
        type=Type.SUBSCRIPTION_CHANGED,
        fact=f"subscription:{subscription.version}",
        data={"subscription": described},
        now=now,
    )


def _subscription(subscription: Subscription) -> SubscriptionOfEvent:
    return {
        "plan": subscription.plan,
        "state": subscription.state,
        "interval": subscription.interval or None,
        "amount": subscription.amount,
        "currency": subscription.currency or None,
        "period_start": instant(subscription.period_start),
        "period_end": instant_or_none(subscription.period_end),
        "cancel_at_period_end": subscription.cancel_at_period_end,
        "next_plan": subscription.following_plan,
    }


def auto_top_up_failed(purchase: Purchase, settings: AutoTopUp, now: datetime) -> None:
    failure: TopUpFailure = {
        "outcome": settings.last_outcome,
        "failures": settings.failures,
        "suspended": bool(settings.suspended_card),
    }
    events.record(
        account_id=purchase.account_id,
        type=Type.AUTO_TOP_UP_FAILED,
        fact=f"top_up:{purchase.pk.hex}",
        data={"purchase": _purchase(purchase), "auto_top_up": failure},
        now=now,
    )


def credits_expiring(grant: Grant, now: datetime) -> None:
    described: ExpiringGrant = {
        "id": grant.public_id,
        "kind": grant.kind,
        "label": grant.label,
        "granted": plain(grant.credits),
        "expires_at": instant_or_none(grant.expires_at),
        "services": grant.services,
        "purchase": Purchase.public_id_of(grant.purchase_id),
        "remaining": plain(grant.remaining),
    }
    events.record(
        account_id=grant.account_id,
        type=Type.CREDITS_EXPIRING,
        fact=f"expiring:{grant.pk.hex}",
        data={"grant": described},
        now=now,
    )


def _record_purchase(purchase: Purchase, type: Type, now: datetime) -> None:
    events.record(
        account_id=purchase.account_id,
        type=type,
        fact=f"{type}:{purchase.pk.hex}",
        data={"purchase": _purchase(purchase)},
        now=now,
    )


def _purchase(purchase: Purchase) -> PurchaseOfEvent:
    is_pack = purchase.kind == Purchase.Kind.PACK
    return {
        "id": purchase.public_id,
        "status": purchase.status,
        "kind": purchase.kind,
        "origin": purchase.origin,
        "pack": purchase.offer if is_pack else None,
        "plan": None if is_pack else purchase.offer,
        "label": purchase.label,
        "quantity": purchase.quantity,
        "credits": plain(purchase.credits),
        "amount": purchase.amount,
        "refunded": purchase.refunded,
        "currency": purchase.currency,
        "invoice_number": purchase.invoice_number,
        "failure": purchase.error if purchase.status == Purchase.Status.FAILED else None,
        "created_at": instant(purchase.created_at),
        "paid_at": instant_or_none(purchase.paid_at),
    }
