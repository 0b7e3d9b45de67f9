"""Forms for the prices of a draft rate card: all services in a table, or one rate with all its fields.

Invariant: what a form accepts is what a catalogue file may say; each error is beside its field.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from django import forms
from django.utils.text import capfirst
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from core.amounts import plain
from pricing.catalogue import drafts, rate_rows
from pricing.catalogue.cache import ServiceFacts
from pricing.catalogue.drafts import Change
from pricing.catalogue.rate_cards import Row
from pricing.catalogue.rate_rows import Path, RateInvalid
from pricing.rates.meters import METERS

SPARE_ROWS = 3
MOST_ROWS = 60
Names = Mapping[Path, str]
"""The form's field of each field of a rate as in a catalogue file."""


class Figure(forms.CharField):
    """A number in digits. Its limits are those of a catalogue file, which checks it afterwards."""

    def __init__(self, label: Any, **more: Any) -> None:
        attrs = {"inputmode": "decimal", "autocomplete": "off", "aria-label": label}
        super().__init__(label=label, required=False, max_length=60, widget=forms.TextInput(attrs), **more)

    def clean(self, value: Any) -> str:
        text: str = super().clean(value)
        if "_" in text or " " in text or not text.isascii():
            raise forms.ValidationError(_("Enter digits, such as 1000 or 2.5."))
        return text


@dataclass(slots=True)
class Step:
    """The fields of one price: of a line, or of one band of a line."""

    meter: str
    up_to: int | None
    credits: forms.BoundField
    per: forms.BoundField | None


@dataclass(slots=True)
class ServicePrices:
    """The fields of one service in the table."""

    facts: ServiceFacts
    row: Row | None
    seen: forms.BoundField
    steps: list[Step] = field(default_factory=list)
    minimum: forms.BoundField | None = None
    multiplier: forms.BoundField | None = None
    remove: forms.BoundField | None = None


