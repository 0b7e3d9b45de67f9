"""Estimates and charges at the boundaries of prices; estimates of a text; what pays for a use."""

import json
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from accounts.models import Account, User
from billing import ledger
from billing.models import Allowance, Subscription
from billing.subscriptions import plan_terms
from core.ids import new_id
from pricing.catalogue import rate_cards
from pricing.models import Pack, Plan, RateCard
from tests.usage.api.conftest import give
from usage import charging, insufficient_credits

pytestmark = pytest.mark.usefixtures("workshop")


def writer(tokens: int = 1000, output: int = 0, **fields: Any) -> dict[str, Any]:
    """1 credit for 1,000 input tokens, 4 for 1,000 output tokens."""
    return {"service": "writer", "usage": {"input_tokens": tokens, "output_tokens": output}, **fields}


def images(count: int, **options: str) -> dict[str, Any]:
    """10 at 2, 10 at 1, then 0.5; times 1.25; at least 3; fast (twice as much) unless told."""
    return {"service": "painter", "usage": {"images": count}, "options": options}


def film(seconds: float) -> dict[str, Any]:
    """3 credits for each 5 seconds begun."""
    return {"service": "film", "usage": {"seconds": seconds}}


PRICES: list[tuple[dict[str, Any], str, list[str]]] = [
    # use, credits, credits of each line
    (images(1), "5", ["5"]),
    (images(1, speed="slow"), "3", ["2.5", "0.5"]),
    (images(1, speed="slow", quality="high"), "3.75", ["3.75"]),
    (images(2, speed="slow", ratio="16:9"), "5", ["5"]),
    (images(10, speed="slow"), "25", ["25"]),
    (images(11, speed="slow"), "26.25", ["25", "1.25"]),
    (images(20, speed="slow"), "37.5", ["25", "12.5"]),
    (images(21, speed="slow"), "38.125", ["25", "12.5", "0.625"]),
    (images(21, quality="high"), "114.375", ["75", "37.5", "1.875"]),
    (film(0.000001), "3", ["3"]),
    (film(5), "3", ["3"]),
    (film(5.000001), "6", ["6"]),
    (film(10), "6", ["6"]),
    (writer(1, 1), "0.005", ["0.001", "0.004"]),
    (writer(0, 3), "0.012", ["0", "0.012"]),
    (writer(1500, 0, action="sketch"), "3", ["3", "0"]),
    (writer(1500, 0, options={"quality": "high"}, action="sketch"), "4.5", ["4.5", "0"]),
    ({"service": "painter", "action": "frame", "usage": {"uses": 3}}, "21", ["21"]),
    ({"service": "frame", "usage": {"uses": 3}}, "21", ["21"]),
    ({"service": "gift", "usage": {"uses": 5}}, "0", ["0"]),
]


def test_an_estimate_a_charge_and_a_hold_have_the_same_price(api: Any, account: Account) -> None:
    give(account, "100000")
    for number, (use, credits, lines) in enumerate(PRICES):
        answers = [
            api.post("estimates", use).json(),
            api.post("charges", use, key=f"k{number}").json(),
            api.post("holds", use, key=f"h{number}").json(),
        ]
        for answer in answers:
            assert answer["credits"] == credits, use
            assert [line["credits"] for line in answer["lines"]] == lines, use
        assert answers[0]["maximum"] == credits


INVALID: list[tuple[dict[str, Any], str, str]] = [
    (images(1, speed="medium"), "options.speed", "unknown_value"),
    (images(1, size="4k"), "options.size", "unknown_option"),
    (writer(options={"speed": "slow"}), "options.speed", "unknown_option"),
    (
        {"service": "frame", "usage": {"uses": 1}, "options": {"quality": "low"}},
        "options.quality",
        "unknown_option",
    ),
    ({"service": "sketch", "usage": {"uses": 1}}, "service", "model_required"),
    (writer(action="painter"), "action", "not_an_action"),
    ({"service": "frame", "action": "sketch", "usage": {"uses": 1}}, "action", "not_an_action"),
    ({"service": "writer", "usage": {"input_tokens": 5}}, "usage.output_tokens", "required"),
    ({"service": "writer", "action": "frame", "usage": {"input_tokens": 5}}, "usage.uses", "required"),
    (writer(0, 0), "usage", "nothing_used"),
    (film(0.0000001), "usage.seconds", "fractional"),
    (images(10**12 + 1), "usage.images", "too_large"),
    (images(10**12), "usage", "too_large"),
    (writer(tokens=1) | {"usage": {f"m{n}": 1 for n in range(21)}}, "usage", "too_many"),
    (writer() | {"metadata": {"a": "x" * 4096}}, "metadata", "too_large"),
]


