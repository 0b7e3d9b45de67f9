"""The terms of codes, each at its boundary: dates, limits, plans, packs, discounts."""

from collections.abc import Callable
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from accounts.models import Account
from billing.models import (
    Grant,
    Promotion,
    Purchase,
    Redemption,
    Subscription,
)
from billing.promotions import codes, redemption
from tests.billing.conftest import change_policies
from tests.billing.promotions.conftest import NOW, TICK, outcome

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("clock")]


@pytest.fixture
def promotion(catalogue: None) -> Callable[..., Promotion]:
    def make(**changes: Any) -> Promotion:
        fields: dict[str, Any] = {"code": "SUMMER", "label": "Summer", "gives": "credits", "credits": 50}
        fields |= {"starts_at": NOW - timedelta(days=1), "ends_at": NOW + timedelta(days=1)}
        return Promotion.objects.create(**fields | changes)

    return make


@pytest.fixture
def discounted(account: Account) -> Callable[..., Purchase]:
    """A new purchase to which a code was applied: `discounted(1000, "jpy", pack="small")`."""

    def make(
        amount: int = 1000, currency: str = "usd", pack: str = "small", code: str = "SUMMER"
    ) -> Purchase:
        purchase = Purchase.objects.create(
            account=account,
            kind="pack",
            origin="page",
            offer=pack,
            label="-",
            credits=100,
            amount=amount,
            list_amount=amount,
            currency=currency,
            idempotency_key=f"key-{Purchase.objects.count()}",
            created_at=NOW,
        )
        redemption.apply_discount(purchase, code=code, now=NOW)
        return Purchase.objects.get(pk=purchase.pk)

    return make


@pytest.mark.parametrize(
    ("at", "expected"),
    [
        (NOW - timedelta(days=1) - TICK, "code_not_yet"),
        (NOW - timedelta(days=1), "ok"),
        (NOW + timedelta(days=1) - TICK, "ok"),
        (NOW + timedelta(days=1), "code_expired"),
    ],
)
def test_a_code_is_valid_from_its_start_until_before_its_end(
    promotion: Callable[..., Promotion], account: Account, at: datetime, expected: str
) -> None:
    promotion()
    assert outcome(account, now=at) == expected


@pytest.mark.parametrize(
    ("terms", "first", "second", "of_bob"),
    [
        ({}, "ok", "code_already_used", "ok"),
        ({"per_account": 2}, "ok", "ok", "ok"),
        ({"total_limit": 1}, "ok", "code_used_up", "code_used_up"),
        ({"total_limit": 2, "per_account": 2}, "ok", "ok", "code_used_up"),
        ({"total_limit": 2, "per_account": 1}, "ok", "code_already_used", "ok"),
        ({"plans": ["studio", "free-trial"]}, "ok", "code_already_used", "ok"),
        ({"plans": ["studio"]}, "code_not_for_plan", "code_not_for_plan", "ok"),
        ({"packs": ["no-such-pack"]}, "ok", "code_already_used", "ok"),
        ({"code": "WINTER"}, "unknown_code", "unknown_code", "unknown_code"),
    ],
)
def test_limits_of_a_code(
    promotion: Callable[..., Promotion],
    account: Account,
    bobs: Account,
    terms: dict[str, Any],
    first: str,
    second: str,
    of_bob: str,
) -> None:
    promotion(**terms)
    if terms.get("plans") == ["studio"]:
        Subscription.objects.filter(account=bobs).update(plan="studio")
    assert [outcome(one) for one in (account, account, bobs)] == [first, second, of_bob]
    used = [first, second, of_bob].count("ok")
    redeemed = sum(Promotion.objects.values_list("redeemed", flat=True))
    assert redeemed == used == Redemption.objects.filter(released_at=None).count()
    assert sorted(Redemption.objects.filter(account=account).values_list("nth", flat=True)) == list(
        range(1, [first, second].count("ok") + 1)
    )


def test_the_granted_credits_have_the_terms_of_the_code(
    promotion: Callable[..., Promotion], account: Account
) -> None:
    promotion(lasts="1 month", services=["gpt-4o"], credits=Decimal("12.5"))
    assert codes.redeem(account=account, code=" summer", now=NOW).credits == Decimal("12.5")
    [grant] = Grant.objects.filter(kind="promotion")
    assert (grant.label, grant.credits, grant.reason) == ("Summer", Decimal("12.5"), "SUMMER")
    assert (grant.services, grant.expires_at) == (["gpt-4o"], NOW.replace(month=6, day=30))
    assert Redemption.objects.get().credits == Decimal("12.5")


