"""How many credits belong to a share of a plan's payment, and of which grants."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest

from accounts.models import Account
from billing import ledger
from billing.models import Grant, Purchase
from billing.payments import plan_grants
from tests.billing.refunds import test_states as states
from tests.billing.refunds.test_states import NOW

pytestmark = pytest.mark.django_db
clock, purchase = states.clock, states.purchase
DAY, INSTANT = timedelta(days=1), timedelta(microseconds=1)
MONTH, YEAR = datetime(2027, 9, 8, 12, tzinfo=UTC), datetime(2028, 8, 8, 12, tzinfo=UTC)
PLAN: dict[str, Any] = {
    "kind": "plan", "offer": "starter", "interval": "month", "stripe_subscription_id": "sub_1",
    "period_start": NOW, "period_end": MONTH,
}  # fmt: skip
CHANGE = NOW + 10 * DAY
UPGRADE = PLAN | {"offer": "pro", "period_start": CHANGE, "period_end": None}
SERVICE = "claude-sonnet-4"  # the grants of purchases do not pay for it


@pytest.fixture
def give(account: Account) -> Callable[..., None]:
    """A grant of a plan's allowance."""

    def give(at: datetime, credits: int, *, plan: str = "starter", until: datetime | None = None) -> None:
        key = f"allowance:{plan}:monthly:{at.isoformat()}"
        terms: dict[str, Any] = {"kind": "plan", "label": "Monthly", "priority": 1, "expires_at": until}
        ledger.grant(account_id=account.pk, credits=Decimal(credits), key=key, now=at, **terms)

    return give


@pytest.fixture
def charge(account: Account) -> Callable[..., ledger.Charged]:
    def charge(at: datetime, credits: int, key: str = "charge") -> ledger.Charged:
        return ledger.charge(request(account, credits, key), at)

    return charge


@pytest.fixture
def reverse(account: Account) -> Callable[..., None]:
    def reverse(charged: ledger.Charged, at: datetime) -> None:
        key = f"reverse {charged.charge_id}"
        ledger.reverse(account_id=account.pk, charge_id=charged.charge_id, key=key, reason="", now=at)

    return reverse


@pytest.fixture
def subscribe(account: Account) -> Callable[..., None]:
    """Put the account on a plan with a monthly allowance, which takes the place of the former one's."""

    def subscribe(plan: str, credits: int, at: datetime, *, carry_over: bool = False, **terms: Any) -> None:
        values = {"kind": "plan", "label": "Monthly", "period": "month", "anchor_at": at} | terms
        allowance = ledger.AllowanceTerms(key=f"{plan}:monthly", credits=Decimal(credits), **values)
        ledger.set_allowances(account_id=account.pk, allowances=[allowance], now=at, carry_over=carry_over)

    return subscribe


def request(account: Account, credits: int, key: str) -> ledger.ChargeRequest:
    return ledger.ChargeRequest(
        account_id=account.pk, credits=Decimal(credits), key=key, service=SERVICE, covers=(SERVICE,)
    )


def claimed(payment: Purchase, share: str = "1") -> Decimal:
    return plan_grants.claimed(payment, Fraction(share)).credits


@pytest.mark.parametrize(
    ("share", "credits"),
    [("1", "110"), ("2", "110"), ("1/3", "36.666666"), ("1/2", "55"), ("0", "0"), ("-1", "0")],
)
def test_a_share_of_a_month_is_a_share_of_the_grants_of_its_period_rounded_down(
    purchase: Callable[..., Purchase], give: Callable[..., None], share: str, credits: str
) -> None:
    start = NOW + DAY
    for at, amount in ((start - INSTANT, 7), (start, 100), (MONTH - INSTANT, 10), (MONTH, 5)):
        give(at, amount)
        give(at, 3, plan="pro")
    assert claimed(purchase(**PLAN | {"period_start": start}), share) == Decimal(credits)


