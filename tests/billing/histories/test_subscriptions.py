"""Random histories of a subscription: in any order of events the account ends on the plan paid at Stripe.

Subscriptions start, renew, become overdue, are paid late, change plan and are cancelled; events are late,
repeated, in another order, or lost and then reconciled. `make histories` runs thousands.
"""

import copy
import datetime as dt
import random
from collections import Counter
from typing import Any

import pytest
from django.db import transaction
from hypothesis import given
from hypothesis import strategies as st

from accounts.models import Account
from billing import ledger, stripe_gateway
from billing.models import Purchase, StripeEvent, StripePrice, Subscription
from billing.subscriptions import plan_terms
from billing.webhooks import events, reconciliation
from tests.billing.histories import visits
from tests.billing.histories.stripe_model import StripeModel
from tests.billing.ledger.examples import examples

pytestmark = pytest.mark.django_db
AMOUNTS = {"starter": 990, "creator": 1990, "studio": 4990}
MONTH = dt.timedelta(days=30)
GRACE = dt.timedelta(hours=96)
AT_STRIPE = "begin begin renew renew finalize finalize decline pay_late change_plan cancel toggle_end"
STEPS = f"{AT_STRIPE} deliver deliver deliver_late redeliver lose_event".split()
numbers = st.integers(0, 11)


class SubscriptionModel(StripeModel):
    """A model of Stripe Billing with one account's subscriptions and invoices."""

    def __init__(self, account: Account) -> None:
        super().__init__()
        self.account, self.subscriptions, self.invoices = account, {}, {}

    def install(self, monkeypatch):
        super().install(monkeypatch)
        monkeypatch.setattr(stripe_gateway, "retrieve_subscription", self._retrieve(self.subscriptions))
        monkeypatch.setattr(stripe_gateway, "retrieve_invoice", self._retrieve(self.invoices))
        monkeypatch.setattr(stripe_gateway, "list_subscription_invoices", self.list_invoices)

    def list_invoices(self, subscription_id):
        return copy.deepcopy(self.invoices_of(subscription_id)[::-1])

    def invoices_of(self, subscription_id):
        items = self.invoices.values()
        return [
            item
            for item in items
            if item["parent"]["subscription_details"]["subscription"] == subscription_id
        ]

    def owed(self, subscription):
        """The newest renewal's invoice, unless it is paid."""
        invoices = self.invoices_of(subscription["id"])
        renewals = [item for item in invoices if item["billing_reason"] == "subscription_cycle"]
        return renewals[-1] if renewals and renewals[-1]["status"] != "paid" else None

    @property
    def live(self):
        live = (item for item in self.subscriptions.values() if item["status"] != "canceled")
        return next(live, None)

    def begin(self, plan):
        subscription = {
            "id": f"sub_{len(self.subscriptions)}",
            "status": "active",
            "cancel_at_period_end": False,
            "metadata": {"account": self.account.public_id},
            "items": {"data": [{"id": "si_1"}]},
        }
        self.subscriptions[subscription["id"]] = subscription
        self.start_period(subscription, plan)
        self.pay(self.bill(subscription, "subscription_create"))
        self._emit(subscription, "customer.subscription.created")

    def start_period(self, subscription, plan):
        start = int(self.now.timestamp())
        end = int((self.now + MONTH).timestamp())
        item = subscription["items"]["data"][0]
        item |= {"price": {"id": f"price_{plan}"}, "current_period_start": start, "current_period_end": end}

    def bill(self, subscription, reason):
        """Create a draft, which is the latest invoice from then on."""
        item = subscription["items"]["data"][0]
        number = len(self.invoices)
        period = {"start": item["current_period_start"], "end": item["current_period_end"]}
        amount = AMOUNTS[item["price"]["id"].removeprefix("price_")]
        invoice = {
            "id": f"in_{number}",
            "status": "draft",
            "created": int(self.now.timestamp()),
            "amount_due": amount,
            "amount_paid": 0,
            "currency": "usd",
            "billing_reason": reason,
            "hosted_invoice_url": f"https://pay/{number}",
            "parent": {
                "subscription_details": {
                    "subscription": subscription["id"],
                    "metadata": subscription["metadata"],
                }
            },
            "lines": {"data": [{"amount": amount, "price": item["price"], "period": period}]},
            "payments": {
                "data": [
                    {"status": "canceled", "payment": {"payment_intent": f"pi_old_{number}"}},
                    {"status": "open", "payment": {"payment_intent": f"pi_{number}"}},
                ]
            },
        }
        self.invoices[invoice["id"]] = subscription["latest_invoice"] = invoice
        self._emit(invoice, "invoice.created")
        return invoice

    def decline(self, subscription, invoice):
        """The first attempt to charge a renewal fails."""
        invoice["status"], subscription["status"] = "open", "past_due"
        self._emit(invoice, "invoice.payment_failed")
        self._emit(subscription, "customer.subscription.updated")

    def pay(self, invoice):
        invoice |= {"status": "paid", "amount_paid": invoice["amount_due"]}
        invoice["payments"]["data"][-1]["status"] = "paid"
        payment = {"id": f"pi_{invoice['id'][3:]}", "status": "succeeded", "amount": invoice["amount_due"]}
        payment |= {"amount_received": invoice["amount_due"], "currency": "usd", "metadata": {}}
        self.payments[payment["id"]] = payment
        self._emit(payment, "payment_intent.succeeded")
        self._emit(invoice, "invoice.paid")


