"""/webhook-endpoints and /webhook-deliveries."""

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.utils import timezone

from accounts.models import Account, User, WebhookDelivery, WebhookEndpoint, WebhookEvent
from accounts.webhook_endpoints import endpoints
from tests import openapi
from tests.accounts.webhook_endpoints.conftest import FAILS, OK, happen, send_all
from tests.api import Api

pytestmark = pytest.mark.django_db
URL = "https://hooks.example.com/refill"


@pytest.fixture(autouse=True)
def answers_agree_with_the_document() -> Iterator[None]:
    with openapi.every_answer_agrees():
        yield


@pytest.fixture
def account(alice: User) -> Account:
    return Account.objects.get(person=alice)


@pytest.fixture
def api(alice: User, api_of: Callable[..., Api]) -> Api:
    return api_of(alice)


def created(api: Api, **fields: Any) -> Any:
    response = api.post("webhook-endpoints", {"url": URL} | fields)
    assert response.status_code == 201, response.content
    return response.json()


def test_an_endpoint_is_created_with_its_secret_which_is_shown_once(api: Api, account: Account) -> None:
    endpoint = created(api, events=["purchase.paid", "balance.low"], description="Production")
    assert endpoint.pop("secret").startswith("whsec_")
    assert endpoint["id"].startswith("whe_")
    assert endpoint == {
        "id": endpoint["id"],
        "account": account.public_id,
        "url": URL,
        "description": "Production",
        "events": ["balance.low", "purchase.paid"],
        "enabled": True,
        "disabled_at": None,
        "disabled_reason": None,
        "previous_secret_until": None,
        "created_at": endpoint["created_at"],
    }
    assert api.get("webhook-endpoints").json()["data"] == [endpoint]


def test_without_types_an_endpoint_gets_all(api: Api) -> None:
    assert created(api)["events"] == WebhookEvent.Type.values


@pytest.mark.parametrize(
    ("body", "field", "code"),
    [
        ({}, "url", "required"),
        ({"url": "http://hooks.example.com/"}, "url", "url_not_allowed"),
        ({"url": "https://169.254.169.254/"}, "url", "url_not_allowed"),
        ({"url": "https://127.0.0.1/"}, "url", "url_not_allowed"),
        ({"url": "x" * 2001}, "url", "max_length"),
        ({"url": 1}, "url", "invalid"),
        ({"url": URL, "events": []}, "events", "min_length"),
        ({"url": URL, "events": ["charge.made"]}, "events", "invalid_choice"),
        ({"url": URL, "events": ["balance.low"] * 13}, "events", "max_length"),
        ({"url": URL, "events": "balance.low"}, "events", "not_a_list"),
        ({"url": URL, "description": "x" * 201}, "description", "max_length"),
        ({"url": URL, "secret": "whsec_mine"}, "secret", "unknown_field"),
    ],
)
def test_invalid_requests(api: Api, settings: Any, body: dict[str, Any], field: str, code: str) -> None:
    settings.WEBHOOK_PRIVATE_ADDRESSES = "platform"
    response = api.post("webhook-endpoints", body)
    assert response.status_code == 400
    [error] = response.json()["errors"]
    assert (error["field"].partition(".")[0], error["code"]) == (field, code)
    assert not WebhookEndpoint.objects.exists()


def test_a_platform_key_has_endpoints_of_the_platform_and_of_accounts(
    platform_api: Api, api: Api, account: Account
) -> None:
    Account.objects.filter(pk=account.pk).update(external_id="user-7")
    of_platform = created(platform_api)
    of_account = created(platform_api, account="user-7", url="https://other.example.com/")
    assert (of_platform["account"], of_account["account"]) == (None, account.public_id)
    assert [one["id"] for one in platform_api.get("webhook-endpoints").json()["data"]] == [of_platform["id"]]
    listed = platform_api.get("webhook-endpoints", account="user-7").json()["data"]
    assert [one["id"] for one in listed] == [of_account["id"]]
    assert [one["id"] for one in api.get("webhook-endpoints").json()["data"]] == [of_account["id"]]
    for endpoint in (of_platform, of_account):
        changed = platform_api.patch(f"webhook-endpoints/{endpoint['id']}", {"description": "mine"})
        assert changed.json()["description"] == "mine"


def test_an_account_never_sees_an_endpoint_of_the_platform(
    platform_api: Api, api: Api, account: Account
) -> None:
    endpoint = created(platform_api)["id"]
    happen(account, "a", now=timezone.now())
    send_all(timezone.now())
    delivery = WebhookDelivery.objects.get().public_id
    requests = [
        api.patch(f"webhook-endpoints/{endpoint}", {"url": "https://evil.example.com/"}),
        api.delete(f"webhook-endpoints/{endpoint}"),
        api.post(f"webhook-endpoints/{endpoint}/rotate-secret", {}),
        api.post(f"webhook-endpoints/{endpoint}/test", {}),
        api.post(f"webhook-deliveries/{delivery}/redeliver", {}),
        api.post("webhook-deliveries/whd_1/redeliver", {}),
    ]
    assert [response.status_code for response in requests] == [404] * 6
    assert api.get("webhook-deliveries").json()["data"] == []
    assert api.get("webhook-deliveries", endpoint=endpoint).json()["data"] == []
    assert WebhookEndpoint.objects.get().url == URL


