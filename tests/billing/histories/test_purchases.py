"""Random histories of purchases: in any order of events the database equals the model.

Each history belongs to one account: packs paid at once or later, refunds and disputes whose outcomes change,
credits spent and granted in between; events late, repeated, in another order, or lost and then reconciled.
`make histories` runs thousands.
"""

import datetime as dt
import random
from collections import Counter
from decimal import Decimal
from typing import Any

import pytest
from django.db import transaction
from hypothesis import given
from hypothesis import strategies as st

from accounts.models import Account
from billing import ledger
from billing.models import Grant, Purchase, Refund, StripeEvent, Wallet
from billing.refunds import requests
from billing.webhooks import events, reconciliation
from tests.billing.histories import visits
from tests.billing.histories.account_model import AccountModel
from tests.billing.histories.stripe_model import StripeModel
from tests.billing.ledger.examples import examples
from tests.billing.ledger.periods import a_grant

pytestmark = pytest.mark.django_db
AT_STRIPE = "buy settle settle fail expire refund refund refund_all refund_pending refund_fails refund_fails"
IN_PORTAL = (
    "refund_settles request_refund dispute dispute win win lose reverse reverse spend spend spend_all grant"
)
EVENTS = "deliver deliver deliver deliver redeliver deliver_late deliver_late lose_event"
STEPS = f"{AT_STRIPE} {IN_PORTAL} {EVENTS}".split()
PACKS = [(Decimal(1000), 1000), (Decimal("333.333333"), 990), (Decimal(5), 1), (Decimal("0.000003"), 500)]
HISTORIES = visits.number_of(__file__, in_suite=100)
numbers = st.integers(0, 11)


