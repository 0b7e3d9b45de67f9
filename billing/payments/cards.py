"""The account's customer at Stripe and its saved card.

Invariants: an account has one customer (the idempotency key is the account, so concurrent calls return the
same one); of a card only brand, last four digits, expiry and fingerprint are stored.
"""

from uuid import UUID

from django.conf import settings
from django.db import transaction
from django.urls import reverse

from accounts import selectors as accounts
from accounts.models import Account
from billing import offers, stripe_gateway
from billing.models import AutoTopUp, BillingProfile
from billing.stripe_gateway import StripeObject


def ensure_customer(account: Account, *, email: str = "") -> str:
    """The account's Stripe customer id, created if needed. Raises stripe_gateway.StripeError."""
    profile, _created = BillingProfile.objects.get_or_create(account=account)
    if profile.stripe_customer_id:
        return str(profile.stripe_customer_id)
    owners = accounts.owner_addresses(account.pk)
    # An earlier call may have created it and died, longer ago than Stripe keeps the idempotency key.
    customer = stripe_gateway.find_customer(account.public_id) or stripe_gateway.create_customer(
        key=f"customer:{account.pk.hex}",
        email=(owners[0] if owners else email),
        name=account.name,
        account=account.public_id,
    )
    BillingProfile.objects.filter(pk=account.pk).update(stripe_customer_id=customer)
    return customer


def setup_page_url(account: Account, *, key: str) -> str:
    """URL of Stripe's page that saves a card for automatic top-ups. Raises stripe_gateway.StripeError."""
    return_url = f"{settings.SITE_URL}{reverse('card_saved')}"
    session = stripe_gateway.create_checkout_session(
        key=f"card:{account.pk.hex}:{key}",
        params={
            "mode": "setup",
            "customer": ensure_customer(account),
            "currency": offers.resolve_currency(None),
            "metadata": {"account": account.public_id},
            "success_url": f"{return_url}?session={{CHECKOUT_SESSION_ID}}",
            "cancel_url": f"{settings.SITE_URL}{reverse('auto_top_up')}",
            "allowed_payment_method_types": ["card"],
        },
    )
    return str(session["url"])


def fetch_saved_card(session: StripeObject) -> StripeObject | None:
    """Fetch from Stripe the payment method that a completed setup session saved."""
    setup_id = session.get("setup_intent")
    if not setup_id or session.get("status") != "complete":
        return None
    card_id = stripe_gateway.retrieve_setup_intent(str(setup_id)).get("payment_method")
    return stripe_gateway.retrieve_payment_method(str(card_id)) if card_id else None


def save_card(account_id: UUID, method: StripeObject) -> None:
    """Store a saved card. A card other than the one that failed ends the pause of automatic top-up."""
    card = method.get("card") or {}
    fingerprint = str(card.get("fingerprint") or method["id"])
    with transaction.atomic():
        BillingProfile.objects.update_or_create(
            account_id=account_id,
            defaults={
                "card_id": method["id"],
                "card_brand": str(card.get("brand") or ""),
                "card_last4": str(card.get("last4") or ""),
                "card_expires": f"{card.get('exp_month', 0):02d}/{card.get('exp_year', 0)}",
                "card_fingerprint": fingerprint,
            },
        )
        paused_for_other = AutoTopUp.objects.filter(account_id=account_id).exclude(suspended_card=fingerprint)
        paused_for_other.update(suspended_card="", failures=0, last_outcome="", last_tried_at=None)


def save_card_from_session(account: Account, session_id: str) -> bool:
    """Fetch a setup session and store its card as the preferred one; False when no card was saved.

    A session of another account returns False. Raises stripe_gateway.StripeError.
    """
    session = stripe_gateway.retrieve_checkout_session(session_id)
    owner = (session.get("metadata") or {}).get("account")
    method = fetch_saved_card(session) if owner == account.public_id else None
    if method is None:
        return False
    profile = BillingProfile.objects.get(account=account)
    stripe_gateway.set_default_payment_method(
        key=f"prefer:{account.pk.hex}:{method['id']}",
        customer=str(profile.stripe_customer_id),
        card=str(method["id"]),
    )
    save_card(account.pk, method)
    return True


def portal_url(account: Account) -> str:
    """URL of Stripe's customer portal: card, address and invoices. Raises stripe_gateway.StripeError."""
    return stripe_gateway.create_portal_session(
        customer=ensure_customer(account), return_url=f"{settings.SITE_URL}{reverse('billing')}"
    )
