"""An account as a customer of Stripe, and the card it saved there.

Invariants: an account has one customer (the call that makes it carries the account's key, so two at once get
the same one); of a card only what a person recognises it by is kept.
"""

from datetime import datetime
from uuid import UUID

from django.conf import settings
from django.db import transaction
from django.urls import reverse

from accounts import selectors as accounts
from accounts.models import Account
from billing import offers, stripe_gateway
from billing.models import AutoTopUp, BillingProfile
from billing.stripe_gateway import Facts


def customer_of(account: Account, *, email: str = "") -> str:
    """The account's customer id at Stripe, made at the first need. Raises stripe_gateway's errors."""
    profile, _created = BillingProfile.objects.get_or_create(account=account)
    if profile.stripe_customer_id:
        return str(profile.stripe_customer_id)
    owners = accounts.owner_addresses(account.pk)
    customer = stripe_gateway.create_customer(
        key=f"customer:{account.pk.hex}",
        email=(owners[0] if owners else email),
        name=account.name,
        account=account.public_id,
    )
    BillingProfile.objects.filter(pk=account.pk).update(stripe_customer_id=customer)
    return customer


def saving_page(account: Account, *, key: str) -> str:
    """Stripe's page on which a card is saved for automatic top-ups. Raises stripe_gateway's errors."""
    back = f"{settings.SITE_URL}{reverse('card_saved')}"
    session = stripe_gateway.create_checkout(
        key=f"card:{account.pk.hex}:{key}",
        params={
            "mode": "setup",
            "customer": customer_of(account),
            "currency": offers.chosen_currency(None),
            "metadata": {"account": account.public_id},
            "success_url": f"{back}?session={{CHECKOUT_SESSION_ID}}",
            "cancel_url": f"{settings.SITE_URL}{reverse('auto_top_up')}",
            "allowed_payment_method_types": ["card"],
        },
    )
    return str(session["url"])


def fetch_saved(session: Facts) -> Facts | None:
    """The payment method that a finished setup session saved: asks Stripe."""
    setup_id = session.get("setup_intent")
    if not setup_id or session.get("status") != "complete":
        return None
    card_id = stripe_gateway.setup_intent(str(setup_id)).get("payment_method")
    return stripe_gateway.payment_method(str(card_id)) if card_id else None


def keep(account_id: UUID, method: Facts, now: datetime) -> None:
    """Remember a saved card; another card than the one that failed ends the pause of automatic top-up."""
    card = method.get("card") or {}
    with transaction.atomic():
        BillingProfile.objects.update_or_create(
            account_id=account_id,
            defaults={
                "card_id": method["id"],
                "card_brand": str(card.get("brand") or ""),
                "card_last4": str(card.get("last4") or ""),
                "card_expires": f"{card.get('exp_month', 0):02d}/{card.get('exp_year', 0)}",
                "card_fingerprint": str(card.get("fingerprint") or method["id"]),
            },
        )
        changed = AutoTopUp.objects.filter(account_id=account_id).exclude(
            suspended_card=str(card.get("fingerprint") or method["id"])
        )
        changed.update(suspended_card="", failures=0, last_outcome="", last_tried_at=None)


def save_from_session(account: Account, session_id: str, now: datetime) -> bool:
    """Coming back from the saving page: ask Stripe and keep the card; whether one was saved.

    A session of another account is refused (False). Raises stripe_gateway's errors.
    """
    session = stripe_gateway.checkout(session_id)
    named = (session.get("metadata") or {}).get("account")
    method = fetch_saved(session) if named == account.public_id else None
    if method is None:
        return False
    profile = BillingProfile.objects.get(account=account)
    stripe_gateway.prefer_card(
        key=f"prefer:{account.pk.hex}:{method['id']}",
        customer=str(profile.stripe_customer_id),
        card=str(method["id"]),
    )
    keep(account.pk, method, now)
    return True


def portal_page(account: Account) -> str:
    """Stripe's own page for card, address and invoices."""
    return stripe_gateway.portal_url(
        customer=customer_of(account), return_url=f"{settings.SITE_URL}{reverse('billing')}"
    )
