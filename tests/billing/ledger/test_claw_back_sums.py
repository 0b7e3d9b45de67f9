"""What is taken and owed for a purchase never exceeds what it granted and did not let expire."""

import datetime as dt
import importlib
import random
import uuid

import pytest
from django.db import connection, transaction

from billing import ledger
from billing.ledger.models import Charge, Correction, Entry, Grant, Hold
from tests.billing.ledger.conftest import DAY, NOON, D, charge_request, give, new_account, spend
from tests.billing.ledger.examples import EXAMPLES, SEED
from tests.billing.ledger.state import broken

pytestmark = pytest.mark.django_db


def claw_back(account, purchase, key, now=NOON, **terms):
    return ledger.claw_back(
        account_id=account, purchase_id=purchase, key=key, reason="refunded", now=now, **terms
    )


def reverse(account, charged, key="back", now=NOON):
    return ledger.reverse(account_id=account, charge_id=charged.charge_id, key=key, reason="failed", now=now)


@pytest.mark.fault("L17")
def test_a_dispute_after_refund_new_purchase_and_reversal_takes_nothing_more(account):
    first, second = uuid.uuid4(), uuid.uuid4()
    give(account, "100", "first", purchase_id=first)
    charged = spend(account, "70")
    refund = claw_back(account, first, "refund")
    assert (refund.credits, refund.debt) == (D("30"), D("70"))
    give(account, "100", "second", purchase_id=second)
    reverse(account, charged)
    dispute = claw_back(account, first, "dispute")
    assert (dispute.credits, dispute.debt) == (0, 0)
    balance = ledger.balance(account, NOON)
    assert (balance.total, balance.debt) == (D("100"), 0)


@pytest.mark.fault("L17")
def test_a_reversal_after_the_refund_leaves_only_what_is_not_yet_taken(account):
    first = uuid.uuid4()
    give(account, "100", "first", purchase_id=first)
    charged = spend(account, "70")
    claw_back(account, first, "refund", credits=D("60"))  # 30 taken, 30 owed
    give(account, "50", "second")
    reverse(account, charged)
    dispute = claw_back(account, first, "dispute")
    assert (dispute.credits, dispute.debt) == (D("40"), 0)


def test_a_claw_back_of_named_grants_takes_from_them_alone(account):
    """The grants of a plan's allowances name no purchase."""
    purchase = uuid.uuid4()
    named = [give(account, "10", f"named {number}").grant_id for number in range(2)]
    give(account, "10", "other")
    give(account, "10", "of the purchase", purchase_id=purchase)
    spend(account, "15")

    taken = claw_back(account, purchase, "dispute", grant_ids=named)
    assert (taken.credits, taken.debt) == (D("5"), D("15"))
    again = claw_back(account, purchase, "again", grant_ids=named)
    assert (again.credits, again.debt) == (0, 0)
    none = claw_back(account, purchase, "none", grant_ids=[])
    assert (none.credits, none.debt) == (0, 0)

    ledger.restore(account_id=account, claw_back_key="dispute", key="won", reason="won", now=NOON)
    balance = ledger.balance(account, NOON)
    assert (balance.total, balance.debt) == (D("25"), 0)
    assert broken([account]) == []


@pytest.mark.fault("L17", "L18")
@pytest.mark.parametrize("hours", [1, 12, 40, 60])
def test_held_credits_that_are_owed_repay_their_debt_also_after_their_grant_ended(account, hours):
    """Released or ended, before or after the grant's end at 24 hours: nothing is owed, nothing is left."""
    purchase, later = uuid.uuid4(), NOON + dt.timedelta(hours=hours)
    give(account, "40", purchase_id=purchase, expires_at=NOON + DAY)
    held = ledger.hold(charge_request(account, "40", "h"), expires_at=NOON + 2 * DAY, now=NOON)
    assert claw_back(account, purchase, "dispute").debt == D("40")
    if hours < 48:
        ledger.release(account_id=account, hold_id=held.hold_id, now=later)
    balance = ledger.balance(account, later)
    assert (balance.total, balance.debt) == (0, 0)
    assert taken_and_owed(account, purchase) == (D("40"), 0, D("40"))


def taken_and_owed(account, purchase):
    """Return (granted, expired or adjusted, taken and owed) of a purchase, from the entries alone."""
    ids = Grant.objects.filter(account_id=account, purchase_id=purchase).values_list("id", flat=True)
    entries = Entry.objects.filter(account_id=account, grant_id__in=list(ids)).values_list(
        "kind", "credits", "debt"
    )
    granted = sum(credits for kind, credits, _ in entries if kind == "grant")
    gone = -sum(credits for kind, credits, _ in entries if kind in {"expire", "adjust"})
    taken = sum(debt - credits for kind, credits, debt in entries if kind in {"claw_back", "restore"})
    return granted, gone, taken


