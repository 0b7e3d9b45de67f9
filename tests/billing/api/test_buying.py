"""/plans, /packs, /checkouts, /purchases: buying with a key."""

from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from accounts.models import Account, User
from billing import stripe_gateway
from billing.models import Promotion, Purchase
from billing.purchases import checkout
from core.amounts import plain
from pricing.catalogue import cache as catalogue_cache
from pricing.models import Pack, Plan
from tests.billing.conftest import smallest_pack
from tests.sandbox.conftest import Buyer

pytestmark = pytest.mark.django_db


@pytest.fixture
def api(stripe_api: Any, alice: User, api_of: Callable[..., Any]) -> Any:
    return api_of(alice)


@pytest.mark.requirement("CORE-07")
def test_a_pack_is_bought_with_a_key_from_the_list_to_the_credits(api: Any) -> None:
    packs = api.get("packs").json()["data"]
    pack = min(packs, key=lambda pack: float(pack["credits"]))
    price = next(price for price in pack["prices"] if price["currency"] == "usd")

    made = api.post("checkouts", {"pack": pack["key"], "currency": "usd"}, key="k1")
    assert made.status_code == 201
    assert made.json()["amount"] == price["amount"]
    Buyer().pay(made.json()["url"])
    checkout.refresh_from_stripe(Purchase.objects.get(), timezone.now())

    [purchase] = api.get("purchases").json()["data"]
    assert (purchase["id"], purchase["status"]) == (made.json()["purchase"], "paid")
    assert purchase["credits_left"] == purchase["credits"] == pack["credits"]
    assert api.get(f"purchases/{purchase['id']}").json()["refundable"]["amount"] == price["amount"]


@pytest.mark.requirement("CORE-02")
def test_the_same_key_returns_the_same_purchase_and_another_body_is_refused(api: Any) -> None:
    body = {"pack": smallest_pack(), "currency": "usd"}

    first, again = (api.post("checkouts", body, key="k") for _ in range(2))

    assert first.json() == again.json()
    assert again.headers["Idempotent-Replayed"] == "true"
    assert api.post("checkouts", {**body, "quantity": 2}, key="k").status_code == 422
    assert api.post("checkouts", body).json()["code"] == "idempotency_key_required"
    assert Purchase.objects.count() == 1


@pytest.mark.fault("L8")
def test_a_replay_after_the_payment_gives_the_first_answer(api: Any) -> None:
    body = {"pack": smallest_pack(), "currency": "usd"}
    first = api.post("checkouts", body, key="k")
    Buyer().pay(first.json()["url"])
    checkout.refresh_from_stripe(Purchase.objects.get(), timezone.now())
    again = api.post("checkouts", body, key="k")
    assert (again.status_code, again.content, again["Idempotent-Replayed"]) == (201, first.content, "true")


@pytest.mark.fault("I9")
def test_if_stripe_does_not_answer_the_outcome_is_unknown(api: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def unavailable(*_: Any, **__: Any) -> None:
        raise stripe_gateway.StripeUnavailable("timed out")

    monkeypatch.setattr(checkout, "open_page", unavailable)
    api.client.raise_request_exception = False
    response = api.post("checkouts", {"pack": smallest_pack(), "currency": "usd"}, key="k")
    problem = response.json()
    assert (response.status_code, problem["code"]) == (503, "payment_provider_unreachable")
    assert "outcome is unknown" in problem["detail"] and "same Idempotency-Key" in problem["detail"]
    assert response["Retry-After"] == "5"


@pytest.mark.fault("P10", "I3")
@pytest.mark.parametrize(
    ("wrong", "status"),
    [
        ({"amount": 1}, 400),
        ({"credits": "1000000"}, 400),
        ({"price": 1}, 400),
        ({"quantity": -1}, 400),
        ({"quantity": 1.5}, 400),
        ({"quantity": 101}, 400),
        ({"currency": "xyz"}, 400),
        ({"pack": "nothing"}, 404),
        ({"plan": "starter"}, 400),
        ({"code": "NOSUCHCODE"}, 404),
    ],
)
def test_the_client_sets_neither_price_nor_credits(api: Any, wrong: dict[str, Any], status: int) -> None:
    response = api.post("checkouts", {"pack": smallest_pack(), "currency": "usd"} | wrong, key="k")

    assert response.status_code == status, response.content
    assert response.headers["Content-Type"] == "application/problem+json"
    assert not Purchase.objects.exists()


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"plan": "starter", "code": "SPRING"}, "code"),
        ({"plan": "starter", "quantity": 2}, "quantity"),
        ({"pack": "small", "interval": "month"}, "interval"),
        ({"pack": "small", "confirm": True}, "confirm"),
    ],
)
def test_a_field_without_effect_on_the_purchase_is_refused(
    api: Any, body: dict[str, Any], field: str
) -> None:
    response = api.post("checkouts", body, key="k")
    assert response.status_code == 400
    assert [(error["field"], error["code"]) for error in response.json()["errors"]] == [(field, "no_effect")]
    assert not Purchase.objects.exists()


@pytest.mark.requirement("RECR-06")
def test_packs_for_paid_plans_only_are_refused_to_a_free_account(api: Any) -> None:
    Pack.objects.update(paid_plans_only=True)
    catalogue_cache.changed()

    assert not any(pack["eligible"] for pack in api.get("packs").json()["data"])
    response = api.post("checkouts", {"pack": smallest_pack()}, key="k")

    assert (response.status_code, response.json()["code"]) == (403, "paid_plan_required")


