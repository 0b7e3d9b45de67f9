"""The forms of allauth with our labels, and codes that phones can fill in.

Invariant: sign-up takes the same time for a registered and an unknown address.
"""

from typing import Any

from allauth.account import forms as account_forms
from allauth.core import context as current
from allauth.mfa.base import forms as factor_forms
from allauth.mfa.totp import forms as totp_forms
from allauth.mfa.webauthn import forms as passkey_forms
from django import forms
from django.contrib.auth.hashers import make_password
from django.contrib.auth.password_validation import password_validators_help_text_html
from django.http import HttpRequest
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from accounts import guesses, passkeys

LABELS = {
    "login": _("E-mail address"),
    "email": _("E-mail address"),
    "password": _("Password"),
    "oldpassword": _("Current password"),
    "code": _("Code"),
}


class OurWords(forms.Form):
    """Mixin for every form of allauth that is shown."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for name, field in self.fields.items():
            field.widget.attrs.pop("placeholder", None)
            field.label = LABELS.get(name, field.label)
            if name == "code":
                field.widget.attrs |= {
                    "autocomplete": "one-time-code",
                    "inputmode": "numeric",
                    "class": "code-input",
                    "autofocus": True,
                }
        for name in ("password2", "email2"):
            self.fields.pop(name, None)
        if "password1" in self.fields:
            self.fields["password1"].label = _("Password") if "email" in self.fields else _("New password")
            self.fields["password1"].help_text = password_validators_help_text_html()


class SignUp(OurWords, account_forms.SignupForm):
    # Filled by static/js/portal.js with the zone of the browser; a name that is no zone counts as unknown.
    zone = forms.CharField(required=False, max_length=64, widget=forms.HiddenInput(attrs={"data-zone": ""}))

    def try_save(self, request: HttpRequest) -> Any:
        if self.account_already_exists:
            make_password(self.cleaned_data["password1"])  # the slow part of a sign-up
        return super().try_save(request)


class SignIn(OurWords, account_forms.LoginForm):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["password"].help_text = ""  # the page has this link beside the button


class RequestCode(OurWords, account_forms.RequestLoginCodeForm):
    pass


class CountedCode:
    """Mixin for the forms of codes that were sent by e-mail: attempts are limited."""

    def clean_code(self) -> str:
        request = current.request
        guesses.count_emailed_code(client=guesses.client_of(request), now=timezone.now())
        code: str = super().clean_code()  # type: ignore[misc]
        return code


class ConfirmSignInCode(CountedCode, OurWords, account_forms.ConfirmLoginCodeForm):
    pass


class ConfirmAddressCode(CountedCode, OurWords, account_forms.ConfirmEmailVerificationCodeForm):
    pass


class ChangeAddress(OurWords, account_forms.AddEmailForm):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["email"].label = _("New e-mail address")


class ResetPassword(OurWords, account_forms.ResetPasswordForm):
    pass


class ConfirmResetCode(CountedCode, OurWords, account_forms.ConfirmPasswordResetCodeForm):
    pass


class NewPassword(OurWords, account_forms.ResetPasswordKeyForm):
    pass


class ChangePassword(OurWords, account_forms.ChangePasswordForm):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["oldpassword"].help_text = ""


class SetPassword(OurWords, account_forms.SetPasswordForm):
    pass


class Reauthenticate(OurWords, account_forms.ReauthenticateForm):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["password"].help_text = ""


class ShowSecondFactor(OurWords, factor_forms.AuthenticateForm):
    pass


class ShowSecondFactorAgain(OurWords, factor_forms.ReauthenticateForm):
    pass


class ActivateSecondFactor(OurWords, totp_forms.ActivateTOTPForm):
    pass


class AddPasskey(OurWords, passkey_forms.AddWebAuthnForm):
    """Every passkey signs in without a password: allauth's script reads this from the field."""

    name = forms.CharField(
        label=_("Name"),
        max_length=passkeys.LONGEST_NAME,
        required=False,
        help_text=_("Where the passkey is stored, such as “Phone”."),
    )
    passwordless = forms.BooleanField(
        required=False, initial=True, widget=forms.CheckboxInput({"hidden": True})
    )

    def clean_passwordless(self) -> bool:
        return True

    def clean(self) -> dict[str, Any]:
        passkeys.require_few(self.user)
        with passkeys.refused_alike():
            cleaned: dict[str, Any] = super().clean() or {}
            if "credential" in cleaned:
                cleaned["credential"] = passkeys.stored_part(cleaned["credential"])
        return cleaned


class RenamePasskey(OurWords, passkey_forms.EditWebAuthnForm):
    name = forms.CharField(label=_("Name"), max_length=passkeys.LONGEST_NAME)


class SignInWithPasskey(passkeys.Answered, OurWords, passkey_forms.LoginWebAuthnForm):
    pass


class ShowPasskey(passkeys.Answered, OurWords, passkey_forms.AuthenticateWebAuthnForm):
    pass


class ShowPasskeyAgain(passkeys.Answered, OurWords, passkey_forms.ReauthenticateWebAuthnForm):
    pass
