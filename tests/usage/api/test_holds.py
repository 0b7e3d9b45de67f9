"""Holds: credits are reserved, then captured, released or expired."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from accounts import api_keys
from accounts.models import Account, User
from billing.models import Charge
from pricing.catalogue import cache as catalogue_cache
from pricing.catalogue import drafts, rate_cards
from pricing.models import RateCard
from tests.api import Api
from tests.usage.api.conftest import give, use


def available(api: Any) -> str:
    return api.get("balance").json()["available"]


@pytest.mark.requirement("CORE-03")
def test_a_hold_reserves_credits_and_capture_returns_the_rest(api: Any) -> None:
    response = api.post("holds", use(10_000, conversation="c-1"), key="h1")
    hold = response.json()
    assert response.status_code == 201
    assert hold["id"].startswith("hold_")
    assert (hold["status"], hold["credits"]) == ("held", "22")
    balance = api.get("balance").json()
    assert (balance["available"], balance["held"]) == ("78", "22")
    assert balance["grants"][0]["held"] == "22"

    response = api.post(f"holds/{hold['id']}/capture", {"usage": {"tokens": 5000}}, key="c1")
    charge = response.json()
    assert response.status_code == 201
    assert (charge["credits"], charge["uncollected"], charge["hold"]) == ("11", "0", hold["id"])
    assert (charge["conversation"], charge["service"]) == ("c-1", "claude-sonnet-4")
    assert charge["lines"][0]["quantity"] == 5000
    assert available(api) == "89"
    updated = api.get(f"holds/{hold['id']}").json()
    assert (updated["status"], updated["charge"]) == ("captured", charge["id"])


def test_a_capture_above_the_hold_spends_the_balance_and_the_rest_is_uncollected(api: Any) -> None:
    hold = api.post("holds", use(5000), key="h1").json()
    charge = api.post(f"holds/{hold['id']}/capture", {"usage": {"tokens": 50_000}}, key="c1").json()
    assert (charge["credits"], charge["uncollected"], charge["balance_after"]) == ("110", "10", "0")


def test_a_hold_of_a_service_without_a_price_any_more_is_captured_at_its_own(api: Any) -> None:
    hold = api.post("holds", use(5000), key="h1").json()["id"]
    now = timezone.now()
    card = rate_cards.copy_in_force(effective_at=now, source="staff", now=now)
    drafts.change(
        card.pk, {"claude-sonnet-4": drafts.Change(drafts.seen(drafts.rows(card)["claude-sonnet-4"]), None)}
    )
    rate_cards.publish(
        card.pk, seen=rate_cards.fingerprint(rate_cards.rows_of(card.pk)), by="staff", now=now, at=now
    )
    refused = api.post("holds", use(5000), key="h2")
    assert (refused.status_code, refused.json()["code"]) == (409, "service_unpriced")
    charge = api.post(f"holds/{hold}/capture", {"usage": {"tokens": 2500}}, key="c1").json()
    assert (charge["credits"], available(api)) == ("5.5", "94.5")


@pytest.mark.fault("L4")
def test_a_hold_is_closed_once(api: Any) -> None:
    hold = api.post("holds", use(), key="h1").json()["id"]
    first = api.post(f"holds/{hold}/capture", {"usage": {"tokens": 100}}, key="c1")
    again = api.post(f"holds/{hold}/capture", {"usage": {"tokens": 100}}, key="c1")
    assert (again.status_code, again.content) == (201, first.content)
    assert again["Idempotent-Replayed"] == "true"
    other = api.post(f"holds/{hold}/capture", {"usage": {"tokens": 100}}, key="c2")
    assert (other.status_code, other.json()["code"]) == (409, "hold_closed")
    released = api.post(f"holds/{hold}/release", {}, key="r1")
    assert (released.status_code, released.json()["code"]) == (409, "hold_closed")
    assert Charge.objects.count() == 1


def test_a_released_hold_returns_all_credits(api: Any) -> None:
    hold = api.post("holds", use(), key="h1").json()["id"]
    first = api.post(f"holds/{hold}/release", {}, key="r1")
    assert (first.status_code, first.json()["status"]) == (200, "released")
    again = api.post(f"holds/{hold}/release", {}, key="r1")
    assert (again.content, again["Idempotent-Replayed"]) == (first.content, "true")
    assert api.post(f"holds/{hold}/release", {}, key="r2").json()["code"] == "hold_closed"
    assert available(api) == "100"


@pytest.mark.requirement("CORE-03")
@pytest.mark.fault("L5")
def test_an_expired_hold_returns_its_credits(api: Any, clock: Any) -> None:
    clock.shift(7)
    hold = api.post("holds", use(expires_in=60), key="h1").json()
    assert hold["expires_at"] == "2026-11-20T12:01:07Z"
    clock.shift(60)
    assert available(api) == "100"
    assert api.get(f"holds/{hold['id']}").json()["status"] == "expired"
    late = api.post(f"holds/{hold['id']}/capture", {"usage": {"tokens": 1}}, key="c1")
    assert (late.status_code, late.json()["code"]) == (409, "hold_closed")


@pytest.mark.requirement("CORE-02")
def test_an_idempotency_key_holds_once(api: Any) -> None:
    first = api.post("holds", use(), key="h1")
    api.post(f"holds/{first.json()['id']}/release", {}, key="r1")
    again = api.post("holds", use(), key="h1")
    assert (again.status_code, again.content, again["Idempotent-Replayed"]) == (201, first.content, "true")
    assert api.post("holds", use(4000), key="h1").status_code == 422


def test_an_amount_of_credits_can_be_held_and_captured(api: Any) -> None:
    hold = api.post("holds", {"service": "claude-sonnet-4", "credits": "12.5"}, key="h1").json()
    assert (hold["credits"], hold["lines"]) == ("12.5", [])
    assert hold["rate"]["version"]
    charge = api.post(f"holds/{hold['id']}/capture", {"credits": "0"}, key="c1").json()
    assert (charge["credits"], charge["balance_after"]) == ("0", "100")


@pytest.mark.requirement("CORE-06")
def test_a_capture_is_priced_at_the_rate_of_the_hold(api: Any, clock: Any) -> None:
    hold = api.post("holds", use(5000, expires_in=3600), key="h1").json()
    now = catalogue_cache.datetime.now(catalogue_cache.models.Catalogue.objects.get().loaded_at.tzinfo)
    card = rate_cards.copy_in_force(effective_at=now, source="test", now=now)
    rate = card.rates.get(service__key="claude-sonnet-4")
    rate.lines[0]["bands"][0]["credits"] = "22"
    rate.save()
    rate_cards.put_in_force(RateCard.objects.get(pk=card.pk), by="test", now=now)
    catalogue_cache.changed()
    assert api.post("charges", use(500), key="k1").json()["credits"] == "2.2"
    charge = api.post(f"holds/{hold['id']}/capture", {"usage": {"tokens": 500}}, key="c1").json()
    assert (charge["credits"], charge["rate"]) == ("1.1", hold["rate"])
    catalogue_cache.forget()


def test_more_than_the_balance_cannot_be_held(api: Any, account: Account) -> None:
    response = api.post("holds", use(50_000), key="h1")
    assert (response.status_code, response.json()["needed"]) == (402, "110")
    give(account, "10")
    assert api.post("holds", use(50_000), key="h1").status_code == 201


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "usage"),
        ({"usage": {"tokens": 1}, "credits": "1"}, "usage"),
        ({"usage": {"tokens": 1}, "expires_in": 59}, "expires_in"),
        ({"usage": {"tokens": 1}, "expires_in": 86_401}, "expires_in"),
        ({"usage": {"tokens": 1}, "expires_in": "900"}, "expires_in"),
        ({"credits": "0"}, "credits"),
        ({"credits": 5}, "credits"),
    ],
)
def test_an_invalid_hold_names_the_field(api: Any, body: Any, field: str) -> None:
    response = api.post("holds", {"service": "claude-sonnet-4", **body}, key="h1")
    assert response.status_code == 400
    assert field in [error["field"] for error in response.json()["errors"]]


def test_reading_a_hold_requires_the_scope_spend(api: Any, alice: Any, api_of: Any) -> None:
    hold = api.post("holds", use(), key="h1").json()["id"]
    assert api_of(alice, scopes=["read"]).get(f"holds/{hold}").status_code == 403
    assert api_of(alice, scopes=["spend"]).get(f"holds/{hold}").status_code == 200


@pytest.mark.requirement("CORE-06")
def test_an_estimate_pins_the_rate_of_a_hold_by_amount_too(api: Any) -> None:
    estimate = api.post("estimates", use()).json()
    body = {"service": "claude-sonnet-4", "credits": "5", "estimate": estimate["id"]}
    assert api.post("holds", body, key="h1").json()["rate"] == estimate["rate"]
    forged = api.post("holds", body | {"estimate": "forged"}, key="h2")
    assert forged.json()["errors"][0]["field"] == "estimate"


@pytest.fixture
def closings(account: Account) -> list[tuple[str, dict[str, Any]]]:
    """How a hold is closed: the last part of the path, and the body that a platform key sends."""
    named = {"account": account.public_id}
    return [("capture", {"usage": {"tokens": 1}, **named}), ("release", named)]


@pytest.mark.fault("Z9")
def test_an_account_key_or_a_session_does_not_close_the_hold_of_a_platform_key(
    api: Any,
    platform_api: Any,
    account: Account,
    alice: User,
    signed_in: Callable[[User], Client],
    closings: list[tuple[str, dict[str, Any]]],
) -> None:
    hold = platform_api.post("holds", use(account=account.public_id), key="h1").json()["id"]
    browser = signed_in(alice)
    for last, body in closings:
        path = f"/api/v1/holds/{hold}/{last}"
        assert api.post(path, body, key="k1").status_code == 404
        headers = {"Idempotency-Key": "k1"}
        response = browser.post(path, body, content_type="application/json", headers=headers)
        assert (response.status_code, response.json()["code"]) == (404, "not_found")
    assert api.get(f"holds/{hold}").json()["status"] == "held"
    issued = api_keys.issue(kind="platform", name="other", scopes=["spend"], now=timezone.now())
    other_backend = Api(issued.secret)
    assert other_backend.post(f"holds/{hold}/{last}", body, key="k1").status_code == 200


@pytest.mark.fault("Z9")
def test_a_platform_key_does_not_close_the_hold_of_an_account_key_or_a_session(
    api: Any,
    platform_api: Any,
    alice: User,
    signed_in: Callable[[User], Client],
    closings: list[tuple[str, dict[str, Any]]],
    api_of: Any,
) -> None:
    by_key = api.post("holds", use(), key="h1").json()["id"]
    headers = {"Idempotency-Key": "h2"}
    by_session = signed_in(alice).post(
        "/api/v1/holds", use(), content_type="application/json", headers=headers
    )
    for hold in (by_key, by_session.json()["id"]):
        for last, body in closings:
            assert platform_api.post(f"holds/{hold}/{last}", body, key=f"{hold}-1").status_code == 404
        assert api_of(alice).post(f"holds/{hold}/release", {}, key=f"{hold}-2").status_code == 200


@pytest.mark.requirement("CORE-03")
@pytest.mark.parametrize("usage", [{"tokens": 0}, {}, {"input_tokens": 0, "output_tokens": 0}])
def test_a_capture_of_nothing_settles_the_hold_at_zero(api: Any, usage: dict[str, int]) -> None:
    hold = api.post("holds", use(10_000), key="h1").json()["id"]
    response = api.post(f"holds/{hold}/capture", {"usage": usage}, key="c1")
    charge = response.json()
    assert (response.status_code, charge["credits"], charge["uncollected"]) == (201, "0", "0")
    assert (charge["usage"], charge["balance_after"]) == (usage, "100")
    assert all(line["credits"] == "0" for line in charge["lines"])
    assert api.get(f"holds/{hold}").json()["status"] == "captured"
    again = api.post(f"holds/{hold}/capture", {"usage": usage}, key="c1")
    assert (again.content, again["Idempotent-Replayed"]) == (response.content, "true")


def test_a_charge_of_nothing_is_refused(api: Any) -> None:
    refused = api.post("charges", use(0), key="c1").json()
    assert (refused["status"], refused["errors"][0]["code"]) == (400, "nothing_used")
    assert api.post("estimates", use(0)).status_code == 400
    assert api.post("holds", use(0), key="h1").status_code == 400


@pytest.mark.fault("L16")
def test_an_account_has_a_limited_number_of_running_holds(api: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    catalogue = catalogue_cache.current()
    policies = catalogue.policies.model_copy(update={"running_holds": 2})
    limited = replace(catalogue, policies=policies)
    monkeypatch.setattr(catalogue_cache, "current", lambda: limited)
    first, _ = (api.post("holds", use(500), key=f"h{n}") for n in range(2))
    refused = api.post("holds", use(500), key="h2")
    assert (refused.status_code, refused.json()["code"], refused.json()["most"]) == (409, "too_many_holds", 2)
    assert "Capture or release" in refused.json()["detail"]
    assert api.post(f"holds/{first.json()['id']}/release", {}, key="r").status_code == 200
    assert api.post("holds", use(500), key="h2").status_code == 201


@pytest.mark.requirement("CORE-07")
def test_open_holds_are_listed_newest_first_until_they_end(
    clock: Any, api: Any, account: Account, alice: User, charlie: User, api_of: Any, platform_api: Any
) -> None:
    made = []
    for number in range(3):
        clock.shift(1)
        made.append(api.post("holds", use(conversation=f"c-{number}"), key=f"h{number}").json())
    child = {"service": use()["service"], "credits": "2", "parent": made[0]["id"]}
    clock.shift(1)
    made.append(api.post("holds", child, key="child").json())
    first = api.get("holds", limit="1").json()
    assert first["data"] == [
        {
            "id": made[3]["id"],
            "account": account.public_id,
            "service": "claude-sonnet-4",
            "action": None,
            "credits": "2",
            "created_at": "2026-11-20T12:00:04Z",
            "expires_at": made[3]["expires_at"],
            "project": None,
            "conversation": made[3]["conversation"],
            "member": alice.public_id,
            "parent": made[0]["id"],
        }
    ]
    rest = api.get("holds", cursor=first["next_cursor"]).json()["data"]
    assert [hold["id"] for hold in rest] == [made[2]["id"], made[1]["id"], made[0]["id"]]
    api.post(f"holds/{made[2]['id']}/release", {}, key="release")
    api.post(f"holds/{made[1]['id']}/capture", {"usage": {"tokens": 10}}, key="capture")
    left = platform_api.get("holds", account=account.public_id).json()["data"]
    assert [hold["id"] for hold in left] == [made[3]["id"], made[0]["id"]]
    assert api_of(charlie).get("holds").json()["data"] == []
    clock.shift(901)
    assert api.get("holds").json()["data"] == [], "holds that have expired are not open"
