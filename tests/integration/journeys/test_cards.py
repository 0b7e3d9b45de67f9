"""Saving, replacing, confirming and removing a card in a browser, on a narrow screen."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from django.utils import timezone
from playwright.sync_api import Page, expect

from accounts.models import Account, User
from billing.models import AutoTopUp, Grant
from billing.purchases import auto_top_up
from sandbox.objects import deliveries
from tests.billing.conftest import smallest_pack

SignIn = Callable[[User], Page]
VISA, MASTERCARD, ALWAYS_3DS = "4242 4242 4242 4242", "5555 5555 5555 4444", "4000 0027 6000 3184"
PICTURES = os.environ.get("PICTURES")  # a directory; unset in the suite


def picture(page: Page, name: str) -> None:
    """The page fits the screen; its picture is stored for a reader who wants to look at it."""
    assert page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth") <= 0
    if PICTURES:
        page.screenshot(path=Path(PICTURES) / f"{name}.png", full_page=True)


def enter_card(page: Page, button: str, number: str) -> None:
    page.get_by_role("button", name=button).click()
    page.wait_for_url("**/sandbox/checkout/**")
    page.fill("[name=number]", number)
    page.fill("[name=expiry]", "12 / 34")
    page.fill("[name=cvc]", "123")
    page.click("button.pay")


@pytest.mark.fault("P26")
def test_a_card_is_saved_replaced_confirmed_and_removed(alice: User, sign_in: SignIn) -> None:
    account = Account.objects.get(person=alice)
    page = sign_in(alice)
    page.set_viewport_size({"width": 390, "height": 844})
    page.goto("/billing/auto-top-up/")
    page.get_by_label("Buy credits automatically").check()
    page.get_by_role("button", name="Save automatic top-up").click()
    expect(page.get_by_text("Save a card before you switch on")).to_be_visible()
    picture(page, "1-no-card")

    enter_card(page, "Save card", VISA)
    expect(page.get_by_text("Visa ending in 4242 saved.")).to_be_visible()
    picture(page, "2-saved")

    page.goto("/billing/auto-top-up/")
    page.get_by_label("Buy credits automatically").check()
    page.get_by_role("button", name="Save automatic top-up").click()
    expect(page.get_by_text("in a calendar month")).to_contain_text("Visa ···· 4242 is charged")
    picture(page, "3-consent")

    enter_card(page, "Replace card", ALWAYS_3DS)
    page.wait_for_url("**/sandbox/authenticate/**")
    page.locator("button[value=pass]").click()
    expect(page.get_by_text("ending in 3184 saved.")).to_be_visible()

    AutoTopUp.objects.filter(account=account).update(below=10**6, pack=smallest_pack())
    assert auto_top_up.buy_if_low(account.pk, timezone.now()) == "authenticate"
    page.goto("/billing/auto-top-up/")
    picture(page, "4-confirm")
    page.get_by_role("button", name="Confirm payment").click()
    page.wait_for_url("**/sandbox/authenticate/**")
    page.locator("button[value=pass]").click()
    expect(page.get_by_text("Payment confirmed.")).to_be_visible()
    picture(page, "5-confirmed")
    assert Grant.objects.filter(account=account, kind="top_up").count() == 1

    AutoTopUp.objects.filter(account=account).update(enabled=False)
    page.goto("/billing/")
    page.get_by_role("button", name="Remove card").click()
    expect(page.get_by_text("Card removed.")).to_be_visible()
    expect(page.get_by_text("No card saved")).to_be_visible()
    deliveries.wait_until_idle()
    page.reload()
    expect(page.get_by_text("No card saved")).to_be_visible()
    picture(page, "6-removed")
