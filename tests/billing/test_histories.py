"""Random histories of a purchase: its news in any order and number ends where a plain model says.

The model knows four facts only: what was paid, what was spent, which refunds stand, how the dispute ended.
"""

import random
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from django.db import transaction
from django.utils import timezone

from accounts.models import Account
from billing import disputes, fulfilment, ledger, refund_news
from billing.models import Purchase

pytestmark = pytest.mark.django_db

HISTORIES = 120
PAID = 1000  # cents, for as many credits: shares are exact


class Undo(Exception):
    """Ends a history: the next one begins where this one did."""


def purchase_of(account: Account) -> Purchase:
    return Purchase.objects.create(
        account=account,
        kind="pack",
        origin="page",
        offer="small",
        label="Small",
        credits=PAID,
        amount=PAID,
        list_amount=PAID,
        currency="usd",
        idempotency_key="history",
        created_at=timezone.now(),
    )


def story_of(dice: random.Random) -> dict[str, Any]:
    """What truly happened in the end."""
    amounts = [dice.randint(1, PAID // 3) for _ in range(dice.randint(0, 3))]
    return {
        "refunds": [(number, amount, dice.random() < 0.7) for number, amount in enumerate(amounts)],
        "dispute": dice.choice([None, None, "won", "lost"]),
        "spent": Decimal(dice.randint(0, PAID)),
    }


def news_of(story: dict[str, Any], dice: random.Random) -> list[tuple[str, Any]]:
    """Everything that is told of it: shuffled, some of it repeated."""
    told: list[tuple[str, Any]] = [("paid", None)]
    for number, amount, stands in story["refunds"]:
        for status in ("pending", "succeeded" if stands else "failed"):
            told.append(("refund", {"id": f"re_{number}", "amount": amount, "status": status}))
    if story["dispute"]:
        told += [("dispute", status) for status in ("needs_response", "under_review", story["dispute"])]
    told += dice.sample(told, dice.randint(0, len(told)))
    dice.shuffle(told)
    # Refunds and disputes that overtake their payment make it be asked for first (billing.money_back).
    return [("paid", None), ("spend", story["spent"]), *told]


def live_through(account: Account, purchase: Purchase, told: list[tuple[str, Any]]) -> Decimal:
    """Let the news arrive; what was spent in the end."""
    spent = Decimal(0)
    payment = fulfilment.Payment(amount=PAID, currency="usd", payment_id="pi_1")
    for kind, what in told:
        now = timezone.now()
        if kind == "paid":
            fulfilment.paid(purchase.pk, payment, now)
        elif kind == "spend" and what:
            free = ledger.balance(account.pk, now).total - PAID
            order = ledger.ChargeOrder(
                account_id=account.pk, credits=what + free, key="use", service="gpt-4o"
            )
            ledger.charge(order, now)
            spent = what
        elif kind == "refund":
            refund_news.follow({**what, "payment_intent": "pi_1", "currency": "usd", "metadata": {}}, now)
        elif kind == "dispute":
            facts = {
                "id": "dp_1",
                "payment_intent": "pi_1",
                "amount": PAID,
                "currency": "usd",
                "status": what,
            }
            disputes.follow(facts, now)
    return spent


def expected(story: dict[str, Any], spent: Decimal, free: Decimal) -> Decimal:
    """What is had less what is owed: credits are taken back once, whoever claims them."""
    gone = sum(amount for _number, amount, stands in story["refunds"] if stands)
    gone += PAID if story["dispute"] == "lost" else 0
    return (free if not spent else Decimal(0)) + PAID - spent - min(gone, PAID)


@pytest.mark.fault("P6", "P12", "P14")
def test_every_history_ends_where_the_model_says(
    account: Account, record_property: Callable[[str, object], None]
) -> None:
    free = ledger.balance(account.pk, timezone.now()).total
    for seed in range(HISTORIES):
        dice = random.Random(seed)
        story = story_of(dice)
        told = news_of(story, dice)
        record_property("seed", seed)
        with pytest.raises(Undo), transaction.atomic():
            spent = live_through(account, purchase_of(account), told)
            after = ledger.balance(account.pk, timezone.now())
            assert after.total - after.debt == expected(story, spent, free), (seed, story, told)
            assert after.total == 0 or after.debt == 0, seed
            raise Undo
