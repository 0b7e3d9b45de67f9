"""Stripe Tax: added to the price or within it, on the purchase, its invoice, its refunds and the reports."""

from collections.abc import Callable
from datetime import timedelta
from itertools import pairwise
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone
from hypothesis import given
from hypothesis import strategies as st

from accounts.models import Account, User
from billing import ledger
from billing.models import Mail, Promotion, Purchase, StripeEvent
from billing.payments import invoice_pdf, taxes
from billing.purchases import checkout
from billing.refunds import requests
from billing.staff import revenue_report, tax_report
from sandbox import scheduled_actions
from tests.billing.conftest import change_policies
from tests.sandbox.conftest import Buyer

pytestmark = pytest.mark.django_db


@pytest.fixture(params=["exclusive", "inclusive"])
def behavior(request: pytest.FixtureRequest, catalogue: None) -> str:
    tax(request.param)
    return str(request.param)


def tax(behavior: str) -> None:
    change_policies(
        tax={"behavior": behavior, "code": "txcd_10103001"}, refund_window_days=30, auto_top_up=None
    )


def expected(price: int, behavior: str, percent: int) -> tuple[int, int]:
    """(total, tax) of a price."""
    if behavior == "exclusive":
        added = (price * percent * 2 + 100) // 200
        return price + added, added
    return price, (price * percent * 2 + 100 + percent) // (200 + 2 * percent)


def returned(purchase: Purchase) -> Purchase:
    return checkout.refresh_from_stripe(purchase, timezone.now())


def test_a_pack_is_paid_with_tax_and_gives_the_credits_of_its_price(
    behavior: str, new_purchase: Callable[..., Purchase], balance: Callable[[], Any]
) -> None:
    before = balance()
    purchase = new_purchase()
    price = purchase.amount

    Buyer().pay(purchase.checkout_url, country="DE", tax_id="")
    purchase = returned(purchase)

    assert purchase.status == "paid", purchase.error
    assert (purchase.amount, purchase.tax) == expected(price, behavior, 19)
    assert (purchase.price, purchase.country) == (price, "DE")
    assert balance() == before + purchase.credits


def test_every_order_of_events_records_the_same_tax(
    behavior: str,
    new_purchase: Callable[..., Purchase],
    events: Callable[..., Any],
    process_event: Callable[..., StripeEvent],
) -> None:
    """A payment intent states no tax: the session, whichever comes first, completes it."""
    price = new_purchase().amount
    Buyer().pay(Purchase.objects.get().checkout_url, country="FR", tax_id="")
    for event in [*events("payment_intent.succeeded"), *events(), *events("payment_intent.succeeded")]:
        process_event(event)

    purchase = Purchase.objects.get()
    assert (purchase.status, purchase.country) == ("paid", "FR")
    assert (purchase.amount, purchase.tax) == expected(price, behavior, 20)


def test_a_business_with_a_tax_id_pays_none_and_has_the_id_on_its_invoice(
    new_purchase: Callable[..., Purchase], catalogue: None
) -> None:
    tax("exclusive")
    purchase = new_purchase()
    price = purchase.amount
    Buyer().pay(purchase.checkout_url, country="DE", tax_id="DE123456789")
    purchase = returned(purchase)
    assert (purchase.amount, purchase.tax, purchase.country) == (price, 0, "DE")
    assert purchase.billed_to["tax_id"] == "DE123456789"


def test_a_payment_that_is_not_the_price_and_its_tax_is_quarantined(
    new_purchase: Callable[..., Purchase],
    events: Callable[..., Any],
    process_event: Callable[..., StripeEvent],
) -> None:
    tax("exclusive")
    purchase = new_purchase()
    Buyer().pay(purchase.checkout_url, country="DE", tax_id="")
    [event] = events("checkout.session.completed")
    event["data"]["object"]["amount_total"] += 1
    event["data"]["object"]["amount_subtotal"] += 1
    process_event(event)
    purchase.refresh_from_db()
    assert purchase.status == "quarantined"


