"""Buying a pack through Stripe Checkout, with the return page or the webhook first."""

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from django.utils import timezone

from accounts.models import Account, Membership, User
from billing import stripe_gateway
from billing.models import BillingProfile, Grant, Mail, Purchase, StripeEvent
from billing.purchases import checkout
from tests.billing.conftest import DECLINES

pytestmark = pytest.mark.django_db


@pytest.mark.requirement("APIN-02", "REFLY-03")
def test_a_paid_pack_is_credited_when_the_buyer_returns(
    new_purchase: Callable[..., Purchase], pay: Callable[..., Any], balance: Callable[[], Decimal]
) -> None:
    before = balance()
    purchase = new_purchase()
    assert balance() == before  # an unpaid purchase gives no credits
    pay(purchase)

    after = checkout.refresh_from_stripe(purchase, timezone.now())

    assert after.status == Purchase.Status.PAID
    assert balance() == before + after.credits
    assert after.invoice_number == f"{timezone.now().year}-000001"
    assert after.payment_method == "card"


@pytest.mark.fault("P2", "P4")
def test_the_webhook_and_the_return_page_credit_once_and_send_one_receipt(
    paid_purchase: Callable[..., Purchase],
    events: Callable[..., Any],
    process_event: Callable[..., StripeEvent],
    balance: Callable[[], Decimal],
) -> None:
    purchase = paid_purchase()
    credited = balance()

    states = [process_event(event).state for event in events()]

    assert "failed" not in states and "quarantined" not in states
    assert balance() == credited
    assert Grant.objects.filter(purchase_id=purchase.pk).count() == 1
    assert Mail.objects.filter(template="receipt").count() == 1


@pytest.mark.fault("P4")
def test_two_events_of_one_payment_are_one_grant(
    new_purchase: Callable[..., Purchase],
    pay: Callable[..., Any],
    events: Callable[..., Any],
    process_event: Callable[..., StripeEvent],
) -> None:
    purchase = new_purchase()
    pay(purchase)
    [completed] = events("checkout.session.completed")
    late = {**completed, "id": "evt_another", "type": "checkout.session.async_payment_succeeded"}

    assert [process_event(event).state for event in (completed, late, completed)] == ["done"] * 3

    assert Grant.objects.filter(purchase_id=purchase.pk).count() == 1


def test_a_declined_card_credits_nothing_and_the_purchase_can_still_be_paid(
    new_purchase: Callable[..., Purchase], pay: Callable[..., Any], balance: Callable[[], Decimal]
) -> None:
    before = balance()
    purchase = new_purchase()

    response = pay(purchase, DECLINES)

    assert response.status_code != 302  # the page shows the decline
    assert checkout.refresh_from_stripe(purchase, timezone.now()).status == Purchase.Status.CREATED
    assert balance() == before
    pay(purchase)
    assert checkout.refresh_from_stripe(purchase, timezone.now()).status == Purchase.Status.PAID


def test_a_second_click_is_the_same_purchase_and_the_same_payment_page(
    new_purchase: Callable[..., Purchase],
) -> None:
    first, second = new_purchase(key="page:1"), new_purchase(key="page:1")

    assert first.pk == second.pk
    assert first.checkout_url == second.checkout_url
    assert Purchase.objects.count() == 1


def test_a_cancelled_purchase_cannot_be_paid(
    new_purchase: Callable[..., Purchase], pay: Callable[..., Any], balance: Callable[[], Decimal]
) -> None:
    before = balance()
    purchase = new_purchase()

    assert checkout.cancel(purchase, timezone.now()).status == Purchase.Status.CANCELLED

    with pytest.raises(AssertionError, match="no form"):  # Stripe's page is closed
        pay(purchase)
    assert checkout.refresh_from_stripe(purchase, timezone.now()).status == Purchase.Status.CANCELLED
    assert balance() == before


