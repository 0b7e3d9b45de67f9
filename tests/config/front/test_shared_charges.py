"""Charges in shared calls: busy wallets, broken connections, and keys that end."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from django.db import connection, connections, transaction
from django.utils import timezone

from accounts import api_keys
from accounts.models import Account, ApiKey, User
from billing import ledger
from billing.ledger import shared_calls
from billing.models import Charge
from core import rate_limit
from core.rate_limit import Allowance
from tests.config.front.rsgi import Front

CHARGES = "/api/v1/charges"
USE = b'{"service": "document-question", "usage": {"uses": 1}}'

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def charge(catalogue: None, front: Front, api_of: Any, alice: User, bob: User) -> Any:
    secrets = {user: api_of(user).secret for user in (alice, bob)}

    def request(user: User, key: str) -> tuple[str, str, dict[str, str], bytes]:
        headers = {
            "Authorization": f"Bearer {secrets[user]}", "Idempotency-Key": key,
            "Content-Type": "application/json",
        }  # fmt: skip
        return "POST", CHARGES, headers, USE

    def charge(*sent: tuple[User, str]) -> list[int]:
        return [response.status for response in front.send_together([request(*one) for one in sent])]

    assert charge((alice, "first"), (bob, "first")) == [201, 201]  # by Django, which verifies the keys
    return charge


@pytest.fixture
def endpoint_calls(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The charges that their endpoint handles."""
    from usage.api.charges import Charges

    calls, post = list[str](), Charges.post

    def counted(self: Any, request: Any) -> Any:
        calls.append(request.META["HTTP_IDEMPOTENCY_KEY"])
        return post(self, request)

    monkeypatch.setattr(Charges, "post", counted)
    return calls


@contextmanager
def locked(
    user: User, rows: str = "billing_wallet where account_id = %(account)s"
) -> Iterator[Callable[[], None]]:
    """Another transaction holds the user's wallet, or other rows, until it is released."""
    holds, ends = threading.Event(), threading.Event()

    def hold() -> None:
        with transaction.atomic(), connection.cursor() as cursor:
            account_id = Account.objects.get(person=user).pk
            cursor.execute(f"select from {rows} for update", {"account": account_id})
            holds.set()
            ends.wait(60)
        connections.close_all()

    thread = threading.Thread(target=hold)
    thread.start()
    assert holds.wait(60)
    try:
        yield ends.set
    finally:
        ends.set()
        thread.join()


def end_connections() -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            "select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database()"
            " and pid <> pg_backend_pid() and backend_type = 'client backend'"
        )


def test_many_charges_of_many_accounts_are_made_without_their_endpoint(
    charge: Any, endpoint_calls: list[str], alice: User, bob: User
) -> None:
    assert set(charge(*((user, f"k{n}") for n in range(20) for user in (alice, bob)))) == {201}
    assert endpoint_calls == []
    assert Charge.objects.filter(idempotency_key__startswith="k").count() == 40
    balance = ledger.balance(Account.objects.get(person=alice).pk, timezone.now())
    assert balance.available == 100 - 21