def test_pages_and_invoice_show_price_tax_and_total(
    behavior: str, new_purchase: Callable[..., Purchase], alice: User, signed_in: Callable[[User], Client]
) -> None:
    browser = signed_in(alice)
    purchase = new_purchase()
    note = {"exclusive": "Added at checkout", "inclusive": "Included in the price"}[behavior]
    assert note in browser.get(f"/billing/buy/{purchase.offer}/").content.decode()
    Buyer().pay(purchase.checkout_url, country="GB", tax_id="")
    purchase = returned(purchase)

    page = browser.get(f"/billing/purchases/{purchase.public_id}/").content.decode()
    invoice = browser.get(f"/billing/purchases/{purchase.public_id}/invoice/").content.decode()

    shown = f"${purchase.tax / 100:.2f}"
    assert shown in page and "GB" in page
    assert shown in invoice and f"${purchase.total / 100:.2f}" in invoice
    assert invoice_pdf.render(purchase).startswith(b"%PDF")


def test_refunds_give_the_tax_back_in_proportion_and_the_reports_balance(
    behavior: str,
    new_purchase: Callable[..., Purchase],
    account: Account,
    alice: User,
) -> None:
    now = timezone.now()
    purchase = new_purchase()
    Buyer().pay(purchase.checkout_url, country="DE", tax_id="")
    purchase = returned(purchase)
    spent = ledger.balance(account.pk, now).available - purchase.credits * 3 / 4
    ledger.charge(
        ledger.ChargeRequest(account_id=account.pk, credits=spent, key="use", service="gpt-4o"),
        timezone.now(),
    )
    refund = requests.create(purchase=purchase, user=alice, message="", now=timezone.now())
    refund = requests.approve(refund, actor="staff", reason="", now=timezone.now())

    assert refund.amount == purchase.amount * 3 // 4
    [row] = tax_report.report()
    assert (row.gross, row.tax) == (purchase.amount, purchase.tax)
    assert (row.returned, row.returned_tax) == (
        refund.amount,
        purchase.tax * refund.amount // purchase.amount,
    )
    sums = revenue_report.totals(revenue_report.report(timezone.now()))["usd"]
    assert sums["sold"] == purchase.net
    assert sums["sold"] == sum(sums[name] for name in ("earned", "breakage", "refunded", "disputed", "owed"))
    assert sums["tax"] == row.tax - row.returned_tax


@given(
    amount=st.integers(1, 10**9),
    tax=st.integers(0, 10**8),
    balance=st.integers(0, 10**8),
    cuts=st.lists(st.integers(0, 10**9), max_size=5),
)
def test_the_tax_of_partial_refunds_adds_up(amount: int, tax: int, balance: int, cuts: list[int]) -> None:
    purchase = Purchase(
        amount=amount, tax=min(tax, amount + balance), balance_used=balance, paid_at=timezone.now()
    )
    bounds = sorted({0, amount, *(cut % (amount + 1) for cut in cuts)})

    parts = [taxes.share(purchase, end) - taxes.share(purchase, start) for start, end in pairwise(bounds)]

    assert sum(parts) == purchase.tax_paid
    assert all(part >= 0 for part in parts)


def test_staff_see_tax_by_country(
    new_purchase: Callable[..., Purchase], staff: User, signed_in: Callable[[User], Client]
) -> None:
    tax("exclusive")
    purchase = new_purchase()
    Buyer().pay(purchase.checkout_url, country="IE", tax_id="")
    purchase = returned(purchase)
    page = signed_in(staff).get("/admin/billing/purchase/report/").content.decode()
    assert "Tax by country" in page and ">IE</td>" in page
    for amount in (purchase.amount, purchase.tax, purchase.net):
        assert f"${amount / 100:.2f}" in page


def test_a_free_purchase_has_no_tax(new_purchase: Callable[..., Purchase], catalogue: None) -> None:
    tax("exclusive")
    now = timezone.now()
    Promotion.objects.create(
        code="GIFT",
        label="Gift",
        gives="discount",
        percent_off=100,
        starts_at=now,
        ends_at=now + timedelta(days=1),
    )
    purchase = new_purchase(code="GIFT")
    purchase.refresh_from_db()
    assert (purchase.status, purchase.amount, purchase.tax) == ("paid", 0, 0)