class History:
    """Steps of one account at Stripe and in the portal; events are applied to the database and the model."""

    def __init__(self, stripe: StripeModel) -> None:
        self.stripe, self.pending, self.delivered, self.count = stripe, [], [], 0
        self.model = AccountModel(stripe.now)
        self.account = Account.objects.create(name="Test")
        ledger.open_wallet(self.account.pk, stripe.now)

    def step(self, step: str, which: int, how: int) -> None:
        self.stripe.now += dt.timedelta(seconds=1)
        self.model.now = self.stripe.now
        emitted = len(self.stripe.events)
        getattr(self, f"_{step}")(which, how)
        self.pending += self.stripe.events[emitted:]
        self.assert_equal()

    # at Stripe

    def _buy(self, which, how, later=False):
        self.count += 1
        credits, amount = PACKS[how % len(PACKS)]
        purchase = Purchase.objects.create(
            account=self.account,
            kind="pack",
            origin="page",
            offer="pack",
            label="Pack",
            credits=credits,
            amount=amount,
            list_amount=amount,
            currency="usd",
            idempotency_key=f"purchase {self.count}",
            stripe_session_id=f"cs_{self.count}",
            created_at=self.stripe.now,
        )
        metadata = {"purchase": purchase.public_id, "account": self.account.public_id}
        self.stripe.open_page(f"cs_{self.count}", amount, metadata)
        self.model.add_purchase(purchase.public_id, credits, amount)
        if which:  # with 0 the buyer does not pay
            self.stripe.pay(self.stripe.sessions[f"cs_{self.count}"], later=later)

    def _buy_later(self, which, how):
        self._buy(which, how, later=True)

    def _settle(self, which, how, succeeds=True):
        for payment in self._matching(self.stripe.payments, which, status="processing"):
            session = payment["id"].removeprefix("pi_")
            self.stripe.settle(self.stripe.sessions[session], succeeds=succeeds)

    def _fail(self, which, how):
        self._settle(which, how, succeeds=False)

    def _expire(self, which, how):
        for session in self._matching(self.stripe.sessions, which, status="open"):
            self.stripe.expire(session)

    def _refund(self, which, how, whole=False, pending=False):
        for payment in self._matching(self.stripe.payments, which, status="succeeded"):
            left = self.stripe.refundable(payment)
            amount = left if whole else max(left * (how + 1) // 13, 1)
            if 0 < amount <= left:
                self.stripe.refund(payment, amount, pending=pending)

    def _refund_all(self, which, how):
        self._refund(which, how, whole=True)

    def _refund_pending(self, which, how):
        self._refund(which, how, pending=True)

    def _refund_fails(self, which, how):
        refunds = [refund for refund in self.stripe.refunds.values() if refund["status"] != "failed"]
        if refunds:
            self.stripe.end_refund(refunds[which % len(refunds)], fails=True)

    def _refund_settles(self, which, how):
        for refund in self._matching(self.stripe.refunds, which, status="pending"):
            self.stripe.end_refund(refund, fails=False)

    def _dispute(self, which, how):
        for payment in self._matching(self.stripe.payments, which, status="succeeded"):
            if not self.stripe.is_disputed(payment):
                self.stripe.dispute(payment, whole=how % 2 == 0 or not self.stripe.refundable(payment))

    def _win(self, which, how, won=True):
        for dispute in self._matching(self.stripe.disputes, which, status="needs_response"):
            self.stripe.decide(dispute, won=won)

    def _lose(self, which, how):
        self._win(which, how, won=False)

    def _reverse(self, which, how):
        for status in ("won", "lost"):
            for dispute in self._matching(self.stripe.disputes, which, status=status):
                return self.stripe.reverse_decision(dispute)

    @staticmethod
    def _matching(objects, which, status):
        """One of the objects with this status, or none."""
        matching = [item for item in objects.values() if item["status"] == status]
        return [matching[which % len(matching)]] if matching else []

    # in the portal

    def _request_refund(self, which, how):
        """The buyer requests a refund, staff approve it, and Stripe may refuse it."""
        paid = list(Purchase.objects.filter(account=self.account, status="paid").order_by("created_at", "id"))
        if not paid:
            return
        purchase, now = paid[which % len(paid)], self.stripe.now
        try:
            refund = requests.create(purchase=purchase, user=None, message="", now=now)
        except requests.RefundRefused:
            return
        assert self.model.approve(refund.public_id, self.model.purchases[purchase.public_id])
        if requests.approve(refund, actor="staff", reason="", now=now).status == Refund.Status.FAILED:
            claim = self.model.claims[refund.public_id]
            claim.purchase.refunded -= claim.amount
            self.model.end_claim(claim)

    def _spend(self, which, how, whole=False):
        credits = sum((grant.remaining for grant in self.model.book.grants), Decimal(0))
        credits = credits if whole else (credits * (how + 1) / 13).quantize(Decimal("0.000001"))
        if credits <= 0:
            return
        charge = ledger.ChargeRequest(
            account_id=self.account.pk, credits=credits, key=f"{self.stripe.now}", service="s"
        )
        if self.model.book.debt:
            with pytest.raises(ledger.InDebt):
                ledger.charge(charge, self.stripe.now)
        else:
            ledger.charge(charge, self.stripe.now)
            self.model.book.draw(credits, None, "spent")

    def _spend_all(self, which, how):
        self._spend(which, how, whole=True)

    def _grant(self, which, how):
        credits, key, now = Decimal(10 * (how + 1)), f"grant {self.stripe.now}", self.stripe.now
        ledger.grant(account_id=self.account.pk, credits=credits, kind="bonus", label="", key=key, now=now)
        self.model.book.add(a_grant(key, credits, "bonus", now), now)

    # events

    def _deliver(self, which, how):
        if self.pending:
            self.process(self.pending.pop(0), 1 + how % 3)

    def _deliver_late(self, which, how):
        """An event arrives before earlier ones."""
        if self.pending:
            self.process(self.pending.pop(which % len(self.pending)), 1 + how % 3)

    def _redeliver(self, which, how):
        if self.delivered:
            self.process(self.delivered[which % len(self.delivered)], 1)

    def _lose_event(self, which, how):
        if self.pending:
            self.pending.pop(which % len(self.pending))

    def process(self, event, times):
        for _ in range(times):
            stored = events.store(event, self.stripe.now, source="webhook")
            stored = events.process(stored.pk, self.stripe.now)
            assert stored.state in {StripeEvent.State.DONE, StripeEvent.State.IGNORED}, stored.error
        if event not in self.delivered:
            self.delivered.append(event)
            self.model.apply(event, self.stripe)

    def end(self, generator: random.Random) -> None:
        """Deliver the pending events in a random order, lose some, then reconcile."""
        generator.shuffle(self.pending)
        lost = self.pending[: generator.choice([0, 0, 1, 3, 99])]
        for event in self.pending[len(lost) :]:
            self.model.now = self.stripe.now = self.stripe.now + dt.timedelta(seconds=1)
            self.process(event, 1)
            self.assert_equal()
        self.stripe.now += dt.timedelta(hours=1)
        self.model.now = self.stripe.now
        report = reconciliation.run(self.stripe.now)
        for event in self.stripe.events:
            if event not in self.delivered:
                self.model.apply(event, self.stripe)
        self.assert_equal()
        assert report.findings == []
        assert [
            difference
            for difference in reconciliation.differences(report)
            if difference["paid_gap"] or difference["refunded_gap"]
        ] == []

    def assert_equal(self) -> None:
        wallet = Wallet.objects.filter(pk=self.account.pk).values_list("balance", "debt").get()
        book = self.model.book
        assert wallet == (sum(grant.remaining for grant in book.grants), book.debt)
        stored = {
            purchase.public_id: (purchase.status, purchase.refunded)
            for purchase in Purchase.objects.filter(account=self.account)
        }
        expected = {
            public_id: (purchase.state, purchase.refunded)
            for public_id, purchase in self.model.purchases.items()
        }
        assert stored == expected


@pytest.mark.fault("P4", "P5", "P6", "P7", "P12", "P13", "P14", "P20", "P28")
def test_every_history_ends_in_the_state_of_the_model(
    refund_window: None, monkeypatch: pytest.MonkeyPatch, settings: Any
) -> None:
    settings.STRIPE_ACCOUNT = "acct_sandbox"  # the model does not answer for the account

    @examples(HISTORIES)
    @given(
        steps=st.lists(st.tuples(st.sampled_from(STEPS), numbers, numbers), min_size=8, max_size=20),
        seed=st.integers(0, 2**32),
    )
    def run(steps, seed):
        with transaction.atomic():
            stripe = StripeModel()
            stripe.install(monkeypatch)
            history = History(stripe)
            for step, which, how in [("buy", 1, seed), ("buy_later", 1, seed // 4), *steps]:
                history.step(step, which, how)
            history.end(random.Random(seed))
            paid = [purchase for purchase in history.model.purchases.values() if purchase.state == "paid"]
            assert Grant.objects.filter(account_id=history.account.pk, kind="top_up").count() == len(paid)
            assert ledger.audit.run(now=stripe.now).findings == []
            transaction.set_rollback(True)
        counted = Counter(f"model: {step}" for step, _which, _how in steps)
        counted.update(f"model: purchase {purchase.state}" for purchase in history.model.purchases.values())
        visits.save(counted + Counter(["histories of packs"]))

    run()
