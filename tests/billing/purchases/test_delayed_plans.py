"""A plan paid by SEPA debit: pending for days, not for sale meanwhile, then started or freed."""

import itertools
from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from accounts.models import Account, User
from billing import ledger
from billing.models import Mail, Purchase, StripeEvent, Subscription, SurplusSubscription
from billing.purchases import checkout, create, plan_conflicts
from sandbox import scheduled_actions, store
from tests.sandbox.conftest import IBAN, Buyer

pytestmark = [pytest.mark.django_db, pytest.mark.fault("P24")]
EVENTS = (
    "checkout.session.completed",
    "customer.subscription.updated",
    "checkout.session.async_payment_succeeded",
    "invoice.paid",
)


@pytest.fixture
def plan_page(stripe_api: Any, account: Account, alice: User) -> Callable[..., Purchase]:
    """An open Checkout of a plan in euros: `plan_page("starter")`."""

    def make(plan: str = "starter", key: str = "") -> Purchase:
        purchase = create.plan_purchase(
            account=account,
            buyer=alice,
            origin="page",
            plan_key=plan,
            interval="month",
            currency="eur",
            confirm=True,
            key=key or plan,
            now=timezone.now(),
        )
        checkout.open_page(purchase, timezone.now())
        return purchase

    return make


def debit(purchase: Purchase) -> None:
    """Pay a plan's page by SEPA debit."""
    buyer = Buyer()
    buyer.open(purchase.checkout_url)
    buyer.submit(purchase.checkout_url, method="sepa_debit", iban=IBAN)


def plan_credits(account: Account) -> set[str]:
    return {
        grant.allowance.split(":")[0]
        for grant in ledger.balance(account.pk, timezone.now()).grants
        if grant.allowance
    }


@pytest.fixture
def pending(plan_page: Callable[..., Purchase], process_all_events: Any) -> Purchase:
    purchase = plan_page()
    debit(purchase)
    process_all_events()
    purchase.refresh_from_db()
    return purchase


def test_a_plan_by_debit_is_pending_and_grants_nothing(
    pending: Purchase, account: Account, alice: User, signed_in: Callable[[User], Client]
) -> None:
    assert (pending.status, pending.payment_method) == ("pending", "sepa_debit")
    assert Subscription.objects.get(account=account).plan == "free-trial"
    assert "starter" not in plan_credits(account)
    assert Mail.objects.filter(template="payment_pending").count() == 1

    browser = signed_in(alice)
    for address in ("/plans/", "/billing/subscription/"):
        page = browser.get(address).content.decode()
        assert "is being processed" in page and "usually takes 5 business days" in page, address
    page = browser.get(f"/billing/purchases/{pending.public_id}/return/").content.decode()
    assert "Payment pending" in page and "usually takes 5 business days" in page
    assert "Pending" in browser.get("/billing/purchases/").content.decode()
    answer = browser.get("/api/v1/subscription").json()
    assert answer["plan"] == "free-trial"
    assert answer["pending_purchase"]["id"] == pending.public_id
    assert (answer["pending_purchase"]["plan"], answer["pending_purchase"]["usual_days"]) == ("starter", 5)


def test_a_pending_plan_names_its_subscription_at_stripe(pending: Purchase) -> None:
    [subscription] = store.where("subscription")
    assert (pending.status, pending.stripe_subscription_id) == ("pending", subscription["id"])


def test_a_plan_cannot_be_bought_again_while_its_payment_is_pending(
    pending: Purchase, plan_page: Callable[..., Purchase], alice: User, signed_in: Callable[[User], Client]
) -> None:
    with pytest.raises(create.PlanPaymentPending):
        plan_page("creator")
    answer = signed_in(alice).get("/plans/creator/", follow=True)
    assert "A payment for a plan is being processed." in answer.content.decode()


def test_other_open_pages_are_expired_when_a_payment_is_pending(
    plan_page: Callable[..., Purchase], process_all_events: Any
) -> None:
    first, second = plan_page(), plan_page("creator")
    debit(first)
    process_all_events()
    second.refresh_from_db()
    assert second.status == "cancelled"


def test_the_plan_starts_when_the_debit_succeeds(
    pending: Purchase, account: Account, process_all_events: Any, signed_in: Any, alice: User
) -> None:
    scheduled_actions.settle_pending(timezone.now())
    process_all_events()

    pending.refresh_from_db()
    assert (pending.status, pending.payment_method, pending.refunded) == ("paid", "sepa_debit", 0)
    assert Subscription.objects.get(account=account).plan == "starter"
    assert "starter" in plan_credits(account)
    page = signed_in(alice).get(f"/billing/purchases/{pending.public_id}/return/").content.decode()
    assert "Welcome to" in page