def test_a_pending_payment_shows_its_tax_before_it_arrives(
    new_purchase: Callable[..., Purchase],
    alice: User,
    signed_in: Callable[[User], Client],
    events: Callable[..., Any],
    process_event: Callable[..., StripeEvent],
) -> None:
    tax("exclusive")
    change_policies(payment_methods=["customer_balance"])
    purchase = new_purchase()
    price = purchase.amount
    Buyer().pay(purchase.checkout_url, method="customer_balance", country="DE", tax_id="DE1")
    purchase = returned(purchase)
    assert (purchase.status, purchase.amount, purchase.total) == ("pending", price, price)

    other = new_purchase(key="other")
    Buyer().pay(other.checkout_url, method="customer_balance", country="AU", tax_id="")
    other = returned(other)
    total, added = expected(price, "exclusive", 10)
    assert (other.status, other.tax, other.total) == ("pending", added, total)
    assert Mail.objects.get(key=f"payment_pending:{other.pk.hex}").context["amount"] == total
    page = signed_in(alice).get(f"/billing/purchases/{other.public_id}/").content.decode()
    assert f"${total / 100:.2f}" in page

    scheduled_actions.settle_pending(timezone.now())
    for event in events("payment_intent.succeeded"):
        process_event(event)
    other.refresh_from_db()
    assert (other.status, other.amount, other.tax, other.country) == ("paid", total, added, "AU")


@pytest.mark.parametrize(
    ("fields", "received", "found"),
    [
        ({}, 1000, None),
        ({}, 1190, None),
        ({"tax_behavior": "inclusive"}, 1190, None),
        ({"tax_behavior": "exclusive"}, 999, None),
        ({"tax_behavior": "exclusive"}, 1000, (0, 0, "", "")),
        ({"tax_behavior": "exclusive"}, 1190, (190, 190, "", "")),
        ({"tax_behavior": "exclusive"}, 1500, (500, 500, "", "")),
        ({"tax_behavior": "exclusive"}, 1501, None),
        ({"tax_behavior": "inclusive", "country": "DE", "tax": 160}, 1000, (160, 0, "DE", "")),
        ({"tax_behavior": "exclusive", "country": "DE", "tax": 190}, 1190, (190, 190, "DE", "")),
        ({"country": "DE", "billed_to": {"tax_id": "DE1"}}, 1000, (0, 0, "DE", "DE1")),
    ],
    ids=str,
)
def test_the_tax_that_a_payment_does_not_state(
    fields: dict[str, Any], received: int, found: tuple[int, int, str, str] | None
) -> None:
    expected = None
    if found is not None:
        amount, added, country, tax_id = found
        expected = taxes.Tax(amount=amount, added=added, country=country, tax_id=tax_id)
    assert taxes.unstated(Purchase(amount=1000, **fields), received) == expected


OF_PRICE, ON_TOP = {"tax_behavior": "inclusive"}, {"tax_behavior": "exclusive"}


@pytest.mark.parametrize(
    ("new", "old", "amount", "added"),
    [
        ([{"amount": 70} | ON_TOP], [], 70, 70),
        ([{"amount": 70} | OF_PRICE], [], 70, 0),
        ([{"amount": 70} | ON_TOP, {"amount": 5} | OF_PRICE, {"amount": 2} | ON_TOP], [], 77, 72),
        ([], [{"amount": 70, "inclusive": True}], 70, 0),
        ([], [{"amount": 70, "inclusive": False}, {"amount": 1, "inclusive": True}], 71, 70),
        ([{"amount": 3} | ON_TOP], [{"amount": 70}], 3, 3),
        (None, None, 0, 0),
    ],
    ids=str,
)
def test_the_tax_of_invoices_of_both_api_versions(
    new: list[dict[str, Any]] | None, old: list[dict[str, Any]] | None, amount: int, added: int
) -> None:
    invoice = {"total_taxes": new, "total_tax_amounts": old, "automatic_tax": {"enabled": not (new or old)}}
    assert taxes.of_invoice(invoice) == taxes.Tax(amount=amount, added=added)
    invoice |= {"customer_address": {"country": "DEU"}}
    invoice |= {"customer_tax_ids": [{"value": "x" * 61}, {"value": "y"}]}
    stated = taxes.Tax(amount=amount, added=added, country="DE", tax_id="x" * 60)
    assert taxes.of_invoice(invoice) == stated


def test_the_tax_of_a_discounted_session_is_what_came_on_top_of_its_price() -> None:
    session = {"automatic_tax": {"enabled": True}, "amount_subtotal": 1000, "amount_total": 1071}
    session |= {"total_details": {"amount_tax": 171, "amount_discount": 100}}
    assert taxes.of_session(session) == taxes.Tax(amount=171, added=171)
    inclusive = session | {"amount_total": 900}
    assert taxes.of_session(inclusive) == taxes.Tax(amount=171, added=0)
    assert taxes.of_session(session | {"automatic_tax": {"enabled": False}}) is None


def test_what_is_given_back_of_a_free_purchase_has_no_tax() -> None:
    assert taxes.share(Purchase(amount=0, tax=10), 0) == 0
