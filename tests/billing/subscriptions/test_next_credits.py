"""A paying member without credits is told when the plan brings new ones."""

from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
import time_machine
from django.test import Client
from django.utils import timezone

from accounts.models import Account, User
from billing import ledger
from billing.models import Allowance, Subscription
from core.fields import instant
from usage import insufficient_credits


def waits(account: Account) -> list[str]:
    now = timezone.now()
    ledger.settle([account.pk], now)
    return [one["until"] for one in insufficient_credits.options(account.pk, now) if one["kind"] == "wait"]


def page(signed_in: Callable[[User], Client], user: User, path: str) -> str:
    return " ".join(signed_in(user).get(path).content.decode().split())


@pytest.mark.requirement("FLICK-06", "REFLY-12")
def test_on_the_last_day_of_the_paid_month_the_renewal_is_the_next_date(
    starter: Subscription,
    account: Account,
    alice: User,
    signed_in: Callable[[User], Client],
    clock: time_machine.Traveller,
) -> None:
    assert starter.paid_until is not None
    clock.move_to(starter.paid_until - timedelta(hours=2))
    assert instant(starter.paid_until) in waits(account)
    for path in ("/", "/billing/subscription/"):
        assert "Daily refresh" in page(signed_in, alice, path) or "Today" in page(signed_in, alice, path), (
            path
        )


@pytest.mark.requirement("FLICK-06")
@pytest.mark.parametrize(
    ("fields", "is_told"),
    [
        ({"unpaid_credits": Decimal(5)}, True),
        ({"state": "past_due"}, False),
    ],
)
def test_without_credits_in_advance_the_date_is_that_of_the_renewal_that_is_paid(
    starter: Subscription, account: Account, fields: dict[str, Any], is_told: bool
) -> None:
    Subscription.objects.filter(pk=starter.pk).update(**fields)
    Allowance.objects.filter(account=account, key__startswith="starter:").update(
        ends_at=starter.paid_until, next_at=starter.paid_until
    )
    assert (instant(starter.paid_until) in waits(account)) is is_told  # type: ignore[arg-type]


def test_an_allowance_of_a_plan_that_was_left_is_never_the_next_date(
    starter: Subscription, account: Account
) -> None:
    left = Allowance.objects.get(account=account, key__startswith="free")
    assert left.ends_at is not None and left.ends_at <= timezone.now()
    assert (
        len(waits(account)) == Allowance.objects.filter(account=account, key__startswith="starter:").count()
    )


@pytest.mark.requirement("REFLY-02")
def test_a_change_without_an_interval_is_monthly(
    stripe_api: Any, account: Account, alice: User, signed_in: Callable[[User], Client], api_of: Any
) -> None:
    answer = api_of(alice).post("subscription/change", {"plan": "starter", "preview": True}, key="k").json()
    assert answer["interval"] == "month"
    shown = page(signed_in, alice, "/plans/starter/")
    assert "per month" in shown and "per year" not in shown
    changed = api_of(alice).post("subscription/change", {"plan": "starter"}, key="k2").json()
    assert changed["checkout"]["amount"] == answer["amount"]


@pytest.mark.requirement("REFLY-12")
@pytest.mark.parametrize(
    "fields", [{"unpaid_credits": Decimal(5)}, {"cancel_at_period_end": True}], ids=["unpaid", "cancelled"]
)
def test_on_the_last_day_of_a_plan_its_daily_credits_are_shown_until_it_ends(
    starter: Subscription,
    account: Account,
    alice: User,
    signed_in: Callable[[User], Client],
    clock: time_machine.Traveller,
    fields: dict[str, Any],
) -> None:
    assert starter.paid_until is not None
    Subscription.objects.filter(pk=starter.pk).update(**fields)
    Allowance.objects.filter(account=account, key__startswith="starter:").update(ends_at=starter.paid_until)
    clock.move_to(starter.paid_until - timedelta(minutes=1))
    balance = ledger.balance(account.pk, timezone.now())
    assert balance.daily is not None and balance.daily_remaining == balance.daily.credits
    assert balance.daily.is_last and balance.daily.next_at == starter.paid_until
    assert balance.daily not in balance.allowances
    for path in ("/", "/billing/subscription/"):
        shown = page(signed_in, alice, path)
        assert "Ends <time" in shown and "Resets" not in shown


def test_a_daily_allowance_that_goes_on_is_no_last_one(starter: Subscription, account: Account) -> None:
    daily = ledger.balance(account.pk, timezone.now()).daily
    assert daily is not None and not daily.is_last


@pytest.mark.requirement("FLICK-06")
def test_after_a_cancellation_the_next_date_is_that_of_the_free_plan(
    starter: Subscription, account: Account, alice: User, signed_in: Callable[[User], Client]
) -> None:
    assert starter.period_end is not None
    now = timezone.now()
    ledger.charge(
        ledger.ChargeRequest(
            account_id=account.pk,
            credits=ledger.balance(account.pk, now).available,
            key="all",
            service="gpt-4o",
        ),
        now=now,
    )
    Allowance.objects.filter(account=account, key__startswith="starter:").update(ends_at=starter.period_end)
    Subscription.objects.filter(pk=starter.pk).update(cancel_at_period_end=True)
    free = [one for one in insufficient_credits.options(account.pk, now) if one["kind"] == "wait"]
    on_the_last_day = [one for one in free if one["until"] >= instant(starter.period_end)]
    assert [(one["credits"], one["label"]) for one in on_the_last_day] == [("100", "Daily refresh")]
    assert on_the_last_day[0]["until"] == instant(starter.period_end)
