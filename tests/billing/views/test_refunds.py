"""The pages of refunds: request, withdrawal, when the money arrives and its reference."""

from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from accounts.models import User
from billing.models import Purchase, Refund
from billing.refunds import requests

pytestmark = pytest.mark.django_db
ARRIVAL = "Refunds usually arrive within 3 to 5 business days. Some banks take up to 10."


@pytest.fixture
def purchase(refund_window: None, paid_purchase: Callable[..., Purchase]) -> Purchase:
    return paid_purchase()


@pytest.fixture
def browser(alice: User, signed_in: Callable[[User], Client]) -> Client:
    return signed_in(alice)


def page(browser: Client, purchase: Purchase, tail: str = "") -> str:
    response = browser.get(f"/billing/purchases/{purchase.public_id}/{tail}")
    assert response.status_code == 200
    return str(response.content.decode())


@pytest.mark.requirement("APIN-16")
def test_a_request_is_withdrawn_and_another_may_follow(browser: Client, purchase: Purchase) -> None:
    url = f"/billing/purchases/{purchase.public_id}/refund/"
    assert ARRIVAL in page(browser, purchase, "refund/")
    browser.post(url, {"comment": "too many"})
    assert "Withdraw refund request" in page(browser, purchase)

    browser.post(f"{url}withdraw/")

    text = page(browser, purchase)
    assert "Refund request withdrawn" in text
    assert "Withdraw refund request" not in text
    assert Refund.objects.get().status == Refund.Status.WITHDRAWN
    browser.post(url, {"comment": "after all"})
    assert Refund.objects.filter(status=Refund.Status.REQUESTED).count() == 1
    text = page(browser, purchase)
    assert text.index("· Requested") < text.index("· Withdrawn"), "the newest first"


def test_a_withdrawn_request_cannot_be_approved_and_an_approved_one_not_withdrawn(
    browser: Client, purchase: Purchase
) -> None:
    first = requests.create(purchase=purchase, user=None, message="", now=timezone.now())
    requests.withdraw(purchase, timezone.now())
    with pytest.raises(requests.RefundRefused):
        requests.approve(first, actor="staff", reason="", now=timezone.now())

    second = requests.create(purchase=purchase, user=None, message="", now=timezone.now())
    requests.approve(second, actor="staff", reason="", now=timezone.now())
    browser.post(f"/billing/purchases/{purchase.public_id}/refund/withdraw/")
    assert "already decided or withdrawn" in page(browser, purchase)
    second.refresh_from_db()
    assert second.status == Refund.Status.DONE


@pytest.mark.fault("Z3")
def test_only_the_owner_of_the_purchase_withdraws(
    purchase: Purchase, bob: User, signed_in: Callable[[User], Client]
) -> None:
    requests.create(purchase=purchase, user=None, message="", now=timezone.now())
    response = signed_in(bob).post(f"/billing/purchases/{purchase.public_id}/refund/withdraw/")
    assert response.status_code == 404
    assert Refund.objects.get().status == Refund.Status.REQUESTED


@pytest.mark.requirement("APIN-16")
def test_a_refund_shows_when_the_money_arrives_and_its_reference(
    browser: Client,
    purchase: Purchase,
    stripe_api: Any,
    events: Callable[..., Any],
    process_event: Callable[..., Any],
) -> None:
    stripe_api.refunds.create({"payment_intent": purchase.stripe_payment_id})
    process_event(events("refund.created")[0])
    text = page(browser, purchase)
    assert ARRIVAL in text
    assert "appears here within 7 business days" in text

    refund = Refund.objects.get()
    browser.post(f"/sandbox/objects/{refund.stripe_refund_id}/act", {"action": "reference"})
    process_event(events("refund.updated")[-1])

    refund.refresh_from_db()
    assert len(refund.reference) == 23
    assert f"Your bank can find it by the reference {refund.reference}." in page(browser, purchase)


def test_a_refunded_purchase_says_so_and_names_its_payment_method(
    browser: Client, purchase: Purchase, alice: User
) -> None:
    assert "· Card" in page(browser, purchase)
    refund = requests.create(purchase=purchase, user=alice, message="", now=timezone.now())
    requests.approve(refund, actor="staff@example.org", reason="fine", now=timezone.now())

    text = page(browser, purchase)

    assert "This purchase has been refunded." in text and "have been spent" not in text
    history = browser.get("/history/").content.decode()
    assert ">Support<" in history and "staff@example.org" not in history
