"""A wallet that is locked, has much due or is broken affects its own charges only."""

from datetime import timedelta
from types import SimpleNamespace

import psycopg
import pytest
from django.db import DatabaseError, connection, transaction

from billing import ledger
from billing.ledger import batches, charges, shared_calls, waiting
from billing.ledger.models import Charge, Hold, Wallet
from tests.billing.ledger.conftest import NOON, D, charge_request, give, new_account
from tests.billing.ledger.state import broken
from tests.integration.races.concurrency import BackgroundCall, at_once
from tests.integration.races.test_coalescing import wait_until
from tests.integration.races.web import database_url

pytestmark = pytest.mark.usefixtures("committed")
LATER = NOON + timedelta(minutes=20)


@pytest.fixture
def accounts():
    """Eight accounts with 100 credits each, in the order of their ids."""
    accounts = sorted(new_account() for _ in range(8))
    for account in accounts:
        give(account, "100")
    return accounts


@pytest.fixture
def lock():
    """Lock an account's wallet in another connection until the end of the test, or until its rollback."""
    with psycopg.connect(database_url()) as other:

        def hold(account):
            other.execute("select 1 from billing_wallet where account_id = %s for update", [account])
            return other

        yield hold


def uses(accounts, name="use"):
    return [charge_request(account, "1", f"{name} {n}") for n, account in enumerate(accounts)]


def break_wallet(account):
    """Give the wallet the largest sequence number, so that no entry can follow."""
    with connection.cursor() as cursor:
        cursor.execute("update billing_wallet set seq = %s where account_id = %s", [2**63 - 1, account])


def wait_at_most(monkeypatch, seconds):
    """Batches wait this long for wallets, each for a tenth of a second."""
    monkeypatch.setattr(batches, "WAIT_SECONDS", seconds)
    with connection.cursor() as cursor:
        cursor.execute("set lock_timeout = '100ms'")


@pytest.mark.fault("L16")
def test_charges_of_other_accounts_do_not_wait_for_a_locked_wallet(accounts, lock):
    calls, locked = shared_calls.SharedCalls(), accounts[3]
    holder = lock(locked)
    requests = [request for turn in range(3) for request in uses(accounts, f"turn {turn}")]

    threads = [
        BackgroundCall(lambda use=use: charges.outcome_of(calls.charge(use, NOON), use)) for use in requests
    ]
    for thread in threads:
        thread.start()
    others = [thread for thread, use in zip(threads, requests, strict=True) if use.account_id != locked]
    assert {type(thread.outcome()) for thread in others} == {ledger.Charged}
    assert Charge.objects.filter(account_id=locked).count() == 0
    holder.rollback()
    assert {type(thread.outcome()) for thread in threads} == {ledger.Charged}
    assert Charge.objects.filter(account_id=locked).count() == 3
    assert broken(accounts) == []


@pytest.mark.fault("L16")
def test_charges_that_wait_for_one_wallet_share_a_call_when_it_is_free(accounts, lock, monkeypatch):
    # a loaded machine needs longer than half a second to start the threads
    monkeypatch.setattr(waiting, "STUCK_SECONDS", 60.0)
    calls, sizes = shared_calls.SharedCalls(), []
    charge_together = shared_calls._charge_together

    def together(taken, statement):
        if statement == shared_calls._OWN:  # a call of the account's own
            sizes.append(len(taken))
        charge_together(taken, statement)

    monkeypatch.setattr(shared_calls, "_charge_together", together)
    holder = lock(accounts[0])
    requests = [charge_request(accounts[0], "1", f"use {n}") for n in range(9)]
    threads = [
        BackgroundCall(lambda use=use: charges.outcome_of(calls.charge(use, NOON), use)) for use in requests
    ]
    for thread in threads:
        thread.start()
    wait_until(lambda: calls._own and calls._own[accounts[0]].users == 9)
    holder.rollback()
    assert {type(thread.outcome()) for thread in threads} == {ledger.Charged}
    assert max(sizes) >= 5, "those that arrived while the first one waited"
    assert not calls._own, "its last caller has removed the account's queue"
    assert broken(accounts) == []