def test_a_key_that_was_verified_a_second_ago_is_verified_again_without_the_endpoint(
    charge: Any, endpoint_calls: list[str], alice: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(api_keys._leases, "clock", lambda: time.monotonic() + 1)
    assert charge((alice, "k1")) == [201]
    assert endpoint_calls == []


def test_a_locked_wallet_delays_no_other_account_and_is_charged_when_it_is_free(
    charge: Any, endpoint_calls: list[str], alice: User, bob: User
) -> None:
    with locked(alice):
        assert charge((bob, "b1")) == [201]
        assert charge((bob, "b2")) == [201]
        assert endpoint_calls == []
        assert charge((alice, "a1")) == [503]  # after 250 ms in a call of its own, by its endpoint
        assert endpoint_calls == ["a1"]
    assert charge((alice, "a1")) == [201]
    assert Charge.objects.filter(idempotency_key="a1").count() == 1


def test_a_wallet_that_is_free_in_the_next_turn_needs_no_call_of_its_own(
    charge: Any, endpoint_calls: list[str], alice: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    charge_at_once, calls = ledger.charge_at_once, list[int]()

    def busy_at_first(uses: Any) -> Any:
        calls.append(len(uses))
        if len(calls) == 1:
            return [ledger.WalletBusy(request.account_id) for request, _now in uses]
        return charge_at_once(uses)

    monkeypatch.setattr(ledger, "charge_at_once", busy_at_first)
    monkeypatch.setattr(ledger, "charge_account", lambda uses: pytest.fail("a call of its own"))
    assert charge((alice, "a1")) == [201]
    assert (calls, endpoint_calls) == ([1, 1], [])


def test_a_wallet_that_is_free_again_in_time_is_charged_without_the_endpoint(
    charge: Any, endpoint_calls: list[str], alice: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        shared_calls, "ACCOUNT_LOCK_TIMEOUT", "60s"
    )  # the holder may get no processor for long
    release = threading.Event()

    def hold_briefly() -> None:
        with locked(alice):
            release.set()
            threading.Event().wait(0.05)

    thread = threading.Thread(target=hold_briefly)
    thread.start()
    assert release.wait(60)
    assert set(charge(*((alice, f"k{n}") for n in range(5)))) == {201}
    thread.join()
    assert endpoint_calls == []


def test_a_broken_connection_costs_no_charge_and_is_replaced(
    charge: Any, endpoint_calls: list[str], alice: User, bob: User
) -> None:
    end_connections()
    assert charge((alice, "k1"), (bob, "k1")) == [201, 201]
    endpoint_calls.clear()
    assert charge((alice, "k2"), (bob, "k2")) == [201, 201]
    assert endpoint_calls == []


def test_a_key_that_cannot_be_looked_up_because_the_connection_broke_is_looked_up_again(
    charge: Any, alice: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(api_keys._leases, "clock", lambda: time.monotonic() + 1)
    end_connections()
    assert charge((alice, "k1")) == [201]


def test_a_key_whose_row_another_transaction_has_locked_delays_no_other(
    charge: Any, endpoint_calls: list[str], alice: User, bob: User
) -> None:
    ApiKey.objects.update(last_used_at=None)  # the next use is to be noted
    api_keys._leases.clear()
    with locked(alice, "accounts_apikey where account_id = %(account)s"):
        assert charge((alice, "k1"), (bob, "k1")) == [201, 201]
    assert endpoint_calls == []
    assert [key.last_used_at is None for key in ApiKey.objects.order_by("account__person__email")] == [
        True,
        False,
    ]


def test_a_key_whose_counter_is_locked_delays_no_other(
    charge: Any,
    endpoint_calls: list[str],
    alice: User,
    bob: User,
    settings: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    settings.API_RATE = "30/60"  # each request is counted in the database
    assert charge((alice, "k1"), (bob, "k1")) == [201, 201]
    key = ApiKey.objects.get(account__person=alice)
    with locked(alice, f"core_ratewindow where identity like '{key.pk}%%'") as release:
        take = rate_limit.take

        def take_when_free(*request: Any) -> Allowance:
            release()
            return take(*request)

        monkeypatch.setattr(rate_limit, "take", take_when_free)
        assert charge((alice, "a2"), (bob, "b2")) == [201, 201]
    assert endpoint_calls == ["a2"]


def test_the_end_of_a_key_is_remembered_so_that_its_requests_cost_shared_calls_nothing(
    charge: Any, alice: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert charge((alice, "k1")) == [201]
    api_keys.revoke(ApiKey.objects.get(account__person=alice), timezone.now())
    assert charge((alice, "k2")) == [401]
    monkeypatch.setattr("config.front.callers.admit", lambda _call: pytest.fail("a shared call"))
    assert charge((alice, "k3")) == [401]


def test_a_revoked_key_is_refused(charge: Any, alice: User) -> None:
    assert charge((alice, "k1")) == [201]
    api_keys.revoke(ApiKey.objects.get(account__person=alice), timezone.now())
    assert charge((alice, "k2")) == [401]
