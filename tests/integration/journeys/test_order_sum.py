"""The sum of an order follows what is entered; a request that fails is reported in view."""

from collections.abc import Callable

import pytest
from django.utils import timezone
from playwright.sync_api import Page, expect

from accounts.models import Account, User
from pricing.models import Pack
from tests.usage.spending import spend

SignIn = Callable[[User], Page]


@pytest.mark.parametrize("width", [390, 1440])
def test_the_dialog_shows_the_total_of_the_entered_quantity(alice: User, sign_in: SignIn, width: int) -> None:
    page = sign_in(alice)
    page.set_viewport_size({"width": width, "height": 900})
    page.goto("/billing/buy/")
    page.locator(".pack a[data-dialog]").first.click()
    dialog = page.get_by_role("dialog").filter(has_text="Continue to payment")
    dialog.get_by_label("Quantity").fill("3")
    dialog.get_by_label("Quantity").press("Tab")
    pack = Pack.objects.filter(retired_at=None).order_by("position", "key")[0]
    expect(dialog.locator(".order-sum")).to_contain_text(f"{pack.credits * 3:,.0f}")
    expect(dialog.locator(".order-sum")).to_contain_text("Total")
    dialog.get_by_text("Promotion code").first.click()
    dialog.get_by_role("textbox").fill("nothing")
    dialog.get_by_role("textbox").press("Tab")
    expect(dialog.locator(".order-sum")).to_contain_text("This code does not exist.")
    expect(dialog.locator(".order-sum")).to_contain_text("Total")
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_a_failed_request_is_reported_in_view(
    alice: User, account_of: Callable[[User], Account], sign_in: SignIn
) -> None:
    page = sign_in(alice)
    for _ in range(60):
        spend(account_of(alice), "0.5", timezone.now())
    page.goto("/history/")
    page.route("**/history/?*before=*", lambda route: route.abort())
    page.get_by_role("link", name="Load more").click()
    message = page.locator("#request-failed")
    expect(message).to_be_visible()
    expect(message).to_be_in_viewport()


def test_a_counter_that_is_not_up_to_date_looks_so(alice: User, sign_in: SignIn) -> None:
    page = sign_in(alice)
    page.goto("/")
    figure = page.locator("#credit-figure .counter-figure")
    expect(figure).to_have_css("font-weight", "600")
    page.route("**/counter*", lambda route: route.abort())
    page.evaluate("document.getElementById('credit-stale').hidden = false")
    expect(figure).to_have_css("font-weight", "400")
