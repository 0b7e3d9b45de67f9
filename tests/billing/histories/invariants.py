"""What holds after each step of a history, and what both sides agree on at its end."""

from datetime import datetime
from decimal import Decimal
from typing import Any

from django.db import connection

from accounts.models import Account
from billing import ledger
from billing.models import Purchase, StripeEvent, Subscription
from billing.webhooks import reconciliation
from sandbox import store

# Credits for each minor unit of the best price of the default catalogue: Studio, paid yearly.
MOST_PLAN_CREDITS = Decimal(12 * 10_000) / 49_900
RUNNING = ("active", "past_due", "trialing", "unpaid")


SUMS = """
    select (select coalesce(sum(credits), 0) from billing_entry where account_id = %(account)s),
           (select coalesce(sum(remaining), 0) from billing_grant where account_id = %(account)s),
           (select balance from billing_wallet where account_id = %(account)s),
           (select coalesce(sum(credits), 0) from billing_grant
             where account_id = %(account)s and kind = 'top_up'),
           (select coalesce(sum(credits), 0) from billing_grant
             where account_id = %(account)s and allowance like '%%:bonus')
"""


def after_each_step(account: Account) -> None:
    """The statement adds up, and credits are at most what was paid for."""
    with connection.cursor() as cursor:
        cursor.execute(SUMS, {"account": account.pk})
        entries, grants, balance, bought, of_plans = cursor.fetchone()
    assert entries == grants, f"the statement says {entries}, the grants {grants}"
    assert balance <= grants
    _packs_are_paid_for(account, bought)
    _plan_credits_are_paid_for(of_plans)


def _packs_are_paid_for(account: Account, bought: Decimal) -> None:
    """Credits of a purchase are granted once, and only after its payment succeeded at Stripe."""
    credited = list(Purchase.objects.filter(account=account, kind="pack", status="paid"))
    assert bought == sum(purchase.credits for purchase in credited)
    charged = {purchase.public_id for purchase in credited if purchase.amount}
    if charged:
        intents = store.where("payment_intent", status="succeeded")
        assert charged <= {intent["metadata"].get("purchase") for intent in intents}


def _plan_credits_are_paid_for(credits: Decimal) -> None:
    """Monthly credits of plans are at most what their invoices are worth at the best price.

    An invoice of a renewal counts from its draft on: credits go on while its payment is awaited.
    """
    if not credits:
        return
    worth = 0
    for invoice in store.where("invoice"):
        if invoice["status"] == "paid" or invoice["billing_reason"] == "subscription_cycle":
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
    """One that is active, and it is ours; others that Stripe still tries to collect were never paid."""
    running = {body["id"]: body for body in store.where("subscription") if body["status"] in RUNNING}
    ours = Subscription.objects.get(account=account).stripe_subscription_id
    assert not ours or ours in running
    others = {stripe_id: body for stripe_id, body in running.items() if stripe_id != ours}
    assert {body["status"] for body in others.values()} <= {"past_due"}
    for invoice in store.where("invoice", status="paid"):
        subscription = invoice["parent"]["subscription_details"]["subscription"]
        assert subscription not in others or not invoice["amount_paid"]


def _no_refund_twice() -> None:
    named = [body["metadata"]["refund"] for body in store.where("refund") if "refund" in body["metadata"]]
    assert len(named) == len(set(named))
    customers = [body["metadata"].get("account") for body in store.where("customer")]
    assert len(customers) == len(set(customers))