def test_an_endpoint_is_changed_disabled_enabled_and_deleted(api: Api) -> None:
    endpoint = created(api)["id"]
    fields = {"url": "https://new.example.com/", "events": ["member.added"], "description": ""}
    changed = api.patch(f"webhook-endpoints/{endpoint}", fields | {"enabled": False}).json()
    assert {name: changed[name] for name in fields} == fields
    assert (changed["enabled"], changed["disabled_reason"]) == (False, "manual")
    assert api.post(f"webhook-endpoints/{endpoint}/test", {}).json()["code"] == "endpoint_disabled"
    assert api.patch(f"webhook-endpoints/{endpoint}", {"enabled": True}).json()["disabled_at"] is None
    refused = api.patch(f"webhook-endpoints/{endpoint}", {"url": "ftp://x.example.com/"})
    assert refused.json()["errors"][0]["code"] == "url_not_allowed"
    assert api.delete(f"webhook-endpoints/{endpoint}").status_code == 204
    assert api.delete(f"webhook-endpoints/{endpoint}").status_code == 404


def test_a_rotation_shows_the_new_secret(api: Api) -> None:
    first = created(api)
    rotated = api.post(f"webhook-endpoints/{first['id']}/rotate-secret", {}).json()
    assert rotated["secret"].startswith("whsec_") and rotated["secret"] != first["secret"]
    until = datetime.fromisoformat(rotated["previous_secret_until"])
    assert timedelta(hours=23) < until - timezone.now() <= timedelta(hours=24)
    [listed] = api.get("webhook-endpoints").json()["data"]
    assert listed["previous_secret_until"] == rotated["previous_secret_until"]


def test_a_fifth_rotation_within_a_day_is_refused(api: Api) -> None:
    endpoint = created(api)["id"]
    for _ in range(endpoints.MOST_SECRETS - 1):
        first = api.post(f"webhook-endpoints/{endpoint}/rotate-secret", {})
        assert first.status_code == 200
    refused = api.post(f"webhook-endpoints/{endpoint}/rotate-secret", {})
    assert (refused.status_code, refused.json()["code"]) == (409, "too_many_webhook_secrets")
    assert datetime.fromisoformat(refused.json()["first_ends_at"]) > timezone.now()


def test_the_eleventh_endpoint_is_refused(api: Api) -> None:
    for number in range(endpoints.MOST_ENDPOINTS):
        created(api, url=f"{URL}/{number}")
    response = api.post("webhook-endpoints", {"url": URL})
    assert (response.status_code, response.json()["code"]) == (409, "too_many_webhook_endpoints")


def test_a_test_event_is_queued_and_appears_in_the_log(api: Api, account: Account) -> None:
    endpoint = created(api)["id"]
    response = api.post(f"webhook-endpoints/{endpoint}/test", {})
    assert response.status_code == 202
    queued = response.json()
    assert (queued["status"], queued["attempts"], queued["response"]) == ("pending", 0, None)
    assert queued["event"]["type"] == "endpoint.test"
    assert endpoint in queued["request"]
    send_all(timezone.now(), FAILS)
    [logged] = api.get("webhook-deliveries").json()["data"]
    assert logged["response"] == {"status": 500, "body": "", "error": None, "duration_ms": 100}
    assert (logged["status"], logged["attempts"], logged["id"]) == ("pending", 1, queued["id"])
    assert logged["next_attempt_at"] > logged["attempted_at"]


def test_deliveries_are_listed_newest_first_with_filters(api: Api, account: Account) -> None:
    first, second = created(api)["id"], created(api, events=["purchase.paid"])["id"]
    for number in range(3):
        happen(account, f"{number}", now=timezone.now())
        send_all(timezone.now(), OK if number else FAILS)
    page = api.get("webhook-deliveries", limit=4).json()
    assert (len(page["data"]), page["has_more"]) == (4, True)
    rest = api.get("webhook-deliveries", limit=4, cursor=page["next_cursor"]).json()
    assert len(rest["data"]) == 2
    everything = page["data"] + rest["data"]
    assert [one["created_at"] for one in everything] == sorted(
        (one["created_at"] for one in everything), reverse=True
    )
    of_first = api.get("webhook-deliveries", endpoint=first).json()["data"]
    assert len(of_first) == 3 and {one["endpoint"] for one in of_first} == {first}
    assert len(api.get("webhook-deliveries", endpoint=second, status="pending").json()["data"]) == 3
    assert api.get("webhook-deliveries", endpoint="whe_unknown").json()["data"] == []
    assert api.get("webhook-deliveries", status="lost").status_code == 400


def test_a_finished_delivery_is_sent_again(api: Api, account: Account) -> None:
    created(api)
    happen(account, "a", now=timezone.now())
    send_all(timezone.now())
    [done] = api.get("webhook-deliveries").json()["data"]
    again = api.post(f"webhook-deliveries/{done['id']}/redeliver", {})
    assert again.status_code == 202
    assert again.json()["event"] == done["event"]
    assert again.json()["id"] != done["id"]
    refused = api.post(f"webhook-deliveries/{again.json()['id']}/redeliver", {})
    assert (refused.status_code, refused.json()["code"]) == (409, "delivery_pending")


def test_many_requested_deliveries_are_429(api: Api) -> None:
    endpoint = created(api)["id"]
    answers = [api.post(f"webhook-endpoints/{endpoint}/test", {}) for _ in range(21)]
    assert [one.status_code for one in answers] == [202] * 20 + [429]
    assert answers[-1]["Retry-After"] == "60"


@pytest.mark.parametrize("scopes", [["read"], ["spend"], ["read", "spend"]])
def test_the_scope_manage_is_needed(alice: User, api_of: Callable[..., Api], scopes: list[str]) -> None:
    api = api_of(alice, scopes=scopes)
    assert api.get("webhook-endpoints").status_code == 403
    assert api.get("webhook-deliveries").status_code == 403
    assert api.post("webhook-endpoints", {"url": URL}).status_code == 403
