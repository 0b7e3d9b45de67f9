"""One mailbox has one canonical form; what may be had once ever is had once."""

import threading

import pytest
from django.db import connection, transaction
from django.utils import timezone

from accounts import addresses
from accounts.models import VerifiedAddress


@pytest.mark.parametrize(
    ("spelling", "form"),
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
def test_spellings_of_one_mailbox_have_one_form(spelling, form):
    assert addresses.canonical(spelling) == form


@pytest.mark.requirement("FLICK-03")
def test_an_address_claims_once_whatever_its_spelling(db):
    now = timezone.now()
    assert addresses.claim_once("Alice@gmail.com", "free quota", now)
    assert not addresses.claim_once("a.lice+again@googlemail.com", "free quota", now)
    assert not addresses.claim_once("alice@gmail.com", "free quota", now)


def test_each_purpose_is_claimed_by_itself(db):
    now = timezone.now()
    assert addresses.claim_once("alice@example.org", "free quota", now)
    assert addresses.claim_once("alice@example.org", "welcome gift", now)


@pytest.mark.requirement("FLICK-03")
def test_the_claim_outlives_the_user(alice):
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


def test_a_claim_of_a_transaction_that_failed_is_free_again(db):
    with pytest.raises(RuntimeError), transaction.atomic():
        addresses.claim_once("alice@example.org", "free quota", timezone.now())
        raise RuntimeError
    assert addresses.claim_once("alice@example.org", "free quota", timezone.now())


@pytest.mark.requirement("FLICK-03")
@pytest.mark.django_db(transaction=True)
def test_of_many_claims_at_once_one_is_the_first():
    start = threading.Barrier(8)
    firsts = []

    def claim():
        try:
            start.wait(timeout=60)
            firsts.append(addresses.claim_once("alice@example.org", "free quota", timezone.now()))
        finally:
            connection.close()

    threads = [threading.Thread(target=claim) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    assert sorted(firsts) == [False] * 7 + [True]