def test_an_invalid_use_has_the_same_error_everywhere(api: Any) -> None:
    for use, field, code in INVALID:
        [item] = api.post("charges/batch", {"data": [use | {"idempotency_key": "b"}]}).json()["data"]
        answers = [api.post(path, use, key="k") for path in ("estimates", "charges", "holds")]
        for problem in (*(answer.json() for answer in answers), item["error"]):
            assert (problem["status"], problem["code"]) == (400, "invalid_request")
            assert [(error["field"], error["code"]) for error in problem["errors"]] == [(field, code)], use
            assert problem["errors"][0]["message"] in problem["detail"]


def test_the_largest_metadata_has_4096_bytes(api: Any) -> None:
    metadata = {"a": "x" * (4096 - len('{"a":""}'))}
    assert api.post("charges", writer(metadata=metadata), key="k").json()["metadata"] == metadata


LETTERS = "abcd" * 10  # ten tokens, at most twenty


TEXTS: list[tuple[dict[str, Any], str, str, bool]] = [
    # with the 300 output tokens and 4 seconds that the catalogue expects
    ({"service": "writer", "text": LETTERS}, "1.21", "1.22", True),
    ({"service": "writer", "text": LETTERS + "e"}, "1.211", "1.222", True),
    ({"service": "writer", "text": "e"}, "1.201", "1.202", True),
    ({"service": "writer", "text": LETTERS, "usage": {"output_tokens": 1000}}, "4.01", "4.02", True),
    ({"service": "writer", "text": LETTERS, "usage": {"input_tokens": 1000}}, "2.2", "2.2", True),
    ({"service": "writer", "text": LETTERS, "action": "sketch"}, "2.42", "2.44", True),
    ({"service": "writer", "text": LETTERS, "options": {"quality": "high"}}, "1.815", "1.83", True),
    ({"service": "writer", "action": "frame", "text": LETTERS}, "7", "7", True),
    ({"service": "painter", "text": LETTERS}, "5", "5", True),
    ({"service": "film", "text": LETTERS}, "3", "3", True),
    ({"service": "film", "text": LETTERS, "usage": {"seconds": 6}}, "6", "6", True),
    (writer(1000, 0), "1", "1", False),
]


def test_an_estimate_of_a_text(api: Any) -> None:
    for use, credits, maximum, approximate in TEXTS:
        estimate = api.post("estimates", use).json()
        shown = (estimate["credits"], estimate["maximum"], estimate["approximate"])
        assert shown == (credits, maximum, approximate), use


@pytest.mark.parametrize("character", ["e", "漢", "😀"])
def test_the_longest_text_is_estimated_in_any_script_and_encoding(api: Any, character: str) -> None:
    body = {"service": "writer", "text": character * 200_000}
    escaped = api.post("estimates", body)
    assert escaped.status_code == 200
    plain = json.dumps(body, ensure_ascii=False).encode()
    response = api.client.post("/api/v1/estimates", plain, content_type="application/json")
    assert (response.status_code, response.json()["credits"]) == (200, escaped.json()["credits"])
    assert api.post("estimates", body | {"text": character * 200_001}).status_code == 400


def test_an_estimate_says_what_the_grants_that_cover_the_use_can_pay(api: Any, account: Account) -> None:
    give(account, "20", kind="bonus", services=["tag:drawn"], key="of the action's tag")
    give(account, "40", kind="bonus", services=["writer"], key="of the model")
    give(account, "80", kind="bonus", services=["tag:art"], key="of another tag")
    for use, available in (
        (writer(), "50"),
        (writer(action="sketch"), "70"),
        (images(1), "90"),
        (film(5), "10"),
    ):
        assert api.post("estimates", use).json()["available"] == available, use


@pytest.mark.parametrize(("tokens", "sufficient"), [(9999, True), (10_000, True), (10_001, False)])
def test_credits_are_sufficient_to_the_last_digit(api: Any, tokens: int, sufficient: bool) -> None:
    assert api.post("estimates", writer(tokens)).json()["sufficient"] is sufficient
    assert (api.post("charges", writer(tokens), key="k").status_code == 201) is sufficient


