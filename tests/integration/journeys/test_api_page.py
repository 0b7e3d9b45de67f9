"""The browsable page of the API."""

from playwright.sync_api import Page, expect


def test_the_api_page_works_without_requests_to_other_hosts(page: Page) -> None:
    page.goto("/api/v1/docs/")
    expect(page.get_by_text("Refill API")).to_be_visible()
    charge = page.locator("#operations-charges-postCharges")
    charge.locator(".opblock-summary-control").click()
    expect(charge.get_by_text("Idempotency-Key").first).to_be_visible()
