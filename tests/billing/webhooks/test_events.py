"""Signed events of our own making at the door that Stripe knocks at: who gets in, what they can do."""

import time
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from django.utils import timezone
from structlog.testing import capture_logs

from accounts.models import Account
from billing import ledger, stripe_gateway
from billing.models import Grant, Mail, Purchase, Refund, StripeEvent
from tests.billing.webhooks.delivery import SECRET, deliver

pytestmark = pytest.mark.django_db


@pytest.fixture
def completed(order: Callable[..., Purchase], pay: Callable[..., Any], events: Callable[..., Any]) -> Any:
    """The event of a paid order that has not reached us yet."""
    pay(order())
    [event] = events("checkout.session.completed")
    return event


def changed(event: dict[str, Any], number: int = 2, type: str = "", **facts: Any) -> dict[str, Any]:
    """Another event of the same thing, with other facts."""
    thing = {**event["data"]["object"], **facts}
    return {**event, "id": f"evt_{number}", "type": type or event["type"], "data": {"object": thing}}


def about(thing: dict[str, Any], type: str, number: int = 1, **facts: Any) -> dict[str, Any]:
    """An event that Stripe might send of a thing."""
    return {
        "id": f"evt_{type}_{number}",
        "object": "event",
        "type": type,
        "api_version": "2019-08-14",
        "created": int(time.time()),
        "livemode": False,
        "data": {"object": {**thing, **facts}},
    }


# P8, P9: who gets in


@pytest.mark.fault("P8")
@pytest.mark.parametrize(("age", "status"), [(0, 200), (295, 200), (301, 400), (86_400, 400)])
def test_a_signature_is_good_for_three_hundred_seconds(completed: Any, age: int, status: int) -> None:
    assert deliver(completed, age_seconds=age).status_code == status


@pytest.mark.fault("P9")
def test_a_live_site_refuses_test_events_and_other_accounts_and_says_so_as_an_alert(
    completed: Any, settings: Any
) -> None:
    settings.STRIPE_SECRET_KEY, settings.STRIPE_ACCOUNT = "sk_live_x", "acct_ours"
    with capture_logs() as logs:
        for event in (completed, {**completed, "livemode": True, "account": "acct_theirs"}):
            assert deliver(event).status_code == 400
    refused = [log for log in logs if log["event"] == "stripe_event_refused"]
    assert [log["alert"] for log in refused] == [True, True]
    assert not StripeEvent.objects.exists()
    assert not Grant.objects.filter(kind="top_up").exists()


# P10: what the payment must be


@pytest.mark.fault("P10")
@pytest.mark.parametrize(
    "facts",
    [{"amount_total": 1}, {"amount_total": 10**9}, {"currency": "jpy"}, {"amount_total": 0}],
    ids=str,
)
def test_another_sum_than_was_ordered_waits_for_staff_and_stays_so(completed: Any, facts: Any) -> None:
    assert deliver(changed(completed, **facts)).status_code == 200

    assert Purchase.objects.get().status == Purchase.Status.QUARANTINED
    assert deliver(completed).status_code == 200  # the right sum, afterwards: staff are looking at it already
    assert Purchase.objects.get().status == Purchase.Status.QUARANTINED
    assert not Grant.objects.filter(kind="top_up").exists()


@pytest.mark.fault("P10")
def test_a_page_of_one_order_cannot_pay_that_of_another_account(completed: Any, charlie: Any) -> None:
    theirs = Account.objects.get(person=charlie).public_id
    facts = {"metadata": {**completed["data"]["object"]["metadata"], "account": theirs}}

    assert deliver(changed(completed, **facts)).status_code == 200

    assert StripeEvent.objects.get().state == StripeEvent.State.QUARANTINED
    assert not Grant.objects.filter(kind="top_up").exists()


@pytest.mark.fault("P10")
def test_money_that_went_back_of_a_quarantined_payment_is_noted_for_staff(
    completed: Any, stripe_world: Any
) -> None:
    deliver(changed(completed, amount_total=1))
    payment = completed["data"]["object"]["payment_intent"]
    refund = stripe_gateway.to_plain(stripe_world.refunds.create({"payment_intent": payment}))

    assert deliver(about(refund, "refund.created")).status_code == 200

    purchase = Purchase.objects.get()
    assert (purchase.status, purchase.refunded) == (Purchase.Status.QUARANTINED, 0)
    assert refund["id"] in purchase.trouble
    assert not Refund.objects.exists()


# P5: later money


@pytest.mark.fault("P5")
def test_late_news_of_money_under_way_never_takes_a_paid_order_back(completed: Any) -> None:
    unpaid = changed(completed, 3, payment_status="unpaid")
    arrived = changed(completed, 4, "checkout.session.async_payment_succeeded")
    failed = changed(completed, 5, "checkout.session.async_payment_failed", payment_status="unpaid")

    assert [deliver(event).status_code for event in (unpaid, arrived, failed, unpaid)] == [200] * 4

    assert Purchase.objects.get().status == Purchase.Status.PAID
    assert Mail.objects.filter(template="payment_failed").count() == 0
    assert Grant.objects.filter(kind="top_up").count() == 1


# P12, P13, P14, P20: money that goes back