class PricesForm(forms.Form):
    """The prices of some services of a draft: the figures of their lines, minimum and multiplier."""

    def __init__(
        self, data: Any, *, services: Iterable[ServiceFacts], rows: Mapping[str, Row], **more: Any
    ) -> None:
        super().__init__(data, **more)
        self._rows = rows
        self.services = [self._add(facts, rows.get(facts.key)) for facts in services]

    def _add(self, facts: ServiceFacts, row: Row | None) -> ServicePrices:
        key, name = facts.key, facts.name
        self.fields[f"{key}:seen"] = forms.CharField(
            required=False, initial=drafts.seen(row), widget=forms.HiddenInput
        )
        prices = ServicePrices(facts, row, self[f"{key}:seen"])
        if row is None:
            return prices
        for number, (line, band) in enumerate(_steps(row)):
            meter = str(METERS[line["meter"]])
            label = _("%(service)s: credits for %(meter)s") % {"service": name, "meter": meter}
            self.fields[f"{key}:credits:{number}"] = Figure(label, initial=band["credits"])
            per = None
            if band is line["bands"][0]:
                label = _("%(service)s: per how many %(meter)s") % {"service": name, "meter": meter}
                self.fields[f"{key}:per:{number}"] = Figure(label, initial=str(line["per"]))
                per = self[f"{key}:per:{number}"]
            step = Step(capfirst(meter), band["up_to"], self[f"{key}:credits:{number}"], per)
            prices.steps.append(step)
        for which, label in (
            ("minimum", _("%(service)s: minimum")),
            ("multiplier", _("%(service)s: multiplier")),
        ):
            self.fields[f"{key}:{which}"] = Figure(label % {"service": name}, initial=plain(row[which]))
            setattr(prices, which, self[f"{key}:{which}"])
        label = _("%(service)s: no price, it cannot be charged") % {"service": name}
        box = forms.CheckboxInput({"aria-label": label})
        self.fields[f"{key}:remove"] = forms.BooleanField(label=label, required=False, widget=box)
        prices.remove = self[f"{key}:remove"]
        return prices

    def changes(self) -> dict[str, Change]:
        """What differs from the card, by service key; the form is valid."""
        found = {}
        for prices in self.services:
            key, row = prices.facts.key, prices.row
            if row is None:
                continue
            given = {name: self.cleaned_data[name] for name in self._names(key)}
            shown = {name: self.fields[name].initial or "" for name in given}
            removed = self.cleaned_data[f"{key}:remove"]
            if given != shown or removed:
                seen = self.cleaned_data[f"{key}:seen"]
                found[key] = Change(seen, None if removed else self._table(key, row)[0])
        return found

    def _names(self, key: str) -> list[str]:
        """The fields of figures of this service."""
        others = {f"{key}:seen", f"{key}:remove"}
        return [name for name in self.fields if name.startswith(f"{key}:") and name not in others]

    def present(self, data: Any, stale: Collection[str]) -> "PricesForm":
        """The form again with the card's values of these services, which somebody else has changed."""
        data = data.copy()
        for name, one in self.fields.items():
            if name.split(":")[0] in stale:
                data.pop(name, None)
                if one.initial:
                    data[name] = one.initial
        services = [prices.facts for prices in self.services]
        form = PricesForm(data, services=services, rows=self._rows)
        for key in stale:
            form.add_error(f"{key}:seen", _("Somebody else changed this price. Check it, then enter yours."))
        return form

    def _table(self, key: str, row: Row) -> tuple[dict[str, Any], Names]:
        """The rate as in a file, and the form's field of each of its fields."""
        table = rate_rows.table_of(row)
        names: dict[Path, str] = {}
        for which in ("minimum", "multiplier"):
            _put(table, names, which, self.cleaned_data[f"{key}:{which}"], f"{key}:{which}")
        number = 0
        for position, line in enumerate(table.get("lines", [])):
            at: Path = ("lines", position)
            names[at] = f"{key}:credits:{number}"
            per = f"{key}:per:{number}"
            _put(line, names, "per", self.cleaned_data[per], per, at)
            for place, band in enumerate(line.get("bands") or [line]):
                inside = (*at, "bands", place) if "bands" in line else at
                name = f"{key}:credits:{number}"
                _put(band, names, "credits", self.cleaned_data[name], name, inside)
                number += 1
        return table, names

    def add_invalid(self, by_service: Mapping[str, RateInvalid]) -> None:
        """Show the errors of the catalogue's rules beside their fields."""
        for prices in self.services:
            error = by_service.get(prices.facts.key)
            if error is not None and prices.row is not None:
                names = self._table(prices.facts.key, prices.row)[1]
                _add_errors(self, error, names, f"{prices.facts.key}:multiplier")


