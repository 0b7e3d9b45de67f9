"""The outcome of a history is the same at whatever times its wallet is settled."""

import contextlib
import datetime as dt
import random
import uuid
from decimal import Decimal

import pytest
from django.db import connection, transaction
from hypothesis import given
from hypothesis import strategies as st

from accounts.models import Account
from billing import ledger
from billing.ledger.models import Allowance, Charge, Grant, Hold, Wallet
from tests.billing.ledger.conftest import DAY, NOON, D, allowance, charge_request, give, new_account, spend
from tests.billing.ledger.examples import examples
from tests.billing.ledger.state import broken
from tests.billing.ledger.test_portions import portions_of

pytestmark = [pytest.mark.django_db, pytest.mark.fault("L18")]
HOUR, MINUTE, INSTANT = dt.timedelta(hours=1), dt.timedelta(minutes=1), dt.timedelta(microseconds=1)


def hold(account, amount, until, now=NOON, key="hold", **terms):
    return ledger.hold(charge_request(account, amount, key, **terms), expires_at=until, now=now)


def dispute(account, purchase, now=NOON, key="dispute"):
    return ledger.claw_back(account_id=account, purchase_id=purchase, key=key, reason="r", now=now)


def owe(account, amount):
    """Give the account a debt."""
    purchase = uuid.uuid4()
    give(account, amount, f"spent {purchase}", purchase_id=purchase, priority=1)
    spend(account, amount, f"spend {purchase}")
    dispute(account, purchase, key=f"dispute {purchase}")


def figures(account):
    wallet = Wallet.objects.get(account_id=account)
    assert broken([account]) == []
    return wallet.balance, wallet.held, wallet.debt


@pytest.mark.parametrize("settled", [[], [13.5], [12.5, 13, 13.5, 14], [14.5]])
def test_a_hold_that_ends_before_its_grant_repays_debt_whenever_it_is_settled(account, settled):
    give(account, "10", expires_at=NOON + 2 * HOUR)
    hold(account, "10", NOON + HOUR)
    owe(account, "10")
    for hour in [*settled, 15]:
        ledger.settle([account], NOON + (hour - 12) * HOUR)
    assert figures(account) == (0, 0, 0)


@pytest.mark.parametrize("settled", [[], [12.5], [13, 14], [13.5]])
def test_a_hold_that_ends_after_its_grant_repays_no_other_debt(account, settled):
    give(account, "10", expires_at=NOON + HOUR)
    hold(account, "10", NOON + 2 * HOUR)
    owe(account, "10")
    for hour in [*settled, 15]:
        ledger.settle([account], NOON + (hour - 12) * HOUR)
    assert figures(account) == (0, 0, D("10"))


@pytest.mark.parametrize("ends", ["released", "captured", "expired"])
@pytest.mark.parametrize("after", [HOUR / 2, HOUR, 2 * HOUR])
def test_held_credits_that_expire_are_never_owed(account, after, ends):
    """The dispute booked what was held as debt; the hold returns it before or after its grant ends."""
    purchase = uuid.uuid4()
    give(account, "40", purchase_id=purchase, expires_at=NOON + HOUR)
    held = hold(account, "40", NOON + after)
    assert dispute(account, purchase).debt == D("40")
    now, terms = NOON + after - INSTANT, {"account_id": account, "hold_id": held.hold_id}
    if ends == "released":
        ledger.release(now=now, **terms)
    elif ends == "captured":
        ledger.capture(credits=D("15"), key="capture", detail={}, now=now, **terms)
    ledger.settle([account], NOON + 3 * HOUR)
    assert figures(account) == (0, 0, D("15") if ends == "captured" else 0)


@pytest.mark.parametrize("settled", [[1, 2, 3], [3], [2]])
def test_each_missed_day_repays_debt_as_if_it_had_been_settled(account, settled):
    ledger.set_allowances(account_id=account, allowances=[allowance("daily", "10")], now=NOON)
    spend(account, "10")
    owe(account, "25")
    for day in [*settled, 4]:
        ledger.settle([account], NOON + day * DAY)
    assert figures(account) == (D("10"), 0, 0)


@pytest.mark.parametrize("settled", [[1, 2, 3], [3], [2]])
def test_credits_that_last_longer_than_their_period_are_given_for_each_missed_period(account, settled):
    terms = allowance("daily", "10", lasts="2 days"), allowance("kept", "1", lasts="forever")
    ledger.set_allowances(account_id=account, allowances=terms, now=NOON)
    for day in [*settled, 4]:
        ledger.settle([account], NOON + day * DAY)
    assert figures(account) == (D("25"), 0, 0)


def test_a_date_that_a_zone_skipped_gives_nothing(account):
    """Samoa had no 30 December 2011: its 29th ended with the beginning of the 31st."""
    Account.objects.filter(id=account).update(zone="Pacific/Apia")
    start = dt.datetime(2011, 12, 27, 12, tzinfo=dt.UTC)  # 2 o'clock in the morning
    terms = allowance("daily", "10", lasts="5 days", anchor_at=start)
    ledger.set_allowances(account_id=account, allowances=[terms], now=start)
    ledger.settle([account], start + 4 * DAY)
    days = [(one.created_at - start) / HOUR for one in Grant.objects.order_by("created_at")]
    assert days == [0, 22, 46, 70, 94], "27, 28, 29 and 31 December, 1 January"


