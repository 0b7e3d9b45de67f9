"""One mailbox has one canonical form; a benefit that is given once is claimed once."""

import threading

import pytest
from django.db import connection, transaction
from django.utils import timezone

from accounts import addresses
from accounts.models import VerifiedAddress


@pytest.mark.parametrize(
    ("spelling", "canonical"),
    [
        ("Alice@Example.org", "alice@example.org"),
        ("alice+spam@example.org", "alice@example.org"),
        ("a.l.i.c.e+x@gmail.com", "alice@gmail.com"),
        ("Alice@GoogleMail.com", "alice@gmail.com"),
        ("a.lice@example.org", "a.lice@example.org"),
        ("+x@example.org", "+x@example.org"),
        (" alice@example.org ", "alice@example.org"),
    ],
)
def test_spellings_of_one_mailbox_have_one_form(spelling, canonical):
    assert addresses.canonical(spelling) == canonical


@pytest.mark.requirement("FLICK-03")
def test_an_address_claims_once_whatever_its_spelling(db):
    now = timezone.now()
    assert addresses.claim_once("Alice@gmail.com", "free quota", now)
    assert not addresses.claim_once("a.lice+again@googlemail.com", "free quota", now)
    assert not addresses.claim_once("alice@gmail.com", "free quota", now)


def test_each_purpose_is_claimed_separately(db):
    now = timezone.now()
    assert addresses.claim_once("alice@example.org", "free quota", now)
    assert addresses.claim_once("alice@example.org", "welcome gift", now)


@pytest.mark.requirement("FLICK-03")
def test_the_claim_remains_when_the_user_is_deleted(alice):
    addresses.claim_once(alice.email, "free quota", timezone.now())
    alice.memberships.all().delete()
    alice.delete()
    assert not addresses.claim_once("alice@example.org", "free quota", timezone.now())


def test_no_address_can_be_read_or_recomputed_without_the_pepper(db, settings):
    addresses.claim_once("alice@example.org", "free quota", timezone.now())
    stored = bytes(VerifiedAddress.objects.get().address_hash)
    assert b"alice" not in stored
    settings.ADDRESS_PEPPER = "another"
    assert addresses.claim_once("alice@example.org", "free quota", timezone.now())


def test_a_claim_is_rolled_back_with_its_transaction(db):
    with pytest.raises(RuntimeError), transaction.atomic():
        addresses.claim_once("alice@example.org", "free quota", timezone.now())
        raise RuntimeError
    assert addresses.claim_once("alice@example.org", "free quota", timezone.now())


@pytest.mark.requirement("FLICK-03")
@pytest.mark.django_db(transaction=True)
def test_of_many_concurrent_claims_one_is_the_first():
    start = threading.Barrier(8)
    results = []

    def claim():
        try:
            start.wait(timeout=60)
            results.append(addresses.claim_once("alice@example.org", "free quota", timezone.now()))
        finally:
            connection.close()

    threads = [threading.Thread(target=claim) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    assert sorted(results) == [False] * 7 + [True]
