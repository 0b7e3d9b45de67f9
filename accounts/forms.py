"""Forms of the settings, key and provider-key pages."""

from typing import Any

from django import forms
from django.conf import settings
from django.core.exceptions import ValidationError
from django.utils.text import format_lazy
from django.utils.translation import gettext_lazy as _

from accounts import zones
from accounts.models import Account, ApiKey, User, WebhookEvent
from core.form_fields import CreditsInput

_NO_SUCH_LANGUAGE = _("“%(value)s” is not available. Choose a language from the list.")


class ProfileForm(forms.ModelForm):
    """Name and language of the user."""

    class Meta:
        model = User
        fields = ["first_name", "last_name", "language", "theme"]
        labels = {
            "first_name": _("First name"),
            "last_name": _("Last name"),
            "language": _("Language"),
            "theme": _("Appearance"),
        }
        widgets = {
            "first_name": forms.TextInput(attrs={"autocomplete": "given-name"}),
            "last_name": forms.TextInput(attrs={"autocomplete": "family-name"}),
        }
        error_messages = {"language": {"invalid_choice": _NO_SUCH_LANGUAGE}}

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        language = self.fields["language"]
        assert isinstance(language, forms.ChoiceField)
        language.choices = [("", _("As in the browser")), *settings.LANGUAGES]
        language.help_text = ""


class ZoneInput(forms.TextInput):
    """A text field that suggests the zones that contain what is typed (templates/accounts/settings.html)."""

    def __init__(self, attrs: dict[str, Any] | None = None) -> None:
        own = {"list": "zones", "autocomplete": "off", "autocapitalize": "words", "spellcheck": "false"}
        super().__init__(own | (attrs or {}))

    def value_from_datadict(self, data: Any, files: Any, name: str) -> Any:
        """The zone whose name was typed in any case, with spaces or underscores; else what was typed."""
        typed = super().value_from_datadict(data, files, name)
        return zones.spelled(typed) if isinstance(typed, str) else typed


class AccountForm(forms.ModelForm):
    """Name and time zone of the account."""

    zone = forms.ChoiceField(
        label=_("Time zone"),
        widget=ZoneInput,
        help_text=_(
            "Type to search, such as Paris. Daily credits renew at midnight in this zone. A change takes "
            "effect with the next renewal, so that no day is given twice."
        ),
        error_messages={
            "invalid_choice": _("“%(value)s” is not a known time zone. Choose one from the list.")
        },
    )

    class Meta:
        model = Account
        fields = ["name", "zone"]
        labels = {"name": _("Account name")}

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        zone = self.fields["zone"]
        assert isinstance(zone, forms.ChoiceField)
        names = zones.names()
        if not zones.is_valid(self.instance.zone):
            names = (
                self.instance.zone,
                *names,
            )  # of an earlier release: kept until changed
        zone.choices = [(name, name.replace("_", " ")) for name in names]


class KeyForm(forms.Form):
    """A new API key of an account. `once` detects a form that is submitted again by a reload."""

    once = forms.CharField(required=False, max_length=32, widget=forms.HiddenInput)
    name = forms.CharField(
        label=_("Name"),
        max_length=100,
        help_text=_("Where the key is used, for example “Production server”."),
    )
    scopes = forms.MultipleChoiceField(
        label=_("Scopes"),
        choices=[
            (ApiKey.Scope.READ, _("Read balances, history and prices")),
            (ApiKey.Scope.SPEND, _("Spend credits")),
            (ApiKey.Scope.MANAGE, _("Manage: buy, change limits and alerts")),
        ],
        initial=[ApiKey.Scope.READ, ApiKey.Scope.SPEND],
        widget=forms.CheckboxSelectMultiple,
        error_messages={"required": _("Choose at least one scope.")},
    )
    daily_limit = CreditsInput(
        label=_("Daily limit"), required=False, help_text=_("In credits. Leave empty for no limit.")
    )
    monthly_limit = CreditsInput(
        label=_("Monthly limit"), required=False, help_text=_("In credits. Leave empty for no limit.")
    )
    days = forms.TypedChoiceField(
        label=_("Expires"),
        required=False,
        coerce=int,
        empty_value=None,
        choices=[
            ("", _("Never")),
            (30, _("After 30 days")),
            (90, _("After 90 days")),
            (365, _("After a year")),
        ],
    )


class KeyLimitsForm(forms.Form):
    """Name and limits of an API key."""

    name = forms.CharField(label=_("Name"), max_length=100)
    daily_limit = CreditsInput(
        label=_("Daily limit"), required=False, help_text=_("In credits. Leave empty for no limit.")
    )
    monthly_limit = CreditsInput(
        label=_("Monthly limit"), required=False, help_text=_("In credits. Leave empty for no limit.")
    )


class WebhookForm(forms.Form):
    """An endpoint of webhooks. `once` detects a form that is submitted again by a reload."""

    once = forms.CharField(required=False, max_length=32, widget=forms.HiddenInput)
    url = forms.CharField(
        label=_("URL"),
        max_length=2000,
        widget=forms.URLInput(attrs={"placeholder": "https://", "spellcheck": "false"}),
        help_text=_("Events are sent there by POST, with JSON and a signature."),
    )
    description = forms.CharField(
        label=_("Description"), max_length=200, required=False, help_text=_("Optional. For you only.")
    )
    events = forms.MultipleChoiceField(
        label=_("Events"),
        choices=[(one.value, format_lazy("{} – {}", one.value, one.label)) for one in WebhookEvent.Type],
        widget=forms.CheckboxSelectMultiple,
        error_messages={"required": _("Choose at least one type of event.")},
    )

    @property
    def terms(self) -> dict[str, Any]:
        """The valid values without `once`."""
        return {name: self.cleaned_data[name] for name in ("url", "description", "events")}


class ProviderKeyForm(forms.Form):
    """The account's own key at a provider. The caller passes the providers of the catalogue."""

    provider = forms.ChoiceField(label=_("Provider"))
    secret = forms.CharField(
        label=_("Key"),
        min_length=8,
        max_length=400,
        widget=forms.PasswordInput(attrs={"autocomplete": "off", "spellcheck": "false"}),
        help_text=_("Stored encrypted and never shown again. A new key replaces the old one."),
        error_messages={"min_length": _("The key is too short. Copy the complete key.")},
    )

    def __init__(self, *args: Any, providers: list[tuple[str, str]], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        provider = self.fields["provider"]
        assert isinstance(provider, forms.ChoiceField)
        provider.choices = providers

    def clean_secret(self) -> str:
        secret: str = self.cleaned_data["secret"].strip()
        if not secret.isascii() or not secret.isprintable() or " " in secret:
            raise ValidationError(
                _("The key contains characters that are not allowed. Copy only the key, without spaces.")
            )
        return secret
