"""Somebody who writes a program looks the API up in a browser."""

from playwright.sync_api import Page, expect


def test_the_api_can_be_browsed_without_a_request_to_anybody_else(page: Page) -> None:
    page.goto("/api/v1/docs/")
    expect(page.get_by_text("Refill API")).to_be_visible()
    charge = page.locator("#operations-charges-postCharges")
    charge.locator(".opblock-summary-control").click()
    expect(charge.get_by_text("Idempotency-Key").first).to_be_visible()