@pytest.mark.fault("L16")
def test_a_wallet_with_much_due_leaves_the_shared_call(accounts):
    """Sixty holds have ended: settling them takes a call of the account's own."""
    hoarder, calls = accounts[0], shared_calls.SharedCalls()
    for number in range(60):
        request = charge_request(hoarder, "1", f"hold {number}")
        ledger.hold(request, expires_at=NOON + timedelta(minutes=15), now=NOON)
    taken = [shared_calls.Waiting(request, LATER) for request in uses(accounts)]
    calls._charge_shared(taken)
    assert [waiting.row["status"] for waiting in taken] == ["busy"] + ["charged"] * 7
    assert Hold.objects.filter(account_id=hoarder, status="held").count() == 60
    alone = shared_calls.Waiting(taken[0].request, LATER)
    calls._charge_shared([alone])
    assert alone.row["status"] == "busy"
    request = taken[0].request
    assert charges.outcome_of(calls.charge(request, LATER), request).balance_after == D("99")
    assert Hold.objects.filter(account_id=hoarder, status="held").count() == 0
    assert broken(accounts) == []


@pytest.mark.fault("L16", "L19")
@pytest.mark.parametrize("each", [1, 8], ids=["each in turn", "in one statement"])
def test_a_locked_wallet_in_a_batch_fails_its_own_items_only(accounts, lock, monkeypatch, each):
    wait_at_most(monkeypatch, 0.05)
    locked = accounts[4]
    lock(locked)
    requests = [request for turn in range(each) for request in uses(accounts, f"turn {turn}")]
    outcomes = ledger.charge_many(requests, NOON)
    for request, outcome in zip(requests, outcomes, strict=True):
        expected = ledger.WalletBusy if request.account_id == locked else ledger.Charged
        assert type(outcome) is expected
    assert outcomes[4].code == "account_busy"
    assert Charge.objects.filter(account_id=locked).count() == 0
    assert broken(accounts) == []


@pytest.mark.fault("L16")
def test_a_batch_waits_for_several_locked_wallets_no_longer_than_for_one(accounts, lock, monkeypatch):
    wait_at_most(monkeypatch, 0.05)  # over when the first of them was waited for
    for account in accounts[3:6]:
        lock(account)
    waits = []

    def record(execute, sql, parameters, many, context):
        if "ledger_charge_account(" in sql:
            waits.append(parameters["account_id"])
        return execute(sql, parameters, many, context)

    with connection.execute_wrapper(record):
        outcomes = ledger.charge_many(uses(accounts), NOON)
    assert [type(one) is ledger.WalletBusy for one in outcomes] == [3 <= n < 6 for n in range(8)]
    assert waits == [accounts[3]]


@pytest.mark.fault("L16")
def test_a_batch_holds_no_wallet_while_it_waits_for_another(accounts, lock):
    holder = lock(accounts[7])
    batch = BackgroundCall(lambda: ledger.charge_many(uses(accounts, "batch"), NOON))
    batch.start()
    assert batch.is_blocked()
    with connection.cursor() as cursor:
        cursor.execute("set lock_timeout = '1s'")
    outcomes = [charges.charge_alone(request, NOON) for request in uses(accounts[:7], "single")]
    assert [outcome.balance_after for outcome in outcomes] == [D("98")] * 7
    holder.rollback()
    assert {type(outcome) for outcome in batch.outcome()} == {ledger.Charged}
    assert broken(accounts) == []


@pytest.mark.fault("L16")
def test_a_batch_in_a_transaction_locks_wallets_in_the_order_of_their_ids(accounts, lock):
    def charge_in_transaction():
        with transaction.atomic():
            return ledger.charge_many(uses(reversed(accounts), "batch"), NOON)

    holder = lock(accounts[0])
    batch = BackgroundCall(charge_in_transaction)
    batch.start()
    assert batch.is_blocked()
    with connection.cursor() as cursor:
        cursor.execute("set lock_timeout = '1s'")
    outcomes = [charges.charge_alone(request, NOON) for request in uses(accounts[1:], "single")]
    assert [outcome.balance_after for outcome in outcomes] == [D("99")] * 7
    holder.rollback()
    assert {type(outcome) for outcome in batch.outcome()} == {ledger.Charged}
    assert broken(accounts) == []