class RateForm(forms.Form):
    """One rate with all its fields; lines with the same meter are the bands of one."""

    seen = forms.CharField(required=False, widget=forms.HiddenInput)
    minimum = Figure(gettext_lazy("Minimum price of a use, in credits"))
    multiplier = Figure(gettext_lazy("Multiplier of all prices"))
    cost_of_model = forms.BooleanField(
        label=gettext_lazy("Costs what its model costs (actions only)"), required=False
    )
    assumed = forms.BooleanField(
        label=gettext_lazy("Assumed: the product's pages give no figure"), required=False
    )
    reason = forms.CharField(
        label=gettext_lazy("Source of the assumed price"), required=False, max_length=500
    )

    def __init__(self, data: Any, *, row: Row | None) -> None:
        steps = list(_steps(row)) if row else []
        options = list(_choices(row)) if row else []
        initial = {
            "seen": drafts.seen(row),
            "minimum": plain(row["minimum"]) if row else "0",
            "multiplier": plain(row["multiplier"]) if row else "1",
            **{name: row[name] for name in ("cost_of_model", "assumed", "reason") if row},
        }
        super().__init__(data, initial=initial)
        self._steps = _row_count(data, "meter", len(steps))
        self._options = _row_count(data, "option", len(options))
        for number in range(self._steps):
            self._add_step(number, *(steps[number] if number < len(steps) else (None, None)))
        for number in range(self._options):
            self._add_option(number, *(options[number] if number < len(options) else ("", "", "", False)))

    def _add_step(self, number: int, line: Any, band: Any) -> None:
        of = {"number": number + 1}
        meters = [("", "–"), *((key, capfirst(str(label))) for key, label in METERS.items())]
        select = forms.Select({"aria-label": _("Price %(number)s: meter") % of})
        boxes = forms.CheckboxInput({"aria-label": _("Price %(number)s: started blocks count whole") % of})
        also = rate_rows.without_parts(line["meter"], line["also"]) if line else []
        self.fields |= {
            f"meter-{number}": forms.ChoiceField(
                choices=meters, required=False, initial=line and line["meter"], widget=select
            ),
            f"up_to-{number}": Figure(
                _("Price %(number)s: up to which quantity") % of, initial=band and band["up_to"]
            ),
            f"credits-{number}": Figure(
                _("Price %(number)s: credits") % of, initial=band and band["credits"]
            ),
            f"per-{number}": Figure(
                _("Price %(number)s: per how many") % of, initial=line["per"] if line else 1
            ),
            f"whole_blocks-{number}": forms.BooleanField(
                required=False, initial=bool(line and line["whole_blocks"]), widget=boxes
            ),
            f"also-{number}": forms.CharField(
                required=False,
                max_length=200,
                initial=", ".join(also),
                widget=forms.TextInput({"aria-label": _("Price %(number)s: other meters, by commas") % of}),
            ),
        }

    def _add_option(self, number: int, name: str, value: str, factor: str, default: bool) -> None:
        of = {"number": number + 1}
        texts = {
            "option": (name, _("Option %(number)s: name") % of),
            "value": (value, _("Option %(number)s: value") % of),
        }
        for which, (initial, label) in texts.items():
            self.fields[f"{which}-{number}"] = forms.CharField(
                required=False, max_length=60, initial=initial, widget=forms.TextInput({"aria-label": label})
            )
        self.fields[f"factor-{number}"] = Figure(_("Option %(number)s: multiplier") % of, initial=factor)
        box = forms.CheckboxInput({"aria-label": _("Option %(number)s: default value") % of})
        self.fields[f"default-{number}"] = forms.BooleanField(required=False, initial=default, widget=box)

    def steps(self) -> list[dict[str, forms.BoundField]]:
        """The fields of each price, for the template."""
        names = ("meter", "up_to", "credits", "per", "whole_blocks", "also")
        return [{name: self[f"{name}-{number}"] for name in names} for number in range(self._steps)]

    def options(self) -> list[dict[str, forms.BoundField]]:
        names = ("option", "value", "factor", "default")
        return [{name: self[f"{name}-{number}"] for name in names} for number in range(self._options)]

    def general(self) -> list[forms.BoundField]:
        names = ("minimum", "multiplier", "cost_of_model", "assumed", "reason")
        return [self[name] for name in names]

    def change(self) -> Change:
        """The rate as in a file; the form is valid."""
        return Change(self.cleaned_data["seen"], self._table()[0])

    def add_invalid(self, error: RateInvalid) -> None:
        """Show the errors of the catalogue's rules beside their fields."""
        _add_errors(self, error, self._table()[1], None)

    def _table(self) -> tuple[dict[str, Any], Names]:
        table: dict[str, Any] = {}
        names: dict[Path, str] = {(name,): name for name in self.base_fields}
        for name in ("minimum", "multiplier", "cost_of_model", "assumed", "reason"):
            _put(table, names, name, self.cleaned_data[name], name)
        lines = self._lines(names)
        if lines:
            table["lines"] = lines
        names[("lines",)] = "credits-0"
        names[("options",)] = "option-0"
        if options := self._option_tables(names):
            table["options"] = options
        return table, names

    def _lines(self, names: dict[Path, str]) -> list[dict[str, Any]]:
        """Lines of the rows; the rows of one meter are its bands."""
        data = self.cleaned_data
        filled = [n for n in range(self._steps) if data[f"meter-{n}"] or data[f"credits-{n}"]]
        lines: list[dict[str, Any]] = []
        for number in filled:
            meter = data[f"meter-{number}"]
            band: dict[str, Any] = {}
            if not lines or lines[-1].get("meter") != meter:
                lines.append({"bands": []})
                at: Path = ("lines", len(lines) - 1)
                names[at] = f"credits-{number}"
                for name in ("meter", "per", "whole_blocks"):
                    _put(lines[-1], names, name, data[f"{name}-{number}"], f"{name}-{number}", at)
                also = [name.strip() for name in data[f"also-{number}"].split(",") if name.strip()]
                _put(lines[-1], names, "also", also, f"also-{number}", at)
                names |= {(*at, "also", place): f"also-{number}" for place in range(len(also))}
            inside = (*at, "bands", len(lines[-1]["bands"]))
            for name in ("up_to", "credits"):
                _put(band, names, name, data[f"{name}-{number}"], f"{name}-{number}", inside)
            lines[-1]["bands"].append(band)
        for position, line in enumerate(lines):
            if len(line["bands"]) == 1 and "up_to" not in line["bands"][0]:
                names[("lines", position, "credits")] = names[("lines", position, "bands", 0, "credits")]
                line |= line.pop("bands")[0]
        return lines

    def _option_tables(self, names: dict[Path, str]) -> dict[str, Any]:
        data = self.cleaned_data
        options: dict[str, Any] = {}
        for number in range(self._options):
            name, value, factor = (data[f"{which}-{number}"] for which in ("option", "value", "factor"))
            if not name:
                continue
            names[("options", name, "[key]")] = f"option-{number}"
            names.setdefault(("options", name), f"option-{number}")
            if not value and not factor:
                options.setdefault(name, {"effect": False})
                continue
            option = options.setdefault(name, {"multipliers": {}})
            option.setdefault("multipliers", {})[value] = factor
            if data[f"default-{number}"]:
                option["default"] = value
            names[("options", name, "multipliers", value)] = f"factor-{number}"
            names[("options", name, "multipliers", value, "[key]")] = f"value-{number}"
        return options


