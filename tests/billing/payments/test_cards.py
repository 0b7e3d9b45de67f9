"""The card that is saved pays the plan and automatic top-ups; the page shows the card that Stripe charges."""

import uuid
from collections.abc import Callable
from datetime import datetime
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from accounts.models import Account, User
from billing import offers, selectors, stripe_gateway
from billing.models import AutoTopUp, BillingProfile, Mail, Subscription
from billing.notifications import card_expiry
from billing.payments import cards, customers
from billing.stripe_gateway import StripeError
from billing.webhooks import reconciliation
from sandbox import calls, store
from sandbox.objects import invoices, payment_methods, subscription_states
from tests.billing import stripe_sandbox
from tests.billing.conftest import smallest_pack
from tests.billing.payments.conftest import MASTERCARD, complete_setup_page, save
from tests.billing.stripe_sandbox import SITE
from tests.sandbox.conftest import Buyer

pytestmark = pytest.mark.django_db


def charged(account: Account) -> tuple[str, str]:
    """The last digits of the cards that the page shows: the plan's and that of automatic top-ups."""
    profile = selectors.profile_of(account.pk)
    return profile.plan_card_last4, profile.card_last4


def charged_at_stripe(stripe_api: Any, plan: Subscription) -> str:
    """The last digits of the card that Stripe charges for the plan's next invoice."""
    subscription = store.get("subscription", str(plan.stripe_subscription_id))
    draft = invoices.new(
        calls.Call(now=0),
        store.get("customer", subscription["customer"]),
        lines=[],
        reason="subscription_cycle",
        subscription=subscription,
    )
    method = invoices._default_method(draft)
    return str(method["card"]["last4"]) if method else ""


@pytest.mark.fault("P26")
def test_the_card_of_the_plans_checkout_pays_the_plan_and_can_pay_top_ups(
    account: Account, plan: Subscription, stripe_api: Any
) -> None:
    assert charged(account) == ("4242", "4242")
    assert charged_at_stripe(stripe_api, plan) == "4242"


@pytest.mark.fault("P26")
def test_a_card_saved_on_the_page_pays_the_plan_and_top_ups_at_once(
    account: Account, plan: Subscription, stripe_api: Any, alice: User, signed_in: Callable[[User], Client]
) -> None:
    browser, buyer = signed_in(alice), Buyer()
    buyer.pay(browser.post("/billing/card/", {"key": str(uuid.uuid4())})["Location"], MASTERCARD)

    page = browser.get(buyer.redirect.removeprefix(SITE), follow=True).content.decode()

    assert "Mastercard ending in 4444 saved" in page and "Pays your plan and automatic top-ups" in page
    assert "4242" not in page
    assert charged(account) == ("4444", "4444")
    assert charged_at_stripe(stripe_api, plan) == "4444"


@pytest.mark.parametrize("has_plan", [True, False])
def test_a_saved_card_is_said_to_pay_a_plan_only_if_there_is_one(
    account: Account,
    alice: User,
    signed_in: Callable[[User], Client],
    request: pytest.FixtureRequest,
    has_plan: bool,
) -> None:
    request.getfixturevalue("plan" if has_plan else "stripe_api")
    browser, buyer = signed_in(alice), Buyer()
    buyer.pay(browser.post("/billing/card/", {"key": str(uuid.uuid4())})["Location"], MASTERCARD)
    page = browser.get(buyer.redirect.removeprefix(SITE), follow=True).content.decode()
    assert "Mastercard ending in 4444 saved." in page
    assert ("It pays your plan and automatic top-ups from now on." in page) == has_plan


def test_a_card_saved_before_cards_were_stored_pays_the_plan(
    account: Account, plan: Subscription, stripe_api: Any
) -> None:
    BillingProfile.objects.update(cards_version=0, default_method_id="", plan_card_id="", card_id="")
    save(account)
    assert charged(account) == ("4444", "4444")
    assert charged_at_stripe(stripe_api, plan) == "4444"


@pytest.mark.fault("P26", "P6")
@pytest.mark.parametrize("shuffled", [False, True])
def test_a_card_saved_while_the_return_page_was_never_reached_is_completed_by_events(
    account: Account, plan: Subscription, stripe_api: Any, process_new_events: Any, shuffled: bool
) -> None:
    complete_setup_page(account)

    process_new_events(shuffled=shuffled)
    process_new_events()  # the events of the two defaults that the first ones set

    assert charged(account) == ("4444", "4444")
    assert charged_at_stripe(stripe_api, plan) == "4444"


