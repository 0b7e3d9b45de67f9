"""Receivers of the signals of accounts, connected when the app is ready.

Invariant: errors propagate to the sender, whose transaction is rolled back: no account exists without a
wallet and a plan.
"""

import contextlib
from datetime import datetime
from typing import Any

from django.db.models.signals import pre_save
from django.http import HttpRequest
from django.utils import timezone

from accounts import registration
from accounts.models import Account, User, personal_account_of
from billing import ledger, provisioning
from billing.promotions import referrals
from billing.promotions.redemption import CodeRefused

SESSION_KEY = "invitation"  # the session's key for the invitation code that the visitor followed


def connect() -> None:
    """Connect the receivers; called once by BillingConfig.ready."""
    registration.account_opened.connect(_on_account_opened, dispatch_uid="billing.account_opened")
    registration.address_verified.connect(_on_address_verified, dispatch_uid="billing.address_verified")
    pre_save.connect(_on_account_saved, sender=Account, dispatch_uid="billing.account_saved")


def _on_account_opened(account: Account, user: User, now: datetime, **_: Any) -> None:
    provisioning.open_account(account=account, user=user, now=now)


def _on_account_saved(instance: Account, **_: Any) -> None:
    """Settle the wallet before its zone changes: what is due until now was due in the former zone."""
    if (
        not instance._state.adding
        and Account.objects.filter(pk=instance.pk).exclude(zone=instance.zone).exists()
    ):
        ledger.settle([instance.pk], timezone.now())


def _on_address_verified(
    user: User, email: str, now: datetime, request: HttpRequest | None, **_: Any
) -> None:
    provisioning.address_verified(user=user, email=email, now=now)
    session = getattr(request, "session", None)
    code = session.pop(SESSION_KEY, "") if session is not None else ""
    if code:
        # The page for codes explains a refusal; a sign-up continues without the invitation.
        with contextlib.suppress(CodeRefused):
            referrals.accept(account=personal_account_of(user), code=code, now=now)