class History:
    """Steps of one account's subscription at Stripe, and the delivery of its events."""

    def __init__(self, stripe: SubscriptionModel) -> None:
        self.stripe, self.pending, self.delivered = stripe, [], []

    def step(self, step, which, how):
        self.stripe.now += dt.timedelta(hours=1)
        emitted = len(self.stripe.events)
        getattr(self, f"_{step}")(self.stripe.live, which, how)
        self.pending += self.stripe.events[emitted:]

    def _begin(self, live, which, how):
        subscription = Subscription.objects.get(account=self.stripe.account)
        if live is None and not subscription.paid:  # the portal sells no second plan
            self.stripe.begin(sorted(AMOUNTS)[how % 3])

    def _renew(self, live, which, how):
        if live and live["status"] == "active" and not self.stripe.owed(live):
            end = live["items"]["data"][0]["current_period_end"]
            self.stripe.now = max(self.stripe.now, dt.datetime.fromtimestamp(end, dt.UTC))
            if live["cancel_at_period_end"]:
                return self._cancel(live, which, how)
            self.stripe.start_period(live, live["items"]["data"][0]["price"]["id"].removeprefix("price_"))
            self.stripe.bill(live, "subscription_cycle")
            self.stripe._emit(live, "customer.subscription.updated")

    def _finalize(self, live, which, how):
        """The draft of a renewal is finalized and paid."""
        owed = live and self.stripe.owed(live)
        if owed and owed["status"] == "draft":
            self.stripe.pay(owed)

    def _decline(self, live, which, how):
        owed = live and self.stripe.owed(live)
        if owed and owed["status"] == "draft":
            self.stripe.decline(live, owed)

    def _pay_late(self, live, which, how):
        if live and live["status"] == "past_due":
            live["status"] = "active"
            self.stripe.pay(self.stripe.owed(live))
            self.stripe._emit(live, "customer.subscription.updated")

    def _change_plan(self, live, which, how):
        if live and live["status"] == "active":
            live["items"]["data"][0]["price"] = {"id": f"price_{sorted(AMOUNTS)[how % 3]}"}
            self.stripe.pay(self.stripe.bill(live, "subscription_update"))
            self.stripe._emit(live, "customer.subscription.updated")

    def _toggle_end(self, live, which, how):
        if live:
            live["cancel_at_period_end"] = not live["cancel_at_period_end"]
            self.stripe._emit(live, "customer.subscription.updated")

    def _cancel(self, live, which, how):
        if live:
            live["status"] = "canceled"
            self.stripe._emit(live, "customer.subscription.deleted")

    def _deliver(self, live, which, how):
        if self.pending:
            self.process(self.pending.pop(0), 1 + how % 2)

    def _deliver_late(self, live, which, how):
        if self.pending:
            self.process(self.pending.pop(which % len(self.pending)), 1)

    def _redeliver(self, live, which, how):
        if self.delivered:
            self.process(self.delivered[which % len(self.delivered)], 1)

    def _lose_event(self, live, which, how):
        if self.pending:
            self.pending.pop(which % len(self.pending))

    def process(self, event, times):
        for _ in range(times):
            # Another id each time, so that not only the stored event prevents a second effect.
            self.delivered.append(event)
            if event in self.delivered[:-1]:
                stored = {**event, "id": f"{event['id']}_{len(self.delivered)}"}
            else:
                stored = event
            stored = events.store(stored, self.stripe.now, source="webhook")
            stored = events.process(stored.pk, self.stripe.now)
            assert stored.state in {StripeEvent.State.DONE, StripeEvent.State.IGNORED}, stored.error

    def end(self, generator):
        generator.shuffle(self.pending)
        for event in self.pending[generator.choice([0, 0, 1, 3, 99]) :]:
            self.process(event, 1)
        self.stripe.now += dt.timedelta(minutes=15)
        report = reconciliation.run(self.stripe.now)
        assert report.findings == []
        assert all(difference["paid_gap"] == 0 for difference in reconciliation.differences(report))

    def assert_on_paid_plan(self):
        subscription, live = Subscription.objects.get(account=self.stripe.account), self.stripe.live
        paid = [invoice for invoice in self.stripe.invoices.values() if invoice["status"] == "paid"]
        purchases = Purchase.objects.filter(account=self.stripe.account, status="paid")
        assert sorted(purchases.values_list("stripe_invoice_id", "amount")) == sorted(
            (invoice["id"], invoice["amount_paid"]) for invoice in paid
        )
        if live is None:
            assert (
                subscription.plan,
                subscription.stripe_subscription_id,
                subscription.paid_until,
            ) == ("free-trial", None, None)
        elif live["status"] == "past_due":
            # A subscription whose first payment was never processed is not recorded yet.
            past_due = subscription.state == Subscription.State.PAST_DUE
            assert past_due or subscription.stripe_subscription_id is None
        elif self.stripe.owed(live):
            # The plan that was paid last goes on for the grace period.
            start = dt.datetime.fromtimestamp(live["items"]["data"][0]["current_period_start"], dt.UTC)
            state = "active" if self.stripe.now < start + GRACE else "past_due"
            assert (subscription.paid_until, subscription.state) == (start, state)
        else:
            item = live["items"]["data"][0]
            until = dt.datetime.fromtimestamp(item["current_period_end"], dt.UTC)
            assert f"price_{subscription.plan}" == item["price"]["id"]
            assert (subscription.paid_until, subscription.state) == (until, "active")
            assert subscription.cancel_at_period_end == live["cancel_at_period_end"]


