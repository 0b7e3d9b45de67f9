"""Signed events at the webhook endpoint: which are accepted, and what they change."""

import time
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from django.utils import timezone
from structlog.testing import capture_logs

from accounts.models import Account
from billing import ledger, stripe_gateway
from billing.models import Grant, Mail, Purchase, Refund, StripeEvent, Subscription
from billing.purchases import checkout, create
from sandbox import calls, store
from sandbox.objects import disputes as sandbox_disputes
from tests.billing.webhooks.delivery import SECRET, deliver
from tests.sandbox.conftest import Buyer

pytestmark = pytest.mark.django_db


def changed(event: dict[str, Any], number: int = 2, type: str = "", **fields: Any) -> dict[str, Any]:
    """Another event of the same object, with other fields."""
    stripe_object = {**event["data"]["object"], **fields}
    return {**event, "id": f"evt_{number}", "type": type or event["type"], "data": {"object": stripe_object}}


def event_of(stripe_object: dict[str, Any], type: str, number: int = 1, **fields: Any) -> dict[str, Any]:
    """An event of an object, with the fields changed."""
    return {
        "id": f"evt_{type}_{number}",
        "object": "event",
        "type": type,
        "api_version": stripe_gateway.API_VERSION,
        "created": int(time.time()),
        "livemode": False,
        "data": {"object": {**stripe_object, **fields}},
    }


# P8, P9: accepted events


@pytest.mark.fault("P8")
@pytest.mark.parametrize(("age", "status"), [(0, 200), (295, 200), (301, 400), (86_400, 400)])
def test_a_signature_is_valid_for_three_hundred_seconds(completed: Any, age: int, status: int) -> None:
    assert deliver(completed, age_seconds=age).status_code == status


@pytest.mark.fault("P9")
@pytest.mark.parametrize("key", ["sk_live_x", "rk_live_x"])
def test_a_live_site_refuses_test_events_and_other_accounts_with_an_alert(
    completed: Any, settings: Any, key: str
) -> None:
    settings.STRIPE_SECRET_KEY, settings.STRIPE_ACCOUNT = key, "acct_ours"
    with capture_logs() as logs:
        for event in (completed, {**completed, "livemode": True, "account": "acct_theirs"}):
            assert deliver(event).status_code == 400
    refused = [log for log in logs if log["event"] == "stripe_event_refused"]
    assert [log["alert"] for log in refused] == [True, True]
    assert not StripeEvent.objects.exists()
    assert not Grant.objects.filter(kind="top_up").exists()


# P10: the payment must match its purchase


@pytest.mark.fault("P10")
@pytest.mark.parametrize(
    "fields",
    [{"amount_total": 1}, {"amount_total": 10**9}, {"currency": "jpy"}, {"amount_total": 0}],
    ids=str,
)
def test_another_amount_or_currency_is_quarantined_and_stays_so(completed: Any, fields: Any) -> None:
    assert deliver(changed(completed, **fields)).status_code == 200

    assert Purchase.objects.get().status == Purchase.Status.QUARANTINED
    assert deliver(completed).status_code == 200  # the right amount, after staff were asked to look at it
    assert Purchase.objects.get().status == Purchase.Status.QUARANTINED
    assert not Grant.objects.filter(kind="top_up").exists()


@pytest.mark.fault("P10")
def test_a_session_cannot_pay_the_purchase_of_another_account(completed: Any, charlie: Any) -> None:
    other_account = Account.objects.get(person=charlie).public_id
    fields = {"metadata": {**completed["data"]["object"]["metadata"], "account": other_account}}

    assert deliver(changed(completed, **fields)).status_code == 200

    assert StripeEvent.objects.get().state == StripeEvent.State.QUARANTINED
    assert not Grant.objects.filter(kind="top_up").exists()


@pytest.mark.fault("P10")
def test_a_refund_of_a_quarantined_payment_is_shown_to_staff(completed: Any, stripe_api: Any) -> None:
    deliver(changed(completed, amount_total=1))
    payment = completed["data"]["object"]["payment_intent"]
    refund = stripe_gateway.to_plain(stripe_api.refunds.create({"payment_intent": payment}))

    assert deliver(event_of(refund, "refund.created")).status_code == 200

    purchase = Purchase.objects.get()
    assert (purchase.status, purchase.refunded) == (Purchase.Status.QUARANTINED, 0)
    assert refund["id"] in purchase.error
    assert not Refund.objects.exists()


# P5: delayed payments


