"""What a new account gets, and what is granted once for each mailbox."""

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from django.core.management import call_command
from django.test import Client
from django.utils import timezone

from accounts.models import Account, User
from billing import ledger, provisioning
from billing.models import PlanChange, Subscription
from billing.subscriptions import lifecycle, plan_terms
from tests.conftest import person

pytestmark = pytest.mark.django_db


def total(account: Account, at: Any = None) -> Decimal:
    return ledger.balance(account.pk, at or timezone.now()).total


@pytest.mark.requirement("REFLY-18")
def test_a_new_user_has_the_free_trial_at_once(account: Account) -> None:
    terms = plan_terms.get(account.pk)

    assert (terms.plan, terms.paid, total(account)) == ("free-trial", False, 100)
    assert terms.quotas["files"].maximum == 100
    assert PlanChange.objects.get(account=account).entered == "free-trial"


def test_opening_an_account_twice_grants_once(account: Account, alice: User) -> None:
    for _ in range(2):
        provisioning.open_account(account=account, user=alice, now=timezone.now())

    assert total(account) == 100
    assert Subscription.objects.filter(account=account).count() == 1


@pytest.fixture
def codeflicker(db: None) -> None:
    call_command("load_catalogue", "codeflicker", verbosity=0)


@pytest.mark.requirement("FLICK-03", "FLICK-04")
def test_the_free_quota_is_granted_once_for_a_verified_mailbox_for_one_month(
    codeflicker: None, later: Callable[..., Any]
) -> None:
    user = person("dora")
    account = Account.objects.get(person=user)
    assert total(account) == 0  # nothing before the address is verified
    now = timezone.now()

    for _ in range(2):
        provisioning.address_verified(user=user, email=user.email, now=now)
    quota = total(account)
    assert quota > 0
    assert total(account, later(days=32)) == 0

    twin = person("dora+again")
    provisioning.address_verified(user=twin, email="Dora+other@example.org", now=now)
    assert total(Account.objects.get(person=twin)) == 0


@pytest.mark.requirement("FLICK-03")
def test_returning_to_the_free_plan_grants_no_second_quota(codeflicker: None) -> None:
    user = person("dora")
    account = Account.objects.get(person=user)
    provisioning.address_verified(user=user, email=user.email, now=timezone.now())
    quota = total(account)
    plan = lifecycle.free_plan()
    subscription = Subscription.objects.get(account=account)

    Subscription.objects.filter(pk=subscription.pk).update(plan="gone")
    subscription.refresh_from_db()
    lifecycle.change_plan(subscription, plan, now=timezone.now(), reason="returned")
    provisioning.address_verified(user=user, email=user.email, now=timezone.now())

    assert total(account) == quota


@pytest.mark.requirement("REFLY-12")
def test_the_subscription_page_shows_total_balance_and_todays_refresh(
    alice: User, signed_in: Callable[[User], Client]
) -> None:
    text = signed_in(alice).get("/billing/subscription/").content.decode()

    assert "Total balance" in text and "Today" in text and "Resets" in text


@pytest.mark.requirement("REFLY-10")
def test_early_birds_have_their_models_without_limit(account: Account) -> None:
    lifecycle.assign_plan(account=account, plan_key="early-bird", actor="staff", now=timezone.now())

    terms = plan_terms.get(account.pk)
    assert len(terms.unlimited_services) == 11
    assert terms.badge
