"""Whole answers of billing's endpoints, for purchases and plans in each state."""

from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
import time_machine
from django.utils import timezone

from accounts.models import Account, User
from billing import ledger
from billing.models import Dispute, Purchase, Refund, Subscription
from billing.subscriptions import plan_terms
from pricing.models import Pack, Plan, Sale
from tests.billing.api.conftest import NOON
from tests.billing.conftest import smallest_pack

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize(
    ("status", "fields", "differs"),
    [
        ("paid", {"invoice_number": "2026-1"}, {"paid_at": NOON, "invoice_number": "2026-1"}),
        ("created", {}, {"checkout_url": "https://c"}),
        ("pending", {}, {}),
        ("failed", {}, {"failure": "Why."}),
        ("cancelled", {}, {}),
        ("quarantined", {}, {}),
        (
            "paid",
            {"kind": "plan", "offer": "starter", "origin": "renewal", "quantity": 1, "balance_used": -50},
            {
                "kind": "plan",
                "pack": None,
                "plan": "starter",
                "origin": "renewal",
                "quantity": 1,
                "balance_used": -50,
                "paid_at": NOON,
            },
        ),
        (
            "created",
            {"checkout_url": "", "payment_method": "", "receipt_url": "", "refunded": 7},
            {"checkout_url": None, "payment_method": None, "receipt_url": None, "refunded": 7},
        ),
    ],
)
def test_a_purchase_in_each_state(
    api: Any,
    purchase: Callable[..., Purchase],
    account: Account,
    status: str,
    fields: dict[str, Any],
    differs: dict[str, Any],
) -> None:
    made = purchase(status, **fields)
    expected = {
        "id": made.public_id,
        "account": account.public_id,
        "status": status,
        "kind": "pack",
        "origin": "api",
        "pack": "small",
        "plan": None,
        "label": "2 × Small",
        "quantity": 2,
        "credits": "200",
        "credits_left": "0",
        "amount": 900,
        "list_amount": 1000,
        "tax": 80,
        "balance_used": 0,
        "refunded": 0,
        "dispute": None,
        "currency": "jpy",
        "payment_method": "card",
        "invoice_number": None,
        "receipt_url": "https://r",
        "checkout_url": None,
        "failure": None,
        "created_at": NOON,
        "paid_at": None,
    } | differs
    assert api.get("purchases").json()["data"] == [expected]
    full = api.get(f"purchases/{made.public_id}").json()
    assert (full.pop("refunds"), full.pop("refundable")["amount"]) == ([], 0)
    assert full == expected


@pytest.mark.parametrize(
    ("disputes", "shown"),
    [
        ([("open", True)], "open"),
        ([("lost", True)], "lost"),
        ([("inquiry", False)], "inquiry"),
        ([("won", False)], None),
        ([("prevented", False), ("closed", False)], None),
        ([("lost", True), ("won", False)], "lost"),
        ([("open", True), ("inquiry", False)], "open"),
        ([("lost", True), ("open", True)], "open"),
    ],
)
def test_a_purchase_names_the_dispute_that_withdrew_its_money_or_is_not_decided(
    api: Any, purchase: Callable[..., Purchase], disputes: list[tuple[str, bool]], shown: str | None
) -> None:
    made = purchase("paid", paid_at=timezone.now())
    for number, (status, withdrawn) in enumerate(disputes):
        Dispute.objects.create(
            account=made.account,
            purchase=made,
            stripe_dispute_id=f"dp_{number}",
            status=status,
            withdrawn=withdrawn,
            amount=900,
            currency="jpy",
            created_at=timezone.now() + timedelta(minutes=number),
        )
    assert [one["dispute"] for one in api.get("purchases").json()["data"]] == [shown]
    assert api.get(f"purchases/{made.public_id}").json()["dispute"] == shown


def test_purchases_are_the_accounts_own_newest_first_with_what_is_left_of_each(
    api: Any,
    purchase: Callable[..., Purchase],
    clock: time_machine.Traveller,
    account: Account,
    charlie: User,
    account_of: Callable[[User], Account],
) -> None:
    made = []
    for number in range(3):
        made.append(purchase())
        clock.shift(60)
        ledger.grant(
            account_id=account.pk,
            credits=Decimal(10 + number),
            kind="top_up",
            label="-",
            key=str(number),
            purchase_id=made[-1].pk,
            now=timezone.now(),
        )
    Purchase.objects.filter(pk=purchase().pk).update(account=account_of(charlie))
    listed = api.get("purchases", limit="2").json()
    assert [(one["id"], one["credits_left"]) for one in listed["data"]] == [
        (made[2].public_id, "12"),
        (made[1].public_id, "11"),
    ]
    rest = api.get("purchases", limit="2", cursor=listed["next_cursor"]).json()
    assert ([one["id"] for one in rest["data"]], rest["has_more"]) == ([made[0].public_id], False)