@pytest.mark.fault("P5")
def test_a_late_event_of_a_pending_payment_never_changes_a_paid_purchase(completed: Any) -> None:
    unpaid = changed(completed, 3, payment_status="unpaid")
    succeeded = changed(completed, 4, "checkout.session.async_payment_succeeded")
    failed = changed(completed, 5, "checkout.session.async_payment_failed", payment_status="unpaid")

    assert [deliver(event).status_code for event in (unpaid, succeeded, failed, unpaid)] == [200] * 4

    assert Purchase.objects.get().status == Purchase.Status.PAID
    assert Mail.objects.filter(template="payment_failed").count() == 0
    assert Grant.objects.filter(kind="top_up").count() == 1


# P12, P13, P14, P20: refunds and disputes


@pytest.mark.fault("P12")
def test_refunded_totals_of_a_charge_count_once_in_any_order(
    paid_purchase: Callable[..., Purchase], balance: Callable[[], Decimal]
) -> None:
    """Totals only, of refunds that Stripe's list does not contain."""
    purchase = paid_purchase()
    full = balance()
    charge = {"id": "ch_x", "payment_intent": purchase.stripe_payment_id}
    quarter, half = purchase.amount // 4, purchase.amount // 2
    totals = [event_of(charge, "charge.refunded", n, amount_refunded=n) for n in (quarter, half)]

    for event in (totals[1], totals[0], totals[1], {**totals[0], "id": "evt_again"}):
        assert deliver(event).status_code == 200

    purchase.refresh_from_db()
    assert purchase.refunded == half
    assert balance() == full - purchase.credits / 2
    part = {"id": "re_part", "payment_intent": purchase.stripe_payment_id, "amount": quarter}
    deliver(event_of(part, "refund.created", status="succeeded"))  # one of those in the total
    purchase.refresh_from_db()
    assert purchase.refunded == half
    deliver(event_of(part, "refund.failed", status="failed"))
    purchase.refresh_from_db()
    assert purchase.refunded == half - quarter
    assert balance() == full - purchase.credits / 4


@pytest.mark.fault("P20", "P6")
def test_a_refund_whose_failure_arrives_before_its_creation_takes_nothing_back(
    paid_purchase: Callable[..., Purchase], balance: Callable[[], Decimal]
) -> None:
    purchase = paid_purchase()
    full = balance()
    refund = {"id": "re_x", "payment_intent": purchase.stripe_payment_id, "amount": purchase.amount}

    for number, (kind, status) in enumerate((("failed", "failed"), ("created", "succeeded"))):
        assert deliver(event_of(refund, f"refund.{kind}", number, status=status)).status_code == 200

    purchase.refresh_from_db()
    assert (balance(), purchase.refunded) == (full, 0)


@pytest.mark.fault("P6", "P14")
@pytest.mark.parametrize("kind", ["refund", "dispute"])
def test_a_refund_or_dispute_that_arrives_before_its_payment_is_applied(
    completed: Any, stripe_api: Any, balance: Callable[[], Decimal], kind: str
) -> None:
    before = balance()
    payment = completed["data"]["object"]["payment_intent"]
    if kind == "refund":
        refund = stripe_gateway.to_plain(stripe_api.refunds.create({"payment_intent": payment}))
        deliver(event_of(refund, "refund.created"))
    else:
        charge = store.where("charge", payment_intent=payment)[0]
        dispute = sandbox_disputes.open_dispute(charge, calls.without_request(timezone.now()))
        deliver(event_of(dispute, "charge.dispute.created"))

    deliver(completed)

    assert Purchase.objects.get().status == Purchase.Status.PAID
    assert balance() == before
    assert Grant.objects.filter(kind="top_up").count() == 1


@pytest.mark.fault("P14")
@pytest.mark.parametrize("dispute_first", [True, False])
def test_winning_a_dispute_restores_no_refunded_credits(
    paid_purchase: Callable[..., Purchase],
    account: Account,
    balance: Callable[[], Decimal],
    dispute_first: bool,
) -> None:
    purchase = paid_purchase()
    full = balance()
    common = {"payment_intent": purchase.stripe_payment_id, "amount": purchase.amount, "currency": "usd"}
    dispute = event_of({"id": "du_x", **common}, "charge.dispute.created", status="needs_response")
    refund = event_of({"id": "re_x", **common}, "refund.created", status="succeeded")
    won = event_of({"id": "du_x", **common}, "charge.dispute.closed", status="won")

    for event in ([dispute, refund] if dispute_first else [refund, dispute]) + [won, won]:
        assert deliver(event).status_code == 200

    assert balance() == full - purchase.credits
    assert ledger.balance(account.pk, timezone.now()).debt == 0


