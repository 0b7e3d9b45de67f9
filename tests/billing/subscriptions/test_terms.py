"""Rules of subscriptions at their boundaries: grace period, pauses, paid periods, invoices, proration."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from types import SimpleNamespace
from typing import Any

import pytest

from accounts.models import Account
from billing import ledger
from billing.models import Subscription
from billing.subscriptions import (
    grace,
    invoice_amounts,
    ledger_terms,
    lifecycle,
    paid_periods,
    pauses,
    proration,
    stripe_objects,
)
from billing.validity import add_months
from pricing.models import Plan
from tests.billing.conftest import change_policies

pytestmark = pytest.mark.django_db
START = datetime(2027, 1, 31, 12, tzinfo=UTC)
END = datetime(2027, 2, 28, 12, tzinfo=UTC)
TICK = timedelta(microseconds=1)


@pytest.fixture
def subscribed(account: Account) -> Callable[..., Subscription]:
    """Alice's paid plan, whose period begins on 31 January: `subscribed(state="past_due")`."""

    def put(**fields: Any) -> Subscription:
        values: dict[str, Any] = {"plan": "starter", "interval": "month", "currency": "usd", "amount": 990}
        values |= {"period_start": START, "anchor_at": START, "period_end": END, "paid_until": END}
        values |= {"stripe_subscription_id": "sub_1", "stripe_item_id": "si_1"}
        Subscription.objects.filter(account=account).update(**values | fields)
        return Subscription.objects.get(account=account)

    return put


@pytest.mark.fault("P21")
@pytest.mark.parametrize(
    ("fields", "ends", "credits"),
    [
        ({}, END + timedelta(hours=5), END + timedelta(hours=5)),
        ({"unpaid_credits": Decimal("0.000001")}, END + timedelta(hours=5), END),
        ({"cancel_at_period_end": True}, None, END),
        (
            {"cancel_at_period_end": True, "period_end": END + TICK},
            END + timedelta(hours=5),
            END + timedelta(hours=5),
        ),
        ({"pause_behavior": "void"}, None, END),
        ({"pause_behavior": "keep_as_draft"}, END + timedelta(hours=5), END + timedelta(hours=5)),
        ({"stripe_subscription_id": None}, None, END),
        ({"stripe_subscription_id": None, "paid_until": None}, None, None),
    ],
    ids=str,
)
def test_until_when_a_renewal_is_awaited_and_credits_are_granted(
    subscribed: Callable[..., Subscription],
    fields: dict[str, Any],
    ends: datetime | None,
    credits: datetime | None,
) -> None:
    change_policies(renewal_grace_hours=5)
    subscription = subscribed(**fields)
    assert (grace.ends_at(subscription), grace.credits_until(subscription)) == (ends, credits)


@pytest.mark.parametrize(
    ("at", "fields", "pending"),
    [
        (END - TICK, {}, False),
        (END, {}, True),
        (END + timedelta(hours=5) - TICK, {}, True),
        (END + timedelta(hours=5), {}, False),
        (END, {"state": "past_due"}, False),
        (END, {"state": "paused"}, False),
        (END, {"cancel_at_period_end": True}, False),
        (END, {"paid_until": None}, False),
    ],
)
def test_a_renewal_is_pending_from_the_periods_end_until_the_grace_period_ends(
    subscribed: Callable[..., Subscription], at: datetime, fields: dict[str, Any], pending: bool
) -> None:
    change_policies(renewal_grace_hours=5)
    subscription = subscribed(**fields)
    assert grace.is_pending(subscription, at) == pending
    assert grace.restores_credits(subscription, at) == pending
    monthly = [{"key": "m", "kind": "plan", "label": "-", "credits": "1", "period": "day", "lasts": "period"}]
    Plan.objects.filter(key="starter").update(allowances=monthly)
    assert not grace.restores_credits(subscription, at), "the plan gives nothing by the month"
    subscription.next_plan = "creator"
    assert grace.restores_credits(subscription, at) == pending


