"""Automatic top-up buys once, stays within its limits and pauses after failures."""

import uuid
from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from accounts.models import Account, User
from billing import ledger, selectors, stripe_gateway
from billing.models import AutoTopUp, Mail, Purchase, StripeEvent
from billing.payments import cards
from billing.purchases import auto_top_up
from tests.billing.conftest import change_policies, smallest_pack
from tests.billing.stripe_sandbox import SITE
from tests.sandbox.conftest import Buyer

pytestmark = pytest.mark.django_db


@pytest.fixture
def enable(stripe_api: Any, account: Account) -> Callable[..., AutoTopUp]:
    """Save a test card and enable it, with a threshold above the balance: `enable(card="visa")`."""

    def make(card: str = "visa", **changes: Any) -> AutoTopUp:
        customer = cards.ensure_customer(account)
        method = stripe_api.payment_methods.attach(f"pm_card_{card}", {"customer": customer})
        cards.save_card(account.pk, stripe_gateway.to_plain(method))
        settings: dict[str, Any] = {"enabled": True, "below": Decimal(500), "pack": smallest_pack()}
        settings |= {"currency": "usd", "monthly_amount": 100_000, "monthly_count": 3}
        return AutoTopUp.objects.create(account=account, **settings | changes)

    return make


def bought(status: str = "paid") -> int:
    return Purchase.objects.filter(origin="auto_top_up", status=status).count()


@pytest.mark.requirement("APIN-08")
def test_it_buys_the_pack_with_the_saved_card_when_credits_run_low(
    enable: Callable[..., AutoTopUp], account: Account, balance: Callable[[], Decimal]
) -> None:
    before = balance()
    enable()

    assert auto_top_up.buy_if_low(account.pk, timezone.now()) == AutoTopUp.Outcome.PAID

    purchase = Purchase.objects.get()
    assert (purchase.status, purchase.origin) == ("paid", "auto_top_up")
    assert balance() == before + purchase.credits


def test_nothing_is_bought_above_the_threshold_or_when_disabled(
    enable: Callable[..., AutoTopUp], account: Account
) -> None:
    settings = enable(below=Decimal(1))
    assert auto_top_up.buy_if_low(account.pk, timezone.now()) == ""
    AutoTopUp.objects.filter(pk=settings.pk).update(enabled=False, below=500)
    assert auto_top_up.buy_if_low(account.pk, timezone.now()) == ""
    assert not Purchase.objects.exists()


@pytest.mark.fault("P16")
def test_it_pauses_after_a_payment_and_keeps_both_monthly_limits(
    noon: None, enable: Callable[..., AutoTopUp], account: Account, later: Callable[..., Any]
) -> None:
    enable(below=Decimal(10**6), monthly_count=2)
    assert auto_top_up.buy_if_low(account.pk, timezone.now()) == "paid"
    assert auto_top_up.buy_if_low(account.pk, timezone.now()) == "cooling"
    assert auto_top_up.buy_if_low(account.pk, later(minutes=1)) == "paid"
    assert auto_top_up.buy_if_low(account.pk, later(minutes=2)) == "ceiling_count"

    price = Purchase.objects.all()[0].amount
    AutoTopUp.objects.update(monthly_count=9, monthly_amount=price * 3 - 1)
    assert auto_top_up.buy_if_low(account.pk, later(minutes=3)) == "ceiling_money"
    assert bought() == 2


@pytest.mark.requirement("APIN-08")
def test_a_decline_pauses_it_and_notifies_the_owner_and_three_suspend_it_until_the_card_changes(
    enable: Callable[..., AutoTopUp], account: Account, later: Callable[..., Any], stripe_api: Any
) -> None:
    enable(card="chargeCustomerFail")
    for hours in (0, 2, 4):
        assert auto_top_up.buy_if_low(account.pk, later(hours=hours)) == "declined"
        assert auto_top_up.buy_if_low(account.pk, later(hours=hours, minutes=5)) in {"declined", "suspended"}
    assert auto_top_up.buy_if_low(account.pk, later(hours=30)) == "suspended"
    assert (bought("failed"), bought("paid")) == (3, 0)
    assert Mail.objects.filter(template="top_up_failed").count() == 3

    method = stripe_api.payment_methods.attach("pm_card_visa", {"customer": cards.ensure_customer(account)})
    cards.save_card(account.pk, stripe_gateway.to_plain(method))
    assert auto_top_up.buy_if_low(account.pk, later(hours=31)) == "paid"


