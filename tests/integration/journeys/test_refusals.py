"""From a refused call to the limit that refused it, on a phone."""

from collections.abc import Callable
from decimal import Decimal
from typing import Any

from django.utils import timezone
from playwright.sync_api import Page, expect

from accounts.models import Account, User
from usage import projects
from usage.refusals import storing

CALL = {"service": "claude-sonnet-4", "usage": {"tokens": 5000}}  # 11 credits


def test_a_refused_call_leads_to_the_limit_that_is_raised(
    alice: User, account_of: Callable[[User], Account], sign_in: Callable[[User], Page], api_of: Any
) -> None:
    api = api_of(alice)
    project = projects.create(
        account_id=account_of(alice).pk, name="Website", daily_limit=Decimal(5), now=timezone.now()
    )
    call = CALL | {"project": project.public_id}
    assert api.post("charges", call, key="1").status_code == 429
    storing.store_counted()
    page = sign_in(alice)
    page.set_viewport_size({"width": 390, "height": 800})
    page.goto("/")
    page.click("text=View reasons")
    row = page.locator("tbody tr")
    expect(row).to_contain_text("Website: 0 of 5 credits were used.")
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    reason = page.get_by_label("Reason")
    reason.select_option("limit_reached")
    page.wait_for_url("**reason=limit_reached**")
    page.go_back()
    expect(reason).to_have_value("")  # the filter of the results that are shown, not the one chosen last
    row.get_by_role("link", name="Raise limit").click()
    page.get_by_role("textbox", name="Daily limit").fill("20")
    page.get_by_role("button", name="Save").first.click()
    expect(page.locator("body")).to_contain_text("saved")
    assert api.post("charges", call, key="1").status_code == 201