@pytest.mark.fault("P12")
def test_totals_of_a_charge_count_as_differences_each_once_in_any_order(
    paid: Callable[..., Purchase], balance: Callable[[], Decimal]
) -> None:
    """Totals alone, of refunds that Stripe's list does not show."""
    purchase = paid()
    full = balance()
    charge = {"id": "ch_x", "payment_intent": purchase.stripe_payment_id}
    quarter, half = purchase.amount // 4, purchase.amount // 2
    told = [about(charge, "charge.refunded", n, amount_refunded=n) for n in (quarter, half)]

    for event in (told[1], told[0], told[1], {**told[0], "id": "evt_again"}):
        assert deliver(event).status_code == 200

    purchase.refresh_from_db()
    assert purchase.refunded == half
    assert balance() == full - purchase.credits / 2
    part = {"id": "re_part", "payment_intent": purchase.stripe_payment_id, "amount": quarter}
    deliver(about(part, "refund.created", status="succeeded"))  # one of those that the total told of
    purchase.refresh_from_db()
    assert purchase.refunded == half
    deliver(about(part, "refund.failed", status="failed"))
    purchase.refresh_from_db()
    assert purchase.refunded == half - quarter
    assert balance() == full - purchase.credits / 4


@pytest.mark.fault("P20", "P6")
def test_a_failed_refund_that_is_heard_of_before_its_beginning_takes_nothing(
    paid: Callable[..., Purchase], balance: Callable[[], Decimal]
) -> None:
    purchase = paid()
    full = balance()
    refund = {"id": "re_x", "payment_intent": purchase.stripe_payment_id, "amount": purchase.amount}

    for number, (kind, status) in enumerate((("failed", "failed"), ("created", "succeeded"))):
        assert deliver(about(refund, f"refund.{kind}", number, status=status)).status_code == 200

    purchase.refresh_from_db()
    assert (balance(), purchase.refunded) == (full, 0)


@pytest.mark.fault("P6", "P14")
@pytest.mark.parametrize("news", ["refund", "dispute"])
def test_money_that_goes_back_before_its_payment_is_known_is_not_forgotten(
    completed: Any, stripe_world: Any, balance: Callable[[], Decimal], news: str
) -> None:
    before = balance()
    payment = completed["data"]["object"]["payment_intent"]
    if news == "refund":
        refund = stripe_gateway.to_plain(stripe_world.refunds.create({"payment_intent": payment}))
        deliver(about(refund, "refund.created"))
    else:
        amount = completed["data"]["object"]["amount_total"]
        facts = {"id": "du_x", "payment_intent": payment, "amount": amount, "currency": "usd"}
        deliver(about(facts, "charge.dispute.created", status="needs_response"))

    deliver(completed)

    assert Purchase.objects.get().status == Purchase.Status.PAID
    assert balance() == before
    assert Grant.objects.filter(kind="top_up").count() == 1


@pytest.mark.fault("P14")
@pytest.mark.parametrize("dispute_first", [True, False])
def test_a_dispute_that_is_won_returns_nothing_of_what_was_refunded(
    paid: Callable[..., Purchase], account: Account, balance: Callable[[], Decimal], dispute_first: bool
) -> None:
    purchase = paid()
    full = balance()
    common = {"payment_intent": purchase.stripe_payment_id, "amount": purchase.amount, "currency": "usd"}
    dispute = about({"id": "du_x", **common}, "charge.dispute.created", status="needs_response")
    refund = about({"id": "re_x", **common}, "refund.created", status="succeeded")
    won = about({"id": "du_x", **common}, "charge.dispute.closed", status="won")

    for event in ([dispute, refund] if dispute_first else [refund, dispute]) + [won, won]:
        assert deliver(event).status_code == 200

    assert balance() == full - purchase.credits
    assert ledger.balance(account.pk, timezone.now()).debt == 0


# P18: shapes of other times


@pytest.mark.fault("P18")
def test_refunds_and_disputes_that_name_only_their_charge_are_asked_for_afresh(
    paid: Callable[..., Purchase], stripe_world: Any, balance: Callable[[], Decimal]
) -> None:
    purchase = paid()
    full = balance()
    refund = stripe_gateway.to_plain(
        stripe_world.refunds.create({"payment_intent": purchase.stripe_payment_id, "amount": 1})
    )
    old = {name: fact for name, fact in refund.items() if name != "payment_intent"}

    assert deliver(about(old, "charge.refund.updated")).status_code == 200

    purchase.refresh_from_db()
    assert purchase.refunded == 1 and balance() < full


@pytest.mark.fault("P18")
@pytest.mark.parametrize(
    ("type", "thing"),
    [
        ("charge.dispute.created", {"id": "dp_old", "charge": "ch_old", "amount": 1, "status": "lost"}),
        ("charge.refunded", {"id": "ch_old", "amount_refunded": 5}),
        ("refund.created", {"id": "re_old", "charge": "ch_old", "amount": 5}),
        ("invoice.paid", {"id": "in_old", "subscription": "sub_old"}),
        ("customer.subscription.updated", {"id": "sub_old", "plan": {"id": "gold"}}),
        ("checkout.session.completed", {"id": "cs_old", "metadata": [], "mode": "payment"}),
        ("checkout.session.completed", []),
        ("payment_intent.succeeded", {"id": "pi_x", "metadata": "none"}),
    ],
)
def test_what_nobody_understands_waits_for_a_person_and_moves_nothing(
    paid: Callable[..., Purchase], balance: Callable[[], Decimal], type: str, thing: Any
) -> None:
    paid()
    full = balance()
    event = about({}, type)
    event["data"]["object"] = thing

    assert deliver(event).status_code == 200

    assert StripeEvent.objects.get(stripe_id=event["id"]).state == StripeEvent.State.QUARANTINED
    assert balance() == full


@pytest.mark.fault("P8")
def test_the_door_is_shut_while_no_secret_is_set(completed: Any, settings: Any) -> None:
    settings.STRIPE_WEBHOOK_SECRETS = []
    assert deliver(completed, secret=SECRET).status_code == 400
    assert deliver(completed, secret="").status_code == 400
