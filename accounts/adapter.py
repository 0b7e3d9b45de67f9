"""Adapters of allauth: saving users, safe redirects, sending e-mail.

Invariants: a user and the personal account are created in one transaction; no response, e-mail or redirect
reveals whether an address is registered; links and redirects lead to this site, whatever Host is sent.
"""

import smtplib
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

import structlog
from allauth.account.adapter import DefaultAccountAdapter
from allauth.account.internal.flows.signup import prevent_enumeration
from allauth.account.models import EmailAddress
from allauth.core import context as current
from allauth.core.exceptions import ImmediateHttpResponse
from allauth.mfa.adapter import DefaultMFAAdapter
from allauth.mfa.models import Authenticator
from django.conf import settings
from django.contrib import messages
from django.contrib.auth.base_user import AbstractBaseUser
from django.contrib.auth.models import AnonymousUser
from django.db import IntegrityError, transaction
from django.forms import Form
from django.http import HttpRequest
from django.utils import timezone, translation
from django.utils.http import url_has_allowed_host_and_scheme
from django.utils.translation import gettext_lazy as _

from accounts import encryption, guesses, language, passkeys, registration
from accounts.models import User
from accounts.templatetags.browsers import browser

log = structlog.get_logger(__name__)

MOST_SENDING = 4
PLACE_SECONDS = 1.0
_sending = threading.BoundedSemaphore(MOST_SENDING)

# The e-mails of a request for a code, with those that an unknown or a registered address gets instead.
_WITH_CODE = {
    f"account/email/{name}"
    for name in (
        *("login_code", "password_reset_code", "email_confirmation", "email_confirmation_signup"),
        *("unknown_account", "account_already_exists"),
    )
}


class AccountAdapter(DefaultAccountAdapter):
    """Sign-up, sign-in and e-mail."""

    error_messages = DefaultAccountAdapter.error_messages | {
        "account_inactive": _("This account is deactivated. Contact support if you think this is a mistake."),
        "email_password_mismatch": _(
            "The e-mail address or the password is wrong. Check both, or sign in with a code."
        ),
        "email_taken": _("This e-mail address is already in use. Sign in with it, or use a different one."),
        "enter_current_password": _("The current password is wrong. Try again, or reset your password."),
        "incorrect_code": _("The code is wrong. Check the latest e-mail, or request a new code."),
        "incorrect_password": _("The password is wrong. Try again, or reset your password."),
        "same_as_current": _("This is already your e-mail address. Enter a different one."),
        "too_many_login_attempts": _("Too many failed attempts. Wait five minutes, then try again."),
        "rate_limited": _("Too many attempts. Wait a minute, then try again."),
    }

    def save_user(
        self, request: HttpRequest, user: AbstractBaseUser, form: Form, commit: bool = True
    ) -> AbstractBaseUser:
        """Save the new user with the personal account, its wallet and plan, in one transaction."""
        assert isinstance(user, User)
        email = form.cleaned_data["email"]
        user.email = email
        try:
            with transaction.atomic():
                super().save_user(request, user, form, commit=True)
                registration.open_personal_account(
                    user, timezone.now(), zone=form.cleaned_data.get("zone", "")
                )
        except IntegrityError as error:
            if not User.objects.filter(email=email).exists():
                raise
            # A concurrent sign-up took the address after our check: the response must not differ.
            raise ImmediateHttpResponse(prevent_enumeration(request, email=email)) from error
        return user

    def confirm_email(self, request: HttpRequest, email_address: EmailAddress) -> bool:
        """Confirm the address and grant its credits in one transaction; on an error the code stays valid."""
        with transaction.atomic():
            return bool(super().confirm_email(request, email_address))

    def get_reauthentication_methods(self, user: AbstractBaseUser | AnonymousUser) -> list[dict[str, Any]]:
        """The first one is offered first: a passkey before codes, which a new user of it has not seen yet."""
        labels = {
            "reauthenticate": _("Use your password"),
            "mfa_reauthenticate:webauthn": _("Use a passkey"),
            "mfa_reauthenticate": _("Use a code"),
        }
        methods = {method["id"]: method for method in super().get_reauthentication_methods(user)}
        return [methods[name] | {"description": labels[name]} for name in labels if name in methods]

    def set_password(self, user: AbstractBaseUser, password: str) -> None:
        user.set_password(password)
        user.save(update_fields=["password"])

    def is_safe_url(self, url: str | None) -> bool:
        """Whether the URL is on this site. allauth alone would accept every host of ALLOWED_HOSTS."""
        own = {urlsplit(settings.SITE_URL).netloc, current.request.get_host()}
        return url_has_allowed_host_and_scheme(
            url, allowed_hosts=own, require_https=settings.SITE_URL.startswith("https://")
        )

    def send_mail(self, template_prefix: str, email: str, context: dict[str, Any]) -> None:
        """Send with links built from SITE_URL, in the language of the user, else that of the page.

        A failure is shown on the page, the same for every address. A mail server that does not answer
        occupies MOST_SENDING threads of a web process until EMAIL_TIMEOUT; further e-mails fail at once.

        Raises TooManyGuesses for too many codes to one address.
        """
        if template_prefix in _WITH_CODE:
            guesses.count_email(address=email, now=timezone.now())
        try:
            with sending_place(), translation.override(language.for_address(email)):
                super().send_mail(template_prefix, email, {"site_url": settings.SITE_URL, **context})
        except (smtplib.SMTPException, OSError) as error:
            log.error("mail_not_sent", template=template_prefix, reason=type(error).__name__)
            messages.error(
                current.request,
                _("The e-mail could not be sent. Try again in a few minutes."),
            )


@contextmanager
def sending_place() -> Iterator[None]:
    """Hold one of the MOST_SENDING places. Raises TimeoutError when none becomes free soon."""
    if not _sending.acquire(timeout=PLACE_SECONDS):
        raise TimeoutError
    try:
        yield
    finally:
        _sending.release()


class SecondFactorAdapter(DefaultMFAAdapter):
    """Second factors, encrypted at rest. config.sign_in adds the product's name."""

    error_messages = DefaultMFAAdapter.error_messages | {
        "incorrect_code": _("The code is wrong or expired. Wait for the next code in your app and enter it."),
        "unverified_email": _("Verify your e-mail address first."),
    }

    def get_public_key_credential_rp_entity(self) -> dict[str, str]:
        """The site as browsers and authenticators name it beside a passkey."""
        return {"id": passkeys.host_of(current.request), "name": self.get_totp_issuer()}

    def generate_authenticator_name(self, user: AbstractBaseUser, type: Authenticator.Type) -> str:
        """The name for a passkey that gets none: the browser that has created it."""
        return browser(current.request.headers.get("User-Agent", ""))

    def encrypt(self, text: str) -> str:
        return encryption.encrypt(text).decode()

    def decrypt(self, encrypted_text: str) -> str:
        return encryption.decrypt(encrypted_text.encode())