@pytest.mark.fault("L19")
@pytest.mark.parametrize("each", [1, 8], ids=["each in turn", "in one statement"])
@pytest.mark.parametrize("in_transaction", [False, True])
def test_a_broken_wallet_in_a_batch_fails_its_own_items_only(accounts, each, in_transaction):
    unusable = accounts[2]
    with connection.cursor() as cursor:
        cursor.execute(
            "update billing_wallet set seq = 9223372036854775807 where account_id = %s", [unusable]
        )
    requests = [request for turn in range(each) for request in uses(accounts, f"turn {turn}")]
    if in_transaction:
        with transaction.atomic():
            outcomes = ledger.charge_many(requests, NOON)
    else:
        outcomes = ledger.charge_many(requests, NOON)
    for request, outcome in zip(requests, outcomes, strict=True):
        expected = ledger.WalletUnusable if request.account_id == unusable else ledger.Charged
        assert type(outcome) is expected
    assert outcomes[2].code == "account_unusable"
    assert Charge.objects.count() == 7 * each


@pytest.mark.fault("L19")
def test_a_broken_wallet_fails_shared_calls_once_and_is_then_charged_apart(accounts):
    calls, unusable = shared_calls.SharedCalls(), accounts[2]
    with connection.cursor() as cursor:
        cursor.execute(
            "update billing_wallet set seq = 9223372036854775807 where account_id = %s", [unusable]
        )
    for turn in range(3):
        requests = uses(accounts, f"turn {turn}")
        outcomes = at_once(
            [lambda use=use: charges.outcome_of(calls.charge(use, NOON), use) for use in requests]
        )
        assert type(outcomes.pop(2)).__name__ == "DataError"
        assert {type(outcome) for outcome in outcomes} == {ledger.Charged}
        assert calls._is_apart(unusable)


def test_a_wallet_that_was_broken_is_charged_apart_for_a_minute(accounts, monkeypatch):
    calls, account = shared_calls.SharedCalls(), accounts[0]
    clock = SimpleNamespace(monotonic=lambda: 1000.0)
    monkeypatch.setattr(shared_calls, "time", clock)
    before = Wallet.objects.get(account_id=account).seq
    break_wallet(account)
    with pytest.raises(DatabaseError):
        calls.charge(charge_request(account, "1", "while broken"), NOON)
    Wallet.objects.filter(account_id=account).update(seq=before)
    for seconds, expected in ((0.0, "busy"), (59.9, "busy"), (60.0, "charged")):
        clock.monotonic = lambda seconds=seconds: 1000.0 + seconds
        [row] = calls.charge_at_once([(charge_request(account, "1", "use"), NOON)])
        assert row["status"] == expected


def test_an_account_whose_uses_are_slow_twice_in_turn_is_charged_apart(accounts, monkeypatch):
    """Once may be due to the machine."""
    calls, account = shared_calls.SharedCalls(), accounts[0]
    paces, row = iter([True, False, True, True]), shared_calls.database.row
    monkeypatch.setattr(shared_calls.database, "row", lambda *call: row(*call) | {"slow": next(paces)})
    statuses = [
        calls.charge_at_once([(charge_request(account, "1", f"use {n}"), NOON)])[0]["status"]
        for n in range(5)
    ]
    assert statuses == ["charged"] * 4 + ["busy"]


@pytest.mark.fault("L19")
def test_a_use_whose_shared_call_failed_has_no_outcome(accounts):
    break_wallet(accounts[0])
    outcomes = [ledger.charge_at_once([(use, NOON)]) for use in uses(accounts[:2])]
    assert [type(outcome) for [outcome] in outcomes] == [type(None), ledger.Charged]


def test_moves_of_a_locked_wallet_wait_in_the_queue_of_its_account(accounts):
    account = accounts[0]
    with transaction.atomic():
        ledger.grant(account_id=account, credits=D("1"), kind="top_up", label="-", key="first", now=NOON)
        waiting_moves = [
            BackgroundCall(lambda n=n: charges.charge_alone(charge_request(account, "1", f"{n}"), NOON))
            for n in range(2)
        ]
        for move in waiting_moves:
            move.start()
        assert [move.is_blocked() for move in waiting_moves] == [True, True]
        with connection.cursor() as cursor:
            cursor.execute(  # the server has the databases of other processes of the suite, too
                "select locktype from pg_locks where not granted and pid = any(%s)",
                [[move.backend for move in waiting_moves]],
            )
            assert cursor.fetchall() == [("advisory",), ("advisory",)]
    assert {type(move.outcome()) for move in waiting_moves} == {ledger.Charged}
