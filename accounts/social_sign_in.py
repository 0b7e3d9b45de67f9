"""Sign-in with the account of another site (config.social_login).

Invariants: an address counts only where the other site says that it is verified; without one nobody signs up,
so that no account waits with the address of somebody else until its owner verifies it; the user, the account
and the connection are created in one transaction.
"""

from typing import Any

from allauth.account.models import EmailAddress
from allauth.core import context as current
from allauth.core.exceptions import ImmediateHttpResponse
from allauth.socialaccount.adapter import DefaultSocialAccountAdapter
from allauth.socialaccount.models import SocialLogin
from allauth.socialaccount.providers.base import AuthProcess
from django.contrib import messages
from django.contrib.auth.base_user import AbstractBaseUser
from django.contrib.auth.models import AbstractUser
from django.db import IntegrityError, transaction
from django.forms import Form
from django.http import HttpRequest
from django.shortcuts import redirect
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from accounts import registration
from accounts.models import User

LONGEST_ZONE = 64


class SocialAdapter(DefaultSocialAccountAdapter):
    error_messages = DefaultSocialAccountAdapter.error_messages | {
        "no_password": gettext_lazy("Set a password before you disconnect your last account."),
        "no_verified_email": gettext_lazy("Verify your e-mail address first."),
    }

    def authenticate_by_email(self, sociallogin: SocialLogin) -> tuple[AbstractUser, str] | None:
        """The user of a verified address. Unverified addresses are dropped here, before any use."""
        sociallogin.email_addresses = _verified(sociallogin.email_addresses)
        found: tuple[AbstractUser, str] | None = super().authenticate_by_email(sociallogin)
        return found

    def pre_social_login(self, request: HttpRequest, sociallogin: SocialLogin) -> None:
        """Refuse to sign up without a verified address; of several, the account gets the first one."""
        if sociallogin.is_existing or sociallogin.state.get("process") == AuthProcess.CONNECT:
            return
        sociallogin.email_addresses = _verified(sociallogin.email_addresses)[:1]
        if not sociallogin.email_addresses:
            text = _(
                "%(site)s did not confirm your e-mail address. Verify it there, or create an account with a"
                " password."
            )
            _refuse(request, text % {"site": sociallogin.provider.name})
        assert isinstance(sociallogin.user, User)
        sociallogin.user.email = sociallogin.email_addresses[0].email

    def save_user(
        self, request: HttpRequest, sociallogin: SocialLogin, form: Form | None = None
    ) -> AbstractBaseUser:
        """Save the new user with the personal account, its wallet and plan, in one transaction."""
        try:
            with transaction.atomic():
                user: AbstractBaseUser = super().save_user(request, sociallogin, form)
                assert isinstance(user, User)
                zone = str(sociallogin.state.get("zone", ""))
                registration.open_personal_account(user, timezone.now(), zone=zone)
        except IntegrityError:  # another sign-up with the same address, at the same time
            _refuse(request, _("The sign-in was not completed. Try again."))
        return user

    def generate_state_param(self, state: dict[str, Any]) -> str:
        """Keep the browser's time zone, which the form of the button sends, for the account of a new user."""
        state["zone"] = current.request.POST.get("zone", "")[:LONGEST_ZONE]
        return str(super().generate_state_param(state))


def _verified(addresses: list[EmailAddress]) -> list[EmailAddress]:
    """The verified ones in lower case. Some sites send the text "false", which Python takes for true."""
    verified = [address for address in addresses if address.verified in (True, "true")]
    for address in verified:
        address.email, address.verified = address.email.lower(), True
    return verified


def _refuse(request: HttpRequest, text: str) -> None:
    messages.error(request, text)
    raise ImmediateHttpResponse(redirect("account_login"))
