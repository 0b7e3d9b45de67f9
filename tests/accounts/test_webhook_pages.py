"""The pages of webhooks, without JavaScript, and the admin of endpoints of the platform."""

from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from accounts import encryption
from accounts.models import Account, User, WebhookDelivery, WebhookEndpoint
from accounts.webhook_endpoints import endpoints
from tests.accounts.webhook_endpoints.conftest import FAILS, GONE, happen, new_endpoint, send_all

pytestmark = pytest.mark.django_db
URL = "https://hooks.example.com/refill"


@pytest.fixture
def account(alice: User) -> Account:
    return Account.objects.get(person=alice)


@pytest.fixture
def browser(alice: User, signed_in: Callable[[User], Client]) -> Client:
    return signed_in(alice)


def text(response: Any) -> str:
    return response.content.decode()  # type: ignore[no-any-return]


def test_the_secret_is_shown_once(browser: Client, account: Account) -> None:
    form = {"once": "a", "url": URL, "description": "Production", "events": ["purchase.paid"]}
    response = browser.post("/webhooks/", form)
    endpoint = WebhookEndpoint.objects.get(account=account)
    secret = encryption.decrypt(endpoint.secret)
    assert secret in text(response)
    reloaded = browser.post("/webhooks/", form, follow=True)
    assert WebhookEndpoint.objects.count() == 1
    for page in (reloaded, browser.get("/webhooks/"), browser.get(f"/webhooks/{endpoint.public_id}/")):
        assert URL in text(page) and "Production" in text(page)
        assert secret not in text(page)


def test_an_endpoint_is_changed(browser: Client, account: Account) -> None:
    endpoint = new_endpoint(account)
    path = f"/webhooks/{endpoint.public_id}/"
    form = {"url": URL, "description": "", "events": ["member.added"]}
    saved = browser.post(path, form, follow=True)
    assert "The endpoint was saved." in text(saved)
    assert saved.context["form"]["events"].value() == ["member.added"], "shown as it was saved"
    endpoint.refresh_from_db()
    assert (endpoint.url, endpoint.events) == (URL, ["member.added"])
    refused = browser.post(path, form | {"url": "https://169.254.169.254/"})
    assert refused.status_code == 422
    assert "Webhooks are not sent to this address" in text(refused)


def test_a_rotation_is_confirmed_and_shows_the_new_secret_once(browser: Client, account: Account) -> None:
    endpoint = new_endpoint(account)
    path = f"/webhooks/{endpoint.public_id}/rotate/"
    assert "For 24 hours deliveries are signed with the old one too" in text(browser.get(path))
    response = browser.post(path, {"once": "b"})
    endpoint.refresh_from_db()
    secret = encryption.decrypt(endpoint.secret)
    assert secret in text(response)
    again = browser.post(path, {"once": "b"}, follow=True)
    assert secret not in text(again)
    endpoint.refresh_from_db()
    assert encryption.decrypt(endpoint.secret) == secret, "a reload of the page rotates nothing"
    assert "until then deliveries are signed with it too" in text(again)


def test_one_rotation_too_many_is_refused_on_the_page_and_in_the_admin(
    browser: Client, account: Account, staff: User, signed_in: Callable[[User], Client]
) -> None:
    endpoint = new_endpoint(account)
    path = f"/webhooks/{endpoint.public_id}/rotate/"
    for number in range(endpoints.MOST_SECRETS - 1):
        browser.post(path, {"once": str(number)})
    refusal = "5 secrets sign the deliveries of this endpoint already."
    assert refusal in text(browser.post(path, {"once": "z"}, follow=True))
    action = {"action": "rotate_secret", "_selected_action": [str(endpoint.pk)]}
    assert refusal in text(signed_in(staff).post("/admin/accounts/webhookendpoint/", action, follow=True))


def test_a_test_event_leads_to_its_delivery(browser: Client, account: Account) -> None:
    endpoint = new_endpoint(account)
    page = browser.post(f"/webhooks/{endpoint.public_id}/test/", follow=True)
    assert "A test event is on its way." in text(page)
    assert "There is no answer yet." in text(page)
    send_all(timezone.now(), FAILS)
    delivery = WebhookDelivery.objects.get()
    page = browser.get(f"/webhooks/deliveries/{delivery.public_id}/")
    assert "<dd>500</dd>" in text(page) and "100 ms" in text(page) and "endpoint.test" in text(page)
    assert "Send again" not in text(page)  # it is pending


def test_a_finished_delivery_is_sent_again(browser: Client, account: Account) -> None:
    new_endpoint(account)
    happen(account, "a", now=timezone.now())
    send_all(timezone.now())
    delivery = WebhookDelivery.objects.get()
    path = f"/webhooks/deliveries/{delivery.public_id}/"
    assert "Send again" in text(browser.get(path))
    page = browser.post(f"{path}redeliver/", follow=True)
    assert "The event is sent again." in text(page)
    assert WebhookDelivery.objects.count() == 2
    endpoint = f"/webhooks/{delivery.endpoint.public_id}/"
    browser.post(f"{endpoint}enable/", {"enabled": "0"})
    assert "Enable it first" in text(browser.post(f"{path}redeliver/", follow=True))
    assert "Enable it first" in text(browser.post(f"{endpoint}test/", follow=True))


