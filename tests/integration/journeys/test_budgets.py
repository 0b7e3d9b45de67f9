"""The page of a budget follows its tree while agents work, and fits a phone."""

from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from typing import Any

from django.utils import timezone
from playwright.sync_api import Page, expect

from accounts.models import Account, User
from billing import ledger

SignIn = Callable[[User], Page]


def test_a_running_tree_is_followed_on_a_phone(
    alice: User, account_of: Callable[[User], Account], sign_in: SignIn
) -> None:
    account, now = account_of(alice), timezone.now()

    def hold(credits: str, purpose: str, **more: Any) -> ledger.Held:
        request = ledger.ChargeRequest(
            account_id=account.pk,
            credits=Decimal(credits),
            key=purpose,
            service="claude-sonnet-4",
            detail={"metadata": {"purpose": purpose}},
        )
        return ledger.hold(request, expires_at=now + timedelta(hours=1), now=now, **more)

    root = hold("60", "Write the annual report of the company")
    research = hold("30.123456", "Research", parent=root.hold_id)
    search = hold("10.5", "Search the web for sources", parent=research.hold_id)
    page = sign_in(alice)
    page.set_viewport_size({"width": 390, "height": 800})
    page.goto("/usage/")
    page.click("text=View budgets")
    page.click("text=Write the annual report")
    spent = page.locator("#tree .stat-figure").first
    expect(spent).to_have_text("0")
    ledger.capture(
        account_id=account.pk,
        hold_id=search.hold_id,
        credits=Decimal("7.25"),
        key="capture",
        detail={},
        now=timezone.now(),
    )
    expect(spent).to_have_text("7.25")
    expect(page.locator("tr", has_text="Search the web")).to_contain_text("7.25")
    assert page.evaluate("document.documentElement.scrollWidth") == 390
