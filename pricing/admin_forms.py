"""What staff may type about prices, checked by the same rules as a catalogue's file.

Invariant: a rate that these forms let through prices uses as one from a file would.
"""

from decimal import Decimal
from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _
from pydantic import TypeAdapter, ValidationError

from pricing.catalogue import schema
from pricing.models import Rate, RateCard
from pricing.rates.rate import Band, Option, RateLine, lines_as_json, options_as_json

_LINES = TypeAdapter(list[schema.RateLine])


class DraftForm(forms.ModelForm):
    """A new draft: a copy of the rates in force, for a date."""

    class Meta:
        model = RateCard
        fields = ["effective_at", "note"]
        help_texts = {
            "effective_at": _(
                "The date from which the rates apply, at the earliest when the card is published."
            ),
        }


class RateForm(forms.ModelForm):
    """One rate of a draft."""

    lines = forms.JSONField(
        required=False,
        help_text=_(
            'For example [{"meter": "tokens", "credits": "11", "per": 5000}]. Empty with “cost of model”.'
        ),
    )
    options = forms.JSONField(
        required=False,
        help_text=_(
            'For example {"quality": {"default": "low", "multipliers": {"low": "1", "high": "1.5"}}}.'
        ),
    )
    minimum = forms.DecimalField(min_value=0, max_digits=20, decimal_places=6)
    multiplier = forms.DecimalField(min_value=Decimal("0.000001"), max_digits=12, decimal_places=6)

    class Meta:
        model = Rate
        fields = ["lines", "options", "minimum", "multiplier", "cost_of_model", "assumed", "reason"]

    def clean_lines(self) -> list[dict[str, Any]]:
        told = self.cleaned_data["lines"] or []
        try:
            lines = _LINES.validate_python(told)
        except ValidationError as error:
            raise forms.ValidationError(_told(error)) from error
        return lines_as_json(
            tuple(
                RateLine(
                    meter=line.meter,
                    bands=tuple(Band(up_to, credits) for up_to, credits in line.steps),
                    per=line.per,
                    whole_blocks=line.whole_blocks,
                    also=tuple(dict.fromkeys(line.accepts)),
                )
                for line in lines
            )
        )

    def clean_options(self) -> dict[str, Any]:
        given = self.cleaned_data["options"] or {}
        if not isinstance(given, dict) or not all(isinstance(told, dict) for told in given.values()):
            raise forms.ValidationError(_("Enter each option by name, as in the example."))
        options = {}
        for name, told in given.items():
            multipliers = told.get("multipliers")
            try:
                option = schema.Option(
                    effect=multipliers is not None,
                    multipliers=multipliers or {},
                    default=told.get("default", ""),
                )
            except ValidationError as error:
                raise forms.ValidationError([f"{name}: {sentence}" for sentence in _told(error)]) from error
            options[name] = Option(option.multipliers if option.effect else None, option.default)
        return options_as_json(options)

    def clean(self) -> dict[str, Any]:
        told = super().clean() or {}
        if "lines" in told and bool(told["lines"]) == bool(told.get("cost_of_model")):
            self.add_error("lines", _("Enter either price lines or select “cost of model”."))
        if told.get("assumed") and not told.get("reason"):
            self.add_error("reason", _("Enter the source of the assumed price."))
        return told


def _told(error: ValidationError) -> list[str]:
    return [
        f"{'.'.join(str(part) for part in detail['loc'])}: {detail['msg']}"
        for detail in error.errors(include_url=False)
    ]