def test_what_was_used_of_a_month_is_what_was_spent_and_is_held(
    subscribed: Callable[..., Subscription], account: Account
) -> None:
    plan = Plan.objects.get(key="starter")
    keys = grace.monthly_keys(plan, None)
    assert keys == [
        f"starter:{one['key']}"
        for one in plan.allowances
        if one["period"] == "month" and one["lasts"] == "period"
    ]
    now = datetime.now(UTC)
    terms = [
        ledger.AllowanceTerms(
            key=key, kind="plan", label="-", credits=Decimal(100), period="month", anchor_at=now, priority=1
        )
        for key in ("starter:a", "starter:b", "other:c")
    ]
    ledger.set_allowances(account_id=account.pk, allowances=terms, now=now)
    use = {"account_id": account.pk, "service": "gpt-4o"}
    ledger.charge(ledger.ChargeRequest(credits=Decimal(250), key="u", **use), now)
    request = ledger.ChargeRequest(credits=Decimal(30), key="h", **use)
    ledger.hold(request, now=now, expires_at=now + timedelta(hours=1))
    asked = ["starter:a", "starter:b", "other:c"]
    assert grace.credits_used(account.pk, asked, now - timedelta(days=1)) == 280
    assert grace.credits_used(account.pk, asked[:2], now - timedelta(days=1)) < 280
    assert grace.credits_used(account.pk, asked, now + timedelta(days=1)) == 0
    assert grace.credits_used(account.pk, [], now - timedelta(days=1)) == 0


@pytest.mark.parametrize(
    ("fields", "months"),
    [
        ({}, 3),
        ({"interval": "year"}, 0),
        ({"state": "past_due"}, 0),
        ({"state": "paused"}, 0),
        ({"pause_behavior": "void"}, 0),
        ({"cancel_at_period_end": True}, 0),
        ({"next_plan": "creator"}, 0),
        ({"pending_plan": "creator"}, 0),
        ({"stripe_subscription_id": None}, 0),
    ],
)
def test_which_plans_can_be_paused(
    subscribed: Callable[..., Subscription], account: Account, fields: dict[str, Any], months: int
) -> None:
    change_policies(pause={"most_months": 3})
    subscription = subscribed(**fields)
    assert (pauses.most_months(subscription), pauses.most_months(None)) == (months, 0)
    for number in (0, months + 1):
        with pytest.raises(pauses.ChangeRefused) as refused:
            pauses.pause(account, number, START)
        assert refused.value.code == "cannot_pause"
    if not fields.get("pause_behavior"):
        with pytest.raises(pauses.ChangeRefused) as refused:
            pauses.end(account, START)
        assert refused.value.code == "not_paused"
    change_policies(pause=None)
    assert pauses.most_months(subscription) == 0


def test_the_first_month_after_a_pause_is_counted_from_the_anchor(
    subscribed: Callable[..., Subscription],
) -> None:
    subscription = subscribed()
    ends = [pauses.first_paid_month(subscription, months) for months in (1, 2, 3)]
    assert ends == [datetime(2027, month, day, 12, tzinfo=UTC) for month, day in ((3, 31), (4, 30), (5, 31))]


def line(amount: int) -> dict[str, int]:
    return {"amount": amount}


@pytest.mark.fault("P11", "P22")
@pytest.mark.parametrize(
    ("lines", "total", "before", "currency", "expected"),
    [
        # price, unused, due, balance after, credit used, credit added, added to the next invoice
        ([1990, -990], 1000, 0, "usd", (1990, 990, 1000, 0, 0, 0, 0)),
        ([1990, -990], 1000, -400, "usd", (1990, 990, 600, 0, 400, 0, 0)),
        ([1990, -990], 1000, -1000, "usd", (1990, 990, 0, 0, 1000, 0, 0)),
        ([1990, -990], 1000, -5000, "usd", (1990, 990, 0, -4000, 1000, 0, 0)),
        ([1990, -990], 1000, 300, "usd", (1990, 990, 1300, 0, 0, 0, 0)),
        ([1990, -990], 1000, -951, "usd", (1990, 990, 0, 49, 951, 0, 49)),
        ([1990, -990], 1000, -950, "usd", (1990, 990, 50, 0, 950, 0, 0)),
        ([40], 40, 0, "jpy", (40, 0, 0, 40, 0, 0, 40)),
        ([40], 40, 0, "gbp", (40, 0, 40, 0, 0, 0, 0)),
        ([990, -7920], -6930, 0, "usd", (990, 7920, 0, -6930, 0, 6930, 0)),
        ([990, -7920], -6930, 500, "usd", (990, 7920, 0, -6430, 0, 6430, 0)),
        ([990, -990], 0, -100, "usd", (990, 990, 0, -100, 0, 0, 0)),
        ([990, -990], 0, 20, "usd", (990, 990, 0, 20, 0, 0, 20)),
        ([990, -990], 0, 100, "usd", (990, 990, 0, 100, 0, 0, 100)),
        ([990, -989], 1, 0, "usd", (990, 989, 0, 1, 0, 0, 1)),
        ([990, -991], -1, 0, "usd", (990, 991, 0, -1, 0, 1, 0)),
        ([990, -989], 1, -1, "usd", (990, 989, 0, 0, 1, 0, 0)),
    ],
)
def test_the_amounts_of_a_changes_invoice(
    lines: list[int], total: int, before: int, currency: str, expected: tuple[int, ...]
) -> None:
    invoice = {"lines": {"data": [line(amount) for amount in lines]}, "total": total, "currency": currency}
    found = invoice_amounts.read(invoice | {"starting_balance": before})
    assert (
        found.price,
        found.unused,
        found.due,
        found.balance_after,
        found.credit_used,
        found.credit_added,
        found.added_to_next_invoice,
    ) == expected
    assert found.balance_before == before


