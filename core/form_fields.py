"""Fields of forms that all apps share."""

from decimal import Decimal
from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _

from core import amounts


class CreditsInput(forms.CharField):
    """A positive number of credits; None when empty."""

    widget = forms.TextInput(attrs={"inputmode": "decimal", "autocomplete": "off"})

    def clean(self, value: Any) -> Decimal | None:
        text: str = super().clean(value)
        if not text:
            return None
        credits = amounts.parse(text)
        if not credits:
            raise forms.ValidationError(
                _("“%(given)s” is not a valid amount. Enter credits above zero, such as 250 or 2.5."),
                params={"given": text},
            )
        if credits > amounts.LARGEST:
            raise forms.ValidationError(
                _("The largest amount is %(largest)s credits."),
                params={"largest": amounts.plain(amounts.LARGEST)},
            )
        return credits
