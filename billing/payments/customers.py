"""The account's customer at Stripe.

Invariant: an account has one customer in the Stripe account and mode that is configured, and a new one where
that is another or the customer was deleted (docs/decisions/0066-stripe-accounts-and-modes.md).
"""

import hashlib
from collections.abc import Callable
from typing import TypeVar

from django.db.models import F

from accounts import selectors as accounts
from accounts.models import Account
from billing import stripe_gateway
from billing.models import BillingProfile
from core import locks

T = TypeVar("T")


def ensure_customer(account: Account, *, email: str = "") -> str:
    """The account's customer in the configured Stripe account and mode, created if needed.

    Raises stripe_gateway.StripeError. `with_customer` also replaces a customer that was deleted at Stripe.
    """
    profile, _created = BillingProfile.objects.get_or_create(account=account)
    if profile.stripe_customer_id and profile.stripe_account == stripe_gateway.current_account():
        return str(profile.stripe_customer_id)
    return _find_or_create_customer(account, email=email, lost="")


def with_customer(account: Account, send: Callable[[str], T], *, email: str = "") -> T:
    """Send a request with the account's customer, and again with a new one if the customer was deleted.

    Stripe answers `resource_missing` for a deleted customer (https://docs.stripe.com/api/customers/delete).
    """
    customer = ensure_customer(account, email=email)
    try:
        return send(customer)
    except stripe_gateway.ResourceMissing as error:
        if error.param != "customer":
            raise
    return send(_find_or_create_customer(account, email=email, lost=customer))


def _find_or_create_customer(account: Account, *, email: str, lost: str) -> str:
    """Store and return another customer than `lost`. Of concurrent calls, the second finds the first's."""
    with locks.lock(f"customer {account.pk}"):
        profile = BillingProfile.objects.get(account=account)
        known, current = str(profile.stripe_customer_id or ""), stripe_gateway.current_account()
        if known and known != lost:
            if profile.stripe_account == current:
                return known
            # Rows of earlier releases do not name the account, and some keys may not read theirs.
            if stripe_gateway.retrieve_customer(known) is not None:
                BillingProfile.objects.filter(pk=account.pk).update(stripe_account=current)
                return known
        customer = _new_customer(account, email=email, previous=known)
        profiles = BillingProfile.objects.filter(pk=account.pk)
        profiles.update(stripe_customer_id=customer, stripe_account=current)
        if known:
            profiles.update(**_NO_CARDS, cards_version=F("cards_version") + 1)
    return customer


def _new_customer(account: Account, *, email: str, previous: str) -> str:
    # An earlier call may have created it and died, longer ago than Stripe keeps the idempotency key.
    found = stripe_gateway.find_customer(account.public_id)
    if found is not None and stripe_gateway.retrieve_customer(found) is not None:
        return found
    owners = accounts.owner_addresses(account.pk)
    address = owners[0] if owners else email
    # A key belongs to one set of parameters, and those change: https://docs.stripe.com/api/idempotent_requests
    details = hashlib.sha256(f"{address}\n{account.name}\n{previous}".encode()).hexdigest()[:16]
    return stripe_gateway.create_customer(
        key=f"customer:{account.pk.hex}:{details}",
        email=address,
        name=account.name,
        account=account.public_id,
    )


def forget_cards(account: str) -> None:
    """Forget saved cards of customers of another Stripe account or mode: they cannot be charged."""
    BillingProfile.objects.exclude(stripe_account=account).update(
        **_NO_CARDS, cards_version=F("cards_version") + 1
    )


_NO_CARDS = {
    f"{prefix}_{name}": "" for prefix in ("card", "plan_card") for name in ("id", "brand", "last4", "expires")
} | {"default_method_id": "", "card_setup_id": ""}
