"""What a change of a plan asks of Stripe, what it is refused with, and what pays an overdue invoice."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from accounts.models import Account
from billing import stripe_gateway
from billing.models import BillingProfile, StripePrice, Subscription
from billing.subscriptions import changes, overdue, prices, stripe_sync
from pricing.models import Plan

pytestmark = pytest.mark.django_db
START = datetime(2027, 4, 1, tzinfo=UTC)
END = datetime(2027, 5, 1, tzinfo=UTC)
NOW = START + timedelta(days=9)


@pytest.fixture
def subscribed(account: Account) -> Callable[..., Subscription]:
    """Alice is on Creator by the month: `subscribed(next_plan="starter")`."""

    def put(**fields: Any) -> Subscription:
        values: dict[str, Any] = {"plan": "creator", "interval": "month", "currency": "usd", "amount": 1990}
        values |= {"period_start": START, "anchor_at": START, "period_end": END, "paid_until": END}
        values |= {"stripe_subscription_id": "sub_1", "stripe_item_id": "si_1"}
        Subscription.objects.filter(account=account).update(**values | fields)
        return Subscription.objects.get(account=account)

    return put


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What was asked of Stripe, which does not answer."""
    sent: list[dict[str, Any]] = []

    def send(**arguments: Any) -> Any:
        sent.append(arguments)
        raise stripe_gateway.StripeUnavailable

    monkeypatch.setattr(stripe_gateway, "update_subscription", send)
    monkeypatch.setattr(prices, "ensure_price", lambda **fields: f"{fields['plan_key']} {fields['amount']}")
    return sent


@pytest.mark.parametrize(
    ("reasons", "details"),
    [
        ({}, None),
        ({"feedback": "unused"}, {"feedback": "unused", "comment": ""}),
        ({"comment": "Goodbye"}, {"feedback": "", "comment": "Goodbye"}),
        ({"feedback": "other", "comment": "Goodbye"}, {"feedback": "other", "comment": "Goodbye"}),
    ],
)
def test_a_cancellation_gives_its_reasons(
    subscribed: Callable[..., Subscription],
    account: Account,
    asked: list[dict[str, Any]],
    reasons: dict[str, str],
    details: dict[str, str] | None,
) -> None:
    before = subscribed()
    with pytest.raises(stripe_gateway.StripeUnavailable):
        changes.cancel(account, NOW, **reasons)
    [sent] = asked
    assert sent["params"] == {"cancel_at_period_end": True} | (
        {"cancellation_details": details} if details else {}
    )
    assert (sent["subscription_id"], sent["key"]) == (
        "sub_1",
        f"cancel:{before.pk.hex}:{before.version + 1}",
    )


@pytest.mark.parametrize("next_plan", ["", "starter"])
def test_what_is_withdrawn_is_the_cancellation_and_the_smaller_price(
    subscribed: Callable[..., Subscription], account: Account, asked: list[dict[str, Any]], next_plan: str
) -> None:
    subscribed(next_plan=next_plan)
    with pytest.raises(stripe_gateway.StripeUnavailable):
        changes.resume(account, NOW)
    price = {
        "items": [{"id": "si_1", "price": "creator 1990"}],
        "proration_behavior": "none",
        "metadata": {"plan_in_force": "none"},
    }
    assert asked[0]["params"] == {"cancel_at_period_end": False} | (price if next_plan else {})
    subscribed(next_plan=next_plan, paid_until=NOW)  # the renewal's payment is awaited
    refused = changes.ChangeRefused if next_plan else stripe_gateway.StripeUnavailable
    with pytest.raises(refused):
        changes.resume(account, NOW)
    assert len(asked) == (1 if next_plan else 2)


def test_a_plan_without_payment_has_nothing_to_cancel_or_to_resume(
    account: Account, asked: list[dict[str, Any]]
) -> None:
    for act, code in ((changes.cancel, "nothing_to_cancel"), (changes.resume, "nothing_to_resume")):
        version = Subscription.objects.get(account=account).version
        with pytest.raises(changes.ChangeRefused) as refused:
            act(account, NOW)
        assert refused.value.code == code
        assert Subscription.objects.get(account=account).version == version
    assert asked == []