@pytest.mark.fault("P26", "P7")
@pytest.mark.parametrize("call", ["set_default_payment_method", "set_subscription_payment_method"])
@pytest.mark.parametrize("arrived", [False, True])
def test_a_process_that_dies_between_the_two_defaults_is_completed_by_reconciliation(
    account: Account,
    plan: Subscription,
    stripe_api: Any,
    monkeypatch: pytest.MonkeyPatch,
    call: str,
    arrived: bool,
) -> None:
    AutoTopUp.objects.create(
        account=account,
        suspended_card="pm_failed",
        failures=4,
        payment_to_confirm="pi_1",
        last_outcome="failed",
        last_tried_at=timezone.now(),
    )
    session = complete_setup_page(account)
    send = getattr(stripe_gateway, call)

    def die(**arguments: Any) -> None:
        if arrived:
            send(**arguments)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(stripe_gateway, call, die)
        cards.save_card_from_session(account, session, timezone.now())

    reconciliation.run(timezone.now())

    assert charged(account) == ("4444", "4444")
    assert charged_at_stripe(stripe_api, plan) == "4444"
    paused = ("suspended_card", "payment_to_confirm", "last_outcome", "failures", "last_tried_at")
    assert AutoTopUp.objects.values_list(*paused).get() == ("", "", "", 0, None)


def test_reconciliation_fetches_the_cards_of_plans_that_were_paid_before_cards_were_stored(
    account: Account, plan: Subscription
) -> None:
    BillingProfile.objects.update(cards_version=0, plan_card_id="", plan_card_last4="", card_last4="")

    reconciliation.run(timezone.now())

    assert charged(account) == ("4242", "4242")


@pytest.mark.fault("P26")
@pytest.mark.parametrize(
    ("before", "pays_the_plan"),
    [
        ({}, "4444"),
        ({"cards_version": 0, "default_method_id": "pm_earlier"}, "4444"),  # as an earlier release left it
        ({"cards_version": 0}, "4242"),  # the default may be older than the plan's own card
    ],
)
def test_a_default_chosen_in_stripes_portal_pays_the_plan_too(
    account: Account,
    plan: Subscription,
    stripe_api: Any,
    process_new_events: Any,
    before: dict[str, Any],
    pays_the_plan: str,
) -> None:
    portal, buyer = cards.portal_url(account), Buyer()
    BillingProfile.objects.update(**before)
    buyer.pay(f"{portal}/card", MASTERCARD)

    process_new_events()
    process_new_events()

    assert charged(account) == (pays_the_plan, "4444")
    assert charged_at_stripe(stripe_api, plan) == pays_the_plan


def test_a_card_chosen_for_the_subscription_alone_is_shown_beside_that_of_top_ups(
    account: Account,
    plan: Subscription,
    stripe_api: Any,
    process_new_events: Any,
    alice: User,
    signed_in: Callable[[User], Client],
) -> None:
    save(account)
    other = stripe_api.payment_methods.attach(
        "pm_card_amex", {"customer": customers.ensure_customer(account)}
    )
    stripe_api.subscriptions.update(plan.stripe_subscription_id, {"default_payment_method": other.id})

    process_new_events()

    assert charged(account) == ("0005", "4444")
    page = signed_in(alice).get("/billing/").content.decode()
    assert "0005" in page and "4444" in page


def test_an_event_of_an_older_setup_does_not_bring_the_older_card_back(
    account: Account, plan: Subscription, stripe_api: Any, events: Any, process_event: Any
) -> None:
    save(account)
    [older] = [e for e in events("checkout.session.completed") if e["data"]["object"]["mode"] == "setup"]
    process_event(older)
    newest = stripe_sandbox.save_card(account, "amex")

    cards.record_setup(cards.fetch_setup(older["data"]["object"]), timezone.now())

    assert selectors.profile_of(account.pk).card_id == newest


@pytest.mark.parametrize(("later", "is_used"), [(1, True), (0, True), (-1, False)])
def test_of_two_setups_the_newer_one_is_used_and_of_one_second_the_one_that_is_recorded_last(
    account: Account, stripe_api: Any, later: int, is_used: bool
) -> None:
    used = []
    for number, session in enumerate([complete_setup_page(account) for _number in range(2)]):
        created = 1_800_000_000 + number * later
        store.save(store.get("checkout.session", session) | {"created": created})
        setup = store.get("setup_intent", store.get("checkout.session", session)["setup_intent"])
        saved = cards.save_card_from_session(account, session, timezone.now())
        used.append((bool(saved), selectors.profile_of(account.pk).card_id == setup["payment_method"]))
    assert used == [(True, True), (True, is_used)]


def test_a_setup_that_is_completed_late_ends_the_pause_of_its_card_once(
    account: Account, stripe_api: Any
) -> None:
    session = complete_setup_page(account)
    cards.fetch_setup(store.get("checkout.session", session))  # and the process dies
    cards.synchronize(account.pk, timezone.now())
    card = selectors.profile_of(account.pk).card_id
    AutoTopUp.objects.create(account=account, suspended_card=card, failures=4)

    for suspended in ("", card):  # a repeated session changes nothing
        assert cards.save_card_from_session(account, session, timezone.now())
        assert AutoTopUp.objects.get().suspended_card == suspended
        AutoTopUp.objects.update(suspended_card=card)


