"""A failed automatic top-up is tried again, suspended or confirmed by the cardholder, as its decline asks."""

import uuid
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from accounts.models import Account, User
from billing import selectors, stripe_gateway
from billing.models import AutoTopUp, BillingProfile, Mail, Purchase, StripeEvent
from billing.purchases import auto_top_up
from tests.billing import stripe_sandbox
from tests.billing.conftest import smallest_pack
from tests.billing.purchases.conftest import bought, decline_saved_card
from tests.billing.stripe_sandbox import SITE
from tests.sandbox.conftest import Buyer

pytestmark = pytest.mark.django_db


@pytest.mark.requirement("APIN-08")
def test_soft_declines_pause_it_longer_each_time_and_the_fourth_suspends_it_until_a_card_is_saved(
    enable: Callable[..., AutoTopUp], account: Account, later: Callable[..., Any]
) -> None:
    enable(card="chargeCustomerFail")
    for hours, not_yet in ((0, 0), (2, 7), (9, 32), (34, 90)):
        assert auto_top_up.buy_if_low(account.pk, later(hours=hours)) == "declined"
        assert auto_top_up.buy_if_low(account.pk, later(hours=not_yet)) in {"declined", "suspended"}
    assert auto_top_up.buy_if_low(account.pk, later(days=30)) == "suspended"
    assert (bought("failed"), bought("paid")) == (4, 0)
    emails = Mail.objects.filter(template="top_up_failed").order_by("pk")
    pauses = [(mail.context["hours"], mail.context["paused"]) for mail in emails]
    assert pauses == [(1, False), (6, False), (24, False), (24, True)]

    stripe_sandbox.save_card(account)
    assert auto_top_up.buy_if_low(account.pk, later(days=31)) == "paid"


@pytest.mark.fault("P16")
@pytest.mark.parametrize("decline", ["lost_card", "stolen_card", "expired_card"])
def test_a_decline_that_another_attempt_cannot_change_suspends_it_at_once(
    enable: Callable[..., AutoTopUp], account: Account, later: Callable[..., Any], decline: str
) -> None:
    enable()
    decline_saved_card(account, decline)

    assert auto_top_up.buy_if_low(account.pk, timezone.now()) == "suspended"
    assert auto_top_up.buy_if_low(account.pk, later(days=2)) == "suspended"

    assert bought("failed") == 1
    [email] = Mail.objects.filter(template="top_up_failed")
    assert email.context["paused"]


@pytest.mark.fault("P16")
def test_a_required_authentication_suspends_it_without_a_retry(
    enable: Callable[..., AutoTopUp], account: Account, later: Callable[..., Any]
) -> None:
    enable(card="authenticationRequired")

    assert auto_top_up.buy_if_low(account.pk, timezone.now()) == "authenticate"
    assert auto_top_up.buy_if_low(account.pk, later(days=2)) == "authenticate"

    assert bought("failed") == 1
    assert Mail.objects.filter(template="top_up_authenticate").count() == 1


@pytest.mark.fault("P16")
def test_the_payment_that_needs_authentication_is_confirmed_on_the_page_and_top_ups_resume(
    enable: Callable[..., AutoTopUp],
    account: Account,
    alice: User,
    signed_in: Callable[[User], Client],
    balance: Callable[[], Decimal],
) -> None:
    enable(card="authenticationRequired")
    auto_top_up.buy_if_low(account.pk, timezone.now())
    before = balance()
    browser, bank = signed_in(alice), Buyer()
    assert "Confirm payment" in browser.get("/billing/auto-top-up/").content.decode()

    for decision, message in (("fail", "was not confirmed"), ("pass", "Payment confirmed")):
        url = browser.post("/billing/auto-top-up/confirm/", {"key": str(uuid.uuid4())})["Location"]
        bank.open(url)
        bank.submit(url, decision=decision)
        assert message in browser.get(bank.redirect.removeprefix(SITE), follow=True).content.decode()

    purchase = Purchase.objects.get()
    assert (purchase.status, balance() - before) == ("paid", purchase.credits)
    settings = AutoTopUp.objects.get()
    assert (settings.failures, settings.suspended_card, settings.payment_to_confirm) == (0, "", "")


def test_a_confirmed_payment_known_only_from_its_event_resumes_top_ups(
    enable: Callable[..., AutoTopUp],
    account: Account,
    events: Callable[..., list[dict[str, Any]]],
    process_event: Callable[..., StripeEvent],
) -> None:
    enable(card="authenticationRequired")
    auto_top_up.buy_if_low(account.pk, timezone.now())
    now, bank = timezone.now(), Buyer()
    url = auto_top_up.confirm_failed_payment(account.pk, key="1", now=now)
    bank.open(str(url))
    bank.submit(str(url), decision="pass")

    for event in events("payment_intent.payment_failed", "payment_intent.succeeded"):
        process_event(event)

    assert (bought(), AutoTopUp.objects.get().suspended_card) == (1, "")
    assert auto_top_up.refresh_confirmed_payment(account.pk, now)
    assert auto_top_up.confirm_failed_payment(account.pk, key="2", now=now) is None


