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


@pytest.mark.parametrize(
    ("changes", "restored"),
    [
        ({}, {"quantity": 3, "credits": 100, "lasts": "12 months", "label": "Pack", "offer": "small"}),
        ({"quantity": ""}, {"quantity": 1}),
        ({"quantity": None, "lasts": None}, {"quantity": 1, "lasts": "forever"}),
        ({"lasts": ""}, {"lasts": "forever"}),
        ({"credits": "0"}, {"credits": 0}),
        ({"purchase": "pur_nonsense"}, None),
        ({"purchase": None}, None),
        ({"account": "acct_unknown"}, None),
        ({"credits": "many"}, None),
        ({"credits": None}, None),
        ({"kind": "gift"}, None),
        ({"kind": None}, None),
    ],
    ids=str,
)
def test_only_complete_metadata_restores_a_purchase(
    account: Account, changes: dict[str, Any], restored: dict[str, Any] | None
) -> None:
    named = Purchase(account=account)
    terms = {"kind": "pack", "offer": "small", "quantity": "3", "credits": "100", "lasts": "12 months"}
    metadata = terms | {"label": "Pack", "purchase": named.public_id, "account": account.public_id} | changes
    metadata = {name: value for name, value in metadata.items() if value is not None}
    intent = {"id": "pi_1", "amount": 500, "currency": "usd", "created": 1800000000, "metadata": metadata}

    assert recovery.is_missing(intent) == ("credits" in metadata)
    for _again in range(2):
        found = recovery.restore_from_intent(intent)

    assert Purchase.objects.count() == (1 if restored else 0)
    if found is not None and restored is not None:
        assert found.pk == named.pk
        assert {name: getattr(found, name) for name in restored} == restored
        assert (found.amount, found.list_amount, found.origin) == (500, 500, "auto_top_up")
        assert (found.idempotency_key, found.created_at.timestamp()) == ("restored:pi_1", 1800000000)
        assert not recovery.is_missing(intent)
    else:
        assert (found, restored) == (None, None)


def test_what_a_payment_at_stripe_names_restores_the_whole_purchase(account: Account) -> None:
    terms: dict[str, Any] = {"kind": "pack", "offer": "small", "label": "3 × Small", "quantity": 3}
    terms |= {"credits": Decimal("37.5"), "lasts": "12 months"}
    missing = Purchase(account=account, amount=500, currency="usd", **terms)
    metadata = recovery.stripe_metadata(missing)
    metadata |= {"purchase": missing.public_id, "account": account.public_id}
    intent = {"id": "pi_1", "amount": 500, "currency": "usd", "created": 1800000000, "metadata": metadata}

    found = recovery.restore_from_intent(intent)
    assert {name: getattr(found, name) for name in terms} == terms


@pytest.mark.parametrize(
    ("tax", "amount", "behavior"),
    [
        (None, 1190, ""),
        ({"enabled": True, "amount": 190, "subtotal": 1000}, 1000, "exclusive"),
        ({"enabled": True, "amount": 190, "subtotal": 1190}, 1190, "inclusive"),
        ({"enabled": True, "amount": 0, "subtotal": 1190}, 1190, "inclusive"),
    ],
)
def test_a_restored_purchase_has_the_price_without_exclusive_tax(
    account: Account, tax: dict[str, Any] | None, amount: int, behavior: str
) -> None:
    metadata = {"kind": "pack", "credits": "100", "purchase": Purchase(account=account).public_id}
    session = {"id": "cs_1", "currency": "usd", "created": 1800000000, "amount_total": 1190}
    session |= {"metadata": metadata | {"account": account.public_id}}
    if tax is not None:
        session |= {"automatic_tax": {"enabled": tax["enabled"]}, "amount_subtotal": tax["subtotal"]}
        session |= {"total_details": {"amount_tax": tax["amount"], "amount_discount": 0}}

    found = recovery.restore_from_session(session)

    assert found is not None
    assert (found.amount, found.list_amount, found.tax_behavior) == (amount, amount, behavior)
    assert (found.origin, found.stripe_session_id) == ("page", "cs_1")
