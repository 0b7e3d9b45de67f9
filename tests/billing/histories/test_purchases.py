"""Random histories of purchases: whatever happened, however its news came, the books say what the model says.

Each history is one account's: packs bought by methods that settle at once or later, refunds and disputes and
their ends, credits spent and given in between; events that come late, twice, in another order, or never and
are then reconciled. `HISTORIES=10000` tells ten thousand of them.
"""

import datetime as dt
import os
import random
from decimal import Decimal

import pytest
from django.db import transaction
from hypothesis import given
from hypothesis import strategies as st

from accounts.models import Account
from billing import ledger
from billing.models import Grant, Purchase, Refund, StripeEvent, Wallet
from billing.refunds import requests
from billing.webhooks import events, reconciliation
from tests.billing.histories.bank import Bank
from tests.billing.histories.model import Model
from tests.billing.ledger.examples import examples
from tests.billing.ledger.periods import a_grant

pytestmark = pytest.mark.django_db
BANK = "buy settle settle fail expire refund refund refund_all refund_waits refund_fails refund_fails"
PORTAL = "refund_settles ask_refund dispute dispute win win lose spend spend spend_all gift"
NEWS = "hear hear hear hear hear_again hear_late hear_late lose_news"
MOVES = f"{BANK} {PORTAL} {NEWS}".split()
PACKS = [(Decimal(1000), 1000), (Decimal("333.333333"), 990), (Decimal(5), 1), (Decimal("0.000003"), 500)]
HISTORIES = int(os.environ.get("HISTORIES") or 180)
numbers = st.integers(0, 11)


