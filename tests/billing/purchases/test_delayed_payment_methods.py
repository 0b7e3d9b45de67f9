"""Wallets and bank transfers are pending until they settle, then credited or failed."""

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from django.core.management import call_command
from django.test import Client
from django.utils import timezone

from accounts.models import Account, User
from billing import ledger
from billing.models import Mail, Purchase, StripeEvent
from billing.purchases import checkout, create
from pricing.models import Catalogue, Pack
from sandbox import scheduled_actions
from tests.billing import stripe_sandbox
from tests.billing.conftest import change_policies
from tests.conftest import person
from tests.sandbox.conftest import Buyer
from tests.sandbox.test_delayed_methods import transfer

pytestmark = [pytest.mark.django_db, pytest.mark.requirement("APIN-03"), pytest.mark.fault("P5")]


@pytest.fixture
def buyer_user(stripe_api: Any) -> User:
    """A user of the apinfer catalogue, whose packs are paid in yuan, or in dollars by bank transfer."""
    call_command("load_catalogue", "apinfer", verbosity=0)
    return person("mei")


@pytest.fixture
def purchase_in(buyer_user: User) -> Callable[..., Purchase]:
    """A purchase whose payment page is open, or not yet: `purchase_in("usd", opened=False)`."""

    def make(currency: str, *, opened: bool = True) -> Purchase:
        purchase = create.pack_purchase(
            account=Account.objects.get(person=buyer_user),
            buyer=buyer_user,
            origin="page",
            pack_key="basic",
            quantity=1,
            currency=currency,
            key=currency,
            now=timezone.now(),
        )
        if opened:
            checkout.open_page(purchase, timezone.now())
        return purchase

    return make


def total(purchase: Purchase) -> Decimal:
    return ledger.balance(purchase.account_id, timezone.now()).total


@pytest.mark.parametrize("method", ["alipay", "wechat_pay"])
def test_a_wallet_payment_is_credited_when_it_settles(
    purchase_in: Callable[[str], Purchase],
    events: Callable[..., Any],
    process_event: Callable[..., StripeEvent],
    method: str,
) -> None:
    purchase, buyer = purchase_in("cny"), Buyer()
    buyer.open(purchase.checkout_url)
    buyer.submit(purchase.checkout_url, method=method)
    wallet = buyer.redirect
    buyer.open(wallet)
    buyer.submit(wallet, decision="later")

    assert checkout.refresh_from_stripe(purchase, timezone.now()).status == "pending"
    assert total(purchase) == 0
    scheduled_actions.settle_pending(timezone.now())
    for event in events():
        process_event(event)

    purchase.refresh_from_db()
    assert (purchase.status, total(purchase)) == ("paid", 100)


@pytest.mark.parametrize(("arrives", "status", "credits"), [(True, "paid", 100), (False, "failed", 0)])
def test_a_bank_transfer_is_credited_when_it_arrives_and_fails_when_it_does_not(
    purchase_in: Callable[[str], Purchase],
    events: Callable[..., Any],
    process_event: Callable[..., StripeEvent],
    buyer_user: User,
    signed_in: Callable[[User], Client],
    arrives: bool,
    status: str,
    credits: int,
) -> None:
    purchase, buyer = purchase_in("usd"), Buyer()
    buyer.open(purchase.checkout_url)
    buyer.submit(purchase.checkout_url, method="customer_balance")
    page = signed_in(buyer_user).get(f"/billing/purchases/{purchase.public_id}/return/").content.decode()
    assert "Payment pending" in page and "View payment instructions" in page
    assert Mail.objects.filter(template="payment_pending").count() == 1

    scheduled_actions.settle_pending(timezone.now(), succeeded=arrives)
    for event in events():
        process_event(event)

    purchase.refresh_from_db()
    assert (purchase.status, total(purchase)) == (status, credits)
    assert Mail.objects.filter(template="payment_failed").count() == (0 if arrives else 1)
    page = signed_in(buyer_user).get(f"/billing/purchases/{purchase.public_id}/").content.decode()
    assert ("Paid" in page) == arrives


def test_a_bank_transfer_in_parts_is_pending_until_all_has_arrived(
    purchase_in: Callable[[str], Purchase],
    events: Callable[..., Any],
    process_event: Callable[..., StripeEvent],
) -> None:
    purchase, buyer = purchase_in("usd"), Buyer()
    buyer.open(purchase.checkout_url)
    buyer.submit(purchase.checkout_url, method="customer_balance")
    intent = str(stripe_sandbox.api().checkout.sessions.retrieve(purchase.stripe_session_id).payment_intent)

    transfer(intent, 100)
    for event in events():
        process_event(event)
    checkout.refresh_from_stripe(purchase, timezone.now())
    assert (purchase.status, total(purchase)) == ("pending", 0)
    transfer(intent, 100)
    for event in events():
        process_event(event)

    purchase.refresh_from_db()
    assert (purchase.status, purchase.payment_method, total(purchase)) == ("paid", "customer_balance", 100)


def test_a_failure_whose_event_was_lost_is_found_at_stripe(purchase_in: Callable[[str], Purchase]) -> None:
    purchase, buyer = purchase_in("usd"), Buyer()
    buyer.open(purchase.checkout_url)
    buyer.submit(purchase.checkout_url, method="customer_balance")
    scheduled_actions.settle_pending(timezone.now(), succeeded=False)
    assert checkout.refresh_from_stripe(purchase, timezone.now()).status == "failed"


def test_bank_transfers_are_offered_only_in_currencies_that_have_them(
    purchase_in: Callable[[str], Purchase],
) -> None:
    buyer = Buyer()
    buyer.open(purchase_in("cny").checkout_url)

    assert "Alipay" in buyer.text and "Bank transfer" not in buyer.text


def test_a_purchase_in_a_currency_that_is_no_longer_sold_is_paid_without_bank_transfer(
    purchase_in: Callable[..., Purchase],
) -> None:
    purchase = purchase_in("cny", opened=False)
    Catalogue.objects.update(currencies=["usd"])
    Pack.objects.update(payment_methods={})
    change_policies(payment_methods=["customer_balance", "card"], payment_methods_in={})
    buyer = Buyer()
    buyer.open(checkout.open_page(purchase, timezone.now()))
    assert "Card" in buyer.text and "Bank transfer" not in buyer.text
