"""Forms of the admin for rate cards and rates, with the validation of catalogue files.

Invariant: a rate that passes these forms prices uses exactly like one from a file.
"""

from decimal import Decimal
from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _
from pydantic import TypeAdapter, ValidationError

from core.amounts import LARGEST
from pricing.catalogue import schema
from pricing.models import Rate, RateCard
from pricing.rates.rate import Band, Option, RateLine, lines_as_json, options_as_json

_LINES = TypeAdapter(list[schema.RateLine])


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
    minimum = forms.DecimalField(min_value=0, max_value=LARGEST, max_digits=20, decimal_places=6)
    multiplier = forms.DecimalField(min_value=Decimal("0.000001"), max_digits=12, decimal_places=6)

    class Meta:
        model = Rate
        fields = ["lines", "options", "minimum", "multiplier", "cost_of_model", "assumed", "reason"]

    def clean_lines(self) -> list[dict[str, Any]]:
        data = self.cleaned_data["lines"] or []
        try:
            lines = _LINES.validate_python(data)
        except ValidationError as error:
            raise forms.ValidationError(_sentences(error)) from error
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
        if not isinstance(given, dict) or not all(isinstance(choice, dict) for choice in given.values()):
            raise forms.ValidationError(_("Enter each option by name, as in the example."))
        options = {}
        for name, choice in given.items():
            multipliers = choice.get("multipliers")
            try:
                option = schema.Option(
                    effect=multipliers is not None,
                    multipliers=multipliers or {},
                    default=choice.get("default", ""),
                )
            except ValidationError as error:
                sentences = [f"{name}: {sentence}" for sentence in _sentences(error)]
                raise forms.ValidationError(sentences) from error
            options[name] = Option(option.multipliers if option.effect else None, option.default)
        return options_as_json(options)

    def clean(self) -> dict[str, Any]:
        data = super().clean() or {}
        if "lines" in data and bool(data["lines"]) == bool(data.get("cost_of_model")):
            self.add_error("lines", _("Enter either price lines or select “cost of model”."))
        if data.get("assumed") and not data.get("reason"):
            self.add_error("reason", _("Enter the source of the assumed price."))
        return data


def _sentences(error: ValidationError) -> list[str]:
    return [
        f"{'.'.join(str(part) for part in detail['loc'])}: {detail['msg']}"
        for detail in error.errors(include_url=False)
    ]