def test_saving_the_same_card_again_resumes_suspended_top_ups(
    enable: Callable[..., AutoTopUp], account: Account, alice: User, signed_in: Callable[[User], Client]
) -> None:
    enable(card="authenticationRequired")
    auto_top_up.buy_if_low(account.pk, timezone.now())
    browser, buyer = signed_in(alice), Buyer()

    buyer.pay(browser.post("/billing/card/", {"key": str(uuid.uuid4())})["Location"], "4000 0027 6000 3184")
    url = buyer.redirect
    buyer.open(url)
    buyer.submit(url, decision="pass")
    browser.get(buyer.redirect.removeprefix(SITE), follow=True)

    settings = AutoTopUp.objects.get()
    assert (settings.failures, settings.suspended_card, settings.last_outcome) == (0, "", "")
    assert auto_top_up.buy_if_low(account.pk, timezone.now()) == "authenticate"
    assert bought("failed") == 2


def test_a_card_that_was_detached_unnoticed_is_forgotten_and_does_not_count_as_a_failure(
    enable: Callable[..., AutoTopUp], account: Account, later: Callable[..., Any], stripe_api: Any
) -> None:
    enable()
    stripe_api.payment_methods.detach(selectors.profile_of(account.pk).card_id)

    assert auto_top_up.buy_if_low(account.pk, timezone.now()) == "no_card"
    assert auto_top_up.buy_if_low(account.pk, later(minutes=5)) == "no_card"

    assert (bought("failed"), AutoTopUp.objects.get().failures) == (1, 0)
    assert not selectors.profile_of(account.pk).card_id
    assert list(Mail.objects.values_list("template", flat=True)) == ["top_up_card_removed"]

    stripe_sandbox.save_card(account)
    assert auto_top_up.buy_if_low(account.pk, later(minutes=10)) == "paid"


def test_another_card_is_tried_after_the_pause_when_the_first_one_was_removed_unnoticed(
    enable: Callable[..., AutoTopUp], account: Account, later: Callable[..., Any], stripe_api: Any
) -> None:
    enable()
    removed = selectors.profile_of(account.pk).card_id
    saved = stripe_sandbox.save_card(account, "mastercard")
    BillingProfile.objects.update(card_id=removed)
    stripe_api.payment_methods.detach(removed)

    assert auto_top_up.buy_if_low(account.pk, timezone.now()) == "cooling"
    assert selectors.profile_of(account.pk).card_id == saved
    assert auto_top_up.buy_if_low(account.pk, later(minutes=5)) == "paid"


def test_a_request_that_stripe_refuses_counts_as_a_failure_of_the_card_that_is_still_saved(
    enable: Callable[..., AutoTopUp], account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    enable()

    def refuse(**_request: Any) -> None:
        raise stripe_gateway.InvalidRequest("Amount must convert to at least 50 cents.")

    monkeypatch.setattr(stripe_gateway, "create_off_session_payment", refuse)

    assert auto_top_up.buy_if_low(account.pk, timezone.now()) == "declined"

    assert (bought("failed"), AutoTopUp.objects.get().failures) == (1, 1)
    [email] = Mail.objects.all()
    assert (email.template, email.context["paused"], email.context["hours"]) == ("top_up_failed", False, 1)
    assert email.context["error"] == "Amount must convert to at least 50 cents."


@pytest.mark.fault("P16")
@pytest.mark.parametrize(
    ("code", "outcome", "suspended", "template"),
    [
        ("authentication_required", "authenticate", True, "top_up_authenticate"),
        ("card_declined", "declined", False, "top_up_failed"),
    ],
)
def test_a_failure_known_only_from_its_event_is_counted_and_notified_once(
    enable: Callable[..., AutoTopUp],
    account: Account,
    process_event: Callable[..., StripeEvent],
    code: str,
    outcome: str,
    suspended: bool,
    template: str,
) -> None:
    enable(attempt_card="pm_charged")  # another card was saved since
    settings, now = AutoTopUp.objects.get(), timezone.now()
    purchase = Purchase.objects.create(
        account=account,
        kind="pack",
        origin="auto_top_up",
        offer=smallest_pack(),
        label="Pack",
        credits=100,
        amount=500,
        list_amount=500,
        currency="usd",
        idempotency_key="auto:1",
        created_at=now,
    )
    intent = {
        "id": "pi_x",
        "status": "requires_payment_method",
        "currency": "usd",
        "metadata": {"purchase": purchase.public_id, "account": account.public_id},
        "last_payment_error": {"code": code, "message": "no"},
    }
    event = {
        "type": "payment_intent.payment_failed",
        "created": int(now.timestamp()),
        "data": {"object": intent},
    }

    assert [process_event({"id": f"evt_{n}", **event}).state for n in range(2)] == ["done", "done"]

    settings.refresh_from_db()
    assert (settings.failures, settings.last_outcome) == (1, outcome)
    assert settings.payment_to_confirm == ("pi_x" if outcome == "authenticate" else "")
    assert settings.suspended_card == ("pm_charged" if suspended else "")
    assert list(Mail.objects.values_list("template", flat=True)) == [template]