@pytest.mark.requirement("APIN-10")
def test_a_refund_is_requested_with_and_without_a_key_and_shown_with_the_purchase(
    api: Any, purchase: Callable[..., Purchase], account: Account, alice: User, refund_window: None
) -> None:
    made = purchase(stripe_payment_id="pi_1", refunded=90)
    ledger.grant(
        account_id=account.pk,
        credits=Decimal(150),
        kind="top_up",
        label="-",
        key="g",
        purchase_id=made.pk,
        now=timezone.now(),
    )
    path = f"purchases/{made.public_id}"
    offered = {"amount": 675, "credits": "150", "until": "2026-12-20T12:00:00Z"}
    assert api.get(path).json()["refundable"] == offered
    answer = api.post(f"{path}/refund-requests", {"reason": "too many"}, key="r")
    refund = Refund.objects.get()
    expected = {
        "id": refund.public_id,
        "purchase": made.public_id,
        "status": "requested",
        "amount": 675,
        "currency": "jpy",
        "credits": "150",
        "reason": "too many",
        "decision": "",
        "created_at": NOON,
        "decided_at": None,
    }
    assert (answer.status_code, answer.json(), refund.requested_by) == (201, expected, None)
    again = api.post(f"{path}/refund-requests", {"reason": "too many"}, key="r")
    assert (again.status_code, again.json(), again["Idempotent-Replayed"]) == (201, expected, "true")
    shown = api.get(path).json()
    assert (shown["refunds"], shown["refundable"]) == ([expected], {"amount": 0, "code": "already_requested"})
    refused = api.post(f"{path}/refund-requests", {}, key="r2")
    assert (refused.status_code, refused.json()["code"]) == (409, "already_requested")
    Refund.objects.update(status="withdrawn")
    assert api.post(f"{path}/refund-requests", {}, key="r2").json()["reason"] == ""


@pytest.mark.requirement("FLOW-05")
def test_packs_have_their_prices_in_each_currency_and_the_sale(api: Any) -> None:
    now = timezone.now()
    Pack.objects.exclude(key=smallest_pack()).update(retired_at=now)
    small = Pack.objects.get(retired_at=None)
    Pack.objects.filter(pk=small.pk).update(
        prices={"usd": 999, "eur": 900}, credits=100, name="Small", lasts="1 year", paid_plans_only=True
    )
    ends = now + timedelta(days=2)
    Sale.objects.create(
        key="s", pack=small, label="Black Friday", prices={"eur": 450}, starts_at=now, ends_at=ends
    )
    Pack.objects.create(key="big", name="Big", credits=1000, prices={"eur": 2250}, position=99)

    [first, second] = api.get("packs").json()["data"]

    sale = {"label": "Black Friday", "ends_at": "2026-11-22T12:00:00Z"}
    by_currency = {price["currency"]: price for price in first.pop("prices")}
    assert by_currency == {
        "usd": {
            "currency": "usd",
            "amount": 999,
            "list_amount": 999,
            "each": "0.0999",
            "saving_percent": 0,
            "sale": None,
        },
        "eur": {
            "currency": "eur",
            "amount": 450,
            "list_amount": 900,
            "each": "0.045",
            "saving_percent": 0,
            "sale": sale,
        },
    }
    assert first == {
        "key": small.key,
        "name": "Small",
        "summary": small.summary,
        "credits": "100",
        "lasts": "1 year",
        "popular": small.popular,
        "paid_plans_only": True,
        "eligible": False,
    }
    assert [(one["currency"], one["saving_percent"]) for one in second["prices"]] == [("eur", 50)]
    assert (second["eligible"], second["lasts"]) == (True, "forever")
    Subscription.objects.update(plan="starter")
    plan_terms.forget_all()
    assert [one["eligible"] for one in api.get("packs").json()["data"]] == [True, True]


@pytest.mark.parametrize("path", ["plans", "packs"])
def test_plans_and_packs_come_in_pages(api: Any, path: str) -> None:
    everything = api.get(path).json()
    assert (everything["has_more"], everything["next_cursor"]) == (False, None)
    keys = [one["key"] for one in everything["data"]]
    assert len(keys) > 1
    first = api.get(path, limit="1").json()
    assert ([one["key"] for one in first["data"]], first["has_more"]) == (keys[:1], True)
    second = api.get(path, limit="100", cursor=first["next_cursor"]).json()
    assert ([one["key"] for one in second["data"]], second["has_more"]) == (keys[1:], False)
    for query in ({"limit": "0"}, {"limit": "101"}, {"cursor": "no-such"}):
        assert api.get(path, **query).json()["errors"][0]["field"] in query