@pytest.mark.parametrize("order", list(itertools.permutations(EVENTS))[::4])
def test_a_plan_starts_whatever_the_order_of_the_events(
    plan_page: Callable[..., Purchase],
    account: Account,
    events: Any,
    process_event: Callable[..., StripeEvent],
    order: tuple[str, ...],
) -> None:
    purchase = plan_page()
    debit(purchase)
    scheduled_actions.settle_pending(timezone.now())
    for event_type in order:
        for event in events(event_type):
            process_event(event)

    purchase.refresh_from_db()
    assert purchase.status == "paid"
    assert Subscription.objects.get(account=account).plan == "starter"


def test_a_failed_debit_frees_the_account_and_cancels_the_subscription(
    pending: Purchase,
    account: Account,
    stripe_api: Any,
    process_all_events: Any,
    plan_page: Callable[..., Purchase],
    alice: User,
    signed_in: Callable[[User], Client],
) -> None:
    scheduled_actions.settle_pending(timezone.now(), succeeded=False)
    process_all_events()

    pending.refresh_from_db()
    assert pending.status == "failed"
    assert stripe_api.subscriptions.retrieve(pending.stripe_subscription_id).status == "canceled"
    assert Mail.objects.filter(template="payment_failed").count() == 1
    page = signed_in(alice).get(f"/billing/purchases/{pending.public_id}/return/").content.decode()
    assert "The payment failed" in page and "The plan did not start." in page
    again = plan_page(key="again")
    Buyer().pay(again.checkout_url)
    process_all_events()
    assert Subscription.objects.get(account=account).plan == "starter"
    again.refresh_from_db()
    assert (again.status, again.refunded) == ("paid", 0)


def test_a_debit_that_succeeds_after_it_failed_is_refunded(
    pending: Purchase, account: Account, stripe_api: Any, process_all_events: Any
) -> None:
    scheduled_actions.settle_pending(timezone.now(), succeeded=False)
    process_all_events()
    invoice = stripe_api.subscriptions.retrieve(pending.stripe_subscription_id).latest_invoice
    pay_invoice(invoice)
    process_all_events()

    pending.refresh_from_db()
    assert (pending.status, pending.refunded) == ("paid", pending.amount)
    assert [refund.amount for refund in stripe_api.refunds.list().data] == [pending.amount]
    assert Subscription.objects.get(account=account).plan == "free-trial"


def pay_invoice(invoice_id: str) -> None:
    """The customer pays an open invoice by card, on its hosted page."""
    buyer = Buyer()
    buyer.pay(f"/sandbox/invoice/{invoice_id}")
    assert store.get("invoice", invoice_id)["status"] == "paid"


@pytest.mark.parametrize("arrives", [True, False])
def test_a_pending_plan_gives_way_to_one_that_is_paid_first(
    plan_page: Callable[..., Purchase],
    account: Account,
    stripe_api: Any,
    process_all_events: Any,
    arrives: bool,
) -> None:
    slow, fast = plan_page(), plan_page("creator")
    debit(slow)
    Buyer().pay(fast.checkout_url)
    process_all_events()
    assert Subscription.objects.get(account=account).plan == "creator"
    slow.refresh_from_db()
    assert stripe_api.subscriptions.retrieve(slow.stripe_subscription_id).status == "canceled"

    scheduled_actions.settle_pending(timezone.now(), succeeded=arrives)
    process_all_events()

    slow.refresh_from_db()
    fast.refresh_from_db()
    assert (slow.status, slow.refunded) == (("paid", slow.amount) if arrives else ("failed", 0))
    assert (fast.status, fast.refunded) == ("paid", 0)
    assert Subscription.objects.get(account=account).plan == "creator"
    assert len(stripe_api.refunds.list().data) == arrives
    assert SurplusSubscription.objects.count() == 1
    assert plan_conflicts.carry_out(timezone.now()) == 0


def test_a_subscription_that_stays_incomplete_while_processing_is_pending_too(
    plan_page: Callable[..., Purchase], account: Account, process_all_events: Any
) -> None:
    purchase = plan_page()
    debit(purchase)
    [subscription] = store.where("subscription")
    store.save(subscription | {"status": "incomplete"})
    process_all_events()
    purchase.refresh_from_db()
    assert purchase.status == "pending"

    scheduled_actions.settle_pending(timezone.now())
    process_all_events()
    assert Subscription.objects.get(account=account).plan == "starter"


def test_the_return_page_shows_a_pending_plan_without_any_event(plan_page: Callable[..., Purchase]) -> None:
    purchase = plan_page()
    debit(purchase)
    assert checkout.refresh_from_stripe(purchase, timezone.now()).status == "pending"
    scheduled_actions.settle_pending(timezone.now())
    assert checkout.refresh_from_stripe(purchase, timezone.now()).status == "paid"