# P18: objects of other API versions


@pytest.mark.fault("P18")
def test_a_refund_without_its_payment_is_fetched_from_stripe(
    paid_purchase: Callable[..., Purchase], stripe_api: Any, balance: Callable[[], Decimal]
) -> None:
    purchase = paid_purchase()
    full = balance()
    refund = stripe_gateway.to_plain(
        stripe_api.refunds.create({"payment_intent": purchase.stripe_payment_id, "amount": 1})
    )
    old = {name: value for name, value in refund.items() if name != "payment_intent"}

    assert deliver(event_of(old, "charge.refund.updated")).status_code == 200

    purchase.refresh_from_db()
    assert purchase.refunded == 1 and balance() < full


@pytest.mark.fault("P18")
@pytest.mark.parametrize(
    ("type", "stripe_object"),
    [
        ("charge.dispute.created", {"id": "dp_old", "charge": "ch_old", "amount": 1, "status": "lost"}),
        ("charge.refunded", {"id": "ch_old", "amount_refunded": 5}),
        ("refund.created", {"id": "re_old", "charge": "ch_old", "amount": 5}),
        ("invoice.paid", {"id": "in_old", "subscription": {"id": 5}}),
        ("customer.subscription.updated", {"id": "", "plan": {"id": "gold"}}),
        ("checkout.session.completed", {"id": "cs_old", "metadata": [], "mode": "payment"}),
        ("checkout.session.completed", []),
        ("payment_intent.succeeded", {"id": "pi_x", "metadata": "none"}),
    ],
)
def test_an_event_that_is_not_understood_is_quarantined_and_changes_nothing(
    paid_purchase: Callable[..., Purchase], balance: Callable[[], Decimal], type: str, stripe_object: Any
) -> None:
    paid_purchase()
    full = balance()
    event = event_of({}, type)
    event["data"]["object"] = stripe_object

    assert deliver(event).status_code == 200

    assert StripeEvent.objects.get(stripe_id=event["id"]).state == StripeEvent.State.QUARANTINED
    assert balance() == full


@pytest.mark.fault("P8")
def test_every_event_is_refused_while_no_secret_is_set(completed: Any, settings: Any) -> None:
    settings.STRIPE_WEBHOOK_SECRETS = []
    assert deliver(completed, secret=SECRET).status_code == 400
    assert deliver(completed, secret="").status_code == 400


# Subscriptions and invoices that change in Stripe's dashboard


@pytest.fixture
def plan(stripe_api: Any, account: Account) -> Subscription:
    """The account's paid plan."""
    purchase = create.plan_purchase(
        account=account,
        buyer=None,
        origin="page",
        plan_key="starter",
        interval="month",
        currency="usd",
        confirm=True,
        key="plan",
        now=timezone.now(),
    )
    Buyer().pay(checkout.open_page(purchase, timezone.now()))
    checkout.refresh_from_stripe(purchase, timezone.now())
    return Subscription.objects.get(account=account)


def test_a_subscription_that_staff_pause_and_resume_at_stripe_stops_and_goes_on(plan: Subscription) -> None:
    """https://docs.stripe.com/changelog/endive/2026-09-30/pause-subscription"""
    for action, status, state in (("paused", "paused", "paused"), ("resumed", "active", "active")):
        subscription = store.get("subscription", str(plan.stripe_subscription_id)) | {"status": status}
        store.save(subscription)
        deliver(event_of(store.public(subscription), f"customer.subscription.{action}"))
        plan.refresh_from_db()
        assert plan.state == state
    assert not Mail.objects.filter(template="payment_overdue").exists()


def test_an_invoice_that_stripe_cannot_finalize_alerts_staff_with_the_reason(plan: Subscription) -> None:
    subscription = store.get("subscription", str(plan.stripe_subscription_id))
    invoice = store.public(store.get("invoice", subscription["latest_invoice"]))
    failure = {"type": "invalid_request_error", "message": "The customer's location is not recognized."}
    with capture_logs() as logs:
        deliver(event_of(invoice, "invoice.finalization_failed", last_finalization_error=failure))
    [alert] = [log for log in logs if log["event"] == "stripe_invoice_not_finalized"]
    assert alert["alert"] and alert["invoice"] == invoice["id"] and alert["reason"] == failure["message"]
