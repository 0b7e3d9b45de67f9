"""When an account's credits are used up at its pace, with refreshes, expiries and renewals."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from django.db import connection
from django.utils import timezone

from accounts.models import Account, User
from billing import ledger, offers, validity
from billing.models import Allowance, AutoTopUp, Grant, Purchase, Subscription
from tests.usage.spending import give
from usage.forecast import projection, supply
from usage.forecast.projection import Rate

DAY = timedelta(days=1)


@pytest.fixture
def account(clock: Any, alice: User, account_of: Callable[[User], Account]) -> Account:
    """Noon of 20 November, with 100 credits a day and 100 of today."""
    return account_of(alice)


def days_left(account: Account, per_day: str) -> float | None:
    now = timezone.now()
    balance = ledger.balance(account.pk, now)
    credits = supply.of(account, balance, now)
    rates = [Rate(now, Decimal(per_day))]
    empty_at = projection.empty_at(credits, rates, now=now, until=now + 366 * DAY)
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
        # 100 a day of the free plan from the noon of the 22nd on, when the rest of the 200 expires
        ({"cancel_at_period_end": True}, 5.167),
        ({"next_plan": "free-trial"}, 5.167),
        ({"next_plan": "creator"}, None),
        ({"next_plan": "starter", "interval": "year"}, None),  # the same plan, paid by the month from then on
        ({"next_plan": "creator", "state": "past_due"}, 3.167),
        ({"state": "past_due"}, 3.167),
        ({"pause_behavior": "void"}, 3.167),
    ],
)
def test_after_its_paid_period_a_plan_is_renewed_or_followed_by_another(
    account: Account, fields: dict[str, Any], expected: float | None
) -> None:
    now = timezone.now()
    period = {"period_start": now, "period_end": now + 2 * DAY, "paid_until": now + 2 * DAY}
    terms = {"plan": "starter", "interval": "month", "amount": 1000, "stripe_subscription_id": "sub_1"}
    Subscription.objects.filter(account=account).update(**period | terms | fields)
    Allowance.objects.filter(account=account).update(
        key="starter:daily", ends_at=now + 2 * DAY, credits=Decimal(200)
    )
    give(account, "100", now)
    assert days_left(account, "150") == expected


def test_what_is_left_of_a_day_ends_with_its_plan(account: Account) -> None:
    now = timezone.now()
    period = {"period_start": now, "period_end": now + 2 * DAY, "paid_until": now + 2 * DAY}
    terms = {"plan": "starter", "interval": "month", "amount": 1000, "stripe_subscription_id": "sub_1"}
    Subscription.objects.filter(account=account).update(cancel_at_period_end=True, **period | terms)
    Allowance.objects.filter(account=account).update(
        key="starter:daily", ends_at=now + 2 * DAY, credits=Decimal(200)
    )
    give(account, "1050", now)
    # 50 of the 200 end at noon of the 22nd; 850 are left at midnight, of which each day takes 200
    assert days_left(account, "300") == 7.0


def test_months_are_counted_from_the_anchor() -> None:
    first = datetime(2027, 1, 31, tzinfo=UTC)
    terms = Allowance(key="m", credits=Decimal(1), period="month", lasts="period", anchor_at=first)
    renewal = supply.Renewal(terms, ZoneInfo("UTC"), first, None)
    ends = [renewal.lot().expires_at for _month in range(3)]
    assert ends == [datetime(2027, month, day, tzinfo=UTC) for month, day in ((2, 28), (3, 31), (4, 30))]
    terms.lasts = "3 days"
    assert supply.Renewal(terms, ZoneInfo("UTC"), first, None).lot().expires_at == first + 3 * DAY


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


def test_a_paused_plan_goes_on_with_the_first_month_after_the_pause(account: Account) -> None:
    now = timezone.now()
    end = validity.add_months(now, 1)
    Subscription.objects.filter(account=account).update(
        plan="pro", interval="month", amount=1000, stripe_subscription_id="sub_1", anchor_at=now,
        period_start=now, period_end=end, paid_until=end, pause_behavior="void",
        paused_until=validity.add_months(now, 2) - DAY / 2,
    )  # fmt: skip
    Allowance.objects.all().delete()
    supplied = supply.of(account, ledger.balance(account.pk, now), now)
    assert [(one.terms.label, one.next_at) for one in supplied.renewals] == [
        ("Pro credits", validity.add_months(now, 2))
    ]
    assert supplied.following is not None and supplied.following.plan.key == "pro"


def times(renewal: supply.Renewal) -> list[str]:
    """When the next three periods begin, and the end of the last one."""
    ends = [renewal.lot().expires_at for _time in range(3)]
    return [f"{end:%m-%d %H:%M}" for end in ends if end]


def test_days_begin_at_local_midnight_and_months_are_counted_from_their_anchor() -> None:
    berlin = ZoneInfo("Europe/Berlin")
    before_summer = datetime(2027, 3, 27, tzinfo=berlin).astimezone(UTC)
    daily = Allowance(label="x", kind="daily", credits=1, period="day", priority=10)
    assert times(supply.Renewal(daily, berlin, before_summer, None)) == [
        "03-27 23:00", "03-28 22:00", "03-29 22:00",
    ]  # fmt: skip
    anchor = datetime(2027, 1, 31, 9, tzinfo=UTC)
    monthly = Allowance(label="x", kind="plan", credits=1, period="month", priority=20, anchor_at=anchor)
    february = datetime(2027, 2, 28, 9, tzinfo=UTC)
    assert times(supply.Renewal(monthly, berlin, february, None)) == [
        "03-31 09:00", "04-30 09:00", "05-31 09:00",
    ]  # fmt: skip


def test_packs_that_are_bought_later_are_spent_in_the_order_of_packs_of_today(account: Account) -> None:
    granted = give(account, "10", timezone.now())
    assert Grant.objects.get(pk=granted.grant_id).priority == supply.PACK_PRIORITY


@pytest.mark.django_db
def test_the_priorities_are_those_of_the_ledger() -> None:
    with connection.cursor() as cursor:
        for kind in ("daily", "plan", "bonus", "promotion"):
            cursor.execute("select ledger_default_priority(%s)", [kind])
            assert cursor.fetchone() == (supply.PRIORITIES.get(kind, supply.OTHER_PRIORITY),), kind
