"""Purchases missing after an older backup was restored are recovered from Stripe."""

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from django.utils import timezone

from accounts.models import Account
from billing import ledger
from billing.models import Purchase
from billing.payments import customers, recovery
from billing.webhooks import reconciliation
from tests.billing.conftest import smallest_pack

pytestmark = pytest.mark.django_db


@pytest.mark.fault("O2")
def test_reconciliation_restores_missing_packs_top_ups_and_refunds(
    stripe_api: Any,
    account: Account,
    new_purchase: Callable[..., Purchase],
    pay: Callable[..., Any],
    balance: Callable[[], Decimal],
) -> None:
    before = balance()
    missing = new_purchase()
    pay(missing)
    Purchase.objects.all().delete()
    top_up = pay_missing_top_up(stripe_api, account)

    report = reconciliation.run(timezone.now())

    assert report is not None and report.findings == []
    assert [row["paid_gap"] or row["refunded_gap"] for row in reconciliation.differences(report)] == [0]
    restored = {
        purchase.pk: (purchase.status, purchase.origin, purchase.credits, purchase.refunded)
        for purchase in Purchase.objects.all()
    }
    assert restored == {
        missing.pk: ("paid", "page", missing.credits, 0),
        top_up.pk: ("paid", "auto_top_up", 100, 250),
    }
    assert balance() == before + missing.credits + 50
    assert ledger.audit.run(now=timezone.now()).findings == []


def pay_missing_top_up(stripe_api: Any, account: Account) -> Purchase:
    """An automatic top-up that is paid and half refunded at Stripe, and not in the database."""
    purchase = Purchase(
        account=account,
        kind="pack",
        origin="auto_top_up",
        offer=smallest_pack(),
        label="Pack",
        credits=100,
        amount=500,
        currency="usd",
    )
    customer = customers.ensure_customer(account)
    card = stripe_api.payment_methods.attach("pm_card_visa", {"customer": customer})
    payment = stripe_api.payment_intents.create(
        {
            "amount": 500,
            "currency": "usd",
            "customer": customer,
            "payment_method": card.id,
            "confirm": True,
            "off_session": True,
            "metadata": {
                "purchase": purchase.public_id,
                "account": account.public_id,
                **recovery.stripe_metadata(purchase),
            },
        }
    )
    stripe_api.refunds.create({"payment_intent": payment.id, "amount": 250})
    return purchase
