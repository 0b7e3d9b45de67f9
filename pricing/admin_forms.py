"""Form of the admin for the date and note of a rate card."""

from django import forms
from django.utils.translation import gettext_lazy as _

from pricing.models import RateCard


class DraftForm(forms.ModelForm):
    """A new draft card for a date: a copy of the rates in force."""

    class Meta:
        model = RateCard
        fields = ["effective_at", "note"]
        help_texts = {
            "effective_at": _(
                "The date from which the rates apply, at the earliest when the card is published."
            ),
        }