def remote(latest: str = "", *, status: str = "active", pause: str = "", reason: str = "") -> Any:
    """A Stripe subscription in its second month; `latest` is the status of its latest invoice."""
    facts = {"status": latest, "billing_reason": reason}
    return SimpleNamespace(
        id="sub_1", status=status, period_start=END, period_end=LATER, pause_behavior=pause, invoice=facts
    )


LATER = datetime(2027, 3, 31, 12, tzinfo=UTC)


def invoice(reason: str, status: str, end: datetime = LATER) -> dict[str, Any]:
    period = {"start": 0, "end": int(end.timestamp())}
    return {
        "billing_reason": f"subscription_{reason}",
        "status": status,
        "lines": {"data": [{"amount": 5, "period": period}]},
    }


@pytest.mark.fault("P21")
@pytest.mark.parametrize(
    ("found", "invoices", "expected"),
    [
        (remote("paid"), None, LATER),
        (remote(), None, END),
        (remote(status="trialing"), None, LATER),
        (remote(pause="keep_as_draft"), None, LATER),
        (remote(pause="mark_uncollectible"), None, LATER),
        (remote(pause="void"), None, END),
        (remote("paid"), [invoice("update", "paid")], LATER),
        (remote("paid"), [invoice("update", "paid"), invoice("cycle", "draft")], END),
        (remote("paid"), [invoice("update", "paid"), invoice("cycle", "open")], END),
        (remote("paid"), [invoice("update", "paid"), invoice("cycle", "uncollectible")], END),
        (remote("paid"), [invoice("update", "paid"), invoice("cycle", "void")], LATER),
        (remote("paid"), [invoice("update", "paid"), invoice("cycle", "paid", END)], LATER),
        (remote("paid"), [invoice("cycle", "paid", END)], END),
        (remote("paid"), [invoice("cycle", "paid"), invoice("cycle", "open", END)], LATER),
        (remote("draft"), [invoice("cycle", "draft"), invoice("cycle", "paid", END)], END),
    ],
)
def test_until_when_a_subscription_is_paid(
    subscribed: Callable[..., Subscription],
    found: Any,
    invoices: list[dict[str, Any]] | None,
    expected: datetime,
) -> None:
    assert paid_periods.paid_until(subscribed(), found, invoices) == expected
    other = subscribed(stripe_subscription_id="sub_other")
    unpaid_before = expected == END and not any(
        item["status"] == "paid" and stripe_objects.last_period_end(item) == END for item in invoices or ()
    )
    assert paid_periods.paid_until(other, found, invoices) == (None if unpaid_before else expected)


def latest(status: str, reason: str) -> dict[str, str]:
    return {"status": status, "billing_reason": f"subscription_{reason}"}


@pytest.mark.fault("P21")
@pytest.mark.parametrize(
    ("status", "invoice", "paid_until", "needed"),
    [
        ("active", latest("paid", "cycle"), None, False),
        ("active", latest("paid", "create"), None, False),
        ("active", latest("open", "create"), None, False),
        ("active", latest("draft", "cycle"), None, True),
        ("active", latest("draft", "cycle"), END - TICK, True),
        ("active", latest("draft", "cycle"), END, False),
        ("active", latest("void", "cycle"), END - TICK, True),
        ("active", latest("paid", "update"), None, True),
        ("active", latest("paid", "update"), END, True),
        ("active", latest("paid", "update"), END + TICK, False),
        ("past_due", latest("paid", "update"), LATER, True),
        ("past_due", latest("draft", "cycle"), LATER, True),
        ("past_due", latest("open", "cycle"), END, False),
        ("unpaid", latest("draft", "cycle"), LATER, True),
        ("unpaid", latest("open", "cycle"), END, False),
        ("trialing", latest("draft", "cycle"), None, False),
        ("canceled", latest("draft", "cycle"), None, False),
        ("active", "in_1", None, False),
        ("active", None, None, False),
        ("past_due", None, None, False),
    ],
)
def test_when_the_latest_invoice_does_not_tell_what_is_paid(
    status: str, invoice: Any, paid_until: datetime | None, needed: bool
) -> None:
    item = {"current_period_start": int(END.timestamp())}
    payload = {"status": status, "latest_invoice": invoice, "items": {"data": [item]}}
    assert paid_periods.needs_invoices(payload, paid_until) == needed


