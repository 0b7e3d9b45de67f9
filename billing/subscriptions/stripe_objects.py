"""Read the fields that we use of Stripe's subscriptions and invoices.

Invariant: an object is read as the pinned API version has it, or as an older one had it.
"""

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from django.utils.translation import gettext as _

from accounts.models import Account
from billing import stripe_gateway
from billing.models import BillingProfile, StripePrice, Subscription
from billing.stripe_gateway import StripeObject
from billing.subscriptions import prices
from core.errors import DomainError
from pricing.models import Plan


class UnmatchedObject(DomainError):
    """A Stripe object that matches none of our records; staff must resolve it."""

    code, status = "payment_provider_refused", 502

    def detail(self) -> str:
        return stripe_gateway.StripeError().detail()


class UnknownPrice(UnmatchedObject):
    """One of our subscriptions has a price that belongs to no plan; staff choose its plan in the admin."""

    def __init__(self, price: StripeObject) -> None:
        super().__init__(
            _("The subscription's price belongs to no plan: %(price)s") % {"price": price.get("id")}
        )
        self.price = price


class ForeignObject(Exception):
    """A subscription or invoice of other software that uses the same Stripe account."""


@dataclass(frozen=True, kw_only=True)
class PlanInForce:
    """The plan that an account keeps until its paid period ends, after a downgrade changed the price."""

    plan_key: str
    amount: int  # minor units per interval
    until: datetime


# Not an empty value, which would remove the key, because a pending update merges its metadata later.
NO_PLAN_IN_FORCE = {"plan_in_force": "none"}


@dataclass(frozen=True, kw_only=True)
class PendingChange:
    """A change that applies when its invoice is paid.

    https://docs.stripe.com/billing/subscriptions/pending-updates
    """

    plan_key: str
    invoice_id: str
    url: str
    until: datetime


@dataclass(frozen=True, kw_only=True)
class Proration:
    """Since when the price of the period that began at `period_start` is credited."""

    at: datetime
    period_start: datetime | None  # None in metadata written before it was stored


@dataclass(frozen=True, kw_only=True)
class StripeSubscription:
    """The fields of a Stripe subscription that we use, and what they refer to in our records."""

    id: str
    item_id: str
    account: Account
    price: StripePrice
    status: str
    cancels: bool
    period_start: datetime
    period_end: datetime
    proration: Proration | None
    in_force: PlanInForce | None
    pending: PendingChange | None
    pause_behavior: str
    paused_until: datetime | None
    feedback: str
    comment: str
    invoice: StripeObject


def plan_in_force_metadata(subscription: Subscription) -> dict[str, str]:
    """The metadata with which a downgrade keeps the current plan until the paid period ends."""
    assert subscription.period_end is not None
    until = int(subscription.period_end.timestamp())
    return {"plan_in_force": f"{subscription.amount}:{until}:{subscription.plan}"}


def proration_metadata(subscription: Subscription, at: int) -> dict[str, str]:
    """The metadata that say from which Unix second the current period's price is credited."""
    return {"prorated_at": f"{at}:{int(subscription.period_start.timestamp())}"}


def parse_subscription(payload: StripeObject) -> StripeSubscription:
    """Read a subscription of the pinned API version or of an older one.

    Raises ForeignObject, UnmatchedObject.

    Before 2025-03-31 the subscription had the period that its items have now:
    https://docs.stripe.com/changelog/basil/2025-03-31/deprecate-subscription-current-period-start-and-end
    """
    items: list[StripeObject] = (payload.get("items") or {}).get("data") or []
    if not items:
        raise UnmatchedObject(_("The subscription has no items"))
    account = account_of(payload)
    item, price = _item_of_plan(items)
    if price is None:
        raise UnknownPrice(item.get("price") or {})
    latest = payload.get("latest_invoice")
    invoice: StripeObject = latest if isinstance(latest, dict) else {}
    details = payload.get("cancellation_details") or {}
    pause = payload.get("pause_collection") or {}
    feedback = str(details.get("feedback") or "")
    return StripeSubscription(
        id=str(payload["id"]),
        item_id=str(item["id"]),
        account=account,
        price=price,
        status=str(payload["status"]),
        cancels=bool(payload.get("cancel_at_period_end") or payload.get("cancel_at")),
        period_start=period_start(payload),
        period_end=as_datetime(item.get("current_period_end") or payload.get("current_period_end")),
        proration=_proration(payload),
        in_force=_parse_plan_in_force(payload),
        pending=_pending_change(payload, invoice),
        pause_behavior=str(pause.get("behavior") or ""),
        paused_until=as_datetime(pause["resumes_at"]) if pause.get("resumes_at") else None,
        feedback=feedback if feedback in Subscription.Feedback else "",
        comment=str(details.get("comment") or "").replace("\0", ""),
        invoice=invoice,
    )


