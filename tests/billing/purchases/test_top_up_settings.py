"""Settings of automatic top-up: what is refused, and what the page says may be charged."""

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from accounts.models import Account, User
from billing import ledger
from billing.models import AutoTopUp, BillingProfile
from billing.purchases import top_up_settings
from pricing.models import Pack
from tests.billing import stripe_sandbox
from tests.billing.conftest import change_policies, smallest_pack

pytestmark = pytest.mark.django_db


def test_settings_that_can_never_buy_or_never_stop_are_refused(stripe_api: Any, account: Account) -> None:
    change_policies(auto_top_up={"largest_monthly_packs": 5, "assumed": False, "reason": ""})

    def refused_field(**changes: Any) -> str:
        settings: dict[str, Any] = {
            "enabled": True,
            "below": Decimal(1),
            "pack": smallest_pack(),
            "user": None,
        }
        settings |= {"currency": "usd", "monthly_amount": 10**6, "monthly_count": 2}
        with pytest.raises(top_up_settings.SettingsInvalid) as refusal:
            top_up_settings.change(account_id=account.pk, now=timezone.now(), **settings | changes)
        return refusal.value.field

    assert refused_field() == "enabled"  # no card
    stripe_sandbox.save_card(account)
    assert refused_field(monthly_amount=1) == "monthly_amount"
    assert refused_field(monthly_count=6) == "monthly_count"
    assert refused_field(pack="nothing") == "pack"
    assert refused_field(currency="xxx") == "currency"
    assert refused_field(currency="xxx", enabled=False) == "currency"
    assert refused_field(below=Pack.objects.get(key=smallest_pack()).credits + 1) == "below"
    BillingProfile.objects.update(card_expires="01/2020")
    assert refused_field() == "enabled"
    assert ledger.balance(account.pk, timezone.now()).total >= 0


def test_staff_resume_it_only_while_it_is_on_and_with_a_card_that_can_be_charged(
    stripe_api: Any, account: Account
) -> None:
    AutoTopUp.objects.create(account=account, enabled=True, failures=4, suspended_card="pm_1")

    def refusal() -> str:
        with pytest.raises(top_up_settings.SettingsInvalid) as refused:
            top_up_settings.resume(account.pk, timezone.now())
        assert AutoTopUp.objects.get().failures == 4
        return str(refused.value.code)

    assert refusal() == "no_card"
    stripe_sandbox.save_card(account)
    AutoTopUp.objects.update(failures=4, suspended_card="pm_1")
    BillingProfile.objects.update(card_expires="01/2020")
    assert refusal() == "card_expired"
    BillingProfile.objects.update(card_expires="01/2040")
    AutoTopUp.objects.update(enabled=False)
    assert refusal() == "off"
    AutoTopUp.objects.update(enabled=True)
    assert top_up_settings.resume(account.pk, timezone.now()).failures == 0


def test_the_buyer_of_top_ups_is_who_saved_the_settings_on_the_page_and_no_key_changes_that(
    stripe_api: Any, account: Account, alice: User, signed_in: Callable[[User], Client], api_of: Any
) -> None:
    stripe_sandbox.save_card(account)
    browser = signed_in(alice)
    form = browser.get("/billing/auto-top-up/").context["form"].initial | {"enabled": "on"}
    assert browser.post("/billing/auto-top-up/", form).status_code == 302
    assert AutoTopUp.objects.get().set_by == alice

    assert api_of(alice).put("auto-top-up", {"enabled": False}).status_code == 200
    saved = AutoTopUp.objects.get()
    assert (saved.enabled, saved.set_by) == (False, alice)
