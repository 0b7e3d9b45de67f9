"""Random histories of a subscription: however its news comes, the account ends on what Stripe says is paid.

Begun, renewed, not paid and paid late, moved to another plan, cancelled, begun again; events late, twice, in
another order or never, and then reconciled. `HISTORIES=10000` tells ten thousand of them.
"""

import datetime as dt
import random

import pytest
from django.db import transaction
from hypothesis import given
from hypothesis import strategies as st

from accounts.models import Account
from billing import ledger, stripe_gateway
from billing.models import Purchase, StripeEvent, StripePrice, Subscription
from billing.subscriptions import plan_terms
from billing.webhooks import events, reconciliation
from tests.billing.histories.bank import Bank
from tests.billing.histories.test_purchases import HISTORIES
from tests.billing.ledger.examples import examples

pytestmark = pytest.mark.django_db
FIGURES = {"starter": 990, "creator": 1990, "studio": 4990}
MONTH = dt.timedelta(days=30)
BANK = "begin begin renew renew miss pay_late switch cancel wish_end"
MOVES = f"{BANK} hear hear hear_late hear_again lose".split()
numbers = st.integers(0, 11)


class Subscriptions(Bank):
    """Stripe Billing as far as billing asks it."""

    def __init__(self, account: Account) -> None:
        super().__init__()
        self.account, self.subscriptions, self.invoices = account, {}, {}

    def install(self, monkeypatch):
        super().install(monkeypatch)
        monkeypatch.setattr(stripe_gateway, "retrieve_subscription", self._found(self.subscriptions))
        monkeypatch.setattr(stripe_gateway, "retrieve_invoice", self._found(self.invoices))

    @property
    def live(self):
        found = [one for one in self.subscriptions.values() if one["status"] != "canceled"]
        return found[0] if found else None

    def begin(self, plan):
        subscription = {
            "id": f"sub_{len(self.subscriptions)}",
            "status": "active",
            "cancel_at_period_end": False,
            "metadata": {"account": self.account.public_id},
            "items": {"data": [{"id": "si_1"}]},
        }
        self.subscriptions[subscription["id"]] = subscription
        self.run(subscription, plan)
        self.bill(subscription, "subscription_create", paid=True)
        self._tell(subscription, "customer.subscription.created")

    def run(self, subscription, plan):
        """A period begins now."""
        start = int(self.now.timestamp())
        end = int((self.now + MONTH).timestamp())
        item = subscription["items"]["data"][0]
        item |= {"price": {"id": f"price_{plan}"}, "current_period_start": start, "current_period_end": end}

    def bill(self, subscription, reason, *, paid):
        item = subscription["items"]["data"][0]
        number = len(self.invoices)
        amount = FIGURES[item["price"]["id"].removeprefix("price_")]
        invoice = {
            "id": f"in_{number}",
            "status": "open",
            "amount_due": amount,
            "amount_paid": 0,
            "currency": "usd",
            "billing_reason": reason,
            "hosted_invoice_url": f"https://pay/{number}",
            "parent": {"subscription_details": {"subscription": subscription["id"]}},
            "lines": {"data": []},
            "payments": {"data": [{"payment": {"payment_intent": f"pi_{number}"}}]},
        }
        self.invoices[invoice["id"]] = subscription["latest_invoice"] = invoice
        if paid:
            self.pay(invoice)
        else:
            subscription["status"] = "past_due"
            self._tell(invoice, "invoice.payment_failed")
            self._tell(subscription, "customer.subscription.updated")

    def pay(self, invoice):
        invoice |= {"status": "paid", "amount_paid": invoice["amount_due"]}
        payment = {"id": f"pi_{invoice['id'][3:]}", "status": "succeeded", "amount": invoice["amount_due"]}
        payment |= {"amount_received": invoice["amount_due"], "currency": "usd", "metadata": {}}
        self.payments[payment["id"]] = payment
        self._tell(payment, "payment_intent.succeeded")
        self._tell(invoice, "invoice.paid")


