"""Uses that cost no credits: unlimited services of plans, and the account's own provider keys."""

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from accounts.models import Account, User
from billing.models import Subscription
from billing.subscriptions import plan_terms
from pricing.catalogue import rate_cards
from pricing.models import RateCard
from tests.usage.api.conftest import give
from usage import entitlements

pytestmark = pytest.mark.usefixtures("workshop")

TOKENS = {"input_tokens": 1000, "output_tokens": 0}
USES: dict[str, dict[str, Any]] = {
    "writer": {"service": "writer", "usage": TOKENS},
    "sketch-with-writer": {"service": "writer", "action": "sketch", "usage": TOKENS},
    "painter": {"service": "painter", "usage": {"images": 1}},
    "frame-with-painter": {"service": "painter", "action": "frame", "usage": {"uses": 1}},
    "frame-with-writer": {"service": "writer", "action": "frame", "usage": {"uses": 1}},
    "frame": {"service": "frame", "usage": {"uses": 1}},
    "upload": {"service": "upload", "usage": {"uses": 1}},
    "film": {"service": "film", "usage": {"seconds": 5}},
}
PRICES = {
    "writer": "1",
    "sketch-with-writer": "2",
    "painter": "5",
    "frame-with-painter": "7",
    "frame-with-writer": "7",
    "frame": "7",
    "upload": "0.5",
    "film": "3",
}
# Studio has the model Writer; Hall has the actions Frame and Upload, which have a price of their own.
UNLIMITED = {
    "free": set(),
    "studio": {"writer", "sketch-with-writer"},
    "hall": {"frame-with-painter", "frame-with-writer", "frame", "upload"},
}


def enter(account: Account, plan: str) -> None:
    Subscription.objects.filter(account=account).update(plan=plan)
    plan_terms.forget(account.pk)


@pytest.mark.parametrize("past_due", [False, True], ids=["paid", "past due"])
@pytest.mark.parametrize("plan", UNLIMITED)
def test_a_plan_covers_its_unlimited_services_and_no_others(
    api: Any, account: Account, plan: str, past_due: bool
) -> None:
    give(account, "100")
    enter(account, plan)
    if past_due:
        Subscription.objects.filter(account=account).update(state=Subscription.State.PAST_DUE)
        plan_terms.forget(account.pk)
    for name, use in USES.items():
        covered = "unlimited" if name in UNLIMITED[plan] and not past_due else None
        price = "0" if covered else PRICES[name]
        estimate = api.post("estimates", use).json()
        charge = api.post("charges", use, key=name).json()
        [item] = api.post("charges/batch", {"data": [use | {"idempotency_key": f"b-{name}"}]}).json()["data"]
        hold = api.post("holds", use, key=f"h-{name}").json()
        captured = api.post(f"holds/{hold['id']}/capture", {"usage": use["usage"]}, key=f"c-{name}").json()
        for answer in (estimate, charge, item["charge"], captured):
            assert (answer["covered_by"], answer["credits"]) == (covered, price), name
            assert answer["lines"][0]["credits"] == PRICES[name], "the lines show the price"
        assert (hold["credits"], estimate["maximum"]) == (price, price)
        assert estimate["sufficient"] is True


def test_a_covered_use_needs_no_credits_and_an_uncovered_one_does(api: Any, account: Account) -> None:
    enter(account, "studio")
    refused = api.post("estimates", USES["film"] | {"usage": {"seconds": 500}}).json()
    assert (refused["sufficient"], refused["covered_by"]) == (False, None)
    large = {"service": "writer", "usage": {"input_tokens": 10**9, "output_tokens": 0}}
    estimate = api.post("estimates", large).json()
    assert (estimate["sufficient"], estimate["credits"], estimate["maximum"]) == (True, "0", "0")
    before = api.get("balance").json()
    charge = api.post("charges", large, key="k1").json()
    assert (charge["credits"], charge["drawn"]) == ("0", [])
    assert charge["lines"][0]["credits"] == "1000000"
    after = api.get("balance").json()
    assert (before["available"], after["available"]) == (after["available"], charge["balance_after"])
    assert after["unlimited_services"] == ["writer"]


def test_unlimited_services_are_listed_in_order(api: Any, account: Account) -> None:
    enter(account, "hall")
    assert api.get("balance").json()["unlimited_services"] == ["frame", "upload"]


def test_an_action_is_covered_by_what_the_card_in_force_says_of_its_price(
    api: Any, account: Account, clock: Any
) -> None:
    """By a card of tomorrow the action costs what its model costs; until then it has its own price."""
    now = timezone.now()
    tomorrow = now + timedelta(days=1)
    card = rate_cards.copy_in_force(effective_at=tomorrow, source="staff", now=now)
    card.rates.filter(service__key="frame").update(cost_of_model=True, lines=[])
    rate_cards.put_in_force(RateCard.objects.get(pk=card.pk), by="test", now=now)
    enter(account, "hall")
    body = {"service": "writer", "action": "frame"}
    today = api.post("estimates", body | {"usage": {"uses": 1}}).json()
    assert (today["covered_by"], today["credits"]) == ("unlimited", "0")
    clock.move_to(tomorrow)
    later = api.post("estimates", body | {"usage": TOKENS}).json()
    assert (later["covered_by"], later["credits"]) == (None, "1")
    assert entitlements.priced_service("writer", "of another catalogue", tomorrow) == "of another catalogue"


OWN_KEYS = [
    # service, providers with a key of the account, whether covered, the sentence of a refusal
    ("writer", {"acme"}, True, ""),
    ("writer", {"globex"}, False, "This account has no provider key for Acme."),
    ("writer", set(), False, "This account has no provider key for Acme."),
    ("sketch-with-writer", {"acme"}, True, ""),
    ("painter", {"globex"}, True, ""),
    ("painter", {"acme"}, True, ""),
    ("painter", set(), False, "This account has no provider key for Acme, Globex."),
    ("film", {"acme", "globex"}, False, "This service cannot be used with a provider key."),
]


