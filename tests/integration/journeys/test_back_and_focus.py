"""Back after a search shows the whole page, and a live update leaves the focus where it is."""

from collections.abc import Callable

import pytest
from django.utils import timezone
from playwright.sync_api import Page, expect

from accounts.models import Account, User
from tests.usage.spending import spend

pytestmark = pytest.mark.fault("W11")


def test_back_after_a_search_shows_the_whole_page(alice: User, sign_in: Callable[[User], Page]) -> None:
    page = sign_in(alice)
    page.goto("/pricing/")
    rows = page.locator("#service-list tbody tr")
    everything = rows.count()
    page.get_by_role("searchbox").fill("claude")
    page.wait_for_url("**claude**")
    expect(rows).not_to_have_count(everything)
    page.go_back()
    expect(page.locator("#credit-counter")).to_be_visible()
    expect(rows).to_have_count(everything)
    page.go_forward()
    expect(page.locator("#credit-counter")).to_be_visible()
    expect(rows).not_to_have_count(everything)
    rows.first.get_by_role("link").click()
    page.wait_for_url("**/pricing/claude**")
    page.go_back()
    expect(page.locator("#credit-counter")).to_be_visible()
    expect(rows).not_to_have_count(everything)


@pytest.mark.parametrize("focused", ["#credit-counter", "#activity a", "#activity tbody a"])
def test_a_live_update_leaves_the_focus_where_it_is(
    alice: User, account_of: Callable[[User], Account], sign_in: Callable[[User], Page], focused: str
) -> None:
    page, account = sign_in(alice), account_of(alice)
    spend(account, "1", timezone.now(), conversation="c-1")
    page.goto("/")
    element = page.locator(focused).first
    element.focus()
    words = element.inner_text()
    spend(account, "37.5", timezone.now(), conversation="c-81")
    expect(page.locator("#activity tr.is-new")).to_contain_text("c-81")
    expect(page.locator("#credit-figure")).to_contain_text("61.5")
    found = page.evaluate("document.activeElement.innerText")
    assert found == words or (focused == "#credit-counter" and "61.5" in found)