def test_cancelling_a_purchase_that_was_just_paid_keeps_the_credits(
    new_purchase: Callable[..., Purchase], pay: Callable[..., Any]
) -> None:
    purchase = new_purchase()
    pay(purchase)

    assert checkout.cancel(purchase, timezone.now()).status == Purchase.Status.PAID


@pytest.mark.fault("P10")
def test_a_payment_of_another_amount_waits_for_staff(
    new_purchase: Callable[..., Purchase],
    pay: Callable[..., Any],
    events: Callable[..., Any],
    process_event: Callable[..., StripeEvent],
    balance: Callable[[], Decimal],
) -> None:
    before = balance()
    purchase = new_purchase()
    pay(purchase)
    [event] = events("checkout.session.completed")
    event["data"]["object"]["amount_total"] -= 1

    process_event(event)

    purchase.refresh_from_db()
    assert purchase.status == Purchase.Status.QUARANTINED
    assert "expected" in purchase.error
    assert balance() == before


@pytest.mark.fault("P10")
def test_a_payment_in_another_currency_waits_for_staff(
    new_purchase: Callable[..., Purchase],
    pay: Callable[..., Any],
    events: Callable[..., Any],
    process_event: Callable[..., StripeEvent],
) -> None:
    purchase = new_purchase()
    pay(purchase)
    [event] = events("checkout.session.completed")
    event["data"]["object"]["currency"] = "jpy"

    process_event(event)

    purchase.refresh_from_db()
    assert purchase.status == Purchase.Status.QUARANTINED


@pytest.mark.fault("P5")
@pytest.mark.requirement("APIN-03")
def test_a_method_that_settles_later_is_pending_and_then_credited_or_failed(
    new_purchase: Callable[..., Purchase],
    pay: Callable[..., Any],
    events: Callable[..., Any],
    process_event: Callable[..., StripeEvent],
    balance: Callable[[], Decimal],
) -> None:
    before = balance()
    settled, failing = new_purchase(key="a"), new_purchase(key="b")
    for purchase in (settled, failing):
        pay(purchase)
    completed = {event["data"]["object"]["id"]: event for event in events("checkout.session.completed")}

    for number, (purchase, end) in enumerate(((settled, "succeeded"), (failing, "failed"))):
        event = completed[purchase.stripe_session_id]
        session = event["data"]["object"]
        unpaid = {**event, "data": {"object": {**session, "payment_status": "unpaid"}}}
        assert process_event(unpaid).state == "done"
        purchase.refresh_from_db()
        assert purchase.status == Purchase.Status.PENDING
        assert balance() == before + (settled.credits if number else 0)
        kind = f"checkout.session.async_payment_{end}"
        body = session if end == "succeeded" else {**session, "payment_status": "unpaid"}
        assert (
            process_event({**event, "id": f"evt_end_{number}", "type": kind, "data": {"object": body}}).state
            == "done"
        )

    settled.refresh_from_db()
    failing.refresh_from_db()
    assert (settled.status, failing.status) == (Purchase.Status.PAID, Purchase.Status.FAILED)
    assert balance() == before + settled.credits
    assert Mail.objects.filter(template="payment_failed").count() == 1
    # A late unpaid completion of the failed purchase changes nothing.
    late = completed[failing.stripe_session_id]
    unpaid = {**late["data"]["object"], "payment_status": "unpaid"}
    process_event({**late, "id": "evt_late", "data": {"object": unpaid}})
    failing.refresh_from_db()
    assert failing.status == Purchase.Status.FAILED


@pytest.mark.fault("O2")
def test_a_purchase_missing_after_a_restore_is_recovered_from_stripe(
    new_purchase: Callable[..., Purchase],
    pay: Callable[..., Any],
    events: Callable[..., Any],
    process_event: Callable[..., StripeEvent],
    balance: Callable[[], Decimal],
) -> None:
    before = balance()
    purchase = new_purchase()
    pay(purchase)
    [event] = events("checkout.session.completed")
    Purchase.objects.all().delete()

    assert process_event(event).state == "done"

    restored = Purchase.objects.get()
    assert (restored.pk, restored.status, restored.credits) == (
        purchase.pk,
        Purchase.Status.PAID,
        purchase.credits,
    )
    assert balance() == before + purchase.credits


