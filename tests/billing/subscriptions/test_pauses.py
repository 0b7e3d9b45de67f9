"""Pausing a plan that is paid by the month, in the portal and in Stripe's dashboard."""

from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from accounts.models import Account, User
from billing import ledger
from billing.models import Mail, Purchase, Subscription
from billing.subscriptions import changes, pauses, previews
from tests.billing.conftest import change_policies
from tests.billing.subscriptions.conftest import bonus

pytestmark = pytest.mark.django_db


@pytest.fixture
def allowed(catalogue: None) -> None:
    change_policies(pause={"most_months": 3})


def available(account: Account) -> Decimal:
    return ledger.balance(account.pk, timezone.now()).available


def payments() -> int:
    return Purchase.objects.filter(kind="plan", status="paid").count()


def test_a_paused_plan_grants_and_costs_nothing_after_the_paid_month_and_goes_on_by_itself(
    starter: Subscription, account: Account, allowed: None, advance: Callable[..., None]
) -> None:
    advance(days=10)
    pauses.pause(account, 2, timezone.now())
    assert bonus(account) == 1000

    advance(days=20, hours=1)  # 30 November: the first month of the pause
    starter.refresh_from_db()
    assert (starter.state, bonus(account), payments()) == ("paused", 0, 1)
    advance(days=31)
    assert (available(account), payments()) == (0, 1)

    advance(days=31, hours=2)  # 31 January
    starter.refresh_from_db()
    assert (starter.plan, starter.state, starter.pause_behavior) == ("starter", "active", "")
    assert (bonus(account), payments()) == (1000, 2)
    assert not Mail.objects.filter(template="payment_overdue").exists()


def test_a_pause_that_ended_before_the_paid_month_did_changes_nothing(
    starter: Subscription, account: Account, allowed: None, advance: Callable[..., None]
) -> None:
    pauses.pause(account, 1, timezone.now())
    with pytest.raises(previews.ChangeRefused):
        previews.preview(account, plan_key="creator", interval="", currency="usd", now=timezone.now())
    pauses.end(account, timezone.now())

    advance(days=30, hours=2)
    starter.refresh_from_db()
    assert (starter.state, bonus(account), payments()) == ("active", 1000, 2)


def test_a_pause_that_is_ended_in_the_middle_goes_on_with_the_next_month(
    starter: Subscription, account: Account, allowed: None, advance: Callable[..., None]
) -> None:
    pauses.pause(account, 3, timezone.now())
    advance(days=40)
    pauses.end(account, timezone.now())
    advance(days=1)
    starter.refresh_from_db()
    assert (starter.state, available(account)) == ("paused", 0)

    advance(days=21, hours=2)  # 31 December
    starter.refresh_from_db()
    assert (starter.state, bonus(account), payments()) == ("active", 1000, 2)


@pytest.mark.parametrize(
    ("behavior", "credits"), [("void", 0), ("keep_as_draft", 1000), ("mark_uncollectible", 1000)]
)
def test_a_pause_in_the_dashboard_stops_credits_only_where_invoices_are_void(
    starter: Subscription,
    account: Account,
    stripe_api: Any,
    advance: Callable[..., None],
    behavior: str,
    credits: int,
) -> None:
    stripe_api.subscriptions.update(
        starter.stripe_subscription_id, {"pause_collection": {"behavior": behavior}}
    )
    advance(days=30, hours=5)
    assert (bonus(account), payments()) == (credits, 1)
    advance(days=4)
    assert (bonus(account), payments()) == (credits, 1)


@pytest.mark.parametrize("months", [0, 4])
def test_a_plan_is_paused_only_as_long_as_the_catalogue_says(
    starter: Subscription, account: Account, allowed: None, months: int
) -> None:
    with pytest.raises(previews.ChangeRefused):
        pauses.pause(account, months, timezone.now())


def test_a_plan_that_ends_and_a_catalogue_without_pauses_offer_none(
    starter: Subscription, account: Account, alice: User, client: Client
) -> None:
    client.force_login(alice)
    assert "Pause plan" not in client.get("/billing/subscription/").content.decode()
    change_policies(pause={"most_months": 3})
    assert "Pause plan" in client.get("/billing/subscription/").content.decode()
    client.post("/billing/subscription/pause/", {"months": "2"})
    assert "End pause" in client.get("/billing/subscription/").content.decode()
    client.post("/billing/subscription/unpause/")
    changes.cancel(account, timezone.now())
    assert "Pause plan" not in client.get("/billing/subscription/").content.decode()


@pytest.mark.parametrize(
    ("anchor", "period_end", "months", "first"),
    [
        ((2026, 10, 31), (2026, 11, 30), 1, (2026, 12, 31)),
        ((2026, 10, 31), (2027, 2, 28), 1, (2027, 3, 31)),
        ((2026, 11, 15), (2028, 2, 15), 2, (2028, 4, 15)),
        ((2026, 12, 31), (2027, 1, 31), 3, (2027, 4, 30)),
    ],
)
def test_the_first_month_after_a_pause_is_counted_from_the_anchor(
    anchor: tuple[int, int, int],
    period_end: tuple[int, int, int],
    months: int,
    first: tuple[int, int, int],
) -> None:
    subscription = Subscription(
        anchor_at=datetime(*anchor, tzinfo=UTC), period_end=datetime(*period_end, tzinfo=UTC)
    )
    assert pauses.first_paid_month(subscription, months) == datetime(*first, tzinfo=UTC)