def test_what_waits_behind_an_earlier_event_says_so(browser: Client, account: Account) -> None:
    new_endpoint(account)
    happen(account, "a", now=timezone.now())
    happen(account, "b", now=timezone.now())
    send_all(timezone.now(), FAILS)
    first, second = WebhookDelivery.objects.order_by("event_id")
    assert "because events arrive in order" in text(browser.get(f"/webhooks/deliveries/{second.public_id}/"))
    page = text(browser.get(f"/webhooks/deliveries/{first.public_id}/"))
    assert "Next attempt" in page and "because events arrive in order" not in page


def test_a_disabled_endpoint_says_why_and_is_enabled_and_disabled(browser: Client, account: Account) -> None:
    endpoint = new_endpoint(account)
    happen(account, "a", now=timezone.now())
    send_all(timezone.now(), GONE)
    path = f"/webhooks/{endpoint.public_id}/"
    page = text(browser.get(path))
    assert "The receiver answered 410 Gone" in page and "Send test event" not in page
    assert "The endpoint is enabled." in text(browser.post(f"{path}enable/", {"enabled": "1"}, follow=True))
    assert "Send test event" in text(browser.get(path))
    assert "The endpoint is disabled." in text(browser.post(f"{path}enable/", {"enabled": "0"}, follow=True))
    endpoint.refresh_from_db()
    assert endpoint.disabled_at is not None


def test_an_endpoint_is_deleted_after_a_confirmation(browser: Client, account: Account) -> None:
    endpoint = new_endpoint(account)
    path = f"/webhooks/{endpoint.public_id}/delete/"
    assert "Delete this endpoint?" in text(browser.get(path))
    assert WebhookEndpoint.objects.exists()
    assert "No webhook endpoints yet" in text(browser.post(path, follow=True))


def test_the_page_refuses_an_eleventh_endpoint(browser: Client, account: Account) -> None:
    for number in range(10):
        new_endpoint(account, f"https://hooks.example.com/{number}")
    response = browser.post("/webhooks/", {"url": URL, "events": ["member.added"]})
    assert (response.status_code, "There are 10 webhook endpoints already" in text(response)) == (422, True)


def test_endpoints_of_the_platform_are_not_on_the_page(browser: Client, account: Account) -> None:
    endpoint = new_endpoint(None, "https://platform.example.com/")
    happen(account, "a", now=timezone.now())
    send_all(timezone.now())
    delivery = WebhookDelivery.objects.get()
    assert "platform.example.com" not in text(browser.get("/webhooks/"))
    assert browser.get(f"/webhooks/{endpoint.public_id}/").status_code == 404
    assert browser.get(f"/webhooks/deliveries/{delivery.public_id}/").status_code == 404


# The admin


@pytest.fixture
def admin_browser(staff: User, signed_in: Callable[[User], Client]) -> Client:
    return signed_in(staff)


def test_staff_create_an_endpoint_of_the_platform_and_rotate_its_secret(admin_browser: Client) -> None:
    path = "/admin/accounts/webhookendpoint/"
    assert "receives the events of all accounts" in text(admin_browser.get(f"{path}add/"))
    form = {"url": URL, "description": "Backend", "events": ["purchase.paid"]}
    response = admin_browser.post(f"{path}add/", form)
    endpoint = WebhookEndpoint.objects.get()
    first = encryption.decrypt(endpoint.secret)
    assert endpoint.account_id is None and first in text(response)
    refused = admin_browser.post(f"{path}add/", form | {"url": "https://user@x.example.com/"})
    assert "without a user name" in text(refused)
    action = {"action": "rotate_secret", "_selected_action": [str(endpoint.pk)]}
    rotated = admin_browser.post(path, action)
    endpoint.refresh_from_db()
    second = encryption.decrypt(endpoint.secret)
    assert second != first and second in text(rotated)
    assert all("no-store" in page["Cache-Control"] for page in (response, rotated))
    other = new_endpoint(None)
    both = {"action": "rotate_secret", "_selected_action": [str(endpoint.pk), str(other.pk)]}
    assert "Select one endpoint." in text(admin_browser.post(path, both, follow=True))
    endpoint.refresh_from_db()
    assert encryption.decrypt(endpoint.secret) == second
    for page in (path, f"{path}{endpoint.pk}/change/"):
        shown = text(admin_browser.get(page))
        assert URL in shown and first not in shown and second not in shown


def test_staff_send_a_test_event_and_read_its_delivery(admin_browser: Client) -> None:
    endpoint = new_endpoint(None)
    action = {"action": "send_test", "_selected_action": [str(endpoint.pk)]}
    assert "Sent to" in text(admin_browser.post("/admin/accounts/webhookendpoint/", action, follow=True))
    delivery = WebhookDelivery.objects.get()
    page = text(admin_browser.get(f"/admin/accounts/webhookdelivery/{delivery.pk}/change/"))
    assert "endpoint.test" in page and "Save" not in page
    for switch, shown in (("disable", "Disabled."), ("send_test", "Enable it first"), ("enable", "Enabled.")):
        action["action"] = switch
        assert shown in text(admin_browser.post("/admin/accounts/webhookendpoint/", action, follow=True))


def test_a_member_whom_staff_add_is_an_event(admin_browser: Client, team: Account, charlie: User) -> None:
    new_endpoint(team, events=["member.added"])
    form = {"account": str(team.pk), "user": str(charlie.pk), "role": "member"}
    admin_browser.post("/admin/accounts/membership/add/", form)
    [event] = team.webhook_events.all()
    assert event.data["member"]["user"] == charlie.public_id
