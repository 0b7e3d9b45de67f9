"""Automatic top-up: it buys once, stays within its ceilings, and stops rather than loop."""

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
from billing.models import AutoTopUp, Mail, Purchase
from billing.payments import cards
from billing.purchases import auto_top_up
from tests.billing.conftest import smallest_pack
from tests.billing.stripe_sandbox import SITE
from tests.sandbox.conftest import Buyer

pytestmark = pytest.mark.django_db


@pytest.fixture
def wish(stripe_world: Any, account: Account) -> Callable[..., AutoTopUp]:
    """Switch it on with a saved test card: `wish(card="visa")`; the balance is far below the threshold."""

    def make(card: str = "visa", **given: Any) -> AutoTopUp:
        customer = cards.ensure_customer(account)
        method = stripe_world.payment_methods.attach(f"pm_card_{card}", {"customer": customer})
        cards.save_card(account.pk, stripe_gateway.to_plain(method))
        facts: dict[str, Any] = {"enabled": True, "below": Decimal(500), "pack": smallest_pack()}
        facts |= {"currency": "usd", "monthly_amount": 100_000, "monthly_count": 3}
        return AutoTopUp.objects.create(account=account, **facts | given)

    return make


def bought(status: str = "paid") -> int:
    return Purchase.objects.filter(origin="auto_top_up", status=status).count()


@pytest.mark.requirement("APIN-08")
def test_it_buys_the_pack_with_the_saved_card_when_credits_run_low(
    wish: Callable[..., AutoTopUp], account: Account, balance: Callable[[], Decimal]
) -> None:
    before = balance()
    wish()

    assert auto_top_up.buy_if_low(account.pk, timezone.now()) == AutoTopUp.Outcome.PAID

    purchase = Purchase.objects.get()
    assert (purchase.status, purchase.origin) == ("paid", "auto_top_up")
    assert balance() == before + purchase.credits


def test_it_does_nothing_above_the_threshold_or_when_switched_off(
    wish: Callable[..., AutoTopUp], account: Account
) -> None:
    row = wish(below=Decimal(1))
    assert auto_top_up.buy_if_low(account.pk, timezone.now()) == ""
    AutoTopUp.objects.filter(pk=row.pk).update(enabled=False, below=500)
    assert auto_top_up.buy_if_low(account.pk, timezone.now()) == ""
    assert not Purchase.objects.exists()


@pytest.mark.fault("P16")
def test_it_rests_after_a_payment_and_keeps_both_ceilings(
    noon: None, wish: Callable[..., AutoTopUp], account: Account, later: Callable[..., Any]
) -> None:
    wish(below=Decimal(10**6), monthly_count=2)
    assert auto_top_up.buy_if_low(account.pk, timezone.now()) == "paid"
    assert auto_top_up.buy_if_low(account.pk, timezone.now()) == "cooling"
    assert auto_top_up.buy_if_low(account.pk, later(minutes=1)) == "paid"
    assert auto_top_up.buy_if_low(account.pk, later(minutes=2)) == "ceiling_count"

    price = Purchase.objects.all()[0].amount
    AutoTopUp.objects.update(monthly_count=9, monthly_amount=price * 3 - 1)
    assert auto_top_up.buy_if_low(account.pk, later(minutes=3)) == "ceiling_money"
    assert bought() == 2


@pytest.mark.requirement("APIN-08")
def test_a_decline_stops_it_tells_the_owner_and_three_suspend_it_until_the_card_changes(
    wish: Callable[..., AutoTopUp], account: Account, later: Callable[..., Any], stripe_world: Any
) -> None:
    wish(card="chargeCustomerFail")
    for hours in (0, 2, 4):
        assert auto_top_up.buy_if_low(account.pk, later(hours=hours)) == "declined"
        assert auto_top_up.buy_if_low(account.pk, later(hours=hours, minutes=5)) in {"declined", "suspended"}
    assert auto_top_up.buy_if_low(account.pk, later(hours=30)) == "suspended"
    assert (bought("failed"), bought("paid")) == (3, 0)
    assert Mail.objects.filter(template="top_up_failed").count() == 3

    method = stripe_world.payment_methods.attach("pm_card_visa", {"customer": cards.ensure_customer(account)})
    cards.save_card(account.pk, stripe_gateway.to_plain(method))
    assert auto_top_up.buy_if_low(account.pk, later(hours=31)) == "paid"


