"""Bank test: moves of every kind from many connections; every read is consistent and none deadlocks."""

import random
import threading
import uuid
from decimal import Decimal

import pytest
from django.db import connection

from billing import ledger
from billing.ledger.models import Grant, Wallet
from tests.billing.ledger.conftest import NOON, D, charge_request, give, new_account
from tests.billing.ledger.state import broken
from tests.integration.races.concurrency import at_once, charged_together, of_kind, persistently

pytestmark = pytest.mark.usefixtures("committed")

# Every sum by which a wallet can be read, in one statement, so from one snapshot.
READ = """
select w.balance, w.debt, w.held,
  coalesce((select sum(g.remaining) from billing_grant g where g.account_id = w.account_id), 0),
  coalesce((select sum(e.credits) from billing_entry e where e.account_id = w.account_id), 0),
  coalesce((select sum(e.debt) from billing_entry e where e.account_id = w.account_id), 0),
  coalesce((select sum(g.held) from billing_grant g where g.account_id = w.account_id), 0),
  w.seq = (select count(*) from billing_entry e where e.account_id = w.account_id)
from billing_wallet w where w.account_id = any(%s)
"""


@pytest.mark.fault("L2")
def test_five_hundred_grants_at_once_are_all_there():
    account = new_account()

    def twenty_five(first):
        for n in range(first, first + 25):
            give(account, "0.000001", f"grant {n}")

    at_once([lambda n=n: twenty_five(25 * n) for n in range(20)])
    assert Grant.objects.filter(account_id=account).count() == 500
    assert ledger.balance(account, NOON).total == D("0.0005")
    assert broken([account]) == []


@pytest.mark.fault("L2")
def test_one_key_of_a_grant_many_times_at_once_gives_once():
    account = new_account()
    outcomes = at_once([lambda: give(account, "5", "the key")] * 24)
    assert sum(not outcome.replayed for outcome in outcomes) == 1
    assert len({outcome.grant_id for outcome in outcomes}) == 1
    assert ledger.balance(account, NOON).total == D("5")


@pytest.mark.fault("L3")
def test_at_every_read_the_balance_is_the_sum_of_grants_and_of_entries():
    accounts = [new_account() for _ in range(3)]
    for account in accounts:
        give(account, "200", purchase_id=uuid.uuid5(account, "purchase"))
    over, reading = threading.Event(), threading.Semaphore(0)
    reads: list[tuple] = []

    def read():
        with connection.cursor() as cursor:
            while not over.is_set():
                cursor.execute(READ, [accounts])
                reads.extend(cursor.fetchall())
                reading.release()

    def move(seed):
        generator = random.Random(seed)
        moves = []
        for number in range(25):
            if number % 8 == 4:
                wait_for_next(reading)
            moves.append(any_move(generator, generator.choice(accounts), f"{seed}.{number}"))
        return moves

    def move_all():
        try:
            return at_once([lambda n=n: move(n) for n in range(8)])
        finally:
            over.set()

    *readers, moved = at_once([read, read, move_all])
    assert readers == [None, None]
    assert of_kind(moved, BaseException) == []
    for balance, debt, held, in_grants, in_entries, debts, held_in_grants, gapless in reads:
        assert balance == in_grants == in_entries
        assert debt == debts
        assert held == held_in_grants
        assert gapless
    assert len(reads) >= 8 * 3 * len(accounts), "between the moves"
    assert broken(accounts) == []


def wait_for_next(happening):
    """Wait until a semaphore is released once more."""
    while happening.acquire(blocking=False):
        pass
    assert happening.acquire(timeout=60)


def any_move(generator, account, key):
    """A move drawn at random; it is drawn and made again, with the same keys, while its wallet is in use."""
    state = generator.getstate()

    def move():
        generator.setstate(state)
        return random_move(generator, account, key)

    return persistently(move)


