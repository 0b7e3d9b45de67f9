"""What holds after each step of a history, and what both sides agree on at its end."""

from datetime import datetime
from decimal import Decimal
from typing import Any

from django.db.models import Sum

from accounts.models import Account
from billing import ledger
from billing.models import Entry, Grant, Purchase, StripeEvent, Subscription, Wallet
from billing.webhooks import reconciliation
from sandbox import store

# Credits for each minor unit of the best price of the default catalogue: Studio, paid yearly.
MOST_PLAN_CREDITS = Decimal(12 * 10_000) / 49_900
RUNNING = ("active", "past_due", "trialing", "unpaid")


def after_each_step(account: Account) -> None:
    _statement_adds_up(account)
    _packs_are_paid_for(account)
    _plan_credits_are_paid_for(account)


def _statement_adds_up(account: Account) -> None:
    entries = Entry.objects.filter(account_id=account.pk).aggregate(sum=Sum("credits"))["sum"] or 0
    wallet = Wallet.objects.get(pk=account.pk)
    grants = Grant.objects.filter(account_id=account.pk).aggregate(sum=Sum("remaining"))["sum"] or 0
    assert entries == grants, f"the statement says {entries}, the grants {grants}"
    assert wallet.balance <= grants


def _packs_are_paid_for(account: Account) -> None:
    """Credits of a purchase are granted once, and only after its payment succeeded at Stripe."""
    paid = {
        intent["metadata"].get("purchase")
        for intent in store.where("payment_intent", status="succeeded")
        if intent["metadata"].get("purchase")
    }
    bought = Purchase.objects.filter(account=account, kind="pack", status="paid")
    credited = {purchase.public_id: purchase for purchase in bought}
    free = {public_id for public_id, purchase in credited.items() if not purchase.amount}
    assert set(credited) - free <= paid
    grants = Grant.objects.filter(account_id=account.pk, kind="top_up").aggregate(sum=Sum("credits"))["sum"]
    assert (grants or 0) == sum(purchase.credits for purchase in credited.values())


def _plan_credits_are_paid_for(account: Account) -> None:
    """Monthly credits of plans are at most what their invoices are worth at the best price.

    An invoice of a renewal counts from its draft on: credits go on while its payment is awaited.
    """
    granted = Grant.objects.filter(account_id=account.pk, allowance__endswith=":bonus")
    credits = granted.aggregate(sum=Sum("credits"))["sum"] or Decimal(0)
    worth = 0
    for invoice in store.where("invoice"):
        renewal = invoice["billing_reason"] == "subscription_cycle"
        if invoice["status"] == "paid" or renewal:
            worth += max(0, invoice["total"])
    assert credits <= worth * MOST_PLAN_CREDITS + 1, f"{credits} credits granted, {worth} minor units paid"


def event_is_understood(event: StripeEvent) -> None:
    understood = {StripeEvent.State.DONE, StripeEvent.State.IGNORED}
    assert event.state in understood, f"{event.type} {event.state}: {event.error}"


def at_the_end(account: Account, report: Any, now: datetime) -> None:
    """All events have arrived or were fetched by reconciliation."""
    assert report.findings == []
    gaps = [row for row in reconciliation.differences(report) if row["paid_gap"] or row["refunded_gap"]]
    assert gaps == []
    _every_payment_is_recorded_once(account)
    _one_subscription(account)
    _no_refund_twice()
    assert ledger.audit.run(now=now).findings == []


def _every_payment_is_recorded_once(account: Account) -> None:
    at_stripe = sorted(
        (intent["id"], intent["amount_received"])
        for intent in store.where("payment_intent", status="succeeded")
    )
    recorded = Purchase.objects.filter(account=account, status="paid").exclude(stripe_payment_id=None)
    assert sorted(recorded.values_list("stripe_payment_id", "amount")) == at_stripe
    assert not Purchase.objects.filter(account=account, status="quarantined").exists()


def _one_subscription(account: Account) -> None:
    running = [body["id"] for body in store.where("subscription") if body["status"] in RUNNING]
    ours = Subscription.objects.get(account=account)
    assert running == ([ours.stripe_subscription_id] if ours.stripe_subscription_id else [])


def _no_refund_twice() -> None:
    named = [body["metadata"]["refund"] for body in store.where("refund") if "refund" in body["metadata"]]
    assert len(named) == len(set(named))
    customers = [body["metadata"].get("account") for body in store.where("customer")]
    assert len(customers) == len(set(customers))