@pytest.mark.fault("P6", "P7", "P15")
def test_every_history_ends_on_the_plan_that_is_paid(
    account: Account, monkeypatch: pytest.MonkeyPatch, settings: Any
) -> None:
    settings.STRIPE_ACCOUNT = "acct_sandbox"  # the model does not answer for the account
    for plan, amount in AMOUNTS.items():
        fields = {"interval": "month", "currency": "usd", "stripe_price_id": f"price_{plan}"}
        StripePrice.objects.create(plan_key=plan, amount=amount, **fields)

    @examples(visits.number_of(__file__, in_suite=50))
    @given(
        steps=st.lists(st.tuples(st.sampled_from(STEPS), numbers, numbers), min_size=5, max_size=16),
        seed=st.integers(0, 2**32),
    )
    def run(steps, seed):
        with transaction.atomic():
            stripe = SubscriptionModel(account)
            stripe.install(monkeypatch)
            history = History(stripe)
            for step, which, how in [("begin", 0, seed), *steps]:
                history.step(step, which, how)
            history.end(random.Random(seed))
            history.assert_on_paid_plan()
            assert ledger.audit.run(now=stripe.now).findings == []
            transaction.set_rollback(True)
        plan_terms.forget(account.pk)
        counted = Counter(f"model: {step}" for step, _which, _how in steps)
        visits.save(counted + Counter(["histories of a subscription"]))

    run()
