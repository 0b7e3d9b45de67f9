"""Forms of the admin for users, accounts and keys."""

from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.utils.translation import gettext_lazy as _
from unfold.widgets import (
    UnfoldAdminEmailInputWidget,
    UnfoldAdminIntegerFieldWidget,
    UnfoldAdminSelectWidget,
    UnfoldAdminTextInputWidget,
)

from accounts import external_ids, staff_roles, zones
from accounts.models import Account, ApiKey, User


class PersonCreation(forms.ModelForm):
    """A user created by staff, without a password: the user sets one with a code sent to the address."""

    class Meta:
        model = User
        fields = ["email", "first_name", "last_name"]
        widgets = {
            "email": UnfoldAdminEmailInputWidget,
            "first_name": UnfoldAdminTextInputWidget,
            "last_name": UnfoldAdminTextInputWidget,
        }

    def clean_email(self) -> str:
        email: str = self.cleaned_data["email"].lower()
        if User.objects.filter(email=email).exists():
            raise ValidationError(_("A user with this address already exists. Search for it in the list."))
        return email


class PersonChange(forms.ModelForm):
    """The fields of a user that staff change; the role is asked of administrators only."""

    role = forms.ChoiceField(
        label=_("Role"), choices=staff_roles.Role.choices, widget=UnfoldAdminSelectWidget
    )

    class Meta:
        model = User
        fields = ["first_name", "last_name", "language", "is_active"]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if "role" not in self.fields:
            return
        role = staff_roles.role_of(self.instance)
        self.initial["role"] = role
        if role == staff_roles.OTHER:
            choices = [(role, staff_roles.OTHER_LABEL), *staff_roles.Role.choices]
            self.fields["role"].choices = choices  # type: ignore[attr-defined]


class AccountChange(forms.ModelForm):
    """The fields of an account that staff may change."""

    class Meta:
        model = Account
        fields = ["name", "external_id", "zone"]

    def clean_zone(self) -> str:
        zone: str = self.cleaned_data["zone"]
        if not zones.is_valid(zone):
            raise ValidationError(
                _("“%(zone)s” is not a known time zone. Use a name such as Europe/Berlin or UTC."),
                params={"zone": zone},
            )
        return zone

    def clean_external_id(self) -> str | None:
        external_id: str | None = self.cleaned_data["external_id"]
        if not external_id:
            return None  # the empty string would violate the unique constraint
        if external_id != self.instance.external_id:  # one that the account already has may stay
            external_ids.validate(external_id)
        return external_id


class PlatformKey(forms.Form):
    """A platform key: the AI product's backend uses it for every account."""

    name = forms.CharField(
        label=_("Name"),
        max_length=100,
        widget=UnfoldAdminTextInputWidget,
        help_text=_("The system that uses the key, for example “Production backend”."),
    )
    scopes = forms.MultipleChoiceField(
        label=_("Scopes"),
        choices=ApiKey.Scope.choices,
        initial=ApiKey.Scope.values,
        widget=forms.CheckboxSelectMultiple,
    )
    requests_per_minute = forms.IntegerField(
        label=_("Requests per minute"),
        required=False,
        min_value=1,
        max_value=2_147_483_647,
        widget=UnfoldAdminIntegerFieldWidget,
        help_text=_("Empty: the limit of platform keys (PLATFORM_API_RATE)."),
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["scopes"].error_messages["required"] = _("Choose at least one scope.")