class History:
    """One account's; moves are made at the bank, and their news is heard by the books and the model."""

    def __init__(self, bank: Bank) -> None:
        self.bank, self.unheard, self.heard, self.count = bank, [], [], 0
        self.model = Model(bank.now)
        self.account = Account.objects.create(name="Test")
        ledger.open_wallet(self.account.pk, bank.now)

    def step(self, move: str, which: int, how: int) -> None:
        self.bank.now += dt.timedelta(seconds=1)
        self.model.now = self.bank.now
        known = len(self.bank.told)
        getattr(self, f"_{move}")(which, how)
        self.unheard += self.bank.told[known:]
        self.agree()

    # moves at the bank

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
            idempotency_key=f"order {self.count}",
            stripe_session_id=f"cs_{self.count}",
            created_at=self.bank.now,
        )
        marks = {"purchase": purchase.public_id, "account": self.account.public_id}
        self.bank.open_page(f"cs_{self.count}", amount, marks)
        self.model.ordered(purchase.public_id, credits, amount)
        if which:  # else the buyer leaves the page as it is
            self.bank.pay(self.bank.sessions[f"cs_{self.count}"], later=later)

    def _buy_later(self, which, how):
        self._buy(which, how, later=True)

    def _settle(self, which, how, arrives=True):
        waiting = [one for one in self.bank.payments.values() if one["status"] == "processing"]
        if waiting:
            session = waiting[which % len(waiting)]["id"].removeprefix("pi_")
            self.bank.settle(self.bank.sessions[session], arrives=arrives)

    def _fail(self, which, how):
        self._settle(which, how, arrives=False)

    def _expire(self, which, how):
        for session in self._some(self.bank.sessions, which, status="open"):
            self.bank.expire(session)

    def _refund(self, which, how, whole=False, waits=False):
        for payment in self._some(self.bank.payments, which, status="succeeded"):
            left = self.bank.left_of(payment)
            amount = left if whole else max(left * (how + 1) // 13, 1)
            if 0 < amount <= left:
                self.bank.refund(payment, amount, waits=waits)

    def _refund_all(self, which, how):
        self._refund(which, how, whole=True)

    def _refund_waits(self, which, how):
        self._refund(which, how, waits=True)

    def _refund_fails(self, which, how):
        ended = [one for one in self.bank.refunds.values() if one["status"] != "failed"]
        for refund in ended[which % len(ended) :][:1] if ended else []:
            self.bank.end_refund(refund, fails=True)

    def _refund_settles(self, which, how):
        for refund in self._some(self.bank.refunds, which, status="pending"):
            self.bank.end_refund(refund, fails=False)

    def _dispute(self, which, how):
        for payment in self._some(self.bank.payments, which, status="succeeded"):
            if not self.bank.disputed(payment):
                self.bank.dispute(payment, whole=how % 2 == 0 or not self.bank.left_of(payment))

    def _win(self, which, how, won=True):
        for dispute in self._some(self.bank.disputes, which, status="needs_response"):
            self.bank.decide(dispute, won=won)

    def _lose(self, which, how):
        self._win(which, how, won=False)

    @staticmethod
    def _some(things, which, **facts):
        fit = [one for one in things.values() if all(one[name] == fact for name, fact in facts.items())]
        return [fit[which % len(fit)]] if fit else []

    # moves in the portal

    def _ask_refund(self, which, how):
        """The buyer asks, staff approve, the bank is asked and may refuse."""
        paid = list(Purchase.objects.filter(account=self.account, status="paid").order_by("created_at", "id"))
        if not paid:
            return
        purchase, now = paid[which % len(paid)], self.bank.now
        try:
            asked = requests.create(purchase=purchase, user=None, message="", now=now)
        except requests.RefundRefused:
            return
        assert self.model.approve(asked.public_id, self.model.purchases[purchase.public_id])
        if requests.approve(asked, actor="staff", reason="", now=now).status == Refund.Status.FAILED:
            claim = self.model.claims[asked.public_id]
            claim.purchase.refunded -= claim.amount
            self.model.fall(claim)

    def _spend(self, which, how, whole=False):
        credits = sum((grant.remaining for grant in self.model.book.grants), Decimal(0))
        credits = credits if whole else (credits * (how + 1) / 13).quantize(Decimal("0.000001"))
        if credits <= 0:
            return
        order = ledger.ChargeRequest(
            account_id=self.account.pk, credits=credits, key=f"{self.bank.now}", service="s"
        )
        if self.model.book.debt:
            with pytest.raises(ledger.InDebt):
                ledger.charge(order, self.bank.now)
        else:
            ledger.charge(order, self.bank.now)
            self.model.book.draw(credits, None, "spent")

    def _spend_all(self, which, how):
        self._spend(which, how, whole=True)

    def _gift(self, which, how):
        credits, key, now = Decimal(10 * (how + 1)), f"gift {self.bank.now}", self.bank.now
        ledger.grant(account_id=self.account.pk, credits=credits, kind="bonus", label="", key=key, now=now)
        self.model.book.add(a_grant(key, credits, "bonus", now), now)

    # news

    def _hear(self, which, how):
        if self.unheard:
            self.tell(self.unheard.pop(0), 1 + how % 3)

    def _hear_late(self, which, how):
        """An event overtakes those before it."""
        if self.unheard:
            self.tell(self.unheard.pop(which % len(self.unheard)), 1 + how % 3)

    def _hear_again(self, which, how):
        if self.heard:
            self.tell(self.heard[which % len(self.heard)], 1)

    def _lose_news(self, which, how):
        if self.unheard:
            self.unheard.pop(which % len(self.unheard))

    def tell(self, event, times):
        for _ in range(times):
            row = events.store(event, self.bank.now, source="webhook")
            row = events.process(row.pk, self.bank.now)
            assert row.state in {StripeEvent.State.DONE, StripeEvent.State.IGNORED}, row.trouble
        if event not in self.heard:
            self.heard.append(event)
            self.model.hear(event, self.bank)

    def end(self, disorder: random.Random) -> None:
        """The rest of the news comes in any order, or not at all; then the books are reconciled."""
        disorder.shuffle(self.unheard)
        lost = self.unheard[: disorder.choice([0, 0, 1, 3, 99])]
        for event in self.unheard[len(lost) :]:
            self.model.now = self.bank.now = self.bank.now + dt.timedelta(seconds=1)
            self.tell(event, 1)
            self.agree()
        self.bank.now += dt.timedelta(hours=1)
        self.model.now = self.bank.now
        report = reconciliation.run(self.bank.now)
        for event in self.bank.told:
            if event not in self.heard:
                self.model.hear(event, self.bank)
        self.agree()
        assert report.findings == []
        assert [
            row for row in reconciliation.differences(report) if row["paid_gap"] or row["refunded_gap"]
        ] == []

    def agree(self) -> None:
        wallet = Wallet.objects.filter(pk=self.account.pk).values_list("balance", "debt").get()
        book = self.model.book
        assert wallet == (sum(grant.remaining for grant in book.grants), book.debt)
        rows = Purchase.objects.filter(account=self.account).order_by("created_at", "id")
        ours = {row.public_id: (row.status, row.refunded) for row in rows}
        assert ours == {name: (one.state, one.refunded) for name, one in self.model.purchases.items()}


@pytest.mark.fault("P4", "P5", "P6", "P7", "P12", "P13", "P14", "P20")
def test_every_history_ends_as_the_model_says(refund_window: None, monkeypatch: pytest.MonkeyPatch) -> None:
    @examples(HISTORIES)
    @given(
        moves=st.lists(st.tuples(st.sampled_from(MOVES), numbers, numbers), min_size=8, max_size=20),
        seed=st.integers(0, 2**32),
    )
    def tell(moves, seed):
        with transaction.atomic():
            bank = Bank()
            bank.install(monkeypatch)
            history = History(bank)
            for move, which, how in [("buy", 1, seed), ("buy_later", 1, seed // 4), *moves]:
                history.step(move, which, how)
            history.end(random.Random(seed))
            paid = [name for name, one in history.model.purchases.items() if one.state == "paid"]
            assert Grant.objects.filter(account_id=history.account.pk, kind="top_up").count() == len(paid)
            assert ledger.audit.run(now=bank.now).findings == []
            transaction.set_rollback(True)

    tell()
