"""Amounts are set by the server; currencies with no and with three decimals."""

import uuid
from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from accounts.models import Account, User
from billing import ledger, stripe_gateway
from billing.models import Promotion, Purchase
from billing.promotions import redemption
from billing.purchases import checkout, create
from billing.refunds import requests
from pricing.catalogue import cache as catalogue_cache
from pricing.models import Catalogue, Pack
from tests.billing.conftest import smallest_pack
from tests.sandbox.conftest import Buyer

pytestmark = pytest.mark.django_db


@pytest.mark.fault("P10")
@pytest.mark.parametrize("quantity", ["-1", "0", "101", "1.5", "NaN", ""])
def test_the_page_refuses_invalid_quantities(
    stripe_api: Any, alice: User, signed_in: Callable[[User], Client], quantity: str
) -> None:
    form = {"pack": smallest_pack(), "currency": "usd", "quantity": quantity, "key": uuid.uuid4()}
    response = signed_in(alice).post("/billing/purchases/new/", form)
    assert response.status_code < 500
    assert not Purchase.objects.exists()


@pytest.mark.fault("P10")
def test_the_page_ignores_prices_and_credits_that_a_client_sends(
    stripe_api: Any, alice: User, signed_in: Callable[[User], Client]
) -> None:
    pack = Pack.objects.get(key=smallest_pack())
    form = {"pack": pack.key, "currency": "usd", "quantity": 2, "key": uuid.uuid4()}
    ignored = {
        "amount": 1,
        "price": 1,
        "credits": 10**9,
        "list_amount": 1,
        "status": "paid",
        "origin": "renewal",
    }

    assert signed_in(alice).post("/billing/purchases/new/", form | ignored).status_code == 303

    purchase = Purchase.objects.get()
    assert (purchase.amount, purchase.credits) == (pack.prices["usd"] * 2, pack.credits * 2)
    assert (purchase.status, purchase.origin) == ("created", "page")
    session = stripe_gateway.retrieve_checkout_session(str(purchase.stripe_session_id))
    assert (session["amount_total"], session["currency"]) == (purchase.amount, "usd")


@pytest.mark.fault("P10")
@pytest.mark.parametrize(
    "invalid",
    [{"amount": 1}, {"credits": 9}, {"price": 1}, {"quantity": -1}, {"quantity": "2"}, {"currency": "xxx"}],
    ids=str,
)
def test_the_api_refuses_fields_of_the_server_and_invalid_values_by_name(
    stripe_api: Any, alice: User, api_of: Callable[..., Any], invalid: dict[str, Any]
) -> None:
    response = api_of(alice).post("checkouts", {"pack": smallest_pack(), **invalid}, key="order")
    assert 400 <= response.status_code < 500
    assert next(iter(invalid)) in response.content.decode()
    assert not Purchase.objects.exists()


@pytest.fixture
def bought(stripe_api: Any, account: Account, alice: User) -> Callable[..., Purchase]:
    """The smallest pack, paid in any currency: `bought("jpy", 500)`."""

    def buy(currency: str, price: int, code: str = "") -> Purchase:
        catalogue = Catalogue.objects.get()
        catalogue.currencies = [*catalogue.currencies, currency]
        catalogue.policies["refund_window_days"] = 30
        catalogue.save(update_fields=["currencies", "policies"])
        pack = Pack.objects.get(key=smallest_pack())
        pack.prices[currency] = price
        pack.save(update_fields=["prices"])
        catalogue_cache.changed()
        purchase = create.pack_purchase(
            account=account,
            buyer=alice,
            origin="page",
            pack_key=pack.key,
            quantity=1,
            currency=currency,
            promotion_code=code,
            key=currency,
            now=timezone.now(),
        )
        Buyer().pay(checkout.open_page(purchase, timezone.now()))
        return checkout.refresh_from_stripe(purchase, timezone.now())

    return buy


@pytest.mark.fault("P11")
@pytest.mark.parametrize(
    ("currency", "price", "shown"), [("jpy", 500, "¥500"), ("kwd", 5120, "5.120"), ("usd", 500, "$5.00")]
)
def test_stripe_charges_and_refunds_the_same_minor_units(
    bought: Callable[..., Purchase],
    stripe_api: Any,
    alice: User,
    signed_in: Callable[[User], Client],
    currency: str,
    price: int,
    shown: str,
) -> None:
    purchase = bought(currency, price)
    assert purchase.status == "paid"
    assert stripe_gateway.retrieve_payment_intent(str(purchase.stripe_payment_id))["amount_received"] == price
    page = signed_in(alice).get(f"/billing/purchases/{purchase.public_id}/").content.decode()
    assert shown in page
    refund = requests.create(purchase=purchase, user=alice, message="", now=timezone.now())
    assert requests.approve(refund, actor="staff", reason="", now=timezone.now()).status == "done"
    [refunded] = stripe_api.refunds.list({}).data
    assert (refunded.amount, refunded.currency) == (price, currency)


@pytest.mark.fault("P11")
def test_the_last_of_three_decimals_is_zero_after_discounts_and_refunds(
    bought: Callable[..., Purchase], account: Account
) -> None:
    now = timezone.now()
    Promotion.objects.create(
        code="THIRD",
        label="A third",
        gives="discount",
        percent_off=33,
        starts_at=now,
        ends_at=now + timedelta(days=400),
    )
    purchase = bought("kwd", 5120, code="third")
    assert purchase.amount == 5120 - 1680  # 33 % are 1.689; Stripe does not accept 3.431
    redemption.release_discount(purchase, now)
    spent = ledger.balance(account.pk, now).available - purchase.credits * Decimal("0.37")
    charge = ledger.ChargeRequest(account_id=account.pk, credits=spent, key="use", service="gpt-4o")
    ledger.charge(charge, now)

    amount = requests.refundable(purchase, now).amount

    assert amount == 1270  # 37 % are 1.272