@pytest.mark.parametrize(
    ("fields", "credits"),
    [
        ({"interval": "year", "period_end": YEAR}, "100"),  # the second half of the year
        ({"period_end": NOW + 40 * DAY}, "100"),  # half of the one month that was paid
    ],
)
def test_a_share_takes_the_last_months_first(
    purchase: Callable[..., Purchase], give: Callable[..., None], fields: dict[str, Any], credits: str
) -> None:
    for at, amount in ((NOW, 150), (NOW + 35 * DAY, 50), (YEAR - DAY, 100)):
        give(at, amount)
    assert claimed(purchase(**PLAN | fields), "1/2") == Decimal(credits)


def test_held_spent_and_taken_credits_belong_to_the_payment_and_expired_ones_do_not(
    account: Account,
    purchase: Callable[..., Purchase],
    give: Callable[..., None],
    charge: Callable[..., ledger.Charged],
) -> None:
    payment, other = purchase(**PLAN), purchase(2)
    give(NOW, 100, until=NOW + DAY)
    charge(NOW, 20)
    ledger.hold(request(account, 30, "hold"), expires_at=NOW + 2 * DAY, now=NOW)
    [grant] = Grant.objects.filter(idempotency_key__startswith="allowance:starter:")
    for number, (purchase_id, credits) in enumerate([(payment.pk, 15), (other.pk, 5), (payment.pk, 1)]):
        taking: dict[str, Any] = {"purchase_id": purchase_id, "credits": Decimal(credits), "reason": "refund"}
        key = f"take {number}"
        ledger.claw_back(account_id=account.pk, key=key, grant_ids=[grant.pk], now=NOW, **taking)
    assert claimed(payment) == 95
    ledger.restore(account_id=account.pk, claw_back_key="take 2", key="undo", reason="", now=NOW)
    assert claimed(payment) == 95

    ledger.settle([account.pk], NOW + DAY)
    assert claimed(payment) == 20 + 30 + 15


def test_credits_that_were_taken_as_debt_belong_to_the_payment(
    account: Account,
    purchase: Callable[..., Purchase],
    give: Callable[..., None],
    charge: Callable[..., ledger.Charged],
) -> None:
    payment = purchase(**PLAN)
    give(NOW, 100)
    charge(NOW, 80)
    [grant] = Grant.objects.filter(idempotency_key__startswith="allowance:starter:")
    taken = ledger.claw_back(
        account_id=account.pk,
        purchase_id=payment.pk,
        key="take",
        reason="refund",
        now=NOW,
        credits=Decimal(50),
        grant_ids=[grant.pk],
    )
    assert (taken.credits, taken.debt) == (20, 30)
    assert claimed(payment) == 100


def test_credits_that_come_back_after_their_grant_has_ended_belong_to_its_payment(
    account: Account,
    purchase: Callable[..., Purchase],
    give: Callable[..., None],
    charge: Callable[..., ledger.Charged],
    reverse: Callable[..., None],
) -> None:
    payment = purchase(**PLAN)
    give(NOW, 100, until=NOW + DAY)
    reverse(charge(NOW, 60), NOW + 2 * DAY)
    assert claimed(payment) == 60
    [returned] = Grant.objects.filter(idempotency_key__startswith="return:")
    Grant.objects.filter(pk=returned.pk).update(priority=1)  # it pays for the next charge
    reverse(charge(NOW + 3 * DAY, 25, "again"), NOW + 40 * DAY)
    assert claimed(payment) == 25
    assert len(plan_grants.claimed(payment, Fraction(1)).grant_ids) == 3


@pytest.mark.parametrize(
    ("share", "given", "ends", "upgrade", "credits"),
    [
        ("1", 1000, MONTH, {}, "203.225806"),  # 21 of 31 days
        ("1/2", 1000, MONTH, {}, "101.612903"),
        ("1", 150, MONTH, {}, "150"),
        ("1", 1000, CHANGE, {}, "0"),  # the payment's own period ended then
        ("1", 1000, MONTH, {"status": "pending"}, "0"),
        ("1", 1000, MONTH, {"stripe_subscription_id": "sub_2"}, "0"),
        ("1", 1000, MONTH, {"kind": "pack"}, "0"),
    ],
)
def test_what_an_upgrade_took_of_the_unused_time_is_claimed_of_the_new_plan(
    purchase: Callable[..., Purchase],
    subscribe: Callable[..., None],
    share: str,
    given: int,
    ends: datetime,
    upgrade: dict[str, Any],
    credits: str,
) -> None:
    payment = purchase(**PLAN | {"period_end": ends})
    subscribe("starter", 300, NOW)
    purchase(2, **PLAN | {"period_start": CHANGE, "period_end": None})
    purchase(3, **UPGRADE | upgrade)
    subscribe("pro", given, CHANGE)
    assert claimed(payment, share) == Decimal(credits)


