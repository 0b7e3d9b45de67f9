"""Reconciliation applies what webhooks missed, once, and survives outages and interrupted runs."""

import contextlib
from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from accounts.models import Account, User
from billing import ledger, stripe_gateway, tasks
from billing.models import Grant, Mail, Purchase, Reconciliation, Refund, StripeEvent
from billing.purchases import checkout, create
from billing.refunds import requests, stripe_refunds
from billing.stripe_gateway import client
from billing.webhooks import reconciliation
from tests.billing import stripe_sandbox
from tests.billing.conftest import smallest_pack
from tests.conftest import person
from tests.sandbox.conftest import Buyer

pytestmark = pytest.mark.django_db


# P7: the webhook is never delivered


@pytest.mark.fault("P7", "P2")
def test_the_return_page_credits_at_once(
    new_purchase: Callable[..., Purchase],
    pay: Callable[..., Any],
    alice: User,
    signed_in: Callable[[User], Client],
    balance: Callable[[], Decimal],
) -> None:
    before, purchase = balance(), new_purchase()
    pay(purchase)
    for _ in range(2):
        signed_in(alice).get(f"/billing/purchases/{purchase.public_id}/return/", follow=True)
    assert balance() == before + purchase.credits
    assert Mail.objects.filter(template="receipt").count() == 1


@pytest.mark.fault("P7", "C1", "C2")
def test_without_the_return_page_one_run_credits_and_a_second_changes_nothing(
    new_purchase: Callable[..., Purchase], pay: Callable[..., Any], balance: Callable[[], Decimal]
) -> None:
    before, purchase = balance(), new_purchase()
    pay(purchase)
    for _ in range(2):
        tasks.reconcile()
        tasks.process_events()
    assert balance() == before + purchase.credits
    assert Grant.objects.filter(kind="top_up").count() == 1
    assert not StripeEvent.objects.exclude(state__in=["done", "ignored"]).exists()


@pytest.mark.fault("P7")
def test_reconciliation_is_scheduled_every_fifteen_minutes_or_more_often(settings: Any) -> None:
    assert settings.CELERY_BEAT_SCHEDULE["reconcile"]["schedule"] <= 15 * 60
    assert settings.CELERY_BEAT_SCHEDULE["reconcile"]["task"] == tasks.reconcile.name


@pytest.mark.fault("P7", "P17")
def test_a_paid_session_whose_id_was_not_recorded_is_matched_by_its_metadata(
    new_purchase: Callable[..., Purchase], pay: Callable[..., Any], balance: Callable[[], Decimal]
) -> None:
    before, purchase = balance(), new_purchase()
    pay(purchase)
    # The state after a crash between creating the session and storing its id.
    Purchase.objects.update(stripe_session_id=None, checkout_url="")
    tasks.reconcile()
    assert balance() == before + purchase.credits


def test_a_purchase_whose_payment_page_was_never_made_is_cancelled_after_two_days(
    new_purchase: Callable[..., Purchase],
) -> None:
    now, two_days = timezone.now(), timedelta(days=2)
    for key, age in (("older", two_days + timedelta(minutes=1)), ("newer", two_days - timedelta(minutes=1))):
        never_opened = {"stripe_session_id": None, "checkout_url": "", "created_at": now - age}
        Purchase.objects.filter(pk=new_purchase(key=key).pk).update(**never_opened)
    reconciliation.run(now)
    assert list(Purchase.objects.order_by("created_at").values_list("status", flat=True)) == [
        Purchase.Status.CANCELLED,
        Purchase.Status.CREATED,
    ]