@pytest.mark.parametrize("hours", [[14, 24, 36, 48, 60, 72], [72], [60], [14, 60]])
def test_after_a_change_of_zone_the_days_are_the_same_whenever_they_are_settled(account, hours):
    ledger.set_allowances(account_id=account, allowances=[allowance("daily", "10")], now=NOON)
    Account.objects.filter(id=account).update(zone="Asia/Tokyo")
    for hour in [*hours, 76]:
        ledger.settle([account], NOON + hour * HOUR)
    running = Grant.objects.get(open=True)
    # 11 March in UTC, and at least 24 h: until midnight of the 13th in Tokyo; then days of Tokyo
    assert running.created_at == dt.datetime(2026, 3, 13, 15, tzinfo=dt.UTC)
    assert running.expires_at == dt.datetime(2026, 3, 14, 15, tzinfo=dt.UTC)


def test_an_allowance_that_ended_while_nothing_was_settled_is_given_again_with_its_plan(account):
    terms = allowance("daily", "10", ends_at=NOON + DAY / 2)
    for settled in [], [NOON + DAY], [NOON + DAY, NOON + 2 * DAY]:
        with transaction.atomic():
            ledger.set_allowances(account_id=account, allowances=[terms], now=NOON)
            for now in settled:
                ledger.settle([account], now)
            back = ledger.set_allowances(
                account_id=account, allowances=[allowance("daily", "10")], now=NOON + 3 * DAY
            )
            assert back == D("10")
            transaction.set_rollback(True)


# histories

KINDS = ["give", "buy", "hold", "child", "spend", "dispute", "release", "capture", "report", "plan", "zone"]
steps = st.lists(
    st.tuples(
        st.sampled_from([1, 20, 60, 600, 1440, 4000, 30_000]),  # minutes until the step
        st.sampled_from([*KINDS, "hold", "child"]),
        st.integers(0, 5),
    ),
    min_size=3,
    max_size=14,
)
PLANS = [
    [],
    [allowance("daily", "5", priority=10)],
    [allowance("daily", "7", priority=10), allowance("plan", "50", "month", priority=20)],
    [allowance("long", "3", lasts="40 days", priority=12), allowance("plan", "20", "month", priority=21)],
    [allowance("kept", "0.5", lasts="forever", priority=13)],
    [allowance("later", "9", "month", anchor_at=NOON + 3 * DAY, priority=22)],
]
AT_EXPIRY = ["capture_estimate", "capture_reported", "release"]
ZONES = ["UTC", "Asia/Tokyo", "America/New_York", "Pacific/Kiritimati", "Pacific/Pago_Pago", "Asia/Kathmandu"]