@pytest.mark.fault("P16")
def test_a_bank_that_asks_for_the_person_pauses_it_and_writes_no_blind_retry(
    wish: Callable[..., AutoTopUp], account: Account, later: Callable[..., Any]
) -> None:
    wish(card="authenticationRequired")

    assert auto_top_up.buy_if_low(account.pk, timezone.now()) == "authenticate"
    assert auto_top_up.buy_if_low(account.pk, later(days=2)) == "authenticate"

    assert bought("failed") == 1
    [mail] = Mail.objects.filter(template="top_up_authenticate")
    assert mail.context["pack"] == smallest_pack()


@pytest.mark.fault("P17")
def test_an_answer_that_is_lost_is_asked_for_again_with_the_same_key(
    wish: Callable[..., AutoTopUp],
    account: Account,
    later: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
    stripe_world: Any,
) -> None:
    wish()
    real = stripe_gateway.create_off_session_payment

    def charged_and_lost(**given: Any) -> Any:
        real(**given)
        raise stripe_gateway.StripeUnavailable("timed out")

    with monkeypatch.context() as patch:
        patch.setattr(stripe_gateway, "create_off_session_payment", charged_and_lost)
        assert auto_top_up.buy_if_low(account.pk, timezone.now()) == "unreachable"
    assert auto_top_up.buy_if_low(account.pk, timezone.now() + timedelta(seconds=5)) == "pending"
    assert auto_top_up.buy_if_low(account.pk, later(minutes=2)) == "paid"

    assert len(stripe_world.payment_intents.list({}).data) == 1
    assert Purchase.objects.get().status == "paid"


def test_a_card_is_saved_on_stripes_page_and_shown_at_once(
    stripe_world: Any, account: Account, alice: User, charlie: User, signed_in: Callable[[User], Client]
) -> None:
    browser = signed_in(alice)
    answer = browser.post("/billing/card/", {"key": str(uuid.uuid4())})
    assert answer.status_code == 303
    buyer = Buyer()
    buyer.pay(answer["Location"])
    back = buyer.redirect.removeprefix(SITE)

    assert "4242" in browser.get(back, follow=True).content.decode()
    assert selectors.profile_of(account.pk).card_last4 == "4242"
    signed_in(charlie).get(back)  # the session of another account saves nothing
    assert not selectors.profile_of(Account.objects.get(person=charlie).pk).card_id


def test_the_page_suggests_settings_that_can_be_saved(
    wish: Callable[..., AutoTopUp], account: Account, alice: User, signed_in: Callable[[User], Client]
) -> None:
    wish()
    AutoTopUp.objects.all().delete()
    browser = signed_in(alice)
    form = browser.get("/billing/auto-top-up/").context["form"]

    saved = browser.post("/billing/auto-top-up/", {**form.initial, "enabled": "on"})

    assert saved.status_code == 302
    assert AutoTopUp.objects.get().monthly_count == 3


def test_without_a_card_it_says_so(stripe_world: Any, account: Account) -> None:
    AutoTopUp.objects.create(
        account=account, enabled=True, below=500, pack=smallest_pack(), currency="usd", monthly_amount=10**6
    )
    assert auto_top_up.buy_if_low(account.pk, timezone.now()) == "no_card"
    assert AutoTopUp.objects.get().last_outcome == "no_card"


def test_looking_at_all_finds_those_who_run_low(wish: Callable[..., AutoTopUp], account: Account) -> None:
    wish()
    assert auto_top_up.buy_for_low_accounts(timezone.now()) == 1
    assert bought() == 1


def test_settings_that_could_never_buy_are_refused(account: Account) -> None:
    from pricing.catalogue import cache as catalogue_cache
    from pricing.models import Catalogue

    row = Catalogue.objects.get()
    row.policies["auto_top_up"] = {"largest_monthly_packs": 5, "assumed": False, "reason": ""}
    row.save(update_fields=["policies"])
    catalogue_cache.changed()

    def refused(**given: Any) -> str:
        facts: dict[str, Any] = {"enabled": True, "below": Decimal(1), "pack": smallest_pack(), "user": None}
        facts |= {"currency": "usd", "monthly_amount": 10**6, "monthly_count": 2}
        with pytest.raises(auto_top_up.SettingsInvalid) as refusal:
            auto_top_up.change_settings(account_id=account.pk, now=timezone.now(), **facts | given)
        return refusal.value.field

    assert refused(monthly_amount=1) == "monthly_amount"
    assert refused(monthly_count=6) == "monthly_count"
    assert refused(pack="nothing") == "pack"
    assert refused(currency="xxx") == "currency"
    assert ledger.balance(account.pk, timezone.now()).total >= 0
