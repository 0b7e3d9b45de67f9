"""What staff do about money, through the admin."""

from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from accounts.models import Account, User
from billing.models import Purchase, Reconciliation, Refund, StripeEvent, Subscription
from billing.refunds import disputes, requests
from billing.webhooks import reconciliation
from pricing.catalogue import cache as catalogue_cache
from pricing.models import Catalogue

pytestmark = pytest.mark.django_db


@pytest.fixture
def desk(stripe_api: Any, staff: User, signed_in: Callable[[User], Client]) -> Client:
    return signed_in(staff)


@pytest.fixture
def asked(paid_purchase: Callable[..., Purchase]) -> Refund:
    row = Catalogue.objects.get()
    row.policies["refund_window_days"] = 30
    row.save(update_fields=["policies"])
    catalogue_cache.changed()
    return requests.create(purchase=paid_purchase(), user=None, message="too many", now=timezone.now())


@pytest.mark.requirement("APIN-10", "CORE-07")
def test_staff_approve_a_refund_with_a_reason(desk: Client, asked: Refund) -> None:
    url = f"/admin/billing/refund/{asked.pk}/decide/"
    assert "too many" in desk.get(url).content.decode()
    assert desk.post(url, {"choice": "approve", "reason": ""}).status_code == 200  # a reason is asked for

    assert desk.post(url, {"choice": "approve", "reason": "fair"}).status_code == 302

    asked.refresh_from_db()
    assert (asked.status, asked.decision, asked.decided_by) == ("done", "fair", "staff@example.org")


def test_staff_refuse_a_refund(desk: Client, asked: Refund) -> None:
    desk.post(f"/admin/billing/refund/{asked.pk}/decide/", {"choice": "refuse", "reason": "spent elsewhere"})

    asked.refresh_from_db()
    assert (asked.status, asked.decision) == ("refused", "spent elsewhere")


@pytest.mark.fault("Z6")
def test_staff_without_the_permission_decide_nothing(
    stripe_api: Any, asked: Refund, bob: User, signed_in: Callable[[User], Client]
) -> None:
    User.objects.filter(pk=bob.pk).update(is_staff=True)
    for verb in ("get", "post"):
        answer = getattr(signed_in(bob), verb)(f"/admin/billing/refund/{asked.pk}/decide/", {"reason": "x"})
        assert answer.status_code in {302, 403}
    asked.refresh_from_db()
    assert asked.status == "requested"


def test_staff_release_a_payment_that_waits(
    desk: Client,
    new_purchase: Callable[..., Purchase],
    pay: Callable[..., Any],
    events: Callable[..., Any],
    process_event: Callable[..., StripeEvent],
) -> None:
    purchase = new_purchase()
    pay(purchase)
    [event] = events("checkout.session.completed")
    event["data"]["object"]["amount_total"] += 1
    process_event(event)

    desk.post(f"/admin/billing/purchase/{purchase.pk}/release/", {"reason": "a cent of rounding"})

    purchase.refresh_from_db()
    assert purchase.status == "paid"
    assert "a cent of rounding" in purchase.trouble


def test_staff_put_an_account_on_a_legacy_plan(desk: Client, account: Account) -> None:
    row = Subscription.objects.get(account=account)

    desk.post(f"/admin/billing/subscription/{row.pk}/place/", {"plan": "plus", "reason": "was a member"})

    row.refresh_from_db()
    assert row.plan == "plus"


def test_staff_try_an_event_again(
    desk: Client, new_purchase: Callable[..., Purchase], pay: Callable[..., Any], events: Callable[..., Any]
) -> None:
    from billing.webhooks import events as stripe_events

    pay(new_purchase())
    [event] = events("checkout.session.completed")
    row = stripe_events.store(event, timezone.now(), source="webhook")
    StripeEvent.objects.update(state="quarantined", trouble="a bug of yesterday")

    desk.post("/admin/billing/stripeevent/", {"action": "retry", "_selected_action": [row.pk]})

    assert StripeEvent.objects.get().state == "done"
    assert Purchase.objects.get().status == "paid"


@pytest.mark.fault("P7")
def test_reconciliation_mends_what_no_webhook_brought_and_shows_both_books(
    desk: Client,
    new_purchase: Callable[..., Purchase],
    pay: Callable[..., Any],
    stripe_api: Any,
    balance: Callable[[], Any],
) -> None:
    before = balance()
    purchase = new_purchase()
    pay(purchase)
    stripe_api.payment_intents.list({})

    report = reconciliation.run(timezone.now())
    assert report is not None and report.events > 0
    purchase.refresh_from_db()
    assert purchase.status == "paid"
    assert balance() == before + purchase.credits
    assert report.totals["usd"]["stripe_paid"] == report.totals["usd"]["our_paid"] == purchase.amount
    assert report.findings == []
    stripe_api.refunds.create({"payment_intent": purchase.stripe_payment_id, "amount": 100})
    again = reconciliation.run(timezone.now())
    assert again is not None
    assert again.totals["usd"]["stripe_refunded"] == again.totals["usd"]["our_refunded"] == 100
    third = reconciliation.run(timezone.now())
    assert third is not None and (third.events, third.mended) == (0, 0)

    assert "$5.00" in desk.get("/admin/billing/reconciliation/compare/").content.decode()
    assert desk.get("/admin/billing/reconciliation/run/", follow=True).status_code == 200
    assert Reconciliation.objects.count() == 4


def test_every_list_and_sheet_opens(desk: Client, paid_purchase: Callable[..., Purchase]) -> None:
    purchase = paid_purchase()
    facts = {"id": "dp_1", "payment_intent": purchase.stripe_payment_id, "amount": purchase.amount}
    dispute = disputes.apply_stripe_dispute(
        facts | {"currency": "usd", "status": "needs_response"}, timezone.now()
    )
    assert dispute is not None
    lists = ["purchase", "refund", "dispute", "subscription", "promotion", "redemption", "referral"]
    lists += ["autotopup", "stripeevent", "mail"]
    for name in lists:
        assert desk.get(f"/admin/billing/{name}/").status_code == 200, name
    assert desk.get(f"/admin/billing/purchase/{purchase.pk}/change/").status_code == 200
    assert (
        "credits of this purchase"
        in desk.get(f"/admin/billing/dispute/{dispute.pk}/evidence/").content.decode()
    )
    assert "$5.00" in desk.get("/admin/billing/purchase/report/").content.decode()
    csv = desk.get("/admin/billing/purchase/report/?csv").content.decode()
    assert csv.splitlines()[1].split(",")[1:3] == ["usd", "500"]