class History:
    """Plays steps on a new account; `settle_until` is called before each step and at the end."""

    def __init__(self, seed, often):
        self.account, self.now, self.random, self.often = new_account(), NOON, random.Random(seed), often
        self.purchases, self.holds = [], []

    def settle_until(self, now):
        if self.often == "at every instant":
            while (due := Wallet.objects.get(account_id=self.account).next_due_at) and due <= now:
                ledger.settle([self.account], due)
        elif self.often == "at random":
            for share in sorted(self.random.random() for _ in range(3)):
                ledger.settle([self.account], self.now + share * (now - self.now))

    def play(self, steps):
        for number, (minutes, kind, n) in enumerate(steps):
            now = self.now + minutes * MINUTE + INSTANT
            self.settle_until(now)
            self.now = now
            with contextlib.suppress(ledger.LedgerError):
                getattr(self, kind)(f"step {number}", n)
        self.settle_until(self.now + 50 * DAY)
        ledger.settle([self.account], self.now + 50 * DAY)

    def give(self, key, n):
        ends = self.now + [HOUR / 6, HOUR, DAY, 3 * DAY, 20 * DAY, 90 * DAY][n]
        give(self.account, "10", key, self.now, kind="bonus", expires_at=ends)

    def buy(self, key, n):
        self.purchases.append(uuid.uuid4())
        ends = None if n == 0 else self.now + n * DAY / 2
        give(self.account, "40", key, self.now, purchase_id=self.purchases[-1], expires_at=ends, priority=n)

    def hold(self, key, n):
        available = ledger.balance(self.account, self.now).total
        amount = min(available, Decimal([1, 5, 10, 40, 60, 0][n]))
        ends = self.now + [MINUTE, HOUR, DAY, 2 * DAY, 10 * DAY, HOUR][n]
        self.add_hold(key, amount, ends, "release" if n < 4 else AT_EXPIRY[n % 2])

    def add_hold(self, key, amount, ends, at_expiry, parent=None):
        request = charge_request(self.account, str(amount), key, id=uuid.UUID(int=len(self.holds) + 1))
        terms = {"at_expiry": at_expiry, "parent": parent, "expires_at": ends, "now": self.now}
        self.holds.append(ledger.hold(request, **terms))

    def child(self, key, n):
        """Part of the newest hold, or of an earlier one, which may be a child itself."""
        for parent in self.holds[-1 - n % 3 :][:1]:
            ends = self.now + [MINUTE, HOUR, 10 * DAY][n % 3]
            self.add_hold(key, parent.credits / 2, ends, AT_EXPIRY[n % 3], parent.hold_id)

    def report(self, key, n):
        for one in self.holds[-1 - n % 3 :][:1]:
            terms = {"credits": Decimal(n), "detail": {}, "quota_count": None, "now": self.now}
            ledger.report_usage(account_id=self.account, hold_id=one.hold_id, **terms)

    def spend(self, key, n):
        spend(self.account, str([1, 5, 10, 40, 0.5, 90][n]), key, self.now)

    def dispute(self, key, n):
        if self.purchases:
            dispute(self.account, self.purchases[n % len(self.purchases)], self.now, key)

    def release(self, key, n):
        if self.holds:
            ledger.release(
                account_id=self.account, hold_id=self.holds[n % len(self.holds)].hold_id, now=self.now
            )

    def capture(self, key, n):
        if self.holds:
            ledger.capture(
                account_id=self.account, hold_id=self.holds[n % len(self.holds)].hold_id, credits=Decimal(n),
                key=key, detail={}, now=self.now,
            )  # fmt: skip

    def plan(self, key, n):
        ledger.set_allowances(
            account_id=self.account, allowances=PLANS[n], carry_over=n % 2 == 0, now=self.now
        )

    def zone(self, key, n):
        ledger.settle([self.account], self.now)  # as billing/signals.py does
        Account.objects.filter(id=self.account).update(zone=ZONES[n])

    def outcome(self):
        grants = Grant.objects.filter(account_id=self.account, open=True).order_by("idempotency_key")
        holds = Hold.objects.filter(account_id=self.account).order_by("idempotency_key")
        charges = Charge.objects.filter(account_id=self.account).order_by("idempotency_key")
        allowances = Allowance.objects.filter(account_id=self.account).order_by("key")
        wallet = Wallet.objects.get(account_id=self.account)
        # ids of grants are random: parts of a hold are compared by the keys of their grants
        keys = dict(Grant.objects.filter(account_id=self.account).values_list("id", "idempotency_key"))
        reserved = [
            [part | {"grant": keys[uuid.UUID(part["grant"])]} for part in hold.reserved or []]
            for hold in holds
        ]
        return [
            figures(self.account),
            wallet.next_due_at,
            wallet.running_holds,
            list(grants.values_list("idempotency_key", "remaining", "created_at", "expires_at")),
            list(holds.values_list("idempotency_key", "status", "closed_at")),
            reserved,
            list(charges.values_list("idempotency_key", "credits", "uncollected", "created_at")),
            list(charges.values_list("balance_before", "balance_after")),
            list(allowances.values_list("key", "next_at", "zone")),
        ]


@examples(25)
@given(steps=steps, seed=st.integers(0, 99))
def test_balances_grants_and_debt_are_the_same_at_whatever_times_a_wallet_is_settled(db, steps, seed):
    outcomes = {}
    for often in "at every instant", "at random", "at the end", "in portions":
        with transaction.atomic():
            if often == "in portions":
                portions_of(1)
            history = History(seed, often)
            history.play(steps)
            outcomes[often] = history.outcome()
            transaction.set_rollback(True)
    expected = outcomes.pop("at every instant")
    assert outcomes == dict.fromkeys(outcomes, expected)


@pytest.mark.parametrize("joins", ["hashjoin", "nestloop", "mergejoin"])
def test_an_allowance_that_is_settled_exactly_at_its_next_renewal_renews_once_and_again_a_day_later(
    account, joins
):
    with connection.cursor() as cursor:  # with each plan: a row that two others update takes either
        for other in {"hashjoin", "nestloop", "mergejoin"} - {joins}:
            cursor.execute(f"set local enable_{other} = off")
    ledger.set_allowances(account_id=account, allowances=[allowance("daily", "100")], now=NOON)
    midnight = NOON + DAY / 2
    for days in (1, 2):  # a day that nobody settled, then the next one at its first instant
        ledger.settle([account], midnight + days * DAY)
        assert Grant.objects.filter(account_id=account).count() == 1 + days
        assert Allowance.objects.get().next_at == midnight + (days + 1) * DAY
        assert Wallet.objects.get(account_id=account).next_due_at == midnight + (days + 1) * DAY
        assert figures(account) == (100, 0, 0)


def test_credits_that_a_hold_returns_an_instant_before_their_end_expire(account):
    give(account, "10", expires_at=NOON + HOUR + INSTANT)
    hold(account, "10", NOON + HOUR)
    ledger.settle([account], NOON + HOUR)
    assert figures(account) == (10, 0, 0)
    assert Wallet.objects.get(account_id=account).next_due_at == NOON + HOUR + INSTANT
    ledger.settle([account], NOON + HOUR + INSTANT)
    assert figures(account) == (0, 0, 0)
