"""A plan whose payment is overdue is paid by a new card, or on the page of its invoice."""

from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from accounts.models import Account, User
from billing.models import Subscription
from billing.payments import cards, customers
from billing.subscriptions import overdue
from sandbox import calls, store
from sandbox.objects import invoices, subscription_states
from tests.billing.payments.conftest import save
from tests.sandbox.conftest import Buyer

pytestmark = pytest.mark.django_db


@pytest.fixture
def overdue_plan(plan: Subscription, process_new_events: Callable[..., None]) -> Subscription:
    """Stripe could not charge the plan's last invoice; its event was processed."""
    subscription = store.get("subscription", str(plan.stripe_subscription_id))
    call = calls.Call(now=int(timezone.now().timestamp()))
    lines = store.get("invoice", subscription["latest_invoice"])["lines"]["data"]
    customer = store.get("customer", subscription["customer"])
    invoice = invoices.draft(
        call, customer, lines=lines, reason="subscription_cycle", subscription=subscription
    )
    subscription_states.change(subscription, call, latest_invoice=invoice["id"], status="past_due")
    invoices.finalize(invoice, call)
    process_new_events()
    return plan


@pytest.mark.fault("P26")
def test_a_new_card_pays_an_overdue_plan_with_one_click(
    account: Account,
    overdue_plan: Subscription,
    alice: User,
    signed_in: Callable[[User], Client],
) -> None:
    save(account)
    browser = signed_in(alice)
    assert "Pay now with Mastercard ···· 4444" in browser.get("/billing/").content.decode()

    paid = browser.post("/billing/overdue/", follow=True).content.decode()

    assert "Your plan is active again" in paid
    overdue_plan.refresh_from_db()
    assert overdue_plan.state == Subscription.State.ACTIVE
    assert not overdue.pay(account.pk, timezone.now())


def test_an_overdue_plan_whose_bank_asks_for_confirmation_is_paid_on_the_invoice_page(
    account: Account,
    overdue_plan: Subscription,
    stripe_api: Any,
    alice: User,
    signed_in: Callable[[User], Client],
) -> None:
    card = stripe_api.payment_methods.attach(
        "pm_card_authenticationRequired", {"customer": customers.ensure_customer(account)}
    )
    stripe_api.subscriptions.update(overdue_plan.stripe_subscription_id, {"default_payment_method": card.id})

    answer = signed_in(alice).post("/billing/overdue/")

    overdue_plan.refresh_from_db()
    assert overdue_plan.state == Subscription.State.PAST_DUE
    assert answer.headers["Location"] == overdue_plan.recovery_url != ""


@pytest.mark.parametrize(
    ("number", "expected"),
    [("4000 0000 0000 0341", "/billing/"), ("4000 0027 6000 3184", "/sandbox/invoice/")],
)
def test_an_overdue_plan_whose_new_card_fails_says_so_or_leads_to_the_invoice(
    account: Account,
    overdue_plan: Subscription,
    process_new_events: Any,
    alice: User,
    signed_in: Callable[[User], Client],
    number: str,
    expected: str,
) -> None:
    buyer = Buyer()
    buyer.pay(cards.setup_page_url(account, key="1"), number)
    if "/authenticate/" in buyer.redirect:
        url = buyer.redirect
        buyer.open(url)
        buyer.submit(url, decision="pass")
    process_new_events()

    answer = signed_in(alice).post("/billing/overdue/")

    assert expected in answer["Location"]
    overdue_plan.refresh_from_db()
    assert overdue_plan.state == Subscription.State.PAST_DUE
