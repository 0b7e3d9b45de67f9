"""CodeFlicker's free quota is granted when an address is verified, once for each mailbox."""

import pytest
from django.core.management import call_command
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from accounts.models import Account, User
from billing import ledger
from billing.models import Subscription
from tests.accounts.mailbox import code_sent_to

PASSWORD = "a long enough passphrase"


@pytest.fixture
def codeflicker(db):
    call_command("load_catalogue", "codeflicker", verbosity=0)


def sign_up(address):
    browser = Client()
    browser.post(reverse("account_signup"), {"email": address, "password1": PASSWORD})
    return browser


def verify_address(browser, address):
    browser.post(reverse("account_email_verification_sent"), {"code": code_sent_to(address)})


def credits_of(address):
    account = Account.objects.get(person__email=address)
    return ledger.balance(account.pk, timezone.now()).available


@pytest.mark.requirement("FLICK-03")
def test_the_quota_is_granted_when_the_address_is_verified(codeflicker):
    browser = sign_up("dora@example.org")
    assert credits_of("dora@example.org") == 0
    verify_address(browser, "dora@example.org")
    assert credits_of("dora@example.org") > 0


@pytest.mark.requirement("FLICK-03")
def test_another_spelling_of_the_address_gets_no_second_quota(codeflicker):
    for address in ("dora@gmail.com", "d.o.r.a+again@gmail.com"):
        verify_address(sign_up(address), address)
    assert credits_of("dora@gmail.com") > 0
    assert credits_of("d.o.r.a+again@gmail.com") == 0


@pytest.mark.requirement("FLICK-03")
def test_a_new_account_after_deletion_gets_no_second_quota(codeflicker):
    verify_address(sign_up("dora@example.org"), "dora@example.org")
    User.objects.get(email="dora@example.org").delete()
    verify_address(sign_up("dora@example.org"), "dora@example.org")
    assert credits_of("dora@example.org") == 0


@pytest.mark.requirement("FLICK-03")
def test_signing_in_again_grants_no_second_quota(codeflicker):
    browser = sign_up("dora@example.org")
    verify_address(browser, "dora@example.org")
    first = credits_of("dora@example.org")
    for _ in range(3):
        browser.post(reverse("account_logout"))
        browser.post(reverse("account_login"), {"login": "dora@example.org", "password": PASSWORD})
    assert credits_of("dora@example.org") == first


def test_the_quota_is_that_of_the_free_plan_and_an_invitation_is_used_once(codeflicker):
    browser = sign_up("dora@example.org")
    Subscription.objects.update(plan="another")
    session = browser.session
    session["invitation"] = "INV-FOLLOWED"
    session.save()
    verify_address(browser, "dora@example.org")
    assert credits_of("dora@example.org") == 0
    assert User.objects.get().emailaddress_set.get().verified
    assert "invitation" not in browser.session