class Bank:
    """Random moves on one account; each move is a method, chosen by `rng`."""

    def __init__(self, rng):
        self.rng, self.now, self.count = rng, NOON, 0
        self.account, self.purchases, self.last = new_account(), [], None

    def key(self):
        self.count += 1
        return f"move {self.count}"

    def amount(self, most=100):
        return str(self.rng.randint(1, most))

    def one(self, rows):
        rows = list(rows)
        return self.rng.choice(rows) if rows else None

    def buy(self):
        days = self.rng.choice([None, 1, 3])
        ends = None if days is None else self.now + days * DAY
        terms = {"purchase_id": uuid.uuid4(), "expires_at": ends, "priority": self.rng.choice([1, 40])}
        self.purchases.append(terms["purchase_id"])
        give(self.account, "100", self.key(), self.now, **terms)
        if self.rng.random() < 0.4:
            more = {"kind": "bonus", "expires_at": self.now + 2 * DAY}
            give(self.account, "20", self.key(), self.now, **terms | more)

    def charge(self):
        spend(self.account, self.amount(), self.key(), self.now)

    def hold(self):
        ends = self.now + dt.timedelta(hours=self.rng.choice([1, 30]))
        ledger.hold(charge_request(self.account, self.amount(60), self.key()), expires_at=ends, now=self.now)

    def capture(self):
        if hold := self.one(Hold.objects.filter(account_id=self.account, status="held")):
            terms = {"hold_id": hold.id, "credits": D(self.amount(80)), "detail": {}, "key": self.key()}
            ledger.capture(account_id=self.account, now=self.now, **terms)

    def release(self):
        if hold := self.one(Hold.objects.filter(account_id=self.account, status="held")):
            ledger.release(account_id=self.account, hold_id=hold.id, now=self.now)

    def reverse(self):
        if charge := self.one(Charge.objects.filter(account_id=self.account)):
            credits = self.rng.choice([None, D(self.amount(50))])
            terms = {"charge_id": charge.id, "credits": credits, "key": self.key(), "reason": "failed"}
            ledger.reverse(account_id=self.account, now=self.now, **terms)

    def claw_back(self):
        if self.purchases:
            purchase, most = self.rng.choice(self.purchases), self.rng.choice([None, D(self.amount())])
            terms = {"credits": most, "unspent_only": self.rng.random() < 0.2}
            taken = claw_back(self.account, purchase, self.key(), self.now, **terms)
            if taken.credits or taken.debt:
                granted, gone, all_taken = taken_and_owed(self.account, purchase)
                assert all_taken <= granted - gone

    def win(self):
        undone = Correction.objects.filter(account_id=self.account, kind="claw_back", undone_by_id=None)
        if one := self.one(undone):
            terms = {"claw_back_key": one.idempotency_key, "key": self.key(), "reason": "won"}
            ledger.restore(account_id=self.account, now=self.now, **terms)

    def wait(self):
        self.now += dt.timedelta(hours=self.rng.choice([1, 13, 40]))
        ledger.settle([self.account], self.now)

    def move(self):
        moves = ["buy", "charge", "charge", "hold", "capture", "release", "reverse", "claw_back", "claw_back"]
        try:
            with transaction.atomic():
                getattr(self, self.rng.choice([*moves, "win", "wait"]))()
        except ledger.LedgerError:
            pass  # a refused move changes nothing


@pytest.mark.fault("L17", "P12", "P13", "P14")
@pytest.mark.parametrize("seed", range(EXAMPLES or 12))
def test_no_order_of_moves_takes_or_owes_more_than_a_purchase_granted_and_did_not_let_expire(seed):
    bank = Bank(random.Random(f"{SEED} {seed}"))
    for _ in range(40):
        bank.move()
        for purchase in bank.purchases:
            granted, _, taken = taken_and_owed(bank.account, purchase)
            assert taken <= granted
    assert broken([bank.account]) == []
    assert ledger.audit.run(now=bank.now).findings == []


def sums_of(account):
    grants = Grant.objects.filter(account_id=account)
    return {grant.pk: (grant.spent, grant.repaid, grant.balance_after) for grant in grants}


def test_the_migration_fills_the_sums_of_an_older_database():
    bank = Bank(random.Random(f"{SEED} migration"))
    for _ in range(60):
        bank.move()
    stored = sums_of(bank.account)
    Grant.objects.filter(account_id=bank.account).update(spent=0, repaid=0, balance_after=None)
    migration = importlib.import_module("billing.migrations.0004_ledger_under_hostile_use")
    with connection.cursor() as cursor:
        cursor.execute(migration.FILL_SUMS)
    assert sums_of(bank.account) == stored


def entries_read():
    """How many rows of entries this transaction has read."""
    with connection.cursor() as cursor:
        cursor.execute(
            "select seq_tup_read + idx_tup_fetch from pg_stat_xact_user_tables"
            " where relname = 'billing_entry'"
        )
        return cursor.fetchone()[0]


def test_a_claw_back_reads_the_grants_of_the_purchase_and_no_entries(account):
    """When it added up the entries, it took 3 s in a wallet with 600,000 of them."""
    purchase = uuid.uuid4()
    give(account, "100", purchase_id=purchase)
    for n in range(20):
        spend(account, "1", f"use {n}")
    before = entries_read()
    assert claw_back(account, purchase, "refund").debt == D("20")
    assert entries_read() == before
