"""The account's customer at Stripe and its saved cards.

Invariants: what is stored of cards is what Stripe had when it was last asked, so that events in any order and
number end in the same state; a card that the member saves becomes the default of the customer and of the
running subscription, whose own default takes precedence
(https://docs.stripe.com/billing/revenue-recovery/smart-retries#payment-method-ordering). Of a card only
brand, last four digits and expiry are stored.
"""

import contextlib
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import transaction
from django.db.models import F
from django.urls import reverse
from django.utils.translation import gettext as _

from accounts.models import Account
from billing import offers, stripe_gateway
from billing.models import AutoTopUp, BillingProfile, Subscription
from billing.notifications import emails
from billing.payments import customers, page_language, return_links
from billing.stripe_gateway import StripeObject
from core.errors import Refusal

_ENDED = ("canceled", "incomplete_expired")


class CardPaysPlan(Refusal):
    """The card cannot be removed, because the running subscription is charged to it."""

    code, status = "card_pays_plan", 409

    def __init__(self) -> None:
        super().__init__(_("This card pays your plan. Save another card first, or cancel the plan."))


class StaleCards(Exception):
    """The cards were synchronised by a concurrent call after they were requested from Stripe."""


@dataclass(frozen=True)
class CardsAtStripe:
    """The methods that Stripe would charge, and the version of our row before they were requested."""

    account_id: UUID
    version: int
    default: StripeObject | None  # the customer's default, of any type
    for_plan: StripeObject | None  # None without a running subscription


@dataclass(frozen=True)
class CompletedSetup:
    """A completed setup session, and the cards after it; None when it changed nothing."""

    account_id: UUID
    session_id: str
    created_at: datetime
    cards: CardsAtStripe | None


# The customer


def portal_url(account: Account, *, language: str = "") -> str:
    """URL of Stripe's customer portal: card, address and invoices. Raises stripe_gateway.StripeError.

    `language` is the user's setting; empty: that of the browser.
    """
    params = page_language.params(language)
    return_url = f"{settings.SITE_URL}{reverse('billing')}"
    return customers.with_customer(
        account,
        lambda customer: stripe_gateway.create_portal_session(
            customer=customer, return_url=return_url, **params
        ),
    )


# Saving and removing


def setup_page_url(account: Account, *, key: str, language: str = "") -> str:
    """URL of Stripe's page that saves a card for plan and automatic top-up. Raises StripeError.

    `language` is the user's setting; empty: that of the browser.
    """
    return_url = return_links.url("card_returned", account.public_id)

    def create(customer: str) -> StripeObject:
        return stripe_gateway.create_checkout_session(
            key=f"card:{account.pk.hex}:{key}{language}:{customer}",
            params={
                "mode": "setup",
                "customer": customer,
                "currency": offers.resolve_currency(None),
                "metadata": {"account": account.public_id},
                "success_url": f"{return_url}?session={{CHECKOUT_SESSION_ID}}",
                "cancel_url": return_url,
                "allowed_payment_method_types": ["card"],
                **page_language.params(language),
            },
        )

    return str(customers.with_customer(account, create)["url"])


def save_card_from_session(account: Account, session_id: str, now: datetime) -> bool:
    """Fetch a setup session and make its card the one that pays; False when no card was saved.

    A session of another account returns False. Raises stripe_gateway.StripeError, StaleCards.
    """
    session = stripe_gateway.retrieve_checkout_session(session_id)
    if (session.get("metadata") or {}).get("account") != account.public_id:
        return False
    for last_attempt in (False, False, True):
        try:
            return record_setup(fetch_setup(session), now)
        except StaleCards:
            if last_attempt:
                raise
    return False


