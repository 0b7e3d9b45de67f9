"""What follows from allauth's sign-up: an invitation that was followed counts for the new account."""

import contextlib
from typing import Any

from allauth.account.models import EmailAddress
from allauth.account.signals import email_confirmed
from django.http import HttpRequest
from django.utils import timezone

from accounts.models import Account
from billing.promotions import referrals
from billing.promotions.redemption import CodeRefused

SESSION_KEY = "invitation"


def connect() -> None:
    """Called once, when the app is ready (after accounts: the account is open by then)."""
    email_confirmed.connect(_invitation_followed, dispatch_uid="billing.invitation_followed")


def _invitation_followed(request: HttpRequest | None, email_address: EmailAddress, **_: Any) -> None:
    session = getattr(request, "session", None)
    code = session.pop(SESSION_KEY, "") if session is not None else ""
    account = Account.objects.filter(person=email_address.user).first()
    if code and account is not None:
        with contextlib.suppress(CodeRefused):  # the page shows codes' refusals; a sign-up goes on without
            referrals.accept(account=account, code=code, now=timezone.now())
