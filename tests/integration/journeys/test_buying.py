"""Buying credits and plans in a browser: payment, declined card, cancellation, double click, 3-D Secure."""

from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from accounts.models import User
from billing.models import Grant, Purchase

SignIn = Callable[[User], Page]
PAYS, DECLINED, REQUIRES_3DS = "4242 4242 4242 4242", "4000 0000 0000 0002", "4000 0025 0000 3155"


def to_payment(page: Page) -> None:
    """Open the payment page of the smallest pack from the credit counter, without leaving the page before."""
    before = page.url
    page.click("#credit-counter")
    page.locator("#credit-panel").get_by_role("link", name="Buy more").click()
    dialog = page.get_by_role("dialog", name="Buy credits")
    expect(dialog).to_be_visible()
    expect(page.locator("#credit-panel")).to_be_hidden()
    assert page.url == before
    dialog.get_by_role("button", name="Add credits").first.click()
    page.wait_for_url("**/sandbox/checkout/**")


def fill_card(page: Page, number: str) -> None:
    page.fill("[name=number]", number)
    page.fill("[name=expiry]", "12 / 34")
    page.fill("[name=cvc]", "123")


@pytest.mark.requirement("RECR-07", "APIN-02")
def test_the_credits_are_shown_within_two_seconds_of_the_return(alice: User, sign_in: SignIn) -> None:
    page = sign_in(alice)
    page.goto("/")
    expect(page.locator("#credit-figure")).to_contain_text("100")
    to_payment(page)
    fill_card(page, PAYS)

    polls: list[str] = []
    page.on("request", lambda request: polls.append(request.url) if "/state/" in request.url else None)
    page.click("button.pay")
    page.wait_for_url("**/return/**")

    expect(page.get_by_role("heading", name="credits added")).to_be_visible()
    credits = Purchase.objects.get().credits
    expect(page.locator("#credit-figure")).to_contain_text(f"{100 + credits:,.0f}")
    assert len(polls) <= 1, (
        "the page polls every 1.5 seconds: the credits are shown at once or after the first poll"
    )


def test_a_declined_card_shows_an_error_and_another_card_pays(alice: User, sign_in: SignIn) -> None:
    page = sign_in(alice)
    page.goto("/")
    to_payment(page)
    fill_card(page, DECLINED)
    page.click("button.pay")
    expect(page.locator("[role=alert]").first).to_contain_text("declined")
    assert not Grant.objects.filter(kind="top_up").exists()

    fill_card(page, PAYS)
    page.click("button.pay")

    expect(page.get_by_role("heading", name="credits added")).to_be_visible()
    assert Purchase.objects.count() == 1


def test_cancelling_the_payment_charges_nothing(alice: User, sign_in: SignIn) -> None:
    page = sign_in(alice)
    page.goto("/")
    to_payment(page)
    page.get_by_role("link", name="Cancel").click()

    expect(page.get_by_role("heading", name="Purchase not paid")).to_be_visible()
    page.get_by_role("button", name="Continue to payment").click()
    page.wait_for_url("**/sandbox/checkout/**")
    page.go_back()
    page.get_by_role("button", name="Cancel purchase").click()
    expect(page.get_by_text("Nothing was charged.").first).to_be_visible()
    assert Purchase.objects.get().status == "cancelled"


def test_a_double_click_creates_one_purchase(alice: User, sign_in: SignIn) -> None:
    page = sign_in(alice)
    page.goto("/billing/buy/")
    page.locator(".pack a[data-dialog]").first.click()
    page.get_by_role("dialog").get_by_role("button", name="Continue to payment").dblclick()
    page.wait_for_url("**/sandbox/checkout/**")

    assert Purchase.objects.count() == 1


def test_a_card_that_requires_authentication_is_confirmed_and_credited(alice: User, sign_in: SignIn) -> None:
    page = sign_in(alice)
    page.goto("/")
    to_payment(page)
    fill_card(page, REQUIRES_3DS)
    page.click("button.pay")
    page.wait_for_url("**/sandbox/authenticate/**")
    page.locator("button[type=submit]").first.click()

    expect(page.get_by_role("heading", name="credits added")).to_be_visible()


def test_a_plan_is_selected_and_paid(alice: User, sign_in: SignIn) -> None:
    page = sign_in(alice)
    page.goto("/plans/")
    page.get_by_role("link", name="Change to Starter").click()
    page.get_by_role("button", name="Continue to payment").click()
    page.wait_for_url("**/sandbox/checkout/**")
    fill_card(page, PAYS)
    page.click("button.pay")

    expect(page.get_by_role("heading", name="Welcome to Starter")).to_be_visible()
    page.goto("/billing/subscription/")
    expect(page.locator("main")).to_contain_text("Starter")
    expect(page.locator("main")).to_contain_text("Today's refresh")


def test_every_billing_page_fits_a_narrow_screen(alice: User, sign_in: SignIn) -> None:
    page = sign_in(alice)
    page.set_viewport_size({"width": 390, "height": 844})
    for path in (
        "buy/",
        "",
        "purchases/",
        "subscription/",
        "alerts/",
        "auto-top-up/",
        "redeem/",
        "invitations/",
    ):
        page.goto(f"/billing/{path}")
        overflow: Any = page.evaluate(
            "document.documentElement.scrollWidth - document.documentElement.clientWidth"
        )
        assert overflow <= 0, path
    page.goto("/plans/")
    assert page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth") <= 0
