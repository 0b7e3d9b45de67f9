"""A new user's personal account, and the signals that let other apps complete it.

Invariant: the user, the account, the ownership and what receivers of `account_opened` add (a wallet, the free
plan) exist together or not at all: the signals are sent inside the transaction, and an error of a receiver
rolls it back. Imports run from billing to accounts, so billing connects to these signals (billing.signals).
"""

from datetime import datetime

from django.db import transaction
from django.dispatch import Signal
from django.http import HttpRequest

from accounts import zones
from accounts.models import Account, Membership, User

# Sent with account, user and now, each time an account is opened or found open: receivers are idempotent.
account_opened = Signal()
# Sent with user, email, now and request (None outside of a confirmation), each time an address is verified.
address_verified = Signal()


def open_personal_account(user: User, now: datetime, *, zone: str = "") -> Account:
    """The user's personal account, opened if it does not exist yet. Safe to repeat and run concurrently.

    `zone` is that of the browser at sign-up, for a new account; UTC where it is unknown.
    """
    with transaction.atomic():
        User.objects.select_for_update(no_key=True).get(
            pk=user.pk
        )  # two requests of one new user open one account
        account, created = Account.objects.get_or_create(
            person=user,
            defaults={
                "name": user.shown_name,
                "kind": Account.Kind.PERSONAL,
                "zone": zone if zones.is_valid(zone) else "UTC",
                "created_at": now,
            },
        )
        if created:
            Membership.objects.create(account=account, user=user, role=Membership.Role.OWNER, created_at=now)
        # Outside the `if`: completes an account whose opening failed halfway in an older release.
        account_opened.send(sender=Account, account=account, user=user, now=now)
    return account


def confirm_address(user: User, email: str, now: datetime, request: HttpRequest | None = None) -> None:
    """Give the account what only a verified address may have (once per mailbox: see accounts.addresses)."""
    with transaction.atomic():
        open_personal_account(user, now)
        address_verified.send(sender=User, user=user, email=email, now=now, request=request)