class History:
    def __init__(self, bank: Subscriptions) -> None:
        self.bank, self.unheard, self.heard = bank, [], []

    def step(self, move, which, how):
        self.bank.now += dt.timedelta(hours=1)
        known = len(self.bank.told)
        getattr(self, f"_{move}")(self.bank.live, which, how)
        self.unheard += self.bank.told[known:]

    def _begin(self, live, which, how):
        row = Subscription.objects.get(account=self.bank.account)
        if live is None and not row.paid:  # the portal sells no second plan
            self.bank.begin(sorted(FIGURES)[how % 3])

    def _renew(self, live, which, how, paid=True):
        if live and live["status"] == "active":
            end = live["items"]["data"][0]["current_period_end"]
            self.bank.now = max(self.bank.now, dt.datetime.fromtimestamp(end, dt.UTC))
            if live["cancel_at_period_end"]:
                return self._cancel(live, which, how)
            self.bank.run(live, live["items"]["data"][0]["price"]["id"].removeprefix("price_"))
            self.bank.bill(live, "subscription_cycle", paid=paid)
            self.bank._tell(live, "customer.subscription.updated")

    def _miss(self, live, which, how):
        self._renew(live, which, how, paid=False)

    def _pay_late(self, live, which, how):
        if live and live["status"] == "past_due":
            live["status"] = "active"
            self.bank.pay(live["latest_invoice"])
            self.bank._tell(live, "customer.subscription.updated")

    def _switch(self, live, which, how):
        if live and live["status"] == "active":
            live["items"]["data"][0]["price"] = {"id": f"price_{sorted(FIGURES)[how % 3]}"}
            self.bank.bill(live, "subscription_update", paid=True)
            self.bank._tell(live, "customer.subscription.updated")

    def _wish_end(self, live, which, how):
        if live:
            live["cancel_at_period_end"] = not live["cancel_at_period_end"]
            self.bank._tell(live, "customer.subscription.updated")

    def _cancel(self, live, which, how):
        if live:
            live["status"] = "canceled"
            self.bank._tell(live, "customer.subscription.deleted")

    def _hear(self, live, which, how):
        if self.unheard:
            self.tell(self.unheard.pop(0), 1 + how % 2)

    def _hear_late(self, live, which, how):
        if self.unheard:
            self.tell(self.unheard.pop(which % len(self.unheard)), 1)

    def _hear_again(self, live, which, how):
        if self.heard:
            self.tell(self.heard[which % len(self.heard)], 1)

    def _lose(self, live, which, how):
        if self.unheard:
            self.unheard.pop(which % len(self.unheard))

    def tell(self, event, times):
        for _ in range(times):
            # another id each time: the inbox alone must not be what keeps it from counting twice
            self.heard.append(event)
            again = {**event, "id": f"{event['id']}_{len(self.heard)}"} if event in self.heard[:-1] else event
            row = events.store(again, self.bank.now, source="webhook")
            row = events.process(row.pk, self.bank.now)
            assert row.state in {StripeEvent.State.DONE, StripeEvent.State.IGNORED}, row.trouble

    def end(self, disorder):
        disorder.shuffle(self.unheard)
        for event in self.unheard[disorder.choice([0, 0, 1, 3, 99]) :]:
            self.tell(event, 1)
        self.bank.now += dt.timedelta(minutes=15)
        report = reconciliation.run(self.bank.now)
        assert report.findings == []
        assert all(row["paid_gap"] == 0 for row in reconciliation.differences(report))

    def agrees(self):
        row, live = Subscription.objects.get(account=self.bank.account), self.bank.live
        paid = [one for one in self.bank.invoices.values() if one["status"] == "paid"]
        ours = Purchase.objects.filter(account=self.bank.account, status="paid")
        assert sorted(ours.values_list("stripe_invoice_id", "amount")) == sorted(
            (one["id"], one["amount_paid"]) for one in paid
        )
        if live is None:
            assert (row.plan, row.stripe_subscription_id, row.paid_until) == ("free-trial", None, None)
        elif (
            live["status"] == "past_due"
        ):  # no credits come; where it was never heard of paid, it is not ours yet
            assert row.state == Subscription.State.PAST_DUE or row.stripe_subscription_id is None
        else:
            item = live["items"]["data"][0]
            until = dt.datetime.fromtimestamp(item["current_period_end"], dt.UTC)
            assert (f"price_{row.plan}", row.paid_until, row.state) == (item["price"]["id"], until, "active")
            assert row.cancel_at_period_end == live["cancel_at_period_end"]


@pytest.mark.fault("P6", "P7", "P15")
def test_every_history_ends_on_the_plan_that_is_paid(
    account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    for plan, amount in FIGURES.items():
        facts = {"interval": "month", "currency": "usd", "stripe_price_id": f"price_{plan}"}
        StripePrice.objects.create(plan_key=plan, amount=amount, **facts)

    @examples(HISTORIES // 3)
    @given(
        moves=st.lists(st.tuples(st.sampled_from(MOVES), numbers, numbers), min_size=5, max_size=16),
        seed=st.integers(0, 2**32),
    )
    def tell(moves, seed):
        with transaction.atomic():
            bank = Subscriptions(account)
            bank.install(monkeypatch)
            history = History(bank)
            for move, which, how in [("begin", 0, seed), *moves]:
                history.step(move, which, how)
            history.end(random.Random(seed))
            history.agrees()
            assert ledger.audit.run(now=bank.now).findings == []
            transaction.set_rollback(True)
        plan_terms.forget(account.pk)

    tell()
