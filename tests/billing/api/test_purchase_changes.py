"""Cancelling a purchase, its invoice, withdrawing its refund request, and pausing the plan, over HTTP."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from accounts.models import Account
from billing import stripe_gateway
from billing.models import Purchase, Subscription
from billing.purchases import checkout
from tests.billing.conftest import change_policies, smallest_pack
from tests.sandbox.conftest import Buyer

pytestmark = [pytest.mark.django_db, pytest.mark.requirement("CORE-07")]


class TestCancellingAPurchase:
    def test_closes_its_payment_page_once_for_each_key(self, api: Any, stripe_api: Any) -> None:
        opened = api.post("checkouts", {"pack": smallest_pack(), "currency": "usd"}, key="k").json()
        path = f"purchases/{opened['id']}/cancel"
        first, again = (api.post(path, {}, key="c") for _ in range(2))
        assert (first.status_code, first.json()["status"]) == (200, "cancelled")
        assert first.json()["checkout_url"] is None
        assert (again.content, again["Idempotent-Replayed"]) == (first.content, "true")
        session = Purchase.objects.get().stripe_session_id
        assert stripe_api.checkout.sessions.retrieve(session).status == "expired"
        assert api.post(path, {}).json()["status"] == "cancelled", "it stays cancelled"

    def test_that_was_paid_meanwhile_is_refused_and_its_credits_stay(self, api: Any) -> None:
        opened = api.post("checkouts", {"pack": smallest_pack(), "currency": "usd"}, key="k").json()
        Buyer().pay(opened["url"])
        refused = api.post(f"purchases/{opened['id']}/cancel", {})
        assert (refused.status_code, refused.json()["code"]) == (409, "not_open")
        assert api.get(f"purchases/{opened['id']}").json()["status"] == "paid"

    def test_without_an_answer_of_stripe_is_an_unknown_outcome(
        self, api: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        opened = api.post("checkouts", {"pack": smallest_pack(), "currency": "usd"}, key="k").json()

        def unreachable(_session: str) -> None:
            raise stripe_gateway.StripeUnavailable

        api.client.raise_request_exception = False
        with monkeypatch.context() as patch:
            patch.setattr(stripe_gateway, "expire_checkout_session", unreachable)
            answer = api.post(f"purchases/{opened['id']}/cancel", {}, key="c")
        assert (answer.status_code, answer.json()["code"]) == (503, "payment_provider_unreachable")
        assert api.post(f"purchases/{opened['id']}/cancel", {}, key="c").json()["status"] == "cancelled"


@pytest.mark.fault("Z1")
def test_the_invoice_is_a_pdf_file_of_the_own_account(
    api: Any, purchase: Callable[..., Purchase], bob: Any, api_of: Any
) -> None:
    paid, unpaid = purchase(invoice_number="2026-000081"), purchase("created")
    answer = api.get(f"purchases/{paid.public_id}/invoice")
    assert (answer.status_code, answer["Content-Type"]) == (200, "application/pdf")
    assert answer["Content-Disposition"] == 'attachment; filename="invoice-2026-000081.pdf"'
    assert answer.content.startswith(b"%PDF-")
    numberless = purchase()
    for other in (unpaid, numberless):
        assert api.get(f"purchases/{other.public_id}/invoice").json()["code"] == "not_found", other.status
    assert api_of(bob).get(f"purchases/{paid.public_id}/invoice").json()["code"] == "not_found"


@pytest.mark.usefixtures("refund_window")
def test_a_refund_request_is_withdrawn_until_it_is_decided(api: Any, account: Account) -> None:
    opened = api.post("checkouts", {"pack": smallest_pack(), "currency": "usd"}, key="k").json()
    Buyer().pay(opened["url"])
    path = f"purchases/{opened['id']}/refund-requests"
    checkout.refresh_from_stripe(Purchase.objects.get(), timezone.now())
    assert api.post(path, {"reason": "-"}, key="r1").status_code == 201
    assert api.delete(path).status_code == 204
    again = api.delete(path)
    assert (again.status_code, again.json()["code"]) == (409, "already_decided")
    assert api.post(path, {"reason": "-"}, key="r2").status_code == 201, "another may follow"
    refunds = api.get(f"purchases/{opened['id']}").json()["refunds"]
    assert sorted(refund["status"] for refund in refunds) == ["requested", "withdrawn"]


def test_a_plan_is_paused_and_goes_on(api: Any, starter: Subscription) -> None:
    refused = api.post("subscription/pause", {"months": 1})
    assert (refused.status_code, refused.json()["code"]) == (409, "cannot_pause"), "the catalogue decides"
    change_policies(pause={"most_months": 2})
    for months in (0, 13, "1", None):
        assert api.post("subscription/pause", {"months": months}).status_code == 400
    paused, again = (api.post("subscription/pause", {"months": 2}, key="p") for _ in range(2))
    assert (paused.status_code, again.content, again["Idempotent-Replayed"]) == (200, paused.content, "true")
    starter.refresh_from_db()
    assert starter.paused_until is not None and starter.period_end is not None
    assert paused.json()["paused_until"] == starter.paused_until.isoformat().replace("+00:00", "Z")
    assert starter.paused_until > starter.period_end + timedelta(days=50)
    ended = api.post("subscription/unpause", {}).json()
    assert (ended["paused_until"], ended["state"]) == (None, "active")
    assert api.post("subscription/unpause", {}).json()["code"] == "not_paused"