def test_a_code_of_the_catalogue_has_its_terms_and_keeps_its_count(account: Account, bobs: Account) -> None:
    terms = {
        "code": "LAUNCH",
        "label": "Launch",
        "credits": "7",
        "services": ["gpt-4o"],
        "starts_at": (NOW - timedelta(days=1)).isoformat(),
        "ends_at": (NOW + timedelta(days=1)).isoformat(),
        "most_redemptions": 1,
        "lasts": "1 year",
        "assumed": False,
        "reason": "",
    }
    change_policies(promotions=[terms])
    assert outcome(account, code="launch") == "ok"
    assert outcome(bobs, code="launch") == "code_used_up"
    saved = Promotion.objects.get(code="LAUNCH")
    assert (saved.gives, saved.credits, saved.label, saved.total_limit) == ("credits", 7, "Launch", 1)
    assert (saved.services, saved.lasts, saved.from_catalogue) == (["gpt-4o"], "1 year", True)
    assert outcome(account, code="launch", now=NOW + timedelta(days=1)) == "code_expired"
    assert outcome(account, code="launch", now=NOW - timedelta(days=2)) == "code_not_yet"


@pytest.mark.fault("P11")
@pytest.mark.parametrize(
    ("amount", "currency", "percent", "paid"),
    [
        (1000, "usd", 33, 670),
        (999, "usd", 33, 670),  # 329.67 off, rounded down
        (999, "jpy", 50, 500),
        (5120, "kwd", 33, 3440),
        (50_000, "isk", 33, 33_500),
        (50_500, "isk", 33, 33_900),  # 166.65 off is 166
        (1000, "usd", 100, 0),
        (1000, "usd", 95, 50),
        (1000, "usd", 96, None),
        (60, "jpy", 16, 51),
        (60, "jpy", 20, None),
        (60, "gbp", 50, 30),
        (60, "gbp", 52, None),
        (1, "krw", 50, 1),
    ],
)
def test_a_discount_is_rounded_down_to_what_can_be_paid_and_leaves_the_smallest_payment(
    promotion: Callable[..., Promotion],
    discounted: Callable[..., Purchase],
    amount: int,
    currency: str,
    percent: int,
    paid: int | None,
) -> None:
    promotion(gives="discount", percent_off=percent, credits=0)
    if paid is None:
        with pytest.raises(redemption.CodeRefused) as refused:
            discounted(amount, currency)
        assert refused.value.code == "code_below_minimum"
        return
    purchase = discounted(amount, currency)
    assert (purchase.amount, purchase.list_amount, purchase.promotion_code) == (paid, amount, "SUMMER")
    use = Redemption.objects.get()
    assert (use.purchase_id, use.credits) == (purchase.pk, 0)


@pytest.mark.parametrize(
    ("terms", "pack", "expected"),
    [
        ({"packs": ["large", "small"]}, "small", ""),
        ({"packs": ["large"]}, "small", "code_not_for_pack"),
        ({"packs": ["large"]}, "large", ""),
        ({"gives": "credits", "credits": 1, "percent_off": 0}, "small", "code_is_credits"),
        ({"plans": ["studio"]}, "small", "code_not_for_plan"),
        ({"total_limit": 0}, "small", "code_used_up"),
        ({"ends_at": NOW}, "small", "code_expired"),
    ],
)
def test_a_discount_is_for_its_packs(
    promotion: Callable[..., Promotion],
    discounted: Callable[..., Purchase],
    terms: dict[str, Any],
    pack: str,
    expected: str,
) -> None:
    promotion(**{"gives": "discount", "percent_off": 10, "credits": 0} | terms)
    if not expected:
        assert discounted(pack=pack).amount == 900
        return
    with pytest.raises(redemption.CodeRefused) as refused:
        discounted(pack=pack)
    assert refused.value.code == expected


def test_the_release_of_one_use_releases_no_other(
    promotion: Callable[..., Promotion], discounted: Callable[..., Purchase]
) -> None:
    promotion(gives="discount", percent_off=10, credits=0, per_account=3)
    promotion(code="OTHER", gives="discount", percent_off=20, credits=0)
    first, second, other = discounted(), discounted(), discounted(code="OTHER")
    for _again in range(2):
        redemption.release_discount(first, NOW)
    counts = dict(Promotion.objects.values_list("code", "redeemed"))
    assert (counts["SUMMER"], counts["OTHER"]) == (1, 1)
    released = Redemption.objects.exclude(released_at=None)
    assert [use.purchase_id for use in released] == [first.pk]
    third = discounted()
    nths = dict(Redemption.objects.values_list("purchase_id", "nth"))
    assert [nths[one.pk] for one in (second, other, third)] == [2, 1, 1]
    for _again in range(2):
        redemption.recount_discount(first)
    assert Promotion.objects.get(code="SUMMER").redeemed == 3
    again = Redemption.objects.get(purchase=first)
    assert (again.nth, again.released_at) == (3, None)


@pytest.mark.parametrize(
    ("text", "expected"),
    [("A", True), ("A" * 40, True), ("A" * 41, False), ("", False), ("A\n", False), ("É", False)],
)
def test_a_code_has_up_to_forty_printable_characters(
    promotion: Callable[..., Promotion], account: Account, text: str, expected: bool
) -> None:
    assert redemption.is_code(text) is expected
    if expected:
        promotion(code=text)
        assert outcome(account, code=text) == "ok"
