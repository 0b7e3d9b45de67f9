"""Staff decide refunds and release payments in the admin."""

from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from accounts.models import User
from billing.models import Entry, Purchase, Refund, StripeEvent
from billing.refunds import disputes, requests
from core.models import StaffAct
from pricing.catalogue import cache as catalogue_cache
from pricing.models import Catalogue

pytestmark = pytest.mark.django_db


@pytest.fixture
def refund(paid_purchase: Callable[..., Purchase]) -> Refund:
    catalogue = Catalogue.objects.get()
    catalogue.policies["refund_window_days"] = 30
    catalogue.save(update_fields=["policies"])
    catalogue_cache.changed()
    return requests.create(purchase=paid_purchase(), user=None, message="too many", now=timezone.now())


@pytest.mark.requirement("APIN-10", "CORE-07")
def test_staff_approve_a_refund_with_a_reason(staff_client: Client, refund: Refund) -> None:
    url = f"/admin/billing/refund/{refund.pk}/decide/"
    assert "too many" in staff_client.get(url).content.decode()
    assert (
        staff_client.post(url, {"choice": "approve", "reason": ""}).status_code == 200
    )  # the reason is required

    assert staff_client.post(url, {"choice": "approve", "reason": "fair"}).status_code == 302

    refund.refresh_from_db()
    assert (refund.status, refund.decision, refund.decided_by) == ("done", "fair", "staff@example.org")
    entry = Entry.objects.get(account_id=refund.account_id, kind="claw_back")
    assert entry.actor == "staff", "statements of the ledger, which members read, name no person"


def test_staff_refuse_a_refund(staff_client: Client, refund: Refund) -> None:
    staff_client.post(
        f"/admin/billing/refund/{refund.pk}/decide/", {"choice": "refuse", "reason": "spent elsewhere"}
    )

    refund.refresh_from_db()
    assert (refund.status, refund.decision) == ("refused", "spent elsewhere")


@pytest.mark.fault("Z6")
def test_staff_without_the_permission_cannot_decide(
    stripe_api: Any, refund: Refund, bob: User, signed_in: Callable[[User], Client]
) -> None:
    User.objects.filter(pk=bob.pk).update(is_staff=True)
    for verb in ("get", "post"):
        response = getattr(signed_in(bob), verb)(
            f"/admin/billing/refund/{refund.pk}/decide/", {"reason": "x"}
        )
        assert response.status_code in {302, 403}
    refund.refresh_from_db()
    assert refund.status == "requested"


def test_staff_release_a_quarantined_payment(
    staff_client: Client,
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

    staff_client.post(f"/admin/billing/purchase/{purchase.pk}/release/", {"reason": "a cent of rounding"})

    purchase.refresh_from_db()
    assert purchase.status == "paid"
    assert "a cent of rounding" in purchase.error


def test_an_act_that_is_not_possible_any_more_is_not_offered_and_not_recorded(
    staff_client: Client, refund: Refund, new_purchase: Callable[..., Purchase]
) -> None:
    paid, unpaid = refund.purchase, new_purchase(key="unpaid")
    of_paid, of_unpaid = (f"/admin/billing/purchase/{purchase.pk}" for purchase in (paid, unpaid))
    decide = f"/admin/billing/refund/{refund.pk}/decide/"
    assert f"{of_unpaid}/cancel/" in staff_client.get(f"{of_unpaid}/change/").content.decode()
    page = staff_client.get(f"{of_paid}/change/").content.decode()
    assert f"{of_paid}/cancel/" not in page and f"{of_paid}/release/" not in page
    assert "$5.00" in page
    for path, reason in (
        (f"{of_paid}/cancel/", "Only an unpaid purchase can be cancelled. Status of this one: Paid."),
        (f"{of_paid}/release/", "No payment of this purchase is held back."),
    ):
        assert reason in staff_client.post(path, {"reason": "x"}, follow=True).content.decode()
        assert reason in staff_client.get(path, follow=True).content.decode()
    assert not StaffAct.objects.exists()
    for _click in range(2):
        staff_client.post(decide, {"choice": "refuse", "reason": "spent elsewhere"})
    act = StaffAct.objects.get()
    assert (act.act, act.before, act.after) == (
        "refund.refuse",
        {"status": "requested"},
        {"status": "refused"},
    )
    page = staff_client.get(f"/admin/billing/refund/{refund.pk}/change/").content.decode()
    assert decide not in page and f"efund of {paid.public_id}" in page


def test_every_list_and_detail_page_opens(
    staff_client: Client, paid_purchase: Callable[..., Purchase]
) -> None:
    purchase = paid_purchase()
    facts = {"id": "dp_1", "payment_intent": purchase.stripe_payment_id, "amount": purchase.amount}
    snapshot = disputes.Snapshot(facts | {"currency": "usd", "status": "needs_response"}, None)
    dispute = disputes.apply_snapshot(snapshot, timezone.now())
    assert dispute is not None
    lists = ["purchase", "refund", "dispute", "subscription", "promotion", "redemption", "referral"]
    lists += ["autotopup", "stripeevent", "mail"]
    for name in lists:
        assert staff_client.get(f"/admin/billing/{name}/").status_code == 200, name
    assert staff_client.get(f"/admin/billing/purchase/{purchase.pk}/change/").status_code == 200
    assert (
        "credits of this purchase"
        in staff_client.get(f"/admin/billing/dispute/{dispute.pk}/evidence/").content.decode()
    )
    assert "$5.00" in staff_client.get("/admin/billing/purchase/report/").content.decode()
    Purchase.objects.update(tax=80, tax_behavior="inclusive")
    csv = staff_client.get("/admin/billing/purchase/report/?csv").content.decode()
    names, figures = (line.split(",") for line in csv.splitlines()[:2])
    assert names[1:] == ["currency", "sold", "earned", "breakage", "refunded", "disputed", "owed", "tax"]
    assert figures[1:] == ["usd", "420", "0", "0", "0", "0", "420", "80"]