@pytest.mark.requirement("FLOW-02")
@pytest.mark.parametrize(("name", "providers", "covered", "sentence"), OWN_KEYS)
def test_a_provider_key_covers_services_of_its_provider(
    api: Any, charlie: User, api_of: Any, name: str, providers: set[str], covered: bool, sentence: str
) -> None:
    api_of(charlie).post("provider-keys", {"provider": "acme", "key": "sk-of-charlie"})
    for provider in providers:
        assert (
            api.post("provider-keys", {"provider": provider, "key": f"sk-of-{provider}"}).status_code == 201
        )
    use = USES[name] | {"own_key": True}
    estimate = api.post("estimates", use)
    hold = api.post("holds", use, key="h")
    charge = api.post("charges", use, key="k")
    [item] = api.post("charges/batch", {"data": [use | {"idempotency_key": "b"}]}).json()["data"]
    if not covered:
        for problem in (estimate.json(), hold.json(), charge.json(), item["error"]):
            assert (problem["status"], problem["code"]) == (409, "provider_key_missing")
            assert problem["detail"].startswith(sentence)
        return
    captured = api.post(f"holds/{hold.json()['id']}/capture", {"usage": use["usage"]}, key="c")
    for answer in (estimate.json(), charge.json(), item["charge"], captured.json()):
        assert (answer["covered_by"], answer["credits"]) == ("own_key", "0")
    assert hold.json()["credits"] == "0"
    without = api.post("charges", USES[name] | {"own_key": False}, key="k2").json()
    assert (without["covered_by"], without["credits"]) == (None, PRICES[name])


def test_an_own_key_is_recorded_also_for_an_unlimited_service(api: Any, account: Account) -> None:
    enter(account, "studio")
    api.post("provider-keys", {"provider": "acme", "key": "sk-0123456789"})
    use = USES["writer"]
    assert api.post("charges", use | {"own_key": True}, key="k1").json()["covered_by"] == "own_key"
    assert api.post("charges", use, key="k2").json()["covered_by"] == "unlimited"


def test_an_unknown_service_is_unknown_with_an_own_key_too(api: Any) -> None:
    body = {"service": "nope", "usage": {"uses": 1}, "own_key": True}
    for answer in (
        api.post("estimates", body),
        api.post("charges", body, key="k"),
        api.post("holds", body, key="h"),
    ):
        assert (answer.status_code, answer.json()["code"]) == (404, "unknown_service")


def test_provider_keys_are_listed_without_the_secret_and_deleted_by_their_account_only(
    api: Any, charlie: User, api_of: Any, clock: Any
) -> None:
    stored = api.post("provider-keys", {"provider": "acme", "key": "sk-0123456789"}).json()
    assert (
        stored.items()
        >= {"provider": "acme", "last_four": "6789", "created_at": "2026-11-20T12:00:00Z"}.items()
    )
    clock.shift(1)
    second = api.post("provider-keys", {"provider": "globex", "key": "sk-abcdefgh"}).json()
    assert api.get("provider-keys").json()["data"] == [second, stored]
    other = api_of(charlie)
    assert other.get("provider-keys").json()["data"] == []
    assert other.delete(f"provider-keys/{stored['id']}").status_code == 404
    assert api.delete(f"provider-keys/{stored['id']}").status_code == 204
    assert api.get("provider-keys").json()["data"] == [second]
    unknown = api.post("provider-keys", {"provider": "initech", "key": "sk-0123456789"}).json()
    assert [(error["field"], error["code"]) for error in unknown["errors"]] == [
        ("provider", "unknown_provider")
    ]
    assert "acme, globex" in unknown["detail"]
    short = api.post("provider-keys", {"provider": "acme", "key": "1234567"}).json()
    assert [error["field"] for error in short["errors"]] == ["key"]
    assert api.post("provider-keys", {"provider": "acme", "key": "12345678"}).status_code == 201


def test_a_hold_of_an_amount_is_paid_and_counted_like_one_of_usage(api: Any, account: Account) -> None:
    """By grants that cover the model or the action, and one of the quota of the action or the service."""
    give(account, "40", kind="bonus", services=["tag:drawn"])
    sketch = {"service": "writer", "action": "sketch", "credits": "50"}
    assert api.post("holds", sketch, key="h1").json()["credits"] == "50"
    refused = api.post("holds", {"service": "writer", "credits": "0.5"}, key="h2").json()
    assert (refused["code"], refused["available"]) == ("insufficient_credits", "0")
    give(account, "100")
    assert api.post("charges", {"service": "upload", "usage": {"uses": 49}}, key="k1").status_code == 201
    uploads = [
        {"service": "upload", "credits": "1"},
        {"service": "painter", "action": "upload", "credits": "1"},
    ]
    assert api.post("holds", uploads[0], key="h3").status_code == 201
    for number, body in enumerate(uploads):
        refused = api.post("holds", body, key=f"over-{number}").json()
        assert (refused["status"], refused["code"], refused["quota"]) == (403, "quota_reached", "files")
    assert api.post("holds", {"service": "painter", "credits": "1"}, key="h4").status_code == 201
    card = rate_cards.copy_in_force(effective_at=timezone.now(), source="staff", now=timezone.now())
    card.rates.filter(service__key="sketch").delete()
    rate_cards.put_in_force(RateCard.objects.get(pk=card.pk), by="test", now=timezone.now())
    unpriced = api.post("holds", sketch | {"credits": "1"}, key="h5").json()
    assert (unpriced["status"], unpriced["code"]) == (409, "service_unpriced")
