"""A personal account is opened once and completely, however often and concurrently it is requested."""

import threading

import pytest
from django.db import connection
from django.utils import timezone

from accounts import registration
from accounts.models import Account, Membership, User
from billing.models import Subscription, Wallet


@pytest.fixture
def dora(catalogue):
    return User.objects.create_user("dora@example.org", "a long enough passphrase")


def refuse(**_):
    raise RuntimeError


def test_the_user_owns_the_account_which_has_a_wallet_and_a_plan(dora):
    account = registration.open_personal_account(dora, timezone.now())
    assert account.person == dora
    assert account.name == "dora"
    assert Membership.objects.get(account=account).role == "owner"
    assert Wallet.objects.filter(account=account).exists()
    assert Subscription.objects.filter(account=account).exists()


def test_opening_again_finds_the_same_account(dora):
    first = registration.open_personal_account(dora, timezone.now())
    assert registration.open_personal_account(dora, timezone.now()) == first
    assert Account.objects.count() == Membership.objects.count() == 1


@pytest.mark.parametrize("signal", [registration.account_opened, registration.address_verified])
def test_when_a_receiver_fails_nothing_is_opened(dora, signal):
    signal.connect(refuse)
    try:
        with pytest.raises(RuntimeError):
            registration.confirm_address(dora, "dora@example.org", timezone.now())
    finally:
        signal.disconnect(refuse)
    assert not Account.objects.exists()


def test_receivers_of_a_verified_address_get_its_user(dora):
    received = []

    def receive(user, email, now, **_):
        received.append((user, email, now))

    now = timezone.now()
    registration.address_verified.connect(receive)
    registration.confirm_address(dora, "dora@example.org", now)
    registration.address_verified.disconnect(receive)
    assert received == [(dora, "dora@example.org", now)]
    assert Account.objects.get(person=dora)


@pytest.mark.django_db(transaction=True)
def test_many_openings_at_once_open_one_account(dora):
    start = threading.Barrier(6)
    opened = []

    def open_account():
        try:
            start.wait(timeout=60)
            opened.append(registration.open_personal_account(dora, timezone.now()).pk)
        finally:
            connection.close()

    threads = [threading.Thread(target=open_account) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    assert len(opened) == 6
    assert len(set(opened)) == Account.objects.count() == Membership.objects.count() == 1
