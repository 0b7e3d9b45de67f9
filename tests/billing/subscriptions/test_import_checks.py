"""Which subscriptions at Stripe can be imported, and what the refusal of another one says."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from accounts.models import Account, User
from billing import stripe_gateway
from billing.models import BillingProfile, PlanChange, StripePrice, Subscription
from billing.subscriptions import importing
from pricing.models import Plan

pytestmark = [pytest.mark.django_db, pytest.mark.requirement("REFLY-08")]
NOW = datetime(2027, 4, 10, 12, tzinfo=UTC)
RECURRING = {"interval": "month", "interval_count": 1}
PRICE = {"id": "price_1", "currency": "usd", "unit_amount": 500, "recurring": RECURRING}
ITEM = {"id": "si_1", "quantity": 1, "price": PRICE}
AT_STRIPE = {
    "id": "sub_1",
    "status": "active",
    "customer": "cus_1",
    "latest_invoice": {"status": "paid"},
    "items": {"data": [ITEM]},
}


def priced(**changes: Any) -> dict[str, Any]:
    """The changes of a subscription with another price."""
    return {"items": {"data": [ITEM | {"price": PRICE | changes}]}}


@pytest.fixture
def refusal(account: Account, monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """Check a row of alice; what it is refused with, "done" or an empty string."""

    def check(changes: dict[str, Any] | None = None, *, plan: str = "plus", account_name: str = "") -> str:
        monkeypatch.setattr(stripe_gateway, "retrieve_subscription", lambda _id: AT_STRIPE | (changes or {}))
        row = importing.Row(2, account_name or account.public_id, "sub_1", plan)
        try:
            return "done" if importing.check(row).done else ""
        except importing.RowRefused as refused:
            return str(refused)

    return check


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, ""),
        ({"status": "trialing"}, ""),
        ({"status": "trialing", "latest_invoice": {"status": "open"}}, ""),
        ({"status": "past_due"}, "The subscription is past_due"),
        ({"latest_invoice": {"status": "open"}}, "The latest invoice is not paid yet"),
        ({"latest_invoice": {"status": "draft"}}, "The latest invoice is not paid yet"),
        ({"latest_invoice": None}, ""),
        ({"latest_invoice": "in_1"}, ""),
        ({"schedule": "sub_sched_1"}, "has a schedule"),
        ({"pause_collection": {"behavior": "void"}}, "collection of payments is paused"),
        ({"collection_method": "send_invoice"}, "invoices are sent"),
        ({"collection_method": "charge_automatically"}, ""),
        ({"discounts": ["di_1"]}, "has a discount"),
        ({"discounts": []}, ""),
        ({"items": None}, "has several items"),
        ({"items": {"data": None}}, "has several items"),
        ({"items": {"data": [ITEM, ITEM]}}, "has several items"),
        ({"items": {"data": [ITEM | {"quantity": 2}]}}, "has several items"),
        ({"items": {"data": [{"id": "si_1", "price": PRICE}]}}, ""),
        ({"items": {"data": [{"id": "si_1", "price": None}]}}, "not one amount"),
        (priced(recurring=None), "not one amount"),
        (priced(recurring=RECURRING | {"interval_count": 3}), "not one amount"),
        (priced(recurring={"interval": "month"}), ""),
        (priced(recurring={"interval": "week"}), "not one amount"),
        (priced(unit_amount=None), "not one amount"),
        (priced(unit_amount=501), "It costs $5.01 each month, the catalogue says $5.00"),
        (priced(unit_amount=0), "It costs $0.00 each month, the catalogue says $5.00"),
        (priced(currency="eur"), "the catalogue says"),
        (priced(recurring={"interval": "year"}), "each year, the catalogue says no price"),
        ({"metadata": None}, ""),
        ({"metadata": {"account": ""}}, ""),
        ({"metadata": {"account": "acc_other"}}, "name the account acc_other"),
    ],
    ids=str,
)
def test_what_stripe_must_say_of_a_subscription(
    refusal: Callable[..., str], changes: dict[str, Any], expected: str
) -> None:
    Plan.objects.filter(key="plus").update(prices={"month": {"usd": 500}})
    said = refusal(changes)
    assert expected in said and bool(said) == bool(expected)


def test_a_subscription_counts_as_imported_once_its_metadata_name_the_account(
    refusal: Callable[..., str], account: Account
) -> None:
    own = {"metadata": {"account": account.public_id}}
    assert refusal(own) == "", "another process may have died after the mark"
    Subscription.objects.filter(account=account).update(stripe_subscription_id="sub_1", plan="plus")
    assert (refusal(own), refusal({}), refusal({"metadata": {}})) == ("done", "", "")
    assert "on the plan plus now" in refusal(own | priced(unit_amount=1000), plan="pro")


@pytest.mark.parametrize(
    ("of_other", "of_own", "expected"),
    [
        (None, None, ""),
        (None, "cus_1", ""),
        (None, "cus_2", "The account has another customer, cus_2"),
        ("cus_2", None, ""),
        ("cus_1", None, "Its customer belongs to the account acct_"),
        ("cus_2", "cus_1", ""),
    ],
)
def test_a_customer_belongs_to_one_account(
    refusal: Callable[..., str],
    account: Account,
    bob: User,
    account_of: Callable[[User], Account],
    of_other: str | None,
    of_own: str | None,
    expected: str,
) -> None:
    for owner, customer in ((account_of(bob), of_other), (account, of_own)):
        BillingProfile.objects.update_or_create(account=owner, defaults={"stripe_customer_id": customer})
    said = refusal()
    assert expected in said and bool(said) == bool(expected)


def test_what_the_account_and_the_plan_must_be(
    refusal: Callable[..., str], account: Account, alice: User, bob: User, account_of: Any
) -> None:
    assert "no such plan. Plans with a price: creator, " in refusal(plan="unknown")
    Plan.objects.filter(key="creator").update(retired_at=NOW)
    assert "no such plan. Plans with a price: " in refusal(plan="creator")
    assert "creator" not in refusal(plan="creator") and "free-trial" not in refusal(plan="creator")
    assert "has no price" in refusal(plan="free-trial")
    assert refusal(account_name=str(alice.email).upper()) == ""
    for name in ("nobody", "nobody@example.org", "@"):
        assert "No account has this id" in refusal(account_name=name)
    User.objects.filter(pk=alice.pk).update(is_active=False)
    assert "No account has this id" in refusal(account_name=str(alice.email))
    PlanChange.objects.create(account=account, left="plus", entered="free-trial", created_at=NOW)
    assert "has left this legacy plan" in refusal()
    PlanChange.objects.all().delete()
    Subscription.objects.filter(account=account).update(stripe_subscription_id="sub_own")
    assert "The account has the subscription sub_own" in refusal()
    Subscription.objects.filter(account=account).update(stripe_subscription_id=None)
    Subscription.objects.filter(account=account_of(bob)).update(stripe_subscription_id="sub_1")
    assert "Another account has this subscription" in refusal()


def test_an_unanswered_request_refuses_no_row(
    refusal: Callable[..., str], account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unanswered(**_arguments: Any) -> Any:
        raise stripe_gateway.StripeUnavailable

    def refused(**_arguments: Any) -> Any:
        raise stripe_gateway.InvalidRequest("not now")

    refusal()
    checked = importing.check(importing.Row(2, account.public_id, "sub_1", "plus"))
    monkeypatch.setattr(stripe_gateway, "update_subscription", unanswered)
    with pytest.raises(stripe_gateway.StripeUnavailable):
        importing.apply(checked, NOW)
    assert Subscription.objects.get(account=account).intent != "", "its event finishes the import"
    assert BillingProfile.objects.get(account=account).stripe_customer_id == "cus_1"
    assert StripePrice.objects.get().plan_key == "plus"

    monkeypatch.setattr(stripe_gateway, "update_subscription", refused)
    with pytest.raises(importing.RowRefused, match="not now"):
        importing.apply(checked, NOW)
    assert Subscription.objects.get(account=account).intent == "", "nothing enters the plan any more"


def test_a_price_recorded_for_another_plan_or_with_another_id_is_refused(
    refusal: Callable[..., str], account: Account
) -> None:
    refusal()
    checked = importing.check(importing.Row(2, account.public_id, "sub_1", "plus"))
    figures = {"interval": "month", "currency": "usd", "amount": 500}
    recorded = StripePrice.objects.create(plan_key="pro", stripe_price_id="price_1", **figures)
    with pytest.raises(importing.RowRefused, match="belongs to the plan pro"):
        importing.apply(checked, NOW)
    StripePrice.objects.filter(pk=recorded.pk).update(plan_key="plus", stripe_price_id="price_2")
    with pytest.raises(importing.RowRefused, match="have the price price_2"):
        importing.apply(checked, NOW)
    assert not BillingProfile.objects.filter(stripe_customer_id="cus_1").exists()


def test_a_file_is_read_line_by_line() -> None:
    header = "note,account, stripe_subscription_id ,plan".replace(" ", "")
    rows = importing.read([header, "x, a , sub_1,plus", "y,b"])
    assert rows == [importing.Row(2, "a", "sub_1", "plus"), importing.Row(3, "b", "", "")]
    for lines in ([], ["account,plan"]):
        with pytest.raises(importing.FileRefused, match="must name the column"):
            importing.read(lines)
    with pytest.raises(importing.FileRefused, match="not a CSV file"):
        importing.read([header, '"a"b,c'])


def test_a_line_is_repeated_by_its_account_or_its_subscription() -> None:
    names = [("A@x.org", "sub_1"), ("b", "sub_2"), ("a@X.org", "sub_3"), ("c", "sub_2"), ("d", "sub_4")]
    rows = [importing.Row(2 + n, name, stripe_id, "plus") for n, (name, stripe_id) in enumerate(names)]
    found = importing.repeated(rows)
    assert {line: text.split(".")[0] for line, text in found.items()} == {
        4: "Line 2 is for the same account",
        5: "Line 3 has the same subscription",
    }