def test_in_debt_nothing_is_available(api: Any, account: Account) -> None:
    purchase = new_id()
    give(account, "20", purchase_id=purchase, priority=1, key="pack")
    api.post("charges", writer(5000), key="k")
    terms = {"key": "refund", "reason": "", "now": timezone.now()}
    ledger.claw_back(account_id=account.pk, purchase_id=purchase, **terms)
    estimate = api.post("estimates", writer()).json()
    assert (estimate["available"], estimate["sufficient"]) == ("0", False)
    free = api.post("estimates", {"service": "gift", "usage": {"uses": 1}}).json()
    assert (free["credits"], free["sufficient"]) == ("0", True)
    refused = api.post("charges", writer(), key="k2").json()
    assert (refused["needed"], refused["available"], refused["debt"]) == ("1", "0", "5")


def test_an_estimate_pins_a_price_for_its_account_its_use_and_its_time(
    api: Any, platform_api: Any, account: Account, charlie: User, clock: Any
) -> None:
    estimate = api.post("estimates", writer(action="sketch")).json()
    assert estimate["valid_until"] == "2026-11-20T12:10:00Z"
    pinned = {"estimate": estimate["id"]}
    other = {"account": Account.objects.get(person=charlie).public_id}
    for use, code in (
        (writer() | pinned, "other_use"),
        (images(1) | {"action": "sketch"} | pinned, "other_use"),
        (writer(action="sketch") | pinned | other, "other_use"),
        (writer(action="sketch") | {"estimate": "forged"}, "invalid"),
    ):
        client = platform_api if "account" in use else api
        refused = [client.post("charges", use, key="k"), client.post("holds", use, key="h")]
        for answer in refused:
            errors = [(error["field"], error["code"]) for error in answer.json()["errors"]]
            assert (answer.status_code, errors) == (400, [("estimate", code)])
    clock.shift(timedelta(minutes=10, microseconds=-1))
    assert api.post("charges", writer(2000, action="sketch") | pinned, key="k1").json()["credits"] == "4"
    clock.shift(timedelta(microseconds=1))
    expired = api.post("charges", writer(action="sketch") | pinned, key="k2").json()
    assert [(error["field"], error["code"]) for error in expired["errors"]] == [("estimate", "expired")]
    again = api.post("charges", writer(2000, action="sketch") | pinned, key="k1")
    assert again["Idempotent-Replayed"] == "true", "a repeated request is answered after the estimate expired"
    another = api.post("charges", writer(2001, action="sketch") | pinned, key="k1")
    assert (another.status_code, another.json()["code"]) == (422, "idempotency_key_reused")


@pytest.mark.parametrize("path", ["charges", "holds"])
def test_an_estimate_of_an_older_card_keeps_its_price(api: Any, clock: Any, path: str) -> None:
    estimate = api.post("estimates", writer(action="sketch")).json()
    clock.shift(60)
    now = timezone.now()
    card = rate_cards.copy_in_force(effective_at=now, source="staff", now=now)
    card.rates.filter(service__key="writer").update(multiplier=3)
    card.rates.filter(service__key="sketch").update(multiplier=5)
    rate_cards.put_in_force(RateCard.objects.get(pk=card.pk), by="test", now=now)
    use = writer(500, action="sketch")
    dear = api.post(path, use, key="k1").json()
    assert (dear["credits"], dear["rate"]) == (
        "7.5",
        {"version": "2026-11-20", "effective_at": "2026-11-20T12:01:00Z"},
    )
    old = api.post(path, use | {"estimate": estimate["id"]}, key="k2").json()
    assert (old["credits"], old["rate"]) == ("1", estimate["rate"])
    if path == "holds":
        amount = {"service": "writer", "action": "sketch", "credits": "0.5"}
        rates = [
            api.post(path, amount | more, key=f"a{len(more)}").json()["rate"]
            for more in ({}, {"estimate": estimate["id"]})
        ]
        assert rates == [dear["rate"], estimate["rate"]]