def test_a_sepa_default_pays_the_plan_and_is_not_taken_for_a_card(
    account: Account, plan: Subscription, stripe_api: Any
) -> None:
    save(account)
    customer = store.get("customer", customers.ensure_customer(account))
    sepa = payment_methods.new("sepa_debit", calls.Call(now=0), details={"last4": "3000"})
    store.save(sepa | {"customer": customer["id"]})
    customer["invoice_settings"]["default_payment_method"] = sepa["id"]
    store.save(customer)
    subscription = store.get("subscription", str(plan.stripe_subscription_id))
    subscription_states.change(subscription, calls.Call(now=0), default_payment_method=sepa["id"])

    cards.synchronize(account.pk, timezone.now())

    profile = selectors.profile_of(account.pk)
    assert (profile.plan_card_name, profile.plan_card_last4) == ("SEPA Direct Debit", "3000")
    assert not profile.card_id


@pytest.mark.fault("P26")
def test_a_card_detached_at_stripe_is_not_shown_and_the_owner_is_told(
    account: Account, stripe_api: Any, process_new_events: Any
) -> None:
    AutoTopUp.objects.create(account=account, enabled=True, pack=smallest_pack(), currency="usd")
    card = stripe_sandbox.save_card(account)
    process_new_events()
    cards.synchronize(account.pk, timezone.now())
    assert not Mail.objects.filter(template="top_up_card_removed").exists()
    stripe_api.payment_methods.detach(card)

    process_new_events(shuffled=True)

    assert charged(account) == ("", "")
    assert Mail.objects.filter(template="top_up_card_removed").count() == 1


def test_a_card_replaced_by_the_network_is_shown_with_its_new_digits_and_date(
    account: Account, stripe_api: Any, process_new_events: Any
) -> None:
    card = stripe_sandbox.save_card(account)
    before = selectors.profile_of(account.pk).card_expires
    payment_methods.renew_by_network(store.get("payment_method", card), calls.Call(now=0))

    process_new_events()

    profile = selectors.profile_of(account.pk)
    assert (profile.card_last4, profile.card_id) == ("1881", card)
    assert profile.card_expires != before


def test_the_card_of_the_plan_cannot_be_removed_and_another_one_can(
    account: Account, plan: Subscription, stripe_api: Any, alice: User, signed_in: Callable[[User], Client]
) -> None:
    browser = signed_in(alice)
    refused = browser.post("/billing/card/remove/", follow=True).content.decode()
    assert "This card pays your plan" in refused

    stripe_api.subscriptions.cancel(plan.stripe_subscription_id)
    removed = browser.post("/billing/card/remove/", follow=True).content.decode()

    assert "Card removed." in removed and "No card saved" in removed
    assert charged(account) == ("", "")


def test_owners_are_told_once_in_the_month_in_which_a_card_in_use_expires(
    account: Account, plan: Subscription, stripe_api: Any
) -> None:
    month, year = (int(part) for part in selectors.profile_of(account.pk).plan_card_expires.split("/"))
    at = datetime(year, month, 1, tzinfo=timezone.now().tzinfo)

    assert card_expiry.queue_due(timezone.now()) == 0
    assert [card_expiry.queue_due(at), card_expiry.queue_due(at)] == [1, 1]

    [email] = Mail.objects.filter(template="card_expiring")
    assert (email.context["plan"], email.context["top_up"]) == (True, False)


def test_the_page_that_saves_a_card_uses_the_catalogues_default_currency(
    account: Account, stripe_api: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(offers, "currencies", lambda: ["jpy", "usd"])
    sent: dict[str, Any] = {}

    def create(*, key: str, params: dict[str, Any]) -> dict[str, str]:
        sent.update(params)
        return {"url": "https://checkout.example.com/"}

    monkeypatch.setattr(stripe_gateway, "create_checkout_session", create)
    cards.setup_page_url(account, key="k")
    assert sent["currency"] == "jpy"


def test_a_setup_of_another_account_saves_nothing(account: Account, charlie: User, stripe_api: Any) -> None:
    session = complete_setup_page(account)
    other = Account.objects.get(person=charlie)
    assert not cards.save_card_from_session(other, session, timezone.now())
    with pytest.raises(StripeError):
        cards.save_card_from_session(other, "cs_unknown", timezone.now())
    assert charged(other) == ("", "")


@pytest.mark.parametrize("metadata", [None, {}, {"account": "acct_unknown"}])
def test_a_setup_that_names_no_account_of_ours_saves_nothing(
    account: Account, stripe_api: Any, metadata: dict[str, str] | None
) -> None:
    session = store.get("checkout.session", complete_setup_page(account))
    store.save(session | {"metadata": metadata})

    assert not cards.save_card_from_session(account, session["id"], timezone.now())
    assert cards.fetch_setup(session | {"metadata": metadata}) is None
    assert charged(account) == ("", "")
