"""The first steps of a new user: account, free credits, an API key, a second factor."""

import json
import re
import urllib.error
import urllib.request

import pytest
from allauth.mfa.totp.internal import auth as totp
from playwright.sync_api import Page, expect

from tests.accounts.mailbox import code_sent_to

PASSWORD = "a long enough passphrase"


def sign_up(page: Page, address: str) -> None:
    page.goto("/accounts/signup/")
    page.get_by_label("E-mail address").fill(address)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Create account").click()
    page.get_by_label("Code").fill(code_sent_to(address.lower()))
    page.get_by_role("button", name="Confirm").click()
    expect(page).to_have_url(re.compile(r"/$"))


def request_api(site: str, path: str, secret: str, body: dict | None = None) -> tuple[int, dict]:
    request = urllib.request.Request(
        f"{site}/api/v1/{path}",
        data=json.dumps(body).encode() if body else None,
        headers={
            "Authorization": f"Bearer {secret}",
            "Content-Type": "application/json",
            "Idempotency-Key": "first-hour",
        },
    )
    try:
        with urllib.request.urlopen(request, timeout=10) as response:
            return response.status, json.load(response)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


@pytest.mark.requirement("REFLY-18")
def test_a_new_user_signs_up_and_creates_and_revokes_a_key(page: Page, site: str) -> None:
    sign_up(page, "Dora@Example.org")
    expect(page.locator("#credit-figure")).to_contain_text("100")

    page.get_by_role("link", name="API keys").click()
    page.get_by_label("Name").fill("My first program")
    page.get_by_role("button", name="Create key").click()
    secret = page.locator("#secret").inner_text().strip()
    status, balance = request_api(site, "balance", secret)
    assert (status, balance["available"]) == (200, "100")
    page.reload()  # submits the form again
    expect(page.locator("tbody tr")).to_have_count(1)
    assert secret not in page.content()

    page.get_by_role("link", name="Revoke").first.click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_be_visible()
    name = dialog.locator("h2").inner_text()
    dialog.get_by_role("button", name="Revoke").click()
    expect(page.locator("#messages")).to_contain_text("Requests with this key are rejected")
    assert "My first program" in name


def test_a_second_factor_is_set_up_and_required_at_sign_in(page: Page, site: str) -> None:
    sign_up(page, "dora@example.org")
    page.goto("/accounts/2fa/")
    page.get_by_role("link", name="Set up authenticator").click()
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Confirm").click()
    page.get_by_text("Can't scan the QR code?").click()
    secret = page.locator("details code").inner_text().strip()
    page.get_by_label("Code").fill(shown_by_app(secret))
    page.get_by_role("button", name="Turn on authenticator").click()
    expect(page.locator(".code-list code")).to_have_count(10)
    codes = page.locator(".code-list code").all_inner_texts()

    page.get_by_role("button", name="Account menu").click()
    page.get_by_role("button", name="Sign out").click()
    page.get_by_label("E-mail address").fill("dora@example.org")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("heading", name="Two-step sign-in")).to_be_visible()
    page.get_by_label("Code").fill(codes[0])
    page.get_by_role("button", name="Sign in").click()
    expect(page.locator("#credit-figure")).to_contain_text("100")


def shown_by_app(secret: str) -> str:
    counter = next(iter(totp.yield_hotp_counters_from_time()))
    return totp.format_hotp_value(totp.hotp_value(secret, counter))
