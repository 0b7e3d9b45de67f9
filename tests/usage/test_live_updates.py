"""The version of what an account's pages show, and who may follow it."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.contrib.sessions.models import Session
from django.test import Client
from django.utils import timezone

from accounts import signals
from accounts.access import CHOSEN
from accounts.models import Account, Membership, User
from billing import ledger
from billing.models import Purchase
from tests.usage.spending import give, spend
from usage import live_updates
from usage.live_updates import Follower

AccountOf = Callable[[User], Account]
SignedIn = Callable[[User], Client]


@pytest.fixture
def account(clock: Any, alice: User, account_of: AccountOf) -> Account:
    return account_of(alice)


def version(account: Account) -> str:
    return live_updates.version_of(account.pk, timezone.now())


def test_the_version_changes_with_entries_and_free_uses_and_says_when_a_settlement_is_due(
    account: Account, charlie: User, account_of: AccountOf
) -> None:
    now = timezone.now()
    versions = [version(account)]
    for move in (
        lambda: spend(account, "1", now),
        lambda: spend(account, "0", now),
        lambda: spend(account, "0", now, covered_by="own_key"),
        lambda: give(account, "1", now),
    ):
        move()
        versions.append(version(account))
        assert live_updates.version_after(ledger.balance(account.pk, now)) == versions[-1]
    assert len(set(versions)) == 5
    spend(account_of(charlie), "1", now)
    assert version(account) == versions[-1]
    midnight = datetime(2026, 11, 21, tzinfo=UTC)
    assert live_updates.version_of(account.pk, midnight - timedelta(microseconds=1)) == versions[-1]
    assert live_updates.version_of(account.pk, midnight) == live_updates.DUE


@pytest.mark.parametrize("outcome", ["pending", "failed", "paid", "cancelled", "quarantined"])
def test_the_version_changes_with_a_purchase_that_waits_for_its_payment(
    account: Account, charlie: User, account_of: AccountOf, outcome: str
) -> None:
    versions = [version(account)]
    purchase = waiting_purchase(account)
    versions.append(version(account))
    waiting_purchase(account_of(charlie))
    Purchase.objects.filter(pk=purchase.pk).update(status=outcome, paid_at=timezone.now())
    versions.append(version(account))
    assert versions[1] not in {versions[0], versions[2]}
    assert (versions[0] == versions[2]) is (outcome != "pending")
    assert live_updates.version_after(ledger.balance(account.pk, timezone.now())) == versions[2]


def test_only_accounts_whose_version_differs_are_returned(
    account: Account, bob: User, charlie: User, account_of: AccountOf, django_assert_num_queries: Any
) -> None:
    others = [account_of(bob), account_of(charlie)]
    shown = {one.pk: version(one) for one in [account, *others]}
    spend(others[0], "1", timezone.now())
    with django_assert_num_queries(1):
        changed = live_updates.changed(shown, timezone.now())
    assert changed == {others[0].pk: version(others[0])}
    assert live_updates.changed({}, timezone.now()) == {}


def test_a_stamp_lasts_as_long_as_the_right_to_follow(
    bob: User, team: Account, signed_in: SignedIn, account_of: AccountOf
) -> None:
    def stamp() -> str:
        return live_updates.stamps([follower], timezone.now())[0]

    client = signed_in(bob)
    session = client.session
    session[CHOSEN] = str(team.pk)
    session.save()
    follower = Follower(session.session_key or "", bob.pk, team.pk)
    first = stamp()
    assert first and stamp() == first

    session[CHOSEN] = str(account_of(bob).pk)
    session.save()
    assert stamp() not in {"", first}, "another account was chosen"
    first = stamp()
    bob.set_password("another long password")
    bob.save()
    assert stamp() not in {"", first}, "the password was changed"
    first = stamp()
    signals.end_sessions(bob)
    assert stamp() not in {"", first}, "the second factor was changed"

    for ended, table, change in (
        ("not active", User.objects.filter(pk=bob.pk), {"is_active": False}),
        ("erased", Account.objects.filter(pk=team.pk), {"erased_at": timezone.now()}),
        ("expired", Session.objects.filter(pk=session.session_key), {"expire_date": timezone.now()}),
    ):
        before = table.values(*change).get()
        assert stamp(), ended
        table.update(**change)
        assert stamp() == "", ended
        table.update(**before)
    Membership.objects.filter(user=bob, account=team).delete()
    assert stamp() == "", "removed from the team"


def test_the_stamps_of_all_followers_are_one_query(
    alice: User, bob: User, account_of: AccountOf, signed_in: SignedIn, django_assert_num_queries: Any
) -> None:
    followers = [
        Follower(signed_in(user).session.session_key or "", user.pk, account_of(user).pk)
        for user in (alice, bob)
    ]
    signed_out = Follower("0" * 32, alice.pk, account_of(alice).pk)
    stranger = Follower(followers[1].session_key, bob.pk, account_of(alice).pk)
    with django_assert_num_queries(1):
        first, none, foreign, second = live_updates.stamps(
            [followers[0], signed_out, stranger, followers[1]], timezone.now()
        )
    assert first and second and first != second
    assert (none, foreign) == ("", "")


def waiting_purchase(account: Account) -> Purchase:
    return Purchase.objects.create(
        account=account,
        kind="pack",
        origin="page",
        offer="small",
        label="Small pack",
        amount=500,
        list_amount=500,
        currency="usd",
        idempotency_key="waiting",
        created_at=timezone.now(),
    )