def fetch_setup(session: StripeObject) -> CompletedSetup | None:
    """Make the card of a completed setup session the default of the customer and of the subscription.

    The session is recorded last (`record_setup`), so that steps which a killed process left out are done by
    the session's event or by reconciliation; a recorded or older session changes nothing. None when the
    session saved no card that can be used. Raises stripe_gateway.StripeError.
    """
    account = Account.with_public_id(str((session.get("metadata") or {}).get("account", "")))
    setup_id = session.get("setup_intent")
    profile = BillingProfile.objects.filter(pk=account.pk).first() if account else None
    if profile is None or not profile.stripe_customer_id or not setup_id or session["status"] != "complete":
        return None
    session_id, created_at = str(session["id"]), datetime.fromtimestamp(int(session["created"]), tz=UTC)
    if profile.card_setup_id == session_id or (profile.card_setup_at and created_at < profile.card_setup_at):
        return CompletedSetup(profile.pk, session_id, created_at, None)
    card_id = str(stripe_gateway.retrieve_setup_intent(str(setup_id)).get("payment_method") or "")
    card = stripe_gateway.retrieve_payment_method(card_id) if card_id else {}
    customer = str(profile.stripe_customer_id)
    if card.get("type") != "card" or card.get("customer") != customer:
        return None  # detached since
    if account is not None and account.erased_at is not None:
        _detach(card_id)
        return None
    stripe_gateway.set_default_payment_method(key=f"default:{session_id}", customer=customer, card=card_id)
    _charge_plan_to(profile.pk, card_id, key=f"plan-card:{session_id}")
    return CompletedSetup(profile.pk, session_id, created_at, fetch(profile.pk))


def record_setup(setup: CompletedSetup | None, now: datetime) -> bool:
    """Store the cards after a setup session, and end the pause of automatic top-up. Raises StaleCards.

    The pause ends although it may be the same card again: the cardholder has authenticated it.
    """
    if setup is None or setup.cards is None:
        return setup is not None
    with transaction.atomic():
        store(setup.cards, now)
        end_pause(setup.account_id)
        BillingProfile.objects.filter(pk=setup.account_id).update(
            card_setup_id=setup.session_id, card_setup_at=setup.created_at
        )
    return True


def remove_card(account_id: UUID, now: datetime) -> None:
    """Remove the card of automatic top-up at Stripe. Raises CardPaysPlan, stripe_gateway.StripeError."""
    synchronize(account_id, now)
    profile = BillingProfile.objects.filter(pk=account_id).first()
    if profile is None or not profile.card_id:
        return
    if profile.card_id == profile.plan_card_id:
        raise CardPaysPlan
    _detach(profile.card_id)
    synchronize(account_id, now)


def remove_all(account_id: UUID, now: datetime) -> None:
    """Remove every saved payment method of the customer, also those that pay nothing now.

    For an account without a running subscription. Raises stripe_gateway.StripeError, StaleCards.
    """
    profile = BillingProfile.objects.filter(pk=account_id).first()
    if profile is None or not profile.stripe_customer_id:
        return
    for method in list(stripe_gateway.list_payment_methods(str(profile.stripe_customer_id))):
        _detach(str(method["id"]))
    synchronize(account_id, now)


def _detach(method_id: str) -> None:
    with contextlib.suppress(stripe_gateway.InvalidRequest, stripe_gateway.ResourceMissing):
        stripe_gateway.detach_payment_method(method_id)  # refused when it is detached already


# What Stripe charges


def synchronize(account_id: UUID, now: datetime) -> None:
    """Store which cards Stripe charges. Raises stripe_gateway.StripeError, StaleCards."""
    for last_attempt in (False, False, True):
        try:
            return store(fetch(account_id), now)
        except StaleCards:
            if last_attempt:
                raise


def fetch(account_id: UUID, *, subscription_id: str = "") -> CardsAtStripe | None:
    """The cards that Stripe charges for an account; None without a customer.

    A default that the member chose since the last call, in Stripe's portal for example, becomes the
    subscription's too. `subscription_id` names a subscription that the database may not have yet. Raises
    stripe_gateway.StripeError.
    """
    profile = BillingProfile.objects.filter(pk=account_id).first()
    if profile is None or not profile.stripe_customer_id:
        return None
    customer = str(profile.stripe_customer_id)
    default = stripe_gateway.retrieve_default_payment_method(customer)
    default = default if default and default.get("customer") == customer else None
    for_plan = None
    if subscription_id := _subscription_id(account_id) or subscription_id:
        for_plan = _fetch_plan_method(profile, subscription_id, default)
    return CardsAtStripe(account_id, profile.cards_version, default, for_plan)


