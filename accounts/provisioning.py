"""A new user's own account, and what comes with it.

Invariant: the user, the account, the ownership and what the hook opens (a wallet, the free plan) exist
together or not at all. Billing stands above this app, so both hooks are settings, dotted names of functions:
  ACCOUNT_OPENED(*, account, now, user=None, verified_email=None)    at sign-up and from the API
  ADDRESS_VERIFIED(*, user, email, now)                              when an address is proven the user's
"""

from collections.abc import Callable
from datetime import datetime
from typing import Any

from django.conf import settings
from django.db import transaction
from django.utils.module_loading import import_string

from accounts.models import Account, Membership, User


def open_personal_account(user: User, now: datetime) -> Account:
    """The user's personal account, opened if it is not there yet. Safe to repeat, also at the same time."""
    with transaction.atomic():
        User.objects.select_for_update().get(pk=user.pk)  # two requests of one new user open one account
        account, created = Account.objects.get_or_create(
            person=user,
            defaults={"name": user.shown_name, "kind": Account.Kind.PERSONAL, "created_at": now},
        )
        if created:
            Membership.objects.create(account=account, user=user, role=Membership.Role.OWNER, created_at=now)
        # Idempotent by contract, hence outside the `if`: what an older failure left out is made up for.
        hook("ACCOUNT_OPENED")(account=account, user=user, now=now)
    return account


def address_verified(user: User, email: str, now: datetime) -> None:
    """Give what only a verified address may have (once ever: see accounts.addresses)."""
    with transaction.atomic():
        open_personal_account(user, now)
        hook("ADDRESS_VERIFIED")(user=user, email=email, now=now)


def hook(setting: str) -> Callable[..., Any]:
    """The function that a setting names; one that does nothing where the setting is empty."""
    name = getattr(settings, setting, "")
    return import_string(name) if name else _nothing


def _nothing(**_: Any) -> None:
    """What an installation without that hook does."""
