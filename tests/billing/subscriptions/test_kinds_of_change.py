"""Which change a plan means for each state of the subscription, or why it is refused."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import time_machine

from accounts.models import Account, User
from billing import offers, stripe_gateway
from billing.models import Subscription
from billing.payments import customers
from billing.subscriptions import changes as plan_changes
from billing.subscriptions import previews, prices
from pricing.models import Plan

pytestmark = pytest.mark.django_db
NOW = datetime(2027, 4, 10, 12, tzinfo=UTC)
START = datetime(2027, 4, 1, tzinfo=UTC)
END = datetime(2027, 5, 1, tzinfo=UTC)
DUE = 1234


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Noon of 10 April; Stripe previews every immediate change with the same invoice."""
    invoice = {"total": DUE, "currency": "usd", "lines": {"data": [{"amount": 2000}, {"amount": DUE - 2000}]}}
    monkeypatch.setattr(stripe_gateway, "create_invoice_preview", lambda **_: invoice)
    monkeypatch.setattr(stripe_gateway, "ensure_flexible_billing", lambda _id: None)
    monkeypatch.setattr(prices, "ensure_price", lambda **_: "price_1")
    monkeypatch.setattr(customers, "ensure_customer", lambda _account: "cus_1")
    with time_machine.travel(NOW, tick=False):
        yield


@pytest.fixture
def subscribed(account: Account) -> Callable[..., None]:
    """Put alice on a paid plan: `subscribed("creator", "year", state="past_due")`."""

    def put(plan: str, interval: str = "month", **fields: Any) -> None:
        values: dict[str, Any] = {"plan": plan, "interval": interval, "currency": "usd", "amount": 777}
        values |= {"period_start": START, "anchor_at": START, "period_end": END, "paid_until": END}
        values |= {"stripe_subscription_id": "sub_1", "stripe_item_id": "si_1"}
        Subscription.objects.filter(account=account).update(**values | fields)

    return put


def kind(account: Account, plan: str, interval: str = "", now: datetime = NOW) -> str:
    """The kind of the change, or the code of its refusal."""
    try:
        shown = previews.preview(account, plan_key=plan, interval=interval, currency="usd", now=now)
    except (previews.ChangeRefused, offers.PlanClosed, offers.UnknownOffer) as refused:
        return refused.code
    return shown.kind


@pytest.mark.requirement("FLICK-09")
@pytest.mark.parametrize(
    ("current", "state", "wanted", "expected"),
    [
        (("starter", "month"), {}, ("starter", "month"), "already_on_plan"),
        (("starter", "month"), {}, ("starter", ""), "already_on_plan"),
        (("starter", "month"), {}, ("starter", "year"), "upgrade"),
        (("starter", "month"), {}, ("creator", "month"), "upgrade"),
        (("starter", "month"), {}, ("creator", ""), "upgrade"),
        (("starter", "month"), {}, ("creator", "year"), "upgrade"),
        (("starter", "month"), {}, ("free-trial", ""), "cancel"),
        (("starter", "month"), {}, ("pro", "month"), "plan_closed"),
        (("starter", "month"), {}, ("nothing", "month"), "unknown_plan"),
        (("creator", "month"), {}, ("starter", "month"), "downgrade"),
        (("creator", "month"), {}, ("starter", ""), "downgrade"),
        (("creator", "month"), {}, ("starter", "year"), "switch"),
        (("creator", "year"), {}, ("starter", "year"), "downgrade"),
        (("creator", "year"), {}, ("starter", "month"), "switch"),
        (("creator", "year"), {}, ("creator", "month"), "switch"),
        (("starter", "year"), {}, ("creator", "month"), "upgrade"),
        (("creator", "month"), {"next_plan": "starter"}, ("creator", "month"), "keep"),
        (("creator", "month"), {"cancel_at_period_end": True}, ("creator", "month"), "keep"),
        (("creator", "month"), {"pending_plan": "studio"}, ("creator", "month"), "keep"),
        (("creator", "month"), {"next_plan": "starter"}, ("studio", "month"), "upgrade"),
        (("creator", "month"), {"state": "past_due"}, ("studio", "month"), "past_due"),
        (("creator", "month"), {"state": "past_due"}, ("starter", "month"), "past_due"),
        (("creator", "month"), {"state": "past_due"}, ("free-trial", ""), "cancel"),
        (("creator", "month"), {"state": "past_due"}, ("creator", "month"), "already_on_plan"),
        (("creator", "month"), {"state": "paused"}, ("studio", "month"), "paused"),
        (("creator", "month"), {"state": "paused"}, ("free-trial", ""), "cancel"),
        (("creator", "month"), {"pause_behavior": "void"}, ("starter", "month"), "paused"),
        (("creator", "month"), {"pause_behavior": "void"}, ("pro", "month"), "plan_closed"),
    ],
    ids=str,
)
def test_the_kind_of_a_change_of_a_paid_plan(
    subscribed: Callable[..., None],
    account: Account,
    current: tuple[str, str],
    state: dict[str, Any],
    wanted: tuple[str, str],
    expected: str,
) -> None:
    subscribed(*current, **state)
    assert kind(account, *wanted) == expected


