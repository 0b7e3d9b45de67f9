"""What is stored of the cards that Stripe would charge, and what that does to automatic top-up."""

from typing import Any

import pytest
from django.utils import timezone

from accounts.models import Account
from billing.models import AutoTopUp, BillingProfile, Mail
from billing.payments import cards

pytestmark = pytest.mark.django_db


def card(card_id: str) -> dict[str, Any]:
    details = {"brand": "visa", "last4": card_id[-4:], "exp_month": 3, "exp_year": 2031}
    return {"id": card_id, "type": "card", "card": details}


def store(account: Account, default: str | None, for_plan: str | None = None) -> BillingProfile:
    version = BillingProfile.objects.get().cards_version
    found = [card(one) if one else None for one in (default, for_plan)]
    cards.store(cards.CardsAtStripe(account.pk, version, *found), timezone.now())
    return BillingProfile.objects.get()


def test_brand_last_digits_and_expiry_are_stored_of_the_card_of_each_use(account: Account) -> None:
    BillingProfile.objects.create(account=account)
    profile = store(account, "pm_0001", "pm_0002")
    assert (profile.card_id, profile.card_brand, profile.card_last4) == ("pm_0001", "visa", "0001")
    assert (profile.plan_card_id, profile.plan_card_last4) == ("pm_0002", "0002")
    assert profile.card_expires == profile.plan_card_expires == "03/2031"


@pytest.mark.parametrize(
    ("found", "suspended", "remains"),
    [
        ("pm_0001", "pm_0001", True),  # the same card
        ("pm_0001", "", True),
        ("pm_0002", "pm_0001", False),  # another card
        ("pm_0002", "", False),
        ("pm_0002", "pm_0002", True),  # the one that failed
    ],
)
def test_another_card_than_the_one_that_failed_ends_the_pause_of_top_ups(
    account: Account, found: str, suspended: str, remains: bool
) -> None:
    BillingProfile.objects.create(account=account, card_id="pm_0001")
    AutoTopUp.objects.create(
        account=account, enabled=True, failures=2, last_outcome="declined", suspended_card=suspended
    )
    store(account, found)
    after = AutoTopUp.objects.get()
    kept = (2, "declined", suspended) if remains else (0, "", "")
    assert (after.failures, after.last_outcome, after.suspended_card) == kept


@pytest.mark.parametrize("enabled", [True, False])
def test_the_owners_are_told_which_card_of_top_ups_was_removed_while_these_are_on(
    account: Account, enabled: bool
) -> None:
    BillingProfile.objects.create(account=account)
    AutoTopUp.objects.create(account=account, enabled=enabled)
    store(account, "pm_0001")
    BillingProfile.objects.update(plan_card_last4="0002")
    store(account, None)
    store(account, None)
    told = [(mail.template, mail.context) for mail in Mail.objects.all()]
    assert told == ([("top_up_card_removed", {"card": "Visa", "last4": "0001"})] if enabled else [])
