"""Receivers of the signals of accounts, connected when the app is ready.

Invariant: errors propagate to the sender, whose transaction is rolled back: no account exists without a
wallet and a plan.
"""

import contextlib
from datetime import datetime
from typing import Any

from django.http import HttpRequest

from accounts import registration
from accounts.models import Account, User, personal_account_of
from billing import provisioning
from billing.promotions import referrals
from billing.promotions.redemption import CodeRefused

SESSION_KEY = "invitation"  # the session's key for the invitation code that the visitor followed


def connect() -> None:
    """Connect the receivers; called once by BillingConfig.ready."""
    registration.account_opened.connect(_on_account_opened, dispatch_uid="billing.account_opened")
    registration.address_verified.connect(_on_address_verified, dispatch_uid="billing.address_verified")


def _on_account_opened(account: Account, user: User, now: datetime, **_: Any) -> None:
    provisioning.open_account(account=account, user=user, now=now)


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