def test_a_session_of_other_software_is_ignored(
    new_purchase: Callable[..., Purchase],
    pay: Callable[..., Any],
    events: Callable[..., Any],
    process_event: Callable[..., StripeEvent],
) -> None:
    pay(new_purchase())
    [event] = events("checkout.session.completed")
    session = {
        **event["data"]["object"],
        "id": "cs_test_foreign",
        "metadata": {},
        "client_reference_id": None,
    }

    assert process_event({**event, "data": {"object": session}}).state == "ignored"
    assert Purchase.objects.get().status == Purchase.Status.CREATED


def test_another_session_that_names_a_purchase_is_for_staff_and_does_not_pay_it(
    new_purchase: Callable[..., Purchase],
    pay: Callable[..., Any],
    events: Callable[..., Any],
    process_event: Callable[..., StripeEvent],
) -> None:
    pay(new_purchase())
    [event] = events("checkout.session.completed")
    session = event["data"]["object"] | {"id": "cs_test_other"}

    assert process_event({**event, "data": {"object": session}}).state == "quarantined"
    assert Purchase.objects.get().status == Purchase.Status.CREATED


def test_the_webhook_alone_stores_the_receipt(
    new_purchase: Callable[..., Purchase],
    pay: Callable[..., Any],
    events: Callable[..., Any],
    process_event: Callable[..., StripeEvent],
) -> None:
    purchase = new_purchase()
    pay(purchase)

    for event in events():
        process_event(event)

    purchase.refresh_from_db()
    assert (purchase.status, purchase.payment_method) == (Purchase.Status.PAID, "card")
    assert purchase.receipt_url.startswith("http")


@pytest.mark.parametrize("owned", [True, False])
@pytest.mark.parametrize("bought", [True, False])
def test_the_customer_has_the_address_of_an_owner_or_else_of_the_buyer(
    new_purchase: Callable[..., Purchase],
    stripe_api: Any,
    bob: User,
    monkeypatch: pytest.MonkeyPatch,
    owned: bool,
    bought: bool,
) -> None:
    account = new_purchase().account
    BillingProfile.objects.update(stripe_customer_id=None)
    if not owned:
        Membership.objects.filter(account=account).update(role=Membership.Role.BILLING)
    Purchase.objects.update(checkout_url="", buyer=bob if bought else None)
    monkeypatch.setattr(stripe_gateway, "find_customer", lambda _account: None)
    checkout.open_page(Purchase.objects.get(), timezone.now())
    customer = stripe_api.customers.retrieve(BillingProfile.objects.get().stripe_customer_id)
    assert customer.email == (account.person.email if owned else bob.email if bought else None)


def test_the_payment_page_is_in_the_language_of_the_buyers_setting_when_the_purchase_was_made(
    stripe_api: Any, new_purchase: Callable[..., Purchase], account: Account, alice: User
) -> None:
    def locale(purchase: Purchase) -> str | None:
        session_id = str(purchase.stripe_session_id)
        return stripe_gateway.retrieve_checkout_session(session_id)["locale"]

    assert locale(new_purchase(key="no setting")) is None  # Stripe follows the browser
    alice.language = "zh-hans"
    purchase = new_purchase(key="Chinese")
    assert locale(purchase) == "zh"

    alice.language = "en"
    Purchase.objects.filter(pk=purchase.pk).update(checkout_url="", stripe_session_id=None)
    purchase.refresh_from_db()
    checkout.open_page(purchase, timezone.now())  # the response was lost: Stripe wants the same parameters
    assert locale(purchase) == "zh"
