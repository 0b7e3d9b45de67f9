"""Forms of the billing pages. They check types and formats; the domain refuses what is not allowed."""

from decimal import Decimal
from typing import Any

from django import forms
from django.core.validators import validate_email
from django.utils.translation import gettext_lazy as _

from billing.models import BillingProfile
from billing.notifications import low_credit_alerts
from billing.purchases.create import MAX_PACKS
from core.amounts import LARGEST
from core.form_fields import CreditsInput


def _threshold() -> forms.DecimalField:
    return forms.DecimalField(
        label=_("Threshold in credits"),
        max_digits=20,
        decimal_places=6,
        min_value=Decimal(0),
        max_value=LARGEST,
        widget=forms.TextInput(attrs={"inputmode": "decimal", "class": "input-figure"}),
    )


class OrderForm(forms.Form):
    """Packs before they are bought."""

    currency = forms.CharField(max_length=3)
    quantity = forms.IntegerField(
        label=_("Quantity"),
        min_value=1,
        max_value=MAX_PACKS,
        initial=1,
        widget=forms.NumberInput(attrs={"inputmode": "numeric", "class": "input-figure"}),
    )
    code = forms.CharField(
        label=_("Promotion code"),
        max_length=40,
        required=False,
        widget=forms.TextInput(attrs={"autocomplete": "off", "autocapitalize": "characters"}),
    )


class PurchaseForm(OrderForm):
    """A purchase of packs. `key` is created with the page, so that a second click is the same purchase."""

    pack = forms.SlugField(max_length=100)
    key = forms.UUIDField(widget=forms.HiddenInput)
    shown = forms.IntegerField(required=False, min_value=0, widget=forms.HiddenInput)


class CodeForm(forms.Form):
    code = forms.CharField(
        label=_("Promotion or invitation code"),
        max_length=40,
        widget=forms.TextInput(attrs={"autocomplete": "off", "autocapitalize": "characters"}),
    )


class RefundForm(forms.Form):
    comment = forms.CharField(
        label=_("Reason (optional)"),
        required=False,
        max_length=1000,
        widget=forms.Textarea(attrs={"rows": 3}),
    )


class AlertForm(forms.Form):
    """When and where a low-credit alert is sent."""

    enabled = forms.BooleanField(label=_("Notify me when credits run low"), required=False)
    below = _threshold()
    also_below = forms.CharField(
        label=_("Further thresholds"),
        required=False,
        max_length=100,
        help_text=_("Up to four, separated by commas, such as 100, 20."),
        widget=forms.TextInput(attrs={"inputmode": "decimal", "autocomplete": "off"}),
    )
    by_email = forms.BooleanField(label=_("Send an e-mail"), required=False)
    extra_addresses = forms.CharField(
        label=_("Additional e-mail addresses"),
        required=False,
        max_length=500,
        help_text=_("Separate addresses with commas. Owners of the account always get the e-mail."),
    )

    def clean_also_below(self) -> list[Decimal]:
        parts = [part.strip() for part in self.cleaned_data["also_below"].split(",")]
        thresholds = [CreditsInput().clean(part) for part in parts if part]
        if len(thresholds) > low_credit_alerts.MOST_FURTHER:
            raise forms.ValidationError(_("Enter at most four further thresholds."))
        return [threshold for threshold in thresholds if threshold]

    def clean_extra_addresses(self) -> list[str]:
        parts = [part.strip() for part in self.cleaned_data["extra_addresses"].split(",")]
        addresses = [part for part in parts if part]
        for address in addresses:
            try:
                validate_email(address)
            except forms.ValidationError:
                raise forms.ValidationError(
                    _("“%(address)s” is not an e-mail address. Use the form name@example.org.")
                    % {"address": address}
                ) from None
        return addresses[:5]


class MonthlyBudgetForm(forms.Form):
    """What may be spent in a month."""

    credits = CreditsInput(
        label=_("Budget in credits"),
        required=False,
        help_text=_("For a calendar month in the time zone of the account. Leave empty for no budget."),
    )
    pauses = forms.BooleanField(
        label=_("Refuse calls beyond the budget until the next month"), required=False
    )


class AutoTopUpForm(forms.Form):
    """Pack, threshold and monthly limits of automatic top-up."""

    enabled = forms.BooleanField(label=_("Buy credits automatically"), required=False)
    below = _threshold()
    pack = forms.ChoiceField(label=_("Pack"))
    monthly_count = forms.IntegerField(label=_("Top-ups per month"), min_value=1)
    monthly_amount = forms.DecimalField(
        label=_("Monthly spending limit"),
        min_value=Decimal(0),
        max_digits=12,
        decimal_places=3,
        widget=forms.TextInput(attrs={"inputmode": "decimal", "class": "input-figure"}),
    )

    def __init__(self, *args: Any, packs: list[tuple[str, str]], max_count: int, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["pack"].choices = packs  # type: ignore[attr-defined]
        count = self.fields["monthly_count"]
        count.validators.append(forms.IntegerField(max_value=max_count).validators[0])
        count.widget.attrs["max"] = max_count


class InvoiceDetailsForm(forms.ModelForm):
    """Name, address and tax ID on future invoices."""

    class Meta:
        model = BillingProfile
        fields = ["invoice_name", "invoice_address", "tax_id"]
        labels = {
            "invoice_name": _("Name on invoices"),
            "invoice_address": _("Address"),
            "tax_id": _("Tax ID"),
        }
        widgets = {"invoice_address": forms.Textarea(attrs={"rows": 3, "autocomplete": "street-address"})}


class ErasureForm(forms.Form):
    """The user types the own address, so that nobody deletes an account by a slip.

    `credits` are those that the page said are lost; none: 0.
    """

    credits = forms.DecimalField(widget=forms.HiddenInput, required=False, min_value=0, localize=False)

    email = forms.CharField(
        label=_("Your e-mail address"),
        max_length=254,
        widget=forms.TextInput(attrs={"autocomplete": "off", "autocapitalize": "none"}),
    )

    def __init__(self, *args: Any, email: str, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._email = email

    def clean_email(self) -> str:
        typed: str = self.cleaned_data["email"].strip()
        if typed.casefold() != self._email.casefold():
            raise forms.ValidationError(_("This is not your e-mail address. Type it as shown."))
        return typed