@pytest.mark.parametrize(
    ("reason", "status", "skipped"),
    [("cycle", "void", True), ("cycle", "paid", False), ("update", "void", False), ("cycle", "draft", False)],
)
def test_a_voided_renewal_is_not_owed(reason: str, status: str, skipped: bool) -> None:
    assert paid_periods.is_skipped(remote(status, reason=f"subscription_{reason}")) == skipped


def replaced(at: datetime, *, plan: str) -> proration.ReplacedPlan:
    old = Plan.objects.get(key=plan)
    return proration.ReplacedPlan(plan=old, anchor_at=START, at=at, restarts=True)


@pytest.mark.fault("P22")
@pytest.mark.parametrize(
    ("old", "new", "at", "expected"),
    [
        ("starter", "creator", START, START),
        ("creator", "starter", END - timedelta(days=7), END - timedelta(days=7)),  # a quarter: 750 of 1,000
        # a half: 1,500 of 1,000, which are a third of the month
        ("creator", "starter", START + timedelta(days=14), END - timedelta(seconds=28 * 86400 // 3)),
    ],
)
def test_no_more_time_is_credited_than_credits_are_deducted(
    catalogue: None, old: str, new: str, at: datetime, expected: datetime
) -> None:
    assert proration.credited_from(Plan.objects.get(key=new), replaced(at, plan=old)) == expected


@pytest.mark.fault("P22")
def test_more_unspent_credits_than_the_plan_has_now_deduct_nothing(account: Account) -> None:
    anchor = datetime.now(UTC).replace(microsecond=0) + timedelta(days=1)
    end = add_months(anchor, 1)

    def first(at: datetime, carry_over: bool = False) -> list[Decimal]:
        old = proration.ReplacedPlan(
            plan=Plan.objects.get(key="starter"), anchor_at=anchor, at=at, restarts=True
        )
        new = Plan.objects.get(key="creator")
        return sorted(
            proration.first_credits(
                new, old, account_id=account.pk, carry_over=carry_over, now=anchor
            ).values(),
            reverse=True,
        )

    plan = Plan.objects.get(key="starter")
    terms = ledger_terms.allowance_terms(plan, anchor_at=anchor, ends_at=end, once_at=None)
    ledger.set_allowances(account_id=account.pk, allowances=terms, now=anchor)
    half = anchor + (end - anchor) / 2
    assert first(anchor) == [3000, 500] and first(anchor, carry_over=True) == [2000, 500]
    assert first(half) == [3000, 500] and first(half, carry_over=True) == [2500, 500]
    assert first(half + timedelta(days=31), carry_over=True) < [3000, 500], "not a month more is granted"
    plan.allowances = [one | {"credits": str(int(Decimal(one["credits"])) // 2)} for one in plan.allowances]
    plan.save()  # 100 of a day's 200, 500 of a month's 1,000
    assert first(anchor) == [3000, 500] and first(anchor, carry_over=True) == [2500, 500]


@pytest.mark.fault("P22")
def test_a_plan_without_monthly_credits_is_credited_from_the_instant_itself(catalogue: None) -> None:
    Plan.objects.filter(key__in=["starter", "creator"]).update(allowances=[])
    found = proration.credited_from(Plan.objects.get(key="creator"), replaced(START, plan="starter"))
    assert found == START


@pytest.mark.parametrize(
    ("fields", "anchor"),
    [
        ({}, START),
        ({"stripe_subscription_id": "sub_2"}, END),
        ({"interval": "year"}, END),
        ({"period_start": END + TICK}, END + TICK),
    ],
    ids=str,
)
def test_a_period_of_the_same_cycle_keeps_the_day_from_which_months_are_counted(
    subscribed: Callable[..., Subscription], fields: dict[str, Any], anchor: datetime
) -> None:
    values: dict[str, Any] = {"interval": "month", "currency": "usd", "amount": 990, "period_start": END}
    values |= {"period_end": add_months(START, 2), "paid_until": add_months(START, 2)}
    values |= {"stripe_subscription_id": "sub_1", "stripe_item_id": "si_1"}
    paid = lifecycle.PaidPeriod(**values | fields)
    subscription = subscribed()
    lifecycle.change_plan(
        subscription, Plan.objects.get(key="starter"), now=END, reason="paid at Stripe", paid=paid
    )
    subscription.refresh_from_db()
    assert (subscription.anchor_at, subscription.period_start) == (anchor, paid.period_start)
