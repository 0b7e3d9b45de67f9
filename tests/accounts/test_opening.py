"""Opening personal accounts: once, whole, however often and at however many places it is asked for."""

import threading

import pytest
from django.db import connection, transaction
from django.utils import timezone

from accounts import provisioning
from accounts.models import Account, Membership, User

calls: list[dict] = []


def note(**told):
    calls.append(told)


def fail(**told):
    raise RuntimeError


@pytest.fixture(autouse=True)
def hooks(settings):
    calls.clear()
    settings.ACCOUNT_OPENED = "tests.accounts.test_opening.note"
    settings.ADDRESS_VERIFIED = "tests.accounts.test_opening.note"


@pytest.fixture
def dora(db):
    return User.objects.create_user("dora@example.org", "a long enough passphrase")


def test_the_person_owns_the_account_and_billing_is_told(dora):
    now = timezone.now()
    account = provisioning.open_personal_account(dora, now)
    assert account.person == dora
    assert account.name == "dora"
    assert Membership.objects.get(account=account).role == "owner"
    assert calls == [{"account": account, "user": dora, "now": now}]


def test_opening_again_finds_the_same_account(dora):
    first = provisioning.open_personal_account(dora, timezone.now())
    assert provisioning.open_personal_account(dora, timezone.now()) == first
    assert Account.objects.count() == Membership.objects.count() == 1


def test_when_billing_fails_nothing_is_opened(dora, settings):
    settings.ACCOUNT_OPENED = "tests.accounts.test_opening.fail"
    with pytest.raises(RuntimeError), transaction.atomic():
        provisioning.open_personal_account(dora, timezone.now())
    assert not Account.objects.exists()


def test_a_proven_address_is_told_with_its_user(dora):
    now = timezone.now()
    provisioning.address_verified(dora, "dora@example.org", now)
    assert calls[-1] == {"user": dora, "email": "dora@example.org", "now": now}
    assert Account.objects.get(person=dora)


@pytest.mark.django_db(transaction=True)
def test_many_openings_at_once_open_one_account(dora):
    start = threading.Barrier(6)
    opened = []

    def open_it():
        try:
            start.wait(timeout=60)
            opened.append(provisioning.open_personal_account(dora, timezone.now()).pk)
        finally:
            connection.close()

    threads = [threading.Thread(target=open_it) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    assert len(opened) == 6
    assert len(set(opened)) == Account.objects.count() == Membership.objects.count() == 1
