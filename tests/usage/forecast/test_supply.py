"""When an account's credits are used up at its pace, with refreshes, expiries and renewals."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.utils import timezone

from accounts.models import Account, User
from billing import ledger, offers
from billing.models import Allowance, AutoTopUp, Grant, Purchase, Subscription
from tests.usage.spending import give
from usage.forecast import projection, supply

DAY = timedelta(days=1)


@pytest.fixture
def account(clock: Any, alice: User, account_of: Callable[[User], Account]) -> Account:
    """Noon of 20 November, with 100 credits a day and 100 of today."""
    return account_of(alice)


def days_left(account: Account, per_day: str) -> float | None:
    now = timezone.now()
    balance = ledger.balance(account.pk, now)
    credits = supply.of(account, balance, now)
    empty_at = projection.empty_at(credits, per_day=Decimal(per_day), now=now, until=now + 366 * DAY)
    return None if empty_at is None else round((empty_at - now) / DAY, 3)


def without_refresh(account: Account) -> None:
    Allowance.objects.filter(account=account).delete()


def monthly(account: Account, credits: str, **terms: Any) -> None:
    """Credits of a plan from tomorrow noon on."""
    now = timezone.now()
    values = {"next_at": now + DAY, "anchor_at": now, "kind": "plan", "priority": 20, "zone": "UTC"} | terms
    Allowance.objects.create(
        account=account, key="m", label="Monthly", credits=Decimal(credits), period="month", **values
    )


@pytest.mark.parametrize(
    ("per_day", "expected"),
    [
        ("0", None),
        ("100", None),  # the refresh brings as much
        ("200", 1.0),  # the next 100 arrive when all is spent
        ("400", 0.25),
        ("101", 1.49),  # 49.5 of today expire; 100 of tomorrow last 0.99 days
    ],
)
def test_the_daily_refresh_counts(account: Account, per_day: str, expected: float | None) -> None:
    assert days_left(account, per_day) == expected


def test_credits_last_as_many_days_as_the_pace_goes_into_them(account: Account) -> None:
    without_refresh(account)
    give(account, "350", timezone.now())
    # the 100 of today expire at midnight, half of them unspent
    assert days_left(account, "100") == 4.0
    assert days_left(account, "0.5") is None, "more than a year"


def test_credits_for_some_services_do_not_count_and_what_expires_is_lost(account: Account) -> None:
    now = timezone.now()
    without_refresh(account)
    give(account, "900", now, kind="bonus", services=["tag:advanced"])
    give(account, "900", now, kind="promotion", expires_at=now + 2 * DAY)
    give(account, "30", now)
    assert days_left(account, "100") == 2.3


def test_an_allowance_of_some_services_does_not_count(account: Account) -> None:
    without_refresh(account)
    give(account, "300", timezone.now())
    monthly(account, "1000", services=["tag:advanced"])
    assert days_left(account, "200") == 2.0


def test_monthly_credits_arrive_and_end_with_their_month(account: Account) -> None:
    without_refresh(account)
    give(account, "50", timezone.now())
    monthly(account, "310")
    # today 50 of 100 until midnight and 50 of the pack until tomorrow noon; the month's 310 last 3.1 days
    assert days_left(account, "100") == 4.1
    Allowance.objects.update(credits=Decimal(3100))
    # 30 days of the month from 21 November; its last 100 expire, and the next month begins
    assert days_left(account, "100") is None


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, None),
        ({"cancel_at_period_end": True}, 3.167),
        ({"state": "past_due"}, 3.167),
        ({"pause_behavior": "void"}, 3.167),
        ({"next_plan": "starter"}, 3.167),
    ],
)
def test_a_plan_that_is_renewed_goes_on_after_its_paid_period(
    account: Account, fields: dict[str, Any], expected: float | None
) -> None:
    now = timezone.now()
    period = {"period_start": now, "period_end": now + 2 * DAY, "paid_until": now + 2 * DAY}
    Subscription.objects.filter(account=account).update(
        plan="starter", interval="month", amount=1000, stripe_subscription_id="sub_1", **period | fields
    )
    assert Subscription.objects.get(account=account).paid
    Allowance.objects.filter(account=account).update(ends_at=now + 2 * DAY, credits=Decimal(200))
    give(account, "100", now)
    # without renewal: the credits of the 22nd, the last day of the plan, and then those of the pack
    assert days_left(account, "150") == expected


def test_months_are_counted_from_the_first_renewal() -> None:
    first = datetime(2027, 1, 31, tzinfo=UTC)
    terms = Allowance(key="m", credits=Decimal(1), period="month", lasts="period", next_at=first)
    renewal = supply.Renewal(terms, first, None)
    ends = [renewal.lot().expires_at for _month in range(3)]
    assert ends == [datetime(2027, month, day, tzinfo=UTC) for month, day in ((2, 28), (3, 31), (4, 30))]
    terms.lasts = "3 days"
    assert supply.Renewal(terms, first, None).lot().expires_at == first + 3 * DAY


def test_automatic_top_ups_of_this_month_count_and_a_suspended_card_pays_for_none(account: Account) -> None:
    """A purchase at a higher price than today's leaves money for fewer."""
    now = timezone.now()
    terms = {"below": Decimal(10), "pack": "small", "currency": "usd", "monthly_count": 10}
    price = offers.get_pack(key="small", currency="usd", paid_plan=True, now=now).amount
    settings = AutoTopUp.objects.create(account=account, enabled=True, monthly_amount=3 * price + 1, **terms)
    purchase = {"kind": "pack", "origin": "auto_top_up", "offer": "small", "credits": Decimal(1)}
    purchase |= {"amount": price + 1, "list_amount": price + 1, "currency": "usd"}
    Purchase.objects.create(account=account, created_at=now, **purchase)

    def planned() -> supply.TopUps | None:
        return supply.of(account, ledger.balance(account.pk, now), now).top_ups

    top_ups = planned()
    assert top_ups is not None
    assert (top_ups.bought, top_ups.monthly_count) == (2, 3)
    settings.suspended_card = "pm_1"
    settings.save()
    assert planned() is None


def test_packs_that_are_bought_later_are_spent_in_the_order_of_packs_of_today(account: Account) -> None:
    granted = give(account, "10", timezone.now())
    assert Grant.objects.get(pk=granted.grant_id).priority == supply.PACK_PRIORITY