@pytest.mark.parametrize(
    ("current", "wanted", "expected"),
    [
        ("free-trial", "free-trial", "already_on_plan"),
        ("free-trial", "starter", "subscribe"),
        ("free-trial", "pro", "plan_closed"),
        ("pro", "free-trial", "leave"),
        ("pro", "starter", "subscribe"),
        ("pro", "pro", "already_on_plan"),
        ("starter", "starter", "already_on_plan"),  # assigned by staff, without payment
        ("starter", "creator", "subscribe"),
    ],
)
def test_the_kind_of_a_change_without_a_paid_plan(
    account: Account, current: str, wanted: str, expected: str
) -> None:
    Subscription.objects.filter(account=account).update(plan=current)
    assert kind(account, wanted) == expected


@pytest.mark.fault("P21")
@pytest.mark.parametrize(
    ("wanted", "interval", "expected"),
    [
        ("studio", "month", "renewal_pending"),
        ("starter", "month", "renewal_pending"),
        ("creator", "year", "renewal_pending"),
        ("free-trial", "", "cancel"),
    ],
)
def test_a_plan_whose_renewal_is_awaited_can_only_be_cancelled(
    subscribed: Callable[..., None], account: Account, wanted: str, interval: str, expected: str
) -> None:
    subscribed("creator", period_start=START, period_end=END, paid_until=NOW)
    assert kind(account, wanted, interval) == expected
    changes = {"upgrade", "downgrade", "cancel"}
    assert kind(account, wanted, interval, now=NOW - timedelta(seconds=1)) in changes, "paid until now"


@pytest.mark.fault("P21")
@pytest.mark.parametrize("wanted", ["starter", "studio"])
def test_a_change_that_was_shown_before_the_renewal_is_not_made_while_it_is_awaited(
    subscribed: Callable[..., None], account: Account, wanted: str
) -> None:
    subscribed("creator", period_start=START, period_end=END, paid_until=NOW)
    before = NOW - timedelta(seconds=1)
    shown = previews.preview(account, plan_key=wanted, interval="month", currency="usd", now=before)
    with pytest.raises(previews.ChangeRefused) as refused:
        plan_changes.confirm(account, shown.token, NOW)
    assert refused.value.code == "renewal_pending"


@pytest.mark.parametrize(
    ("current", "wanted", "interval", "amount", "due", "at_the_end"),
    [
        ("free-trial", "starter", "year", "price", "price", False),
        ("creator", "starter", "month", "price", 0, True),
        ("creator", "studio", "month", "price", DUE, False),
        ("creator", "creator", "year", "price", DUE, False),
        ("creator", "free-trial", "", 0, 0, True),
    ],
)
def test_the_figures_of_a_preview(
    subscribed: Callable[..., None],
    account: Account,
    current: str,
    wanted: str,
    interval: str,
    amount: Any,
    due: Any,
    at_the_end: bool,
) -> None:
    if current != "free-trial":
        subscribed(current)
    plan = Plan.objects.get(key=wanted)
    price = plan.prices[interval]["usd"] if interval else 0
    shown = previews.preview(account, plan_key=wanted, interval=interval, currency="usd", now=NOW)
    assert (shown.plan, shown.interval, shown.currency) == (plan, interval or "month", "usd")
    assert (shown.amount, shown.due_now) == tuple(price if one == "price" else one for one in (amount, due))
    assert shown.takes_effect == (END if at_the_end else NOW)
    assert (shown.leaves_legacy, shown.amounts is not None) == (False, due == DUE)
    contents = previews.read_token(account, shown.token)
    assert (contents["plan"], contents["kind"], contents["amount"]) == (wanted, shown.kind, shown.amount)
    assert contents["charge"] == ([DUE, 0] if due == DUE else None)


def test_keeping_a_plan_costs_what_it_costs_and_a_legacy_plan_is_left_for_good(
    subscribed: Callable[..., None], account: Account
) -> None:
    Subscription.objects.filter(account=account).update(plan="pro")
    for wanted in ("starter", "free-trial"):
        shown = previews.preview(account, plan_key=wanted, interval="", currency="usd", now=NOW)
        assert shown.leaves_legacy
    subscribed("pro", next_plan="starter")
    kept = previews.preview(account, plan_key="pro", interval="month", currency="eur", now=NOW)
    assert (kept.kind, kept.amount, kept.currency, kept.leaves_legacy) == ("keep", 777, "usd", False)
    assert (kept.due_now, kept.takes_effect) == (0, NOW)


def test_a_confirmation_is_the_accounts_own_and_lasts_thirty_minutes(
    subscribed: Callable[..., None], account: Account, charlie: User
) -> None:
    subscribed("creator")
    token = previews.preview(account, plan_key="studio", interval="", currency="usd", now=NOW).token
    with pytest.raises(previews.ConfirmationStale):
        previews.read_token(Account.objects.get(person=charlie), token)
    with pytest.raises(previews.ConfirmationStale):
        previews.read_token(account, token[:-2] + "xx")
    with time_machine.travel(NOW + timedelta(minutes=30), tick=False):
        assert previews.read_token(account, token)["plan"] == "studio"
    late = time_machine.travel(NOW + timedelta(minutes=30, seconds=1), tick=False)
    with late, pytest.raises(previews.ConfirmationStale):
        previews.read_token(account, token)