@pytest.mark.parametrize(
    ("plan", "upgrades", "packs"),
    [
        ("free", ["studio", "hall"], [("small", "100.5")]),
        ("bench", ["studio", "hall"], [("large", "500"), ("small", "100.5")]),
        ("studio", ["hall"], [("large", "500"), ("small", "100.5")]),
        ("hall", [], [("large", "500"), ("small", "100.5")]),
        ("gone", ["studio", "hall"], [("small", "100.5")]),
    ],
)
def test_a_refusal_names_what_this_account_can_do(
    api: Any, account: Account, charlie: User, clock: Any, plan: str, upgrades: list[str], packs: list[Any]
) -> None:
    """Larger plans by rank, the account's own allowances in order of time, packs it may buy."""
    Subscription.objects.filter(account=account).update(plan=plan)
    plan_terms.forget(account.pk)
    Plan.objects.create(
        key="old", name="Old", rank=4, prices={"month": {"usd": 1}}, retired_at=timezone.now()
    )
    Plan.objects.create(key="club", name="Club", rank=5, prices={})
    Pack.objects.create(key="past", name="Past", credits=5, prices={"usd": 500}, retired_at=timezone.now())
    [daily] = Allowance.objects.filter(account=account)
    month = {"credits": Decimal("700.5"), "label": "Monthly", "key": "month"}
    for changes in (
        month | {"next_at": daily.next_at - timedelta(hours=1)},
        {"key": "over", "next_at": daily.next_at, "ends_at": daily.next_at},
        {"key": "stopped", "next_at": None},
        {"key": "due", "next_at": timezone.now()},
        {
            "key": "last",
            "label": "Last",
            "next_at": daily.next_at + timedelta(1),
            "ends_at": daily.next_at + timedelta(2),
        },
    ):
        row = Allowance.objects.get(pk=daily.pk)
        row.pk = None
        for name, value in changes.items():
            setattr(row, name, value)
        row.save()
    options = insufficient_credits.options(account.pk, timezone.now())
    site = "http://127.0.0.1:8000"
    wait = [
        {"kind": "wait", "until": "2026-11-20T23:00:00Z", "credits": "700.5", "label": "Monthly"},
        {"kind": "wait", "until": "2026-11-21T00:00:00Z", "credits": "10", "label": "Daily"},
        {"kind": "wait", "until": "2026-11-22T00:00:00Z", "credits": "10", "label": "Last"},
    ]
    assert options == [
        *({"kind": "upgrade", "plan": key, "name": key.title(), "url": f"{site}/plans/"} for key in upgrades),
        *wait,
        *(
            {
                "kind": "buy",
                "pack": key,
                "name": key.title(),
                "credits": credits,
                "url": f"{site}/billing/buy/",
            }
            for key, credits in packs
        ),
    ]


def test_every_refusal_for_credits_has_the_amounts_and_the_options(
    api: Any, platform_api: Any, account: Account, charlie: User
) -> None:
    use = writer(11_000)
    options = api.post("charges", use, key="k").json()["ways_on"]
    assert [option["kind"] for option in options] == ["upgrade", "upgrade", "wait", "buy"]
    hold = api.post("holds", use, key="h").json()
    amount = api.post("holds", {"service": "writer", "credits": "11"}, key="h").json()
    theirs = Account.objects.get(person=charlie)
    Subscription.objects.filter(account=theirs).update(plan="hall")
    plan_terms.forget(theirs.pk)
    items = [use | {"idempotency_key": "b", "account": name.public_id} for name in (account, theirs, account)]
    results = platform_api.post("charges/batch", {"data": items}).json()["data"]
    for problem in (hold, amount, results[0]["error"], results[2]["error"]):
        assert (problem["needed"], problem["available"], problem["ways_on"]) == ("11", "10", options)
        assert problem["title"] == "Insufficient credits"
    kinds = [option["kind"] for option in results[1]["error"]["ways_on"]]
    assert kinds == ["wait", "buy", "buy"], "those of the account of each item"


def test_the_account_of_a_batch_is_that_of_items_that_name_none(
    platform_api: Any, account: Account, charlie: User
) -> None:
    other = Account.objects.get(person=charlie)
    items = [writer(idempotency_key="a"), writer(idempotency_key="b", account=other.public_id)]
    body = {"account": account.public_id, "data": items}
    results = platform_api.post("charges/batch", body).json()["data"]
    assert [result["charge"]["account"] for result in results] == [account.public_id, other.public_id]


def test_an_error_of_the_server_is_not_the_outcome_of_an_item(api: Any, monkeypatch: Any) -> None:
    def broken(*_: Any, **__: Any) -> None:
        raise RuntimeError

    monkeypatch.setattr(charging, "charge_request", broken)
    api.client.raise_request_exception = False
    assert api.post("charges/batch", {"data": [writer(idempotency_key="a")]}).status_code == 500


def test_the_options_of_an_account_are_read_once_for_a_batch(api: Any) -> None:
    def queries(count: int) -> int:
        items = [writer(11_000, idempotency_key=f"{count}-{number}") for number in range(count)]
        with CaptureQueriesContext(connection) as captured:
            results = api.post("charges/batch", {"data": items}).json()["data"]
        assert {result["error"]["code"] for result in results} == {"insufficient_credits"}
        return len(captured)

    queries(1)
    assert queries(8) < queries(2) + 12, "four queries for each refused item, if they were not kept"
