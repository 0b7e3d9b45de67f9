"""Revenue and tax by month: which purchases, refunds and disputes count, in which month and currency."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
import time_machine

from accounts.models import Account
from billing import ledger
from billing.models import Dispute, Purchase, Refund
from billing.payments import taxes
from billing.staff import revenue_report, tax_report

pytestmark = pytest.mark.django_db
JANUARY, FEBRUARY, MARCH = (datetime(2027, month, 1, tzinfo=UTC) for month in (1, 2, 3))
NOW = datetime(2027, 3, 20, 12, tzinfo=UTC)
TICK = timedelta(microseconds=1)


@pytest.fixture(autouse=True)
def clock() -> Iterator[time_machine.Traveller]:
    with time_machine.travel(JANUARY, tick=False) as traveller:
        yield traveller


@pytest.fixture
def purchase(account: Account) -> Callable[..., Purchase]:
    """A pack of 100 credits for 10.00, paid in January."""

    def make(*, granted: bool = True, **fields: Any) -> Purchase:
        number = Purchase.objects.count()
        values: dict[str, Any] = {"kind": "pack", "origin": "page", "offer": "small", "label": "Small"}
        values |= {"credits": Decimal(100), "amount": 1000, "list_amount": 1000, "currency": "usd"}
        values |= {
            "status": "paid",
            "paid_at": JANUARY,
            "created_at": JANUARY,
            "idempotency_key": str(number),
        }
        made: Purchase = Purchase.objects.create(account=account, **values | fields)
        if granted:
            ledger.grant(
                account_id=account.pk,
                credits=Decimal(100),
                kind="top_up",
                label="-",
                key=f"g{number}",
                purchase_id=made.pk,
                now=JANUARY,
            )
        return made

    return make


def refund(purchase: Purchase, amount: int, at: datetime | None, status: str = "done") -> None:
    Refund.objects.create(
        account=purchase.account,
        purchase=purchase,
        amount=amount,
        currency=purchase.currency,
        status=status,
        created_at=JANUARY,
        decided_at=at,
    )


def dispute(purchase: Purchase, amount: int, at: datetime, status: str = "lost") -> None:
    Dispute.objects.create(
        account=purchase.account,
        purchase=purchase,
        stripe_dispute_id=f"du_{Dispute.objects.count()}",
        stripe_status=status,
        status=status,
        amount=amount,
        currency=purchase.currency,
        created_at=JANUARY,
        closed_at=at,
    )


def rows(*names: str) -> dict[tuple[int, str], tuple[int, ...]]:
    """The named columns by month and currency."""
    found = revenue_report.report(NOW)
    return {(row.month.month, row.currency): tuple(getattr(row, name) for name in names) for row in found}


@pytest.mark.parametrize(
    ("fields", "sold"),
    [
        ({}, {(1, "usd"): (1000,), (2, "usd"): (0,), (3, "usd"): (0,)}),
        ({"paid_at": FEBRUARY - TICK}, {(1, "usd"): (1000,), (2, "usd"): (0,), (3, "usd"): (0,)}),
        ({"paid_at": FEBRUARY}, {(2, "usd"): (1000,), (3, "usd"): (0,)}),
        ({"paid_at": MARCH, "currency": "jpy"}, {(3, "jpy"): (1000,)}),
        ({"amount": 0}, {}),
        *[
            ({"status": status}, {})
            for status in ("created", "pending", "failed", "cancelled", "quarantined")
        ],
    ],
    ids=str,
)
def test_money_counts_in_the_month_of_its_payment(
    purchase: Callable[..., Purchase], fields: dict[str, Any], sold: dict[Any, Any]
) -> None:
    purchase(**fields)
    assert rows("sold") == sold


@pytest.mark.parametrize("status", Refund.Status.values)
def test_refunds_count_from_their_decision(purchase: Callable[..., Purchase], status: str) -> None:
    decided = status not in {"requested", "withdrawn"}
    refund(purchase(), 300, FEBRUARY if decided else None, status)
    counted = status in {"approved", "pending", "done"}
    expected = {(1, "usd"): (0, 1000), (2, "usd"): (300, 700), (3, "usd"): (0, 700)}
    never = {(month, "usd"): (0, 1000) for month in (1, 2, 3)}
    assert rows("refunded", "owed") == (expected if counted else never)


@pytest.mark.parametrize("status", Dispute.Status.values)
def test_only_lost_disputes_count(purchase: Callable[..., Purchase], status: str) -> None:
    dispute(purchase(), 400, MARCH, status)
    lost = status == "lost"
    assert rows("disputed", "owed")[3, "usd"] == ((400, 600) if lost else (0, 1000))
    assert rows("disputed")[2, "usd"] == (0,)


def test_no_more_than_the_payment_is_returned(purchase: Callable[..., Purchase]) -> None:
    bought = purchase()
    refund(bought, 700, FEBRUARY)
    dispute(bought, 1000, MARCH)
    assert rows("refunded", "disputed", "owed") == {
        (1, "usd"): (0, 0, 1000),
        (2, "usd"): (700, 0, 300),
        (3, "usd"): (0, 300, 0),
    }


def test_spent_expired_and_held_credits(
    purchase: Callable[..., Purchase], account: Account, clock: time_machine.Traveller
) -> None:
    for number, expires in enumerate((None, MARCH)):
        ledger.grant(
            account_id=account.pk,
            credits=Decimal(100),
            kind="top_up",
            label="-",
            key=str(number),
            purchase_id=purchase(granted=False).pk,
            priority=number,
            expires_at=expires,
            now=JANUARY,
        )
    use = {"account_id": account.pk, "service": "gpt-4o"}
    clock.move_to(FEBRUARY)
    ledger.charge(ledger.ChargeRequest(credits=Decimal(130), key="u", **use), FEBRUARY)
    until = NOW + timedelta(days=1)
    ledger.hold(ledger.ChargeRequest(credits=Decimal(20), key="h", **use), now=FEBRUARY, expires_at=until)
    clock.move_to(NOW)
    ledger.balance(account.pk, NOW)
    assert rows("sold", "earned", "breakage", "owed") == {
        (1, "usd"): (2000, 0, 0, 2000),
        (2, "usd"): (0, 1300, 0, 700),
        (3, "usd"): (0, 0, 500, 200),
    }
    sums = revenue_report.totals(revenue_report.report(NOW))
    assert sums == {
        "usd": {
            "sold": 2000,
            "earned": 1300,
            "breakage": 500,
            "refunded": 0,
            "disputed": 0,
            "owed": 200,
            "tax": 0,
        }
    }


def test_currencies_are_not_added_and_the_newest_month_is_first(purchase: Callable[..., Purchase]) -> None:
    purchase()
    purchase(currency="jpy", amount=70, paid_at=FEBRUARY)
    found = [(row.month.month, row.currency, row.owed) for row in revenue_report.report(NOW)]
    assert found == [
        (3, "usd", 1000),
        (3, "jpy", 70),
        (2, "usd", 1000),
        (2, "jpy", 70),
        (1, "usd", 1000),
        (1, "jpy", 0),
    ]
    assert revenue_report.totals(revenue_report.report(NOW))["jpy"]["sold"] == 70


TAXED = {"amount": 1190, "tax": 190, "tax_behavior": "exclusive", "country": "DE"}


def test_revenue_is_without_tax_and_a_refund_returns_its_part_of_the_tax(
    purchase: Callable[..., Purchase],
) -> None:
    bought = purchase(**TAXED)
    refund(bought, 595, FEBRUARY)
    assert rows("sold", "refunded", "tax") == {
        (1, "usd"): (1000, 0, 190),
        (2, "usd"): (0, 500, -95),
        (3, "usd"): (0, 0, 0),
    }
    assert [taxes.share(bought, amount) for amount in (0, 1, 595, 1189, 1190)] == [0, 0, 95, 189, 190]
    assert taxes.share(purchase(amount=0), 5) == 0


def test_tax_by_month_country_and_currency(purchase: Callable[..., Purchase]) -> None:
    first = purchase(**TAXED)
    purchase(**TAXED | {"paid_at": FEBRUARY - TICK})
    purchase(**TAXED | {"country": "FR", "currency": "eur"})
    purchase(**TAXED | {"status": "quarantined"})
    purchase(**TAXED | {"tax_behavior": ""})
    refund(first, 595, MARCH)
    refund(first, 100, MARCH, "refused")
    refund(first, 100, MARCH, "failed")
    refund(first, 100, None, "requested")
    dispute(first, 1190, MARCH + TICK)
    dispute(first, 1190, MARCH, "won")

    found = [
        (row.month.month, row.country, row.currency, row.gross, row.tax, row.net)
        for row in tax_report.report()
    ]
    returned = [
        (row.month.month, row.country, row.returned, row.returned_tax, row.returned_net)
        for row in tax_report.report()
    ]
    assert found == [
        (3, "DE", "usd", 0, 0, 0),
        (1, "FR", "eur", 1190, 190, 1000),
        (1, "DE", "usd", 2380, 380, 2000),
    ]
    assert returned == [(3, "DE", 1190, 190, 1000), (1, "FR", 0, 0, 0), (1, "DE", 0, 0, 0)]


@pytest.mark.parametrize(
    ("until", "earned"),
    [
        (JANUARY + timedelta(days=10), 0),
        (FEBRUARY + timedelta(days=14), 500),
        (MARCH - TICK, 999),
        (MARCH, 1000),
    ],
)
def test_a_plan_is_earned_over_its_period(
    purchase: Callable[..., Purchase], until: datetime, earned: int
) -> None:
    period = {"period_start": FEBRUARY, "period_end": MARCH}
    purchase(granted=False, kind="plan", credits=0, paid_at=FEBRUARY - timedelta(days=25), **period)
    found = revenue_report.totals(revenue_report.report(until))["usd"]
    assert (found["earned"], found["owed"]) == (earned, 1000 - earned)
