"""The revenue report balances for every kind of credit movement."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from django.utils import timezone

from accounts.models import Account
from billing import ledger
from billing.models import Dispute, Purchase
from billing.refunds import disputes, stripe_refunds
from billing.staff import revenue_report

pytestmark = pytest.mark.django_db


def figures(now: datetime | None = None) -> dict[str, int]:
    sums = revenue_report.totals(revenue_report.report(now or timezone.now()))["usd"]
    assert sums["sold"] == sum(sums[name] for name in ("earned", "breakage", "refunded", "disputed", "owed"))
    return sums


@pytest.fixture
def use(account: Account) -> Callable[[Decimal], None]:
    """Charge all free credits and then some of the bought ones."""

    def spend(credits: Decimal) -> None:
        now = timezone.now()
        grants = ledger.balance(account.pk, now).grants
        free = sum((grant.remaining for grant in grants if grant.purchase_id is None), Decimal(0))
        request = ledger.ChargeRequest(
            account_id=account.pk, credits=free + credits, key=f"u{timezone.now()}", service="gpt-4o"
        )
        ledger.charge(request, now)

    return spend


def test_a_pack_is_owed_until_it_is_used(
    paid_purchase: Callable[..., Purchase], use: Callable[[Decimal], None]
) -> None:
    purchase = paid_purchase()
    assert figures() == {
        "sold": purchase.amount,
        "earned": 0,
        "breakage": 0,
        "refunded": 0,
        "disputed": 0,
        "owed": purchase.amount,
        "tax": 0,
    }

    use(purchase.credits / 4)

    assert figures()["earned"] == purchase.amount // 4


def test_credits_in_a_tree_of_holds_are_earned_when_they_are_charged(
    paid_purchase: Callable[..., Purchase], account: Account
) -> None:
    purchase, now = paid_purchase(), timezone.now()
    grants = ledger.balance(account.pk, now).grants
    every = sum((grant.remaining for grant in grants), Decimal(0))
    use = {"account_id": account.pk, "credits": every, "service": "gpt-4o"}
    terms: dict[str, Any] = {"expires_at": now + timedelta(hours=1), "now": now}
    root = ledger.hold(ledger.ChargeRequest(key="root", **use), **terms)
    child = ledger.hold(ledger.ChargeRequest(key="child", **use), parent=root.hold_id, **terms)
    assert figures()["owed"] == purchase.amount
    used = every - purchase.credits * 3 / 4
    capture = {"account_id": account.pk, "hold_id": child.hold_id, "detail": {}, "now": now}
    ledger.capture(credits=used, key="capture", **capture)
    assert (figures()["earned"], figures()["owed"]) == (purchase.amount // 4, purchase.amount * 3 // 4)


def test_rounding_loses_no_minor_unit(
    paid_purchase: Callable[..., Purchase], use: Callable[[Decimal], None]
) -> None:
    purchase = paid_purchase()
    for _ in range(3):
        use(Decimal("0.333333"))
    before = figures()
    assert before["earned"] == int(purchase.amount * Decimal("0.999999") / purchase.credits)

    use(purchase.credits - Decimal("0.999999"))

    assert (figures()["earned"], figures()["owed"]) == (purchase.amount, 0)


def test_refunds_and_lost_disputes_are_deducted(
    paid_purchase: Callable[..., Purchase], use: Callable[[Decimal], None]
) -> None:
    first, second = paid_purchase(), paid_purchase(key="second")
    use(first.credits / 2)
    refund: dict[str, Any] = {
        "id": "re_1",
        "payment_intent": first.stripe_payment_id,
        "amount": first.amount // 2,
    }
    stripe_refunds.apply_stripe_refund(refund | {"status": "succeeded", "metadata": {}}, timezone.now())
    dispute = {"id": "dp_1", "payment_intent": second.stripe_payment_id, "amount": second.amount}
    lost = disputes.Snapshot(dispute | {"currency": "usd", "status": "lost"}, None)
    disputes.apply_snapshot(lost, timezone.now())

    sums = figures()

    assert sums["refunded"] == first.amount // 2
    assert sums["disputed"] == second.amount
    assert sums["earned"] == first.amount // 2
    assert sums["owed"] == 0


def test_what_an_open_dispute_took_back_is_owed_until_the_bank_decides(
    paid_purchase: Callable[..., Purchase], use: Callable[[Decimal], None]
) -> None:
    purchase = paid_purchase()
    use(purchase.credits / 4)
    facts = {"id": "dp_1", "payment_intent": purchase.stripe_payment_id, "amount": purchase.amount}

    def decide(status: str) -> tuple[int, int, int]:
        version = Dispute.objects.values_list("version", flat=True).first()
        snapshot = disputes.Snapshot(facts | {"currency": "usd", "status": status}, version)
        disputes.apply_snapshot(snapshot, timezone.now())
        sums = figures()
        return sums["earned"], sums["disputed"], sums["owed"]

    quarter = purchase.amount // 4
    assert decide("needs_response") == (quarter, 0, purchase.amount - quarter)
    assert decide("won") == (quarter, 0, purchase.amount - quarter)
    assert decide("lost") == (0, purchase.amount, 0)


def test_a_yearly_plan_is_earned_in_proportion_to_time(account: Account) -> None:
    start = datetime(2026, 1, 1, tzinfo=UTC)
    Purchase.objects.create(
        account=account,
        kind="plan",
        origin="renewal",
        offer="starter",
        interval="year",
        label="Starter",
        amount=36_500,
        list_amount=36_500,
        currency="usd",
        status="paid",
        idempotency_key="invoice:1",
        period_start=start,
        period_end=start + timedelta(days=365),
        created_at=start,
        paid_at=start,
    )

    months = revenue_report.report(start + timedelta(days=59, hours=1))

    assert [(month.month.month, month.sold, month.earned, month.owed) for month in reversed(months)][:2] == [
        (1, 36_500, 3_100, 33_400),
        (2, 0, 2_800, 30_600),
    ]
    assert figures(start + timedelta(days=400))["owed"] == 0


@pytest.mark.owner
def test_archived_entries_count_as_before(
    paid_purchase: Callable[..., Purchase], use: Callable[[Decimal], None], tmp_path: Path
) -> None:
    purchase = paid_purchase()
    use(purchase.credits / 4)
    now = timezone.now()
    report = revenue_report.report(now)
    assert figures()["earned"] == purchase.amount // 4

    ledger.archive.run(before=timezone.now(), path=tmp_path / "archive.gz", now=timezone.now())
    assert ledger.archive.position(purchase.account_id)
    assert revenue_report.report(now) == report

    use(purchase.credits / 4)
    assert figures()["earned"] == purchase.amount // 2