@pytest.mark.fault("P16")
def test_a_required_authentication_suspends_it_without_a_retry(
    enable: Callable[..., AutoTopUp], account: Account, later: Callable[..., Any]
) -> None:
    enable(card="authenticationRequired")

    assert auto_top_up.buy_if_low(account.pk, timezone.now()) == "authenticate"
    assert auto_top_up.buy_if_low(account.pk, later(days=2)) == "authenticate"

    assert bought("failed") == 1
    [email] = Mail.objects.filter(template="top_up_authenticate")
    assert email.context["pack"] == smallest_pack()


@pytest.mark.fault("P17")
def test_a_payment_whose_response_was_lost_is_retried_with_the_same_key(
    enable: Callable[..., AutoTopUp],
    account: Account,
    later: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
    stripe_api: Any,
) -> None:
    enable()
    create_payment = stripe_gateway.create_off_session_payment

    def lose_response(**arguments: Any) -> Any:
        create_payment(**arguments)
        raise stripe_gateway.StripeUnavailable("timed out")

    with monkeypatch.context() as patch:
        patch.setattr(stripe_gateway, "create_off_session_payment", lose_response)
        assert auto_top_up.buy_if_low(account.pk, timezone.now()) == "unreachable"
    assert auto_top_up.buy_if_low(account.pk, timezone.now() + timedelta(seconds=5)) == "pending"
    assert auto_top_up.buy_if_low(account.pk, later(minutes=2)) == "paid"

    assert len(stripe_api.payment_intents.list({}).data) == 1
    assert Purchase.objects.get().status == "paid"


def test_a_card_is_saved_on_stripes_page_and_shown_at_once(
    stripe_api: Any, account: Account, alice: User, charlie: User, signed_in: Callable[[User], Client]
) -> None:
    browser = signed_in(alice)
    response = browser.post("/billing/card/", {"key": str(uuid.uuid4())})
    assert response.status_code == 303
    buyer = Buyer()
    buyer.pay(response["Location"])
    return_url = buyer.redirect.removeprefix(SITE)

    assert "4242" in browser.get(return_url, follow=True).content.decode()
    assert selectors.profile_of(account.pk).card_last4 == "4242"
    signed_in(charlie).get(return_url)  # the session of another account saves nothing
    assert not selectors.profile_of(Account.objects.get(person=charlie).pk).card_id


def test_the_page_suggests_settings_that_can_be_saved(
    enable: Callable[..., AutoTopUp], account: Account, alice: User, signed_in: Callable[[User], Client]
) -> None:
    enable()
    AutoTopUp.objects.all().delete()
    browser = signed_in(alice)
    form = browser.get("/billing/auto-top-up/").context["form"]

    saved = browser.post("/billing/auto-top-up/", {**form.initial, "enabled": "on"})

    assert saved.status_code == 302
    assert AutoTopUp.objects.get().monthly_count == 3


def test_without_a_card_the_outcome_is_no_card(stripe_api: Any, account: Account) -> None:
    AutoTopUp.objects.create(
        account=account, enabled=True, below=500, pack=smallest_pack(), currency="usd", monthly_amount=10**6
    )
    assert auto_top_up.buy_if_low(account.pk, timezone.now()) == "no_card"
    assert AutoTopUp.objects.get().last_outcome == "no_card"


def test_the_scheduled_check_buys_for_accounts_below_their_threshold(
    enable: Callable[..., AutoTopUp], account: Account
) -> None:
    enable()
    assert auto_top_up.buy_for_low_accounts(timezone.now()) == 1
    assert bought() == 1


def test_settings_that_can_never_buy_are_refused(account: Account) -> None:
    change_policies(auto_top_up={"largest_monthly_packs": 5, "assumed": False, "reason": ""})

    def refused_field(**changes: Any) -> str:
        settings: dict[str, Any] = {
            "enabled": True,
            "below": Decimal(1),
            "pack": smallest_pack(),
            "user": None,
        }
        settings |= {"currency": "usd", "monthly_amount": 10**6, "monthly_count": 2}
        with pytest.raises(auto_top_up.SettingsInvalid) as refusal:
            auto_top_up.change_settings(account_id=account.pk, now=timezone.now(), **settings | changes)
        return refusal.value.field

    assert refused_field(monthly_amount=1) == "monthly_amount"
    assert refused_field(monthly_count=6) == "monthly_count"
    assert refused_field(pack="nothing") == "pack"
    assert refused_field(currency="xxx") == "currency"
    assert ledger.balance(account.pk, timezone.now()).total >= 0


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
    settings, now = enable(), timezone.now()
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
    event = {"type": "payment_intent.payment_failed", "created": now.timestamp(), "data": {"object": intent}}

    assert [process_event({"id": f"evt_{n}", **event}).state for n in range(2)] == ["done", "done"]

    settings.refresh_from_db()
    assert (settings.failures, settings.last_outcome) == (1, outcome)
    assert bool(settings.suspended_card) == suspended
    assert list(Mail.objects.values_list("template", flat=True)) == [template]
