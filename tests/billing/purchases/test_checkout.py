"""Buying a pack: from the order to the credits, whoever brings the news first."""

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from django.utils import timezone

from billing.models import Grant, Mail, Purchase, StripeEvent
from billing.purchases import checkout
from tests.billing.conftest import DECLINES

pytestmark = pytest.mark.django_db


@pytest.mark.requirement("APIN-02", "REFLY-03")
def test_a_paid_pack_is_credited_when_the_buyer_comes_back(
    order: Callable[..., Purchase], pay: Callable[..., Any], balance: Callable[[], Decimal]
) -> None:
    before = balance()
    purchase = order()
    assert balance() == before  # ordering gives nothing
    pay(purchase)

    after = checkout.refresh_from_stripe(purchase, timezone.now())

    assert after.status == Purchase.Status.PAID
    assert balance() == before + after.credits
    assert after.invoice_number == f"{timezone.now().year}-000001"
    assert after.payment_method == "card"


@pytest.mark.fault("P2", "P4")
def test_the_webhook_and_the_return_page_credit_once_and_write_once(
    paid: Callable[..., Purchase],
    events: Callable[..., Any],
    tell: Callable[..., StripeEvent],
    balance: Callable[[], Decimal],
) -> None:
    purchase = paid()
    once = balance()

    states = [tell(event).state for event in events()]

    assert "failed" not in states and "quarantined" not in states
    assert balance() == once
    assert Grant.objects.filter(purchase_id=purchase.pk).count() == 1
    assert Mail.objects.filter(template="receipt").count() == 1


@pytest.mark.fault("P4")
def test_two_events_of_one_payment_are_one_grant(
    order: Callable[..., Purchase],
    pay: Callable[..., Any],
    events: Callable[..., Any],
    tell: Callable[..., StripeEvent],
) -> None:
    purchase = order()
    pay(purchase)
    [completed] = events("checkout.session.completed")
    late = {**completed, "id": "evt_another", "type": "checkout.session.async_payment_succeeded"}

    assert [tell(event).state for event in (completed, late, completed)] == ["done"] * 3

    assert Grant.objects.filter(purchase_id=purchase.pk).count() == 1


def test_a_declined_card_credits_nothing_and_the_order_can_still_be_paid(
    order: Callable[..., Purchase], pay: Callable[..., Any], balance: Callable[[], Decimal]
) -> None:
    before = balance()
    purchase = order()

    answer = pay(purchase, DECLINES)

    assert answer.status_code != 302  # still on the page, which says why
    assert checkout.refresh_from_stripe(purchase, timezone.now()).status == Purchase.Status.CREATED
    assert balance() == before
    pay(purchase)
    assert checkout.refresh_from_stripe(purchase, timezone.now()).status == Purchase.Status.PAID


def test_a_second_click_is_the_same_order_and_the_same_payment_page(order: Callable[..., Purchase]) -> None:
    first, second = order(key="page:1"), order(key="page:1")

    assert first.pk == second.pk
    assert first.checkout_url == second.checkout_url
    assert Purchase.objects.count() == 1


def test_an_order_that_is_given_up_cannot_be_paid_any_more(
    order: Callable[..., Purchase], pay: Callable[..., Any], balance: Callable[[], Decimal]
) -> None:
    before = balance()
    purchase = order()

    assert checkout.cancel(purchase, timezone.now()).status == Purchase.Status.CANCELLED

    with pytest.raises(AssertionError, match="no form"):  # Stripe's page is closed
        pay(purchase)
    assert checkout.refresh_from_stripe(purchase, timezone.now()).status == Purchase.Status.CANCELLED
    assert balance() == before


def test_giving_up_what_was_paid_meanwhile_keeps_the_credits(
    order: Callable[..., Purchase], pay: Callable[..., Any]
) -> None:
    purchase = order()
    pay(purchase)

    assert checkout.cancel(purchase, timezone.now()).status == Purchase.Status.PAID


@pytest.mark.fault("P10")
def test_a_payment_of_another_amount_waits_for_staff(
    order: Callable[..., Purchase],
    pay: Callable[..., Any],
    events: Callable[..., Any],
    tell: Callable[..., StripeEvent],
    balance: Callable[[], Decimal],
) -> None:
    before = balance()
    purchase = order()
    pay(purchase)
    [event] = events("checkout.session.completed")
    event["data"]["object"]["amount_total"] -= 1

    tell(event)

    purchase.refresh_from_db()
    assert purchase.status == Purchase.Status.QUARANTINED
    assert "expected" in purchase.trouble
    assert balance() == before