def random_move(generator, account, key):
    """Make one move drawn at random; refusals are allowed."""
    amount = Decimal(generator.choice(["1", "7.5", "0.000001"]))
    purchase = uuid.uuid5(account, "purchase")
    move = generator.choice(["grant", "charge", "charge", "batch", "hold", "adjust", "refund"])
    try:
        if move == "grant":
            give(account, "5", key)
        elif move == "charge":
            charged = ledger.charge(charge_request(account, f"{amount:f}", key), NOON)
            if generator.random() < 0.3:
                terms = {"account_id": account, "charge_id": charged.charge_id, "reason": "failed"}
                ledger.reverse(key=key, now=NOON, **terms)
        elif move == "batch":
            charged_together([charge_request(account, "0.5", f"{key}.{n}") for n in range(4)], NOON)
        elif move == "hold":
            held = ledger.hold(charge_request(account, "5", key), expires_at=NOON.replace(hour=13), now=NOON)
            terms = {"account_id": account, "hold_id": held.hold_id, "now": NOON}
            if generator.random() < 0.5:
                ledger.capture(credits=amount, key=key, detail={}, **terms)
            else:
                ledger.release(**terms)
        elif move == "adjust":
            ledger.adjust(account_id=account, credits=-amount, key=key, reason="r", actor="a", now=NOON)
        else:
            terms = {"account_id": account, "purchase_id": purchase, "credits": amount, "reason": "refund"}
            ledger.claw_back(key=key, now=NOON, **terms)
            ledger.restore(account_id=account, claw_back_key=key, key=f"{key} won", reason="won", now=NOON)
    except ledger.LedgerError as error:
        return error
    return move


@pytest.mark.fault("L10")
@pytest.mark.parametrize("size", [20, 60], ids=["each in turn", "in one statement"])
def test_batches_over_the_same_accounts_in_opposite_orders_never_deadlock(size):
    accounts = [new_account() for _ in range(10)]
    for account in accounts:
        give(account, "1000")

    def batch(name, backwards, turn):
        places = range(size - 1, -1, -1) if backwards else range(size)
        return charged_together(
            [charge_request(accounts[place % 10], "1", f"{name}.{turn}.{place}") for place in places], NOON
        )

    def batches(name, backwards):
        return [outcome for turn in range(3) for outcome in batch(name, backwards, turn)]

    outcomes = at_once([lambda n=n: batches(n, n % 2 == 1) for n in range(6)])
    assert of_kind(outcomes, BaseException) == []
    assert {type(outcome) for results in outcomes for outcome in results} == {ledger.Charged}
    spent = Wallet.objects.filter(account_id__in=accounts).values_list("balance", flat=True)
    assert sum(spent) == 10 * 1000 - 6 * 3 * size
    assert broken(accounts) == []


@pytest.mark.fault("L10")
def test_single_moves_batches_and_settling_of_the_same_accounts_never_deadlock():
    from tests.billing.ledger.conftest import DAY, allowance

    accounts = [new_account() for _ in range(6)]
    for account in accounts:
        ledger.set_allowances(account_id=account, allowances=[allowance("daily", "1000")], now=NOON)
    later = NOON + DAY

    def singly(name, order_of):
        for account in order_of:
            ledger.charge(charge_request(account, "1", name), later)
            give(account, "1", name, later)

    def together(name, order_of):
        for turn in range(3):
            charged_together(
                [
                    charge_request(account, "1", f"{name}.{turn}.{n}")
                    for n, account in enumerate(order_of * 9)
                ],
                later,
            )

    upwards, downwards = sorted(accounts), sorted(accounts, reverse=True)
    outcomes = at_once(
        [
            lambda: singly("a", upwards),
            lambda: singly("b", downwards),
            lambda: together("c", upwards),
            lambda: together("d", downwards),
            lambda: ledger.settle(downwards, later),
            lambda: ledger.settle_due(later, chunk=2),
        ]
    )
    assert of_kind(outcomes, BaseException) == []
    for account in accounts:
        assert ledger.balance(account, later).total == 1000 + 2 - 2 - 2 * 3 * 9
    assert broken(accounts) == []