def _item_of_plan(items: list[StripeObject]) -> tuple[StripeObject, StripePrice | None]:
    """The item whose price belongs to a plan; staff may have added others at Stripe."""
    for item in items:
        price = prices.recognise(item.get("price") or {})
        if price is not None:
            return item, price
    return items[0], None


def account_of(payload: StripeObject) -> Account:
    """The account that the metadata name, or, of a subscription that staff made at Stripe, the customer's.

    Raises ForeignObject, UnmatchedObject.
    """
    items: list[StripeObject] = (payload.get("items") or {}).get("data") or []
    named = str((payload.get("metadata") or {}).get("account", ""))
    account = Account.with_public_id(named)
    if account is not None:
        return account
    recorded = Subscription.objects.filter(stripe_subscription_id=payload["id"]).first()
    if recorded is not None:
        return recorded.account
    customer = id_of(payload.get("customer") or "-")
    profile = BillingProfile.objects.filter(stripe_customer_id=customer).first()
    if profile is not None and items and _item_of_plan(items)[1] is not None:
        return profile.account
    ours = any(prices.find_price(id_of(item.get("price") or "-")) for item in items)
    if ours or Account.uuid_of(named) is not None:
        raise UnmatchedObject(_("The subscription's metadata name no account"))
    raise ForeignObject(_("The subscription belongs to other software"))


def _proration(payload: StripeObject) -> Proration | None:
    """What `proration_metadata` wrote; None where it is absent or was edited into something else."""
    text = str((payload.get("metadata") or {}).get("prorated_at", ""))
    match = re.fullmatch(r"(\d{1,11})(?::(\d{1,11}))?", text, re.ASCII)
    if match is None:
        return None
    return Proration(at=as_datetime(match[1]), period_start=as_datetime(match[2]) if match[2] else None)


def _pending_change(payload: StripeObject, invoice: StripeObject) -> PendingChange | None:
    pending = payload.get("pending_update") or {}
    items: list[StripeObject] = pending.get("subscription_items") or []
    price = prices.find_price(str((items[0].get("price") or {}).get("id", ""))) if items else None
    if price is None or invoice.get("status") != "open":
        return None
    return PendingChange(
        plan_key=price.plan_key,
        invoice_id=str(invoice["id"]),
        url=str(invoice.get("hosted_invoice_url") or ""),
        until=as_datetime(pending["expires_at"]),
    )


def _parse_plan_in_force(payload: StripeObject) -> PlanInForce | None:
    """What `plan_in_force_metadata` wrote; None where it is absent or was edited into something else."""
    text = str((payload.get("metadata") or {}).get("plan_in_force", ""))
    match = re.fullmatch(r"(\d{1,12}):(\d{1,11}):(.+)", text, re.ASCII)
    if match is None or not Plan.objects.filter(key=match[3]).exists():
        return None
    return PlanInForce(plan_key=match[3], amount=int(match[1]), until=as_datetime(match[2]))


def imported_at(payload: StripeObject) -> int:
    """The Unix second of a subscription's import, as `importing` wrote it; -1 when it was bought here."""
    text = str((payload.get("metadata") or {}).get("imported_at", ""))
    return int(text) if re.fullmatch(r"\d{1,11}", text, re.ASCII) else -1


def period_start(payload: StripeObject) -> datetime:
    """When a subscription's current period began."""
    items: list[StripeObject] = (payload.get("items") or {}).get("data") or [{}]
    return as_datetime(items[0].get("current_period_start") or payload.get("current_period_start"))


def last_period_end(invoice: StripeObject) -> datetime | None:
    """The latest end of a period that an invoice charges; None without such lines."""
    lines: list[StripeObject] = (invoice.get("lines") or {}).get("data") or []
    ends = [
        line["period"]["end"] for line in lines if line.get("period") and int(line.get("amount") or 0) >= 0
    ]
    return as_datetime(max(ends)) if ends else None


def as_datetime(seconds: Any) -> datetime:
    return datetime.fromtimestamp(int(seconds), tz=UTC)


def invoice_subscription_id(invoice: StripeObject) -> str | None:
    """The id of the subscription that an invoice is for, in the pinned API version or an older one."""
    parent = (invoice.get("parent") or {}).get("subscription_details") or {}
    subscription = parent.get("subscription") or invoice.get("subscription")
    return id_of(subscription) if subscription else None


def id_of(reference: Any) -> str:
    """The id of an object that may be expanded."""
    return str(reference["id"] if isinstance(reference, dict) else reference)
