"""What follows from events of allauth, which tells them by its own signals and in no other way.

Invariants: an address proven in whatever way (sign-up, code sign-in, reset, change) is told to billing; a
second factor added, removed or renewed ends every session of the user but the one in which it was done.
"""

from typing import Any

from allauth.account.models import EmailAddress
from allauth.account.signals import email_confirmed, user_logged_in
from allauth.mfa.signals import authenticator_added, authenticator_removed, authenticator_reset
from allauth.usersessions.models import UserSession
from django.contrib.auth import update_session_auth_hash
from django.db.models import F
from django.http import HttpRequest
from django.utils import timezone

from accounts import provisioning
from accounts.models import User


def connect() -> None:
    """Called once, when the app is ready."""
    email_confirmed.connect(_address_proven, dispatch_uid="accounts.address_proven")
    user_logged_in.connect(_signed_in, dispatch_uid="accounts.signed_in")
    for event in (authenticator_added, authenticator_removed, authenticator_reset):
        event.connect(_second_factor_changed, dispatch_uid="accounts.second_factor_changed")


def end_sessions(user: User) -> None:
    """End every session of the user (see User._get_session_auth_hash)."""
    User.objects.filter(pk=user.pk).update(sign_in_epoch=F("sign_in_epoch") + 1)
    user.refresh_from_db(fields=["sign_in_epoch"])


def _address_proven(email_address: EmailAddress, **_: Any) -> None:
    provisioning.address_verified(email_address.user, email_address.email, timezone.now())


def _signed_in(user: User, **_: Any) -> None:
    """Make up for what a failure after the proof left out: telling billing again gives nothing twice."""
    for address in EmailAddress.objects.filter(user=user, verified=True):
        provisioning.address_verified(user, address.email, timezone.now())


def _second_factor_changed(request: HttpRequest, user: User, **_: Any) -> None:
    end_sessions(user)
    if request.user.is_authenticated and request.user.pk == user.pk:
        request.user.refresh_from_db(fields=["sign_in_epoch"])
        update_session_auth_hash(request, request.user)  # this session goes on, under a new key
        UserSession.objects.create_from_request(request)