@pytest.mark.requirement("REFLY-09")
def test_a_legacy_plan_cannot_be_bought_or_changed_to(api: Any) -> None:
    legacy = Plan.objects.filter(legacy=True).values_list("key", flat=True)[0]

    assert legacy not in [plan["key"] for plan in api.get("plans").json()["data"]]
    for path in ("checkouts", "subscription/change"):
        response = api.post(path, {"plan": legacy}, key="k")
        assert (response.status_code, response.json()["code"]) == (403, "plan_closed"), path


@pytest.mark.fault("Z1", "Z5")
def test_other_accounts_and_keys_without_the_scope_are_refused(
    api: Any, alice: User, charlie: User, api_of: Callable[..., Any], account_of: Callable[[User], Account]
) -> None:
    bought = api.post("checkouts", {"pack": smallest_pack()}, key="k").json()["purchase"]
    other, reader = api_of(charlie), api_of(alice, scopes=["read"])

    assert other.get(f"purchases/{bought}").status_code == 404
    assert other.post(f"purchases/{bought}/refund-requests", {}, key="k").status_code == 404
    assert other.get("purchases", account=account_of(alice).public_id).status_code == 404
    assert reader.get(f"purchases/{bought}").status_code == 200
    for path, body in (
        ("checkouts", {"pack": "x"}),
        ("redemptions", {"code": "x"}),
        ("subscription/cancel", {}),
    ):
        assert reader.post(path, body, key="k2").status_code == 403, path
    for path in ("alerts", "auto-top-up"):
        assert reader.put(path, {"enabled": False}).status_code == 403, path


def test_alerts_and_automatic_top_up_are_read_and_changed(api: Any) -> None:
    settings = {"enabled": True, "below": "50", "by_email": False, "extra_addresses": ["ops@example.org"]}
    shown = settings | {"unconfirmed_addresses": ["ops@example.org"], "also_below": []}
    assert api.put("alerts", settings).json() == shown == api.get("alerts").json()

    invalid = {
        "enabled": True,
        "below": "10",
        "pack": smallest_pack(),
        "currency": "usd",
        "monthly_amount": 1,
    }
    assert api.put("auto-top-up", invalid | {"monthly_count": 2}).json()["errors"][0]["field"] in {
        "monthly_amount",
        "enabled",
    }
    assert api.get("auto-top-up").json()["enabled"] is False


def test_the_free_plan_has_a_subscription_that_cannot_be_cancelled(api: Any) -> None:
    response = api.get("subscription").json()

    assert (response["plan"], response["state"], response["legacy"]) == ("free-trial", "active", False)
    assert response["quotas"][0]["maximum"] == 100
    assert api.post("subscription/cancel", {}, key="k").json()["code"] == "nothing_to_cancel"


@pytest.mark.requirement("CORE-07")
def test_the_preview_of_an_order_has_the_price_that_its_checkout_asks_and_creates_nothing(
    api: Any, signed_in: Callable[[User], Client], alice: User
) -> None:
    now = timezone.now()
    dates = {"starts_at": now - timedelta(days=1), "ends_at": now + timedelta(days=1)}
    Promotion.objects.create(
        code="HALF", label="-", gives="discount", percent_off=50, total_limit=1, credits=0, **dates
    )
    order = {"pack": smallest_pack(), "currency": "usd", "quantity": 3, "code": " half"}
    shown = api.post("checkouts", order | {"preview": True}, key="p")
    answer = shown.json()
    pack = next(one for one in api.get("packs").json()["data"] if one["key"] == order["pack"])
    price = next(one for one in pack["prices"] if one["currency"] == "usd")
    assert shown.status_code == 200
    assert answer == {
        "pack": order["pack"],
        "quantity": 3,
        "credits": plain(3 * Decimal(pack["credits"])),
        "list_amount": 3 * price["list_amount"],
        "discount": answer["discount"],
        "amount": 3 * price["amount"] - answer["discount"],
        "currency": "usd",
    }
    assert abs(2 * answer["discount"] - 3 * price["amount"]) <= 1
    assert not Purchase.objects.exists()
    page = signed_in(alice).get(
        f"/billing/buy/{order['pack']}/sum", {"quantity": "3", "code": "half", "currency": "usd"}
    )
    assert page.context["discount"] == answer["discount"] and page.context["total"] == answer["amount"]
    made = api.post("checkouts", order, key="p").json()
    assert made["amount"] == answer["amount"], "a preview does not use up its key, nor the code"


@pytest.mark.parametrize(
    ("change", "status", "code"),
    [
        ({"code": "NOSUCH"}, 404, "unknown_code"),
        ({"pack": "nothing"}, 404, "unknown_pack"),
        ({"quantity": 101}, 400, "invalid_request"),
    ],
)
def test_a_preview_refuses_what_the_checkout_refuses(
    api: Any, change: dict[str, Any], status: int, code: str
) -> None:
    order = {"pack": smallest_pack(), "currency": "usd"} | change
    for body in (order, order | {"preview": True}):
        refused = api.post("checkouts", body, key="k")
        assert (refused.status_code, refused.json()["code"]) == (status, code)


def test_a_preview_is_of_packs(api: Any) -> None:
    refused = api.post("checkouts", {"plan": "starter", "preview": True}, key="k").json()
    assert [(one["field"], one["code"]) for one in refused["errors"]] == [("preview", "no_effect")]
