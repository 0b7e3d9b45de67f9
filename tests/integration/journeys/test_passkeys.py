"""Passkeys in a browser with a virtual authenticator.

https://chromedevtools.github.io/devtools-protocol/tot/WebAuthn/
"""

import re
from typing import Any

import pytest
from allauth.mfa.models import Authenticator
from django.core import mail
from playwright.sync_api import CDPSession, Page, Route, expect

from accounts.models import User
from tests.integration.journeys.test_dashboard import is_post, sign_in_again
from tests.integration.journeys.test_first_hour import PASSWORD, sign_up

ADDRESS = "dora@example.org"


@pytest.fixture
def device(page: Page) -> tuple[CDPSession, str]:
    """A device of the user that stores passkeys and verifies the user without a question."""
    protocol = page.context.new_cdp_session(page)
    protocol.send("WebAuthn.enable")
    options = {
        "protocol": "ctap2",
        "transport": "internal",
        "hasResidentKey": True,
        "hasUserVerification": True,
        "isUserVerified": True,
        "automaticPresenceSimulation": True,
    }
    found = protocol.send("WebAuthn.addVirtualAuthenticator", {"options": options})
    return protocol, str(found["authenticatorId"])


def sign_out(page: Page) -> None:
    page.get_by_role("button", name="Account menu").click()
    page.get_by_role("button", name="Sign out").click()


def add_passkey(page: Page, name: str) -> None:
    """Add a passkey, which replaces the session, while a live update of the page has to sign in again."""
    page.goto("/accounts/2fa/")
    page.get_by_role("link", name="Add passkey").click()
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Confirm").click()
    page.get_by_label("Name").fill(name)
    held, answered = list[Route](), list[Route]()

    def answer(route: Route) -> None:
        if held:
            answered.append(route)
            sign_in_again(route)
        else:
            route.continue_()

    page.route("**/webauthn/add/", lambda route: held.append(route) if is_post(route) else route.continue_())
    page.route("**/counter*", answer)
    page.get_by_role("button", name="Create passkey").click(no_wait_after=True)
    for _attempt in range(300):
        if answered:
            break
        page.wait_for_timeout(100)
    page.wait_for_timeout(500)  # the page would be at the sign-in form
    assert len(held) == 1 and answered
    page.unroute("**/counter*")
    held[0].continue_()
    expect(page.locator(".code-list code")).to_have_count(10)  # the recovery codes
    page.unroute("**/webauthn/add/")


def test_a_passkey_is_added_signs_in_confirms_and_is_removed(
    page: Page, site: str, device: tuple[CDPSession, Any]
) -> None:
    protocol, authenticator = device
    sign_up(page, ADDRESS)
    add_passkey(page, "My laptop")
    assert "A passkey was added" in [one.subject for one in mail.outbox]
    stored = Authenticator.objects.get(user__email=ADDRESS, type="webauthn").data["credential"]
    assert set(stored) == {"id", "rawId", "type", "response", "clientExtensionResults"}

    sign_out(page)
    page.goto("/accounts/login/?next=/accounts/2fa/webauthn/")
    page.get_by_role("button", name="Use a passkey").click()
    expect(page).to_have_url(re.compile("/accounts/2fa/webauthn/$"))  # no password and no code
    expect(page.locator("tbody tr")).to_contain_text("My laptop")

    sign_out(page)
    page.get_by_label("E-mail address").fill(ADDRESS)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("heading", name="Two-step sign-in")).to_be_visible()
    page.get_by_role("button", name="Use a passkey").click()
    expect(page.locator("#credit-figure")).to_contain_text("100")

    page.goto("/accounts/2fa/webauthn/")
    page.get_by_role("link", name="Remove").click()
    page.get_by_role("link", name="Use a passkey").click()  # instead of the password
    protocol.send("WebAuthn.setUserVerified", {"authenticatorId": authenticator, "isUserVerified": False})
    page.get_by_role("button", name="Use a passkey").click()
    expect(page.locator("#passkey-failed")).to_contain_text("was not accepted")  # the wrong PIN or finger
    protocol.send("WebAuthn.setUserVerified", {"authenticatorId": authenticator, "isUserVerified": True})
    page.get_by_role("button", name="Use a passkey").click()
    page.get_by_role("button", name="Remove passkey").click()
    expect(page.locator("#messages")).to_contain_text("Passkey removed.")
    assert "A passkey was removed" in [one.subject for one in mail.outbox]
    assert not Authenticator.objects.filter(user=User.objects.get(email=ADDRESS)).exists()

    sign_out(page)
    page.get_by_role("button", name="Use a passkey").click()  # the device still has it
    expect(page.locator("#messages")).to_contain_text("The passkey was not accepted.")