@pytest.mark.fault("P10")
def test_a_payment_in_another_currency_waits_for_staff(
    order: Callable[..., Purchase],
    pay: Callable[..., Any],
    events: Callable[..., Any],
    tell: Callable[..., StripeEvent],
) -> None:
    purchase = order()
    pay(purchase)
    [event] = events("checkout.session.completed")
    event["data"]["object"]["currency"] = "jpy"

    tell(event)

    purchase.refresh_from_db()
    assert purchase.status == Purchase.Status.QUARANTINED


@pytest.mark.fault("P5")
@pytest.mark.requirement("APIN-03")
def test_a_method_that_settles_later_is_pending_and_then_credited_or_failed(
    order: Callable[..., Purchase],
    pay: Callable[..., Any],
    events: Callable[..., Any],
    tell: Callable[..., StripeEvent],
    balance: Callable[[], Decimal],
) -> None:
    before = balance()
    settled, failing = order(key="a"), order(key="b")
    for purchase in (settled, failing):
        pay(purchase)
    happened = {event["data"]["object"]["id"]: event for event in events("checkout.session.completed")}

    for number, (purchase, end) in enumerate(((settled, "succeeded"), (failing, "failed"))):
        event = happened[purchase.stripe_session_id]
        session = event["data"]["object"]
        unpaid = {**event, "data": {"object": {**session, "payment_status": "unpaid"}}}
        assert tell(unpaid).state == "done"
        purchase.refresh_from_db()
        assert purchase.status == Purchase.Status.PENDING
        assert balance() == before + (settled.credits if number else 0)
        kind = f"checkout.session.async_payment_{end}"
        body = session if end == "succeeded" else {**session, "payment_status": "unpaid"}
        assert (
            tell({**event, "id": f"evt_end_{number}", "type": kind, "data": {"object": body}}).state == "done"
        )

    settled.refresh_from_db()
    failing.refresh_from_db()
    assert (settled.status, failing.status) == (Purchase.Status.PAID, Purchase.Status.FAILED)
    assert balance() == before + settled.credits
    assert Mail.objects.filter(template="payment_failed").count() == 1
    # A late "completed, unpaid" of the failed one changes nothing.
    late = happened[failing.stripe_session_id]
    unpaid = {**late["data"]["object"], "payment_status": "unpaid"}
    tell({**late, "id": "evt_late", "data": {"object": unpaid}})
    failing.refresh_from_db()
    assert failing.status == Purchase.Status.FAILED


@pytest.mark.fault("O2")
def test_an_order_that_our_books_lost_comes_back_from_stripe(
    order: Callable[..., Purchase],
    pay: Callable[..., Any],
    events: Callable[..., Any],
    tell: Callable[..., StripeEvent],
    balance: Callable[[], Decimal],
) -> None:
    before = balance()
    purchase = order()
    pay(purchase)
    [event] = events("checkout.session.completed")
    Purchase.objects.all().delete()

    assert tell(event).state == "done"

    again = Purchase.objects.get()
    assert (again.pk, again.status, again.credits) == (purchase.pk, Purchase.Status.PAID, purchase.credits)
    assert balance() == before + purchase.credits


def test_a_payment_page_of_nobody_waits_for_staff(
    order: Callable[..., Purchase],
    pay: Callable[..., Any],
    events: Callable[..., Any],
    tell: Callable[..., StripeEvent],
) -> None:
    pay(order())
    [event] = events("checkout.session.completed")
    session = {
        **event["data"]["object"],
        "id": "cs_test_foreign",
        "metadata": {},
        "client_reference_id": None,
    }

    assert tell({**event, "data": {"object": session}}).state == "quarantined"
    assert Purchase.objects.get().status == Purchase.Status.CREATED


def test_the_receipt_is_known_though_only_the_webhook_came(
    order: Callable[..., Purchase],
    pay: Callable[..., Any],
    events: Callable[..., Any],
    tell: Callable[..., StripeEvent],
) -> None:
    purchase = order()
    pay(purchase)

    for event in events():
        tell(event)

    purchase.refresh_from_db()
    assert (purchase.status, purchase.payment_method) == (Purchase.Status.PAID, "card")
    assert purchase.receipt_url.startswith("http")