@pytest.fixture
def at_stripe(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The latest invoice and its payment at Stripe; `requests` made for them."""
    facts: dict[str, Any] = {"requests": []}
    requests = facts["requests"]

    def retrieve(_id: str) -> dict[str, Any]:
        requests.append("retrieve")
        return {"latest_invoice": facts["invoice"]}

    def pay(*, key: str, invoice_id: str) -> dict[str, Any]:
        requests.append(key)
        return {"id": invoice_id, "status": facts["status"]}

    monkeypatch.setattr(stripe_gateway, "retrieve_subscription", retrieve)
    monkeypatch.setattr(stripe_gateway, "pay_invoice", pay)
    monkeypatch.setattr(stripe_sync, "synchronize", lambda stripe_id, _now: requests.append(stripe_id))
    return facts


@pytest.mark.fault("P26")
@pytest.mark.parametrize(
    ("invoice", "status", "requests"),
    [
        (None, "", ["retrieve", "sub_1"]),
        ({"id": "in_1", "status": "paid"}, "", ["retrieve", "sub_1"]),
        ({"id": "in_1", "status": "draft"}, "", ["retrieve", "sub_1"]),
        ({"id": "in_1", "status": "open"}, "paid", ["retrieve", "pay:in_1:0:pm_1", "sub_1"]),
        (
            {"id": "in_1", "status": "open", "attempt_count": 2},
            "open",
            ["retrieve", "pay:in_1:2:pm_1", "sub_1"],
        ),
    ],
)
def test_an_open_invoice_is_paid_once_for_each_attempt_and_card(
    subscribed: Callable[..., Subscription],
    account: Account,
    at_stripe: dict[str, Any],
    invoice: Any,
    status: str,
    requests: list[str],
) -> None:
    subscribed()
    BillingProfile.objects.update_or_create(account=account, defaults={"plan_card_id": "pm_1"})
    at_stripe |= {"invoice": invoice, "status": status}
    assert overdue.pay(account.pk, NOW) == (status == "paid")
    assert at_stripe["requests"] == requests


def test_a_plan_without_a_subscription_at_stripe_has_no_invoice(
    account: Account, at_stripe: dict[str, Any]
) -> None:
    assert not overdue.pay(account.pk, NOW)
    Subscription.objects.filter(account=account).delete()
    assert not overdue.pay(account.pk, NOW)
    assert at_stripe["requests"] == []


@pytest.mark.parametrize(
    ("changed", "recorded"),
    [
        ({}, ("starter", "month", 1500, "")),
        ({"tax_behavior": "exclusive"}, ("starter", "month", 1500, "exclusive")),
        ({"tax_behavior": "unspecified"}, ("starter", "month", 1500, "")),
        ({"recurring": {"interval": "year", "interval_count": 1}}, ("starter", "year", 1500, "")),
        ({"recurring": {"interval": "year", "interval_count": 2}}, None),
        ({"recurring": {"interval": "week"}}, None),
        ({"recurring": None}, None),
        ({"unit_amount": None}, None),
        ({"unit_amount": 0}, ("starter", "month", 0, "")),
        ({"metadata": {"plan": "unknown"}}, None),
        ({"metadata": {}, "product": {"metadata": {"plan": "creator"}}}, ("creator", "month", 1500, "")),
        ({"product": {"metadata": {"plan": "creator"}}}, ("starter", "month", 1500, "")),
        ({"metadata": {}, "product": "prod_1"}, None),
    ],
    ids=str,
)
def test_a_price_that_names_a_plan_is_recorded_but_not_offered(
    catalogue: None, changed: dict[str, Any], recorded: tuple[str, str, int, str] | None
) -> None:
    price = {"id": "price_9", "currency": "usd", "unit_amount": 1500, "metadata": {"plan": "starter"}}
    price |= {"recurring": {"interval": "month"}} | changed

    found = prices.recognise(price)

    if recorded is None:
        assert found is None and not StripePrice.objects.exists()
        return
    assert found == prices.recognise({"id": "price_9"}) == StripePrice.objects.get()
    assert (found.plan_key, found.interval, found.amount, found.tax_behavior) == recorded
    assert (found.currency, found.offered) == ("usd", False)


def test_a_price_of_no_plan_gets_the_plan_that_it_names_later(catalogue: None) -> None:
    price = {"id": "price_9", "currency": "usd", "unit_amount": 1500, "recurring": {"interval": "month"}}
    prices.record_unknown(price)
    assert prices.find_price("price_9") is None
    assert StripePrice.objects.get().plan_key == ""
    named = prices.recognise(price | {"metadata": {"plan": "starter"}})
    assert named is not None and (named.plan_key, StripePrice.objects.get().plan_key) == (
        "starter",
        "starter",
    )
    prices.record_unknown(price)
    assert StripePrice.objects.get().plan_key == "starter"
    prices.choose_plan(named, "creator")
    assert StripePrice.objects.get().plan_key == "creator"
    with pytest.raises(Plan.DoesNotExist):
        prices.choose_plan(named, "unknown")


def test_no_row_of_ours_has_the_version_of_no_subscription(subscribed: Any, account: Account) -> None:
    Subscription.objects.filter(account=account).update(stripe_subscription_id=None)
    assert stripe_sync.local_version(None) is None and stripe_sync.local_version("sub_1") is None
    assert stripe_sync.local_version("sub_1" if subscribed(version=7) else None) == 7