def _steps(row: Row) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """Every band of every line."""
    return ((line, band) for line in row["lines"] for band in line["bands"])


def _choices(row: Row) -> Iterator[tuple[str, str, str, bool]]:
    """Every value of every option: name, value, multiplier, whether it is the default."""
    for name, option in row["options"].items():
        if option["multipliers"] is None:
            yield name, "", "", False
        for value, factor in (option["multipliers"] or {}).items():
            yield name, value, factor, value == option["default"]


def _row_count(data: Any, name: str, present: int) -> int:
    """How many rows were sent; without data those of the rate, and some to add."""
    if data is None:
        return present + SPARE_ROWS
    return next((n for n in range(MOST_ROWS) if f"{name}-{n}" not in data), MOST_ROWS)


def _put(
    table: dict[str, Any], names: dict[Path, str], name: str, value: Any, field_name: str, at: Path = ()
) -> None:
    """Set or, where nothing was entered, leave out a field of a file."""
    names[(*at, name)] = field_name
    if value in ("", False, []):
        table.pop(name, None)
    else:
        table[name] = value


def _add_errors(form: forms.Form, error: RateInvalid, names: Names, otherwise: str | None) -> None:
    for path, expected in error.problems:
        within: Collection[Path] = [path[:length] for length in range(len(path), 0, -1)]
        name = next((names[at] for at in within if at in names), otherwise)
        form.add_error(name, _("Expected %(what)s.") % {"what": expected})
