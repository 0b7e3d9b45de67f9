"""Forms of the public price pages: filter the list, estimate one service, compare models.

Invariant: the choices come from the catalogue in force, and the quantities are the meters of the rates.
"""

from typing import Any

from django import forms
from django.utils.text import capfirst
from django.utils.translation import gettext_lazy as _

from pricing.catalogue.cache import ServiceFacts
from pricing.catalogue.texts import translated
from pricing.rates import meters
from pricing.rates.presentation import option_choices
from pricing.rates.rate import Rate
from pricing.selectors import Filters

OPTION_PREFIX = "option-"
# The use that is priced before the visitor enters one.
TYPICAL = {
    "tokens": 2500,
    "input_tokens": 2000,
    "output_tokens": 500,
    "cached_input_tokens": 0,
    "image_tokens": 0,
    "images": 1,
    "seconds": 5,
    "uses": 1,
    "messages": 1,
    "characters": 1000,
}
LONGEST_TEXT = 2_000  # it is part of the URL


class FilterForm(forms.Form):
    """Search and filters of the price list; invalid values are ignored."""

    q = forms.CharField(
        label=_("Search"), required=False, max_length=100, widget=forms.TextInput({"type": "search"})
    )
    modality = forms.ChoiceField(label=_("Kind"), required=False)
    tier = forms.ChoiceField(label=_("Tier"), required=False)
    tag = forms.ChoiceField(label=_("Tag"), required=False)

    def __init__(self, data: Any, *, filters: Filters) -> None:
        super().__init__(data)
        for name, values in (
            ("modality", filters.modalities),
            ("tier", filters.tiers),
            ("tag", filters.tags),
        ):
            if len(values) > 1:
                field = self.fields[name]
                assert isinstance(field, forms.ChoiceField)
                field.choices = [("", _("All")), *((value, capfirst(translated(value))) for value in values)]
            else:
                del self.fields[name]

    def chosen(self) -> dict[str, str]:
        """The filters as arguments of selectors.services."""
        self.is_valid()
        data = self.cleaned_data
        return {
            "text": data.get("q", ""),
            **{name: data.get(name, "") for name in ("modality", "tier", "tag")},
        }


def quantity_field(meter: str) -> forms.Field:
    """A field for the quantity of a meter."""
    label, most = meters.METERS[meter].capitalize(), int(meters.LARGEST_QUANTITY)
    if meter in meters.FRACTIONAL:
        return forms.DecimalField(label=label, min_value=0, max_value=most, decimal_places=6, required=False)
    return forms.IntegerField(label=label, min_value=0, max_value=most, required=False)


def text_field() -> forms.Field:
    """A field for a text whose tokens are estimated."""
    return forms.CharField(
        label=_("Text"),
        required=False,
        max_length=LONGEST_TEXT,
        widget=forms.Textarea({"rows": 2}),
        help_text=_("We estimate the tokens of this text and of a typical answer."),
    )


class EstimateForm(forms.Form):
    """A use of one rate: its meters and options, or a text. Initially a typical use."""

    def __init__(self, data: Any, *, rate: Rate, models: list[ServiceFacts]) -> None:
        asked = [line.meter for line in rate.lines] + ["text"]
        super().__init__(data if any(name in data for name in asked) else None, initial=TYPICAL)
        self.rate = rate
        if models:
            choices = [(facts.key, translated(facts.name)) for facts in models]
            self.fields["model"] = forms.ChoiceField(label=_("Model"), choices=choices, initial=rate.service)
        for line in rate.lines:
            self.fields[line.meter] = quantity_field(line.meter)
        for name, option in rate.options.items():
            values = option_choices(option)
            if values:
                shown = [(value, f"{capfirst(translated(value))} (×{factor})") for value, factor in values]
                self.fields[OPTION_PREFIX + name] = forms.ChoiceField(
                    label=capfirst(translated(name)),
                    choices=shown,
                    initial=option.default,
                    required=False,
                )
        if any(line.meter in meters.TOKENS or line.meter == "characters" for line in rate.lines):
            self.fields["text"] = text_field()

    def use(self) -> dict[str, Any]:
        """The arguments of estimates.priced without the service. Call it on a valid or unbound form."""
        data = self.cleaned_data if self.is_bound else {**TYPICAL}
        options = {
            name.removeprefix(OPTION_PREFIX): data[name]
            for name in self.fields
            if name.startswith(OPTION_PREFIX) and data.get(name)
        }
        if data.get("text"):
            return {"text": data["text"], "options": options}
        usage = {line.meter: data.get(line.meter) or 0 for line in self.rate.lines}
        return {"usage": usage, "options": options}


class CompareForm(forms.Form):
    """One use, to compare all models of a kind."""

    def __init__(self, data: Any, *, modalities: list[str], modality: str, asked: list[str]) -> None:
        super().__init__(data if any(name in data for name in [*asked, "text"]) else None, initial=TYPICAL)
        self.asked = asked
        if len(modalities) > 1:
            choices = [(value, capfirst(translated(value))) for value in modalities]
            self.fields["modality"] = forms.ChoiceField(
                label=_("Kind"), choices=choices, initial=modality, required=False
            )
        for meter in asked:
            self.fields[meter] = quantity_field(meter)
        if meters.TOKENS.intersection(asked):
            self.fields["text"] = text_field()

    def usage(self) -> dict[str, Any]:
        """Quantities by meter; empty if a text is given. Call it on a valid or unbound form."""
        data = self.cleaned_data if self.is_bound else TYPICAL
        return {} if self.text() else {meter: data.get(meter) or 0 for meter in self.asked}

    def text(self) -> str | None:
        """The text to estimate, if one was given."""
        return self.cleaned_data.get("text") or None if self.is_bound else None