def store(found: CardsAtStripe | None, now: datetime) -> None:
    """Store fetched cards. Raises StaleCards when a concurrent call has done so since they were requested."""
    if found is None:
        return
    candidates = (method for method in (found.default, found.for_plan) if method)
    card = next((method for method in candidates if method.get("type") == "card"), None)
    with transaction.atomic():
        profiles = BillingProfile.objects.filter(pk=found.account_id)
        profile = profiles.select_for_update(no_key=True).get()
        if profile.cards_version != found.version:
            raise StaleCards
        profiles.update(
            **_fields_of("card", card),
            **_fields_of("plan_card", found.for_plan),
            default_method_id=(found.default or {}).get("id", ""),
            cards_version=F("cards_version") + 1,
        )
        card_id = str(card["id"]) if card else ""
        if card_id and card_id != profile.card_id:
            end_pause(found.account_id, unless_of=card_id)
        if profile.card_id and not card_id:
            _report_missing_card(profile, now)


def account_of_customer(customer: str) -> UUID | None:
    """The account of a Stripe customer."""
    found = BillingProfile.objects.filter(stripe_customer_id=customer or "-")
    return found.values_list("pk", flat=True).first()


def account_of_card(card_id: str) -> UUID | None:
    """The account whose profile names a payment method, which Stripe may have detached meanwhile."""
    profiles = BillingProfile.objects
    found = profiles.filter(card_id=card_id or "-") | profiles.filter(plan_card_id=card_id or "-")
    return found.values_list("pk", flat=True).first()


def _subscription_id(account_id: UUID) -> str:
    found = Subscription.objects.filter(account_id=account_id)
    return found.values_list("stripe_subscription_id", flat=True).first() or ""


def _fetch_plan_method(
    profile: BillingProfile, subscription_id: str, default: StripeObject | None
) -> StripeObject | None:
    """The method that the running subscription is charged to, attached to the customer."""
    subscription = stripe_gateway.retrieve_subscription_with_card(subscription_id)
    own = subscription.get("default_payment_method")
    if subscription.get("status") in _ENDED:
        return None
    if own and default and _was_chosen_since(profile, default, own):
        key = f"follow:{default['id']}:{profile.cards_version}:{profile.pk.hex}"
        _charge_plan_to(profile.pk, default["id"], key=key)
        return default
    method = own or default
    return method if method and method.get("customer") == profile.stripe_customer_id else None


def _was_chosen_since(profile: BillingProfile, default: StripeObject, own: StripeObject) -> bool:
    """Whether the customer's default card is newer to us than the subscription's own method."""
    seen_before = profile.cards_version > 0 or profile.default_method_id
    changed = default["id"] not in {profile.default_method_id, own["id"]}
    return bool(seen_before and changed and default.get("type") == "card")


def _charge_plan_to(account_id: UUID, card_id: str, *, key: str) -> None:
    """Save a card on the running subscription, if there is one."""
    subscription_id = _subscription_id(account_id)
    if not subscription_id:
        return
    try:
        stripe_gateway.set_subscription_payment_method(key=key, subscription_id=subscription_id, card=card_id)
    except (stripe_gateway.ResourceMissing, stripe_gateway.InvalidRequest):
        # It may have ended since; if it runs, the card that pays it is shown as Stripe has it.
        return


def _fields_of(prefix: str, method: StripeObject | None) -> dict[str, str]:
    """The stored fields of a payment method; empty ones for None. Other methods than cards have no expiry."""
    kind = str(method["type"]) if method else ""
    details: dict[str, Any] = (method or {}).get(kind) or {}
    month, year = details.get("exp_month"), details.get("exp_year")
    return {
        f"{prefix}_id": str(method["id"]) if method else "",
        f"{prefix}_brand": str(details.get("brand") or kind)[:30],
        f"{prefix}_last4": str(details.get("last4") or "")[:4],
        f"{prefix}_expires": f"{month:02d}/{year}" if month and year else "",
    }


def end_pause(account_id: UUID, *, unless_of: str | None = None) -> None:
    """End the pause of automatic top-up after a failure, unless this card is the one that failed."""
    paused = AutoTopUp.objects.filter(account_id=account_id)
    if unless_of:
        paused = paused.exclude(suspended_card=unless_of)
    paused.update(suspended_card="", payment_to_confirm="", failures=0, last_outcome="", last_tried_at=None)


def _report_missing_card(profile: BillingProfile, now: datetime) -> None:
    """E-mail the owners when automatic top-up is on and its card was removed."""
    if AutoTopUp.objects.filter(account_id=profile.pk, enabled=True).exists():
        emails.queue(
            account_id=profile.pk,
            template="top_up_card_removed",
            key=f"card_removed:{profile.card_id}",
            context={"card": profile.card_name, "last4": profile.card_last4},
            now=now,
        )