def test_plans_are_those_on_offer_and_the_own_one(api: Any) -> None:
    def listed() -> list[tuple[str, bool, bool]]:
        return [(one["key"], one["current"], one["eligible"]) for one in api.get("plans").json()["data"]]

    offered = [one.key for one in Plan.objects.order_by("rank", "position") if one.open_to_new_members]
    assert listed() == [(key, key == "free-trial", key != "free-trial") for key in offered]
    Subscription.objects.update(plan="pro")
    assert ("pro", True, False) in listed() and len(listed()) == len(offered) + 1
    assert [key for key, *_ in listed()] == [
        one.key for one in Plan.objects.order_by("rank", "position") if one.key in {*offered, "pro"}
    ]
    starter = next(one for one in api.get("plans").json()["data"] if one["key"] == "starter")
    plan = Plan.objects.get(key="starter")
    assert {"interval": "year", "currency": "usd", "amount": 9900} in starter["prices"]
    assert len(starter["prices"]) == sum(len(prices) for prices in plan.prices.values())
    assert [(one["label"], one["credits"], one["period"], one["kind"]) for one in starter["allowances"]] == [
        (one["label"], f"{Decimal(one['credits']).normalize():f}", one["period"], one["kind"])
        for one in plan.allowances
    ]
    facts = ("name", "rank", "free", "legacy", "carry_over", "features", "unlimited_services")
    assert [starter[name] for name in facts] == [getattr(plan, name) for name in facts]


FREE: dict[str, Any] = {
    "plan": "free-trial",
    "state": "active",
    "legacy": False,
    "interval": None,
    "amount": 0,
    "currency": None,
    "period_end": None,
    "cancel_at_period_end": False,
    "next_plan": None,
    "cancellation": None,
    "pending_change": None,
    "pending_purchase": None,
    "recovery_url": None,
}


@pytest.mark.parametrize(
    ("fields", "differs"),
    [
        ({}, {}),
        (
            {
                "plan": "starter",
                "interval": "year",
                "amount": 9900,
                "currency": "usd",
                "next_plan": "creator",
            },
            {
                "plan": "starter",
                "interval": "year",
                "amount": 9900,
                "currency": "usd",
                "next_plan": "creator",
            },
        ),
        ({"plan": "pro"}, {"plan": "pro", "legacy": True}),
        (
            {"state": "past_due", "recovery_url": "https://pay"},
            {"state": "past_due", "recovery_url": "https://pay"},
        ),
        (
            {"cancel_at_period_end": True, "cancel_feedback": "unused", "cancel_comment": ""},
            {"cancel_at_period_end": True, "cancellation": {"feedback": "unused", "comment": None}},
        ),
        ({"cancel_feedback": "unused", "cancel_comment": "x"}, {}),
    ],
)
def test_a_subscription_in_each_state(api: Any, fields: dict[str, Any], differs: dict[str, Any]) -> None:
    Subscription.objects.update(**fields)
    plan_terms.forget_all()
    answer = api.get("subscription").json()
    assert {name: answer[name] for name in FREE} == FREE | differs
    assert answer["name"] == Plan.objects.get(key=answer["plan"]).name
    assert answer["period_start"] == NOON


@pytest.mark.parametrize(("seconds", "shown"), [(1, True), (0, False), (-1, False)])
def test_a_change_that_waits_is_shown_until_it_expires(api: Any, seconds: int, shown: bool) -> None:
    until = timezone.now() + timedelta(seconds=seconds)
    Subscription.objects.update(pending_plan="creator", pending_url="https://bank", pending_until=until)
    change = api.get("subscription").json()["pending_change"]
    assert (change is not None) == shown
    if shown:
        assert (change["plan"], change["url"], change["expires_at"]) == (
            "creator",
            "https://bank",
            "2026-11-20T12:00:01Z",
        )


def test_a_plan_whose_payment_takes_days_is_named(api: Any, purchase: Callable[..., Purchase]) -> None:
    purchase("pending")
    assert api.get("subscription").json()["pending_purchase"] is None
    plan = {"kind": "plan", "offer": "starter", "interval": "year", "payment_method": "sepa_debit"}
    made = purchase("pending", **plan)
    assert api.get("subscription").json()["pending_purchase"] == {
        "id": made.public_id,
        "plan": "starter",
        "interval": "year",
        "payment_method": "sepa_debit",
        "usual_days": 5,
        "created_at": NOON,
    }
    Purchase.objects.filter(pk=made.pk).update(payment_method="")
    waiting = api.get("subscription").json()["pending_purchase"]
    assert (waiting["payment_method"], waiting["usual_days"]) == (None, None)


def test_quotas_have_what_is_used_of_them(api: Any, account: Account) -> None:
    [quota] = api.get("subscription").json()["quotas"]
    [stated] = Plan.objects.get(key="free-trial").quotas
    assert quota == {
        "key": stated["key"],
        "label": stated["label"],
        "maximum": 100,
        "period": stated["period"],
        "used": 0,
    }