@pytest.mark.fault("P7")
def test_a_run_begins_before_the_end_of_the_last_one(
    stripe_api: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, now = [], timezone.now()
    monkeypatch.setattr(stripe_gateway, "list_events", lambda since: iter(begun.append(since) or ()))
    for minutes in (0, 15):
        reconciliation.run(now + timedelta(minutes=minutes))
    assert begun[1] == Reconciliation.objects.earliest("until").until - reconciliation.OVERLAP


# C6 and outages


@pytest.mark.fault("C6")
def test_an_object_that_cannot_be_applied_is_reported_and_the_others_are_applied(
    stripe_api: Any, paid_purchase: Callable[..., Purchase], monkeypatch: pytest.MonkeyPatch
) -> None:
    purchase = paid_purchase()
    ids = [
        stripe_api.refunds.create({"payment_intent": purchase.stripe_payment_id, "amount": 5}).id
        for _ in range(3)
    ]
    StripeEvent.objects.all().delete()
    monkeypatch.setattr(stripe_gateway, "list_events", lambda _since: iter(()))
    apply = stripe_refunds.apply_stripe_refund

    def fail_for_second(refund: Any, now: Any) -> Any:
        if refund["id"] == ids[1]:
            raise RuntimeError("cannot be applied")
        return apply(refund, now)

    monkeypatch.setattr(stripe_refunds, "apply_stripe_refund", fail_for_second)

    report = reconciliation.run(timezone.now())

    assert report is not None
    assert report.findings == [{"left": ids[1], "why": "RuntimeError: cannot be applied"}]
    purchase.refresh_from_db()
    assert purchase.refunded == 10


def test_refunds_are_added_up_by_currency(
    paid_purchase: Callable[..., Purchase], monkeypatch: pytest.MonkeyPatch
) -> None:
    purchase = paid_purchase()
    Refund.objects.create(
        account=purchase.account,
        purchase=purchase,
        amount=700,
        currency="jpy",
        credits=0,
        status=Refund.Status.DONE,
        stripe_refund_id="re_1",
        created_at=timezone.now(),
    )
    refund = {"id": "re_1", "status": "succeeded", "amount": 700, "currency": "jpy"}
    refund |= {"payment_intent": purchase.stripe_payment_id, "metadata": {}, "created": 0}
    monkeypatch.setattr(stripe_gateway, "list_refunds", lambda _since: iter([refund]))
    report = reconciliation.run(timezone.now())
    assert report is not None
    assert (report.totals["jpy"]["our_refunded"], report.totals["jpy"]["stripe_refunded"]) == (700, 700)


@pytest.mark.fault("P7")
def test_a_run_interrupted_by_an_outage_is_repeated_from_the_same_start(
    new_purchase: Callable[..., Purchase], pay: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    pay(new_purchase())

    def fail(*_: Any) -> Any:
        raise stripe_gateway.StripeUnavailable("timed out")

    Purchase.objects.update(stripe_session_id=None)
    for request in (
        "list_events",
        "list_checkout_sessions",
        "list_payment_intents",
        "list_refunds",
        "list_disputes",
    ):
        with monkeypatch.context() as patch:
            patch.setattr(stripe_gateway, request, fail)
            tasks.reconcile()
        assert not Reconciliation.objects.exists()
    tasks.reconcile()
    assert Purchase.objects.get().status == "paid"
    assert Reconciliation.objects.count() == 1


class Killed(BaseException):
    """The process is killed; no handler of Exception catches this."""


@pytest.mark.fault("P7", "P20", "C2")
def test_a_run_killed_after_any_request_to_stripe_is_completed_by_the_next(
    refund_window: None, stripe_api: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each run has a payment to credit and an approved refund to send."""
    send_request = client.request
    for killed_after in range(30):
        account = Account.objects.get(person=person(f"buyer{killed_after}"))
        start = ledger.balance(account.pk, timezone.now()).total
        unprocessed, refunded = paid_at_stripe(account, "first"), paid_at_stripe(account, "second")
        checkout.refresh_from_stripe(refunded, timezone.now())
        refund = requests.create(purchase=refunded, user=None, message="", now=timezone.now())
        with monkeypatch.context() as patch:
            patch.setattr(requests, "send", lambda refund, _now: refund)
            requests.approve(refund, actor="staff", reason="", now=timezone.now())
        sent = 0

        def send_or_die(send: Any, killed_after: int = killed_after) -> Any:
            nonlocal sent
            response = send_request(send)
            if sent == killed_after:
                raise Killed
            sent += 1
            return response

        with monkeypatch.context() as patch, contextlib.suppress(Killed):
            patch.setattr(client, "request", send_or_die)
            reconciliation.run(timezone.now())
        report = reconciliation.run(timezone.now())

        assert report is not None and report.findings == []
        unprocessed.refresh_from_db()
        refunded.refresh_from_db()
        assert (unprocessed.status, refunded.refunded) == ("paid", refunded.amount)
        assert Refund.objects.get(purchase=refunded).status == Refund.Status.DONE
        assert len(stripe_api.refunds.list({"payment_intent": refunded.stripe_payment_id}).data) == 1
        assert ledger.balance(account.pk, timezone.now()).total == start + unprocessed.credits
        if sent < killed_after:
            break
        stripe_sandbox.forget_applied_objects()
    assert killed_after > 6 and sent < killed_after


def paid_at_stripe(account: Account, key: str) -> Purchase:
    """A purchase that is paid at Stripe, of which no event was processed."""
    purchase = create.pack_purchase(
        account=account,
        buyer=None,
        origin="page",
        pack_key=smallest_pack(),
        quantity=1,
        currency="usd",
        key=key,
        now=timezone.now(),
    )
    Buyer().pay(checkout.open_page(purchase, timezone.now()))
    return purchase
