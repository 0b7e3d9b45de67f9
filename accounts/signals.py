"""Receivers of allauth's signals, connected when the app is ready.

Invariants: an address verified in whatever way (sign-up, sign-in by code, reset, change) is confirmed through
`registration.confirm_address`; a second factor added, removed or renewed ends all other
sessions of the user.
"""

from typing import Any

from allauth.account.authentication import get_authentication_records
from allauth.account.models import EmailAddress
from allauth.account.signals import email_confirmed, user_logged_in, user_signed_up
from allauth.mfa.signals import authenticator_added, authenticator_removed, authenticator_reset
from allauth.usersessions.models import UserSession
from django.conf import settings
from django.contrib import messages
from django.contrib.auth import update_session_auth_hash
from django.db.models import F
from django.http import HttpRequest
from django.utils import timezone
from django.utils.translation import get_language, gettext_lazy

from accounts import registration
from accounts.models import User

_PASSWORD_REMOVED = gettext_lazy(
    "Your password was removed, because it had been set before this address was verified. Set a new one in"
    " the settings, or sign in with codes."
)


def connect() -> None:
    """Connect the receivers; called once by AccountsConfig.ready."""
    email_confirmed.connect(_on_email_confirmed, dispatch_uid="accounts.email_confirmed")
    user_signed_up.connect(_on_sign_up, dispatch_uid="accounts.sign_up")
    user_logged_in.connect(_on_login, dispatch_uid="accounts.login")
    for signal in (authenticator_added, authenticator_removed, authenticator_reset):
        signal.connect(_on_second_factor_change, dispatch_uid="accounts.second_factor_change")


def end_sessions(user: User) -> None:
    """End every session of the user (see User._get_session_auth_hash)."""
    User.objects.filter(pk=user.pk).update(sign_in_epoch=F("sign_in_epoch") + 1)
    user.refresh_from_db(fields=["sign_in_epoch"])


def _on_email_confirmed(request: HttpRequest | None, email_address: EmailAddress, **_: Any) -> None:
    if request is not None:
        _remove_password_of_somebody_else(request, email_address)
    registration.confirm_address(email_address.user, email_address.email, timezone.now(), request)


def _remove_password_of_somebody_else(request: HttpRequest, email_address: EmailAddress) -> None:
    """Remove the password when a code for signing in was the first proof of the mailbox.

    It may have been set by somebody who signed up with the address of another person and waits for that
    person to verify it. Who verifies with the code of the sign-up has entered the password in this session.
    """
    user = email_address.user
    by_code = any(record["method"] == "code" for record in get_authentication_records(request, user))
    others = EmailAddress.objects.filter(user=user, verified=True).exclude(pk=email_address.pk)
    if by_code and user.has_usable_password() and not others.exists():
        user.set_unusable_password()
        user.save(update_fields=["password"])
        messages.warning(request, _PASSWORD_REMOVED)


def _on_sign_up(request: HttpRequest, user: User, **_: Any) -> None:
    """Confirm the address of a user whom another site has verified; the session has the invitation."""
    for address in EmailAddress.objects.filter(user=user, verified=True):
        registration.confirm_address(user, address.email, timezone.now(), request)


def _on_login(user: User, **_: Any) -> None:
    """Record the browser's language, for e-mails to a user who has chosen none.

    Repeat the confirmation of verified addresses, in case it failed the first time; it is idempotent.
    """
    if user.browser_language != get_language():
        user.browser_language = get_language() or settings.LANGUAGE_CODE
        user.save(update_fields=["browser_language"])
    for address in EmailAddress.objects.filter(user=user, verified=True):
        registration.confirm_address(user, address.email, timezone.now())


def _on_second_factor_change(request: HttpRequest, user: User, **_: Any) -> None:
    end_sessions(user)
    if request.user.is_authenticated and request.user.pk == user.pk:
        request.user.refresh_from_db(fields=["sign_in_epoch"])
        update_session_auth_hash(request, request.user)  # keeps this session, with a new session key
        UserSession.objects.create_from_request(request)