@pytest.mark.parametrize(
    ("terms", "spent", "credits"),
    [
        ({}, 250, "250 50"),  # fewer than the unused time's part had remained
        ({"kind": "daily"}, 0, "0 0"),
        ({"lasts": "forever"}, 0, "300 0"),
    ],
)
def test_no_more_than_what_expired_by_the_change_is_claimed_of_the_new_plan(
    purchase: Callable[..., Purchase],
    subscribe: Callable[..., None],
    charge: Callable[..., ledger.Charged],
    terms: dict[str, Any],
    spent: int,
    credits: str,
) -> None:
    payment = purchase(**PLAN)
    subscribe("starter", 300, NOW, **terms)
    if spent:
        charge(NOW, spent)
    purchase(2, **UPGRADE)
    subscribe("pro", 1000, CHANGE)
    own, moved = map(Decimal, credits.split())
    assert claimed(payment) == own + moved


def test_only_the_first_months_grants_of_the_new_plan_are_claimed(
    purchase: Callable[..., Purchase],
    subscribe: Callable[..., None],
    give: Callable[..., None],
    charge: Callable[..., ledger.Charged],
) -> None:
    payment = purchase(**PLAN)
    subscribe("starter", 300, NOW)
    purchase(2, **UPGRADE)
    subscribe("pro", 40, CHANGE)
    charge(CHANGE, 40)
    give(CHANGE + 31 * DAY, 500, plan="pro")
    assert claimed(payment) == 40


def test_credits_that_come_back_to_the_new_plans_grants_are_claimed(
    purchase: Callable[..., Purchase],
    subscribe: Callable[..., None],
    charge: Callable[..., ledger.Charged],
    reverse: Callable[..., None],
) -> None:
    payment = purchase(**PLAN)
    subscribe("starter", 300, NOW)
    purchase(2, **UPGRADE)
    subscribe("pro", 1000, CHANGE)
    reverse(charge(CHANGE, 60), CHANGE + 40 * DAY)
    assert claimed(payment) == 60


def test_what_expired_before_the_upgrade_is_not_claimed_of_the_new_plan(
    purchase: Callable[..., Purchase], subscribe: Callable[..., None]
) -> None:
    payment = purchase(**PLAN)
    purchase(2, **UPGRADE)
    subscribe("starter", 300, NOW)
    subscribe("free", 1, NOW + 5 * DAY)
    subscribe("pro", 1000, CHANGE)
    assert claimed(payment) == 0


def test_credits_that_an_upgrade_carried_over_are_not_claimed_of_the_new_plan_when_they_have_ended(
    account: Account, purchase: Callable[..., Purchase], subscribe: Callable[..., None]
) -> None:
    payment = purchase(**PLAN)
    purchase(2, **UPGRADE)
    subscribe("starter", 300, NOW)
    subscribe("pro", 1000, CHANGE, carry_over=True)
    assert claimed(payment) == 300
    ledger.settle([account.pk], CHANGE + 31 * DAY)
    assert claimed(payment) == 0


def test_a_grant_of_less_than_a_second_has_no_unused_time(
    purchase: Callable[..., Purchase], subscribe: Callable[..., None]
) -> None:
    granted, changed = MONTH - timedelta(milliseconds=500), MONTH - timedelta(milliseconds=250)
    payment = purchase(**PLAN)
    purchase(2, **UPGRADE | {"period_start": changed})
    subscribe("starter", 300, granted, anchor_at=NOW)
    subscribe("pro", 1000, changed)
    assert claimed(payment) == 0
