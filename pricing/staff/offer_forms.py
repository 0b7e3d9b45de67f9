"""Forms of plans, packs and sales with a field for each figure.

Invariant: what a form accepts is what a catalogue file may say; each error is beside its field. Prices are
entered in units of the currency and stored in Stripe's minor units, exactly.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, get_args

from django import forms
from django.utils import timezone
from django.utils.translation import gettext as _

from core.amounts import plain
from core.currencies import decimals, to_major
from pricing.catalogue import cache as catalogue_cache
from pricing.catalogue import offers
from pricing.catalogue.offers import OfferInvalid, Path
from pricing.catalogue.policies import Kind
from pricing.models import Pack, Plan, Sale
from pricing.staff.rate_forms import Figure

SPARE_ROWS = 2
MOST_ROWS = 40
_AMOUNT = re.compile(r"-?[0-9]{1,14}(\.[0-9]+)?", re.ASCII)
MOMENT = "%Y-%m-%dT%H:%M:%S"


class Price(Figure):
    """An amount of money, in units of the currency; the cleaned value is in minor units."""

    def __init__(self, currency: str, label: str, amount: int | None) -> None:
        self.currency = currency
        super().__init__(label, initial=None if amount is None else f"{to_major(amount, currency):f}")

    def clean(self, value: Any) -> Any:
        text = super().clean(value)
        if not text:
            return ""
        amount = Decimal(text) if _AMOUNT.fullmatch(text) else None
        minor = None if amount is None else amount.scaleb(decimals(self.currency))
        if minor is None or minor != minor.to_integral_value():
            example = f"{to_major(1250, self.currency):f}"
            raise forms.ValidationError(_("Enter an amount such as %(example)s.") % {"example": example})
        return int(minor)


@dataclass(slots=True)
class Rows:
    """A table of the form: its title, and its rows of headings and fields."""

    title: str
    rows: list[list[tuple[str, forms.BoundField]]]


class OfferForm(forms.Form):
    """Fields that all offers have; subclasses add those of their kind in `add_fields`."""

    model: type[Plan] | type[Pack] | type[Sale]
    currencies: list[str]
    tables: list[Rows]
    texts: tuple[str, ...] = ()
    switches: tuple[str, ...] = ()

    seen = forms.CharField(required=False, widget=forms.HiddenInput)

    def __init__(self, data: Any, *, row: Any) -> None:
        super().__init__(data, initial={"seen": offers.seen(row)})
        self.row = row
        self.present = offers.table_of(row) if row else {}
        self.tables = []
        self.currencies = list(catalogue_cache.current().currencies)
        if row is None:
            self._text("key", _("Key: lower case letters, digits, dots and hyphens; it never changes"))
        self.add_fields(self.present)
        self._text("reason", _("Source of assumed figures; empty: they are not assumed"), most=500)

    def add_fields(self, present: Mapping[str, Any]) -> None:
        raise NotImplementedError

    def _text(self, name: str, label: str, most: int = 200) -> None:
        text = forms.CharField(label=label, required=False, max_length=most, initial=self.present.get(name))
        self.fields[name] = text

    def _switch(self, name: str, label: str) -> None:
        initial = self.present.get(name, False)
        self.fields[name] = forms.BooleanField(label=label, required=False, initial=initial)

    def _prices(self, name: str, label: str, prices: Mapping[str, int]) -> None:
        for currency in self.currencies:
            field = f"{name}-{currency}"
            self.fields[field] = Price(
                currency, f"{label} ({currency.upper()})", (prices or {}).get(currency)
            )

    def _methods(self) -> None:
        """The payment methods of each currency."""
        given = self.present.get("payment_methods") or {}
        for currency in self.currencies:
            label = _("Payment methods in %(currency)s, by commas; empty: the usual ones")
            self.fields[f"methods-{currency}"] = forms.CharField(
                label=label % {"currency": currency.upper()},
                required=False,
                max_length=200,
                initial=", ".join(given.get(currency, [])),
            )

    @property
    def withdrawn(self) -> bool:
        """Whether the entry is withdrawn now."""
        return getattr(self.row, "retired_at", None) is not None

    def general(self) -> list[forms.BoundField]:
        """The fields outside of tables, for the template."""
        inside = {field.name for rows in self.tables for row in rows.rows for _heading, field in row}
        return [field for field in self.visible_fields() if field.name not in inside]

    def table(self) -> tuple[dict[str, Any], dict[Path, str]]:
        """The entry as in a file, and the form's field of each of its fields; the form is valid."""
        data = self.cleaned_data
        names: dict[Path, str] = {(name,): name for name in self.fields}
        table: dict[str, Any] = {"key": self.row.key if self.row else data["key"]}
        for name in (*self.texts, *self.switches):
            table[name] = data[name]
        table |= {"reason": data["reason"], "assumed": bool(data["reason"])}
        names |= {("assumed",): "reason"}
        self.fill(table, names)
        return {name: value for name, value in table.items() if value not in ("", None)}, names

    def fill(self, table: dict[str, Any], names: dict[Path, str]) -> None:
        raise NotImplementedError

    def _given_prices(self, name: str, names: dict[Path, str], at: Path) -> dict[str, int]:
        fields = {currency: f"{name}-{currency}" for currency in self.currencies}
        names |= {(*at, currency): field for currency, field in fields.items()}
        names[at] = f"{name}-{self.currencies[0]}"
        given = {currency: self.cleaned_data[field] for currency, field in fields.items()}
        return {currency: amount for currency, amount in given.items() if amount != ""}

    def _given_methods(self, names: dict[Path, str]) -> dict[str, list[str]]:
        names |= {("payment_methods", currency): f"methods-{currency}" for currency in self.currencies}
        given = {currency: listed(self.cleaned_data[f"methods-{currency}"]) for currency in self.currencies}
        return {currency: methods for currency, methods in given.items() if methods}

    def add_invalid(self, error: OfferInvalid) -> None:
        """Show the errors of the catalogue's rules beside their fields."""
        names = self.table()[1]
        for path, expected in error.problems:
            within = [path[:length] for length in range(len(path), 0, -1)]
            name = next((names[at] for at in within if at in names), None)
            self.add_error(name, _("Expected %(what)s.") % {"what": expected})


class PackForm(OfferForm):
    model = Pack
    texts = ("name", "summary", "lasts")
    switches = ("popular", "paid_plans_only")

    def add_fields(self, present: Mapping[str, Any]) -> None:
        self._text("name", _("Name"))
        self._text("summary", _("Summary"), most=300)
        credits = plain(present["credits"]) if present else None
        self.fields["credits"] = Figure(_("Credits"), initial=credits)
        self._prices("price", _("Price"), present.get("prices", {}))
        lasting = _("How long its credits last, such as %(forever)s or %(interval)s")
        self._text("lasts", lasting % {"forever": "forever", "interval": "12 months"}, most=40)
        self.fields["lasts"].initial = present.get("lasts", "forever")
        self._switch("popular", _("Marked as popular"))
        self._switch("paid_plans_only", _("Only for accounts on a paid plan"))
        self._methods()
        label = _("Withdrawn: it cannot be bought")
        self.fields["withdrawn"] = forms.BooleanField(label=label, required=False, initial=self.withdrawn)

    def fill(self, table: dict[str, Any], names: dict[Path, str]) -> None:
        table["credits"] = self.cleaned_data["credits"]
        table["prices"] = self._given_prices("price", names, ("prices",))
        table["payment_methods"] = self._given_methods(names)


class SaleForm(OfferForm):
    model = Sale
    texts = ("label", "pack")

    def add_fields(self, present: Mapping[str, Any]) -> None:
        self._text("label", _("Label, as customers see it"))
        packs = Pack.objects.filter(retired_at=None).order_by("position")
        self.fields["pack"] = forms.ChoiceField(
            label=_("Pack"), choices=[(pack.key, pack.name) for pack in packs], initial=present.get("pack")
        )
        self._prices("price", _("Lower price"), present.get("prices", {}))
        zone = timezone.get_current_timezone_name()
        for name, label in (("starts_at", _("Starts at (%(zone)s)")), ("ends_at", _("Ends at (%(zone)s)"))):
            self.fields[name] = forms.DateTimeField(
                label=label % {"zone": zone},
                initial=present.get(name),
                widget=forms.DateTimeInput({"type": "datetime-local", "step": "1"}, format=MOMENT),
            )

    def fill(self, table: dict[str, Any], names: dict[Path, str]) -> None:
        table["prices"] = self._given_prices("price", names, ("prices",))
        for name in ("starts_at", "ends_at"):
            given, stored = self.cleaned_data[name], self.present.get(name)
            # Browsers send whole seconds: an instant that was not changed keeps its fraction.
            same = stored is not None and given == stored.replace(microsecond=0)
            table[name] = stored if same else given


class PlanForm(OfferForm):
    model = Plan
    texts = ("name", "summary", "badge")
    switches = ("legacy", "carry_over")

    def add_fields(self, present: Mapping[str, Any]) -> None:
        self._text("name", _("Name"))
        self._text("summary", _("Summary"), most=300)
        self.fields["features"] = forms.CharField(
            label=_("Features, one on each line"),
            required=False,
            max_length=4000,
            initial="\n".join(present.get("features", [])),
            widget=forms.Textarea({"rows": 4}),
        )
        self._text("badge", _("Badge of accounts on this plan"), most=60)
        rank = _("Rank: a change to a higher one is an upgrade")
        self.fields["rank"] = Figure(rank, initial=present.get("rank"))
        prices = present.get("prices", {})
        self._prices("month", _("Price of a month"), prices.get("month", {}))
        self._prices("year", _("Price of a year"), prices.get("year", {}))
        self._switch("legacy", _("Legacy: members keep it, nobody else can choose it"))
        self._switch("carry_over", _("Unspent credits are carried over on an upgrade to it"))
        unlimited = ", ".join(present.get("unlimited_services", []))
        self.fields["unlimited_services"] = forms.CharField(
            label=_("Services without limit, by commas"), required=False, max_length=2000, initial=unlimited
        )
        self._methods()
        self._allowances(present.get("allowances", []))
        self._quotas(present.get("quotas", []))

    def _allowances(self, present: list[dict[str, Any]]) -> None:
        kinds = [(kind, kind) for kind in get_args(Kind)]
        periods = [(period, period) for period in ("day", "month", "once")]
        columns = {
            "key": (_("Key"), None),
            "kind": (_("Kind"), kinds),
            "label": (_("Label"), None),
            "credits": (_("Credits"), None),
            "period": (_("Each"), periods),
            "lasts": (_("Lasts"), None),
            "services": (_("Only for these services, by commas"), None),
            "priority": (_("Priority"), None),
            "reason": (_("Source, if assumed"), None),
        }
        rows = [one | {"services": ", ".join(one.get("services") or [])} for one in present]
        self._rows(_("Allowances"), "allowance", columns, rows)

    def _quotas(self, present: list[dict[str, Any]]) -> None:
        periods = [(period, period) for period in ("day", "month", "ever")]
        columns = {
            "key": (_("Key"), None),
            "label": (_("Label"), None),
            "maximum": (_("At most"), None),
            "period": (_("Each"), periods),
            "reason": (_("Source, if assumed"), None),
        }
        self._rows(_("Quotas"), "quota", columns, present)

    def _rows(
        self, title: str, of: str, columns: dict[str, tuple[str, Any]], present: list[dict[str, Any]]
    ) -> None:
        """A table of entries: those there are, and some to add. A row without a key is left out."""
        count = len(present) + SPARE_ROWS
        if self.is_bound:
            count = next((n for n in range(MOST_ROWS) if f"{of}-key-{n}" not in self.data), MOST_ROWS)
        for number in range(count):
            entry = present[number] if number < len(present) else {}
            for name, (heading, choices) in columns.items():
                label = f"{title} {number + 1}: {heading}"
                field: forms.Field
                if name in ("credits", "maximum", "priority"):
                    field = Figure(label)
                elif choices:
                    select = forms.Select({"aria-label": label})
                    field = forms.ChoiceField(choices=choices, required=False, widget=select)
                else:
                    text = forms.TextInput({"aria-label": label})
                    field = forms.CharField(required=False, max_length=500, widget=text)
                field.initial = entry.get(name)
                self.fields[f"{of}-{name}-{number}"] = field
        rows = [
            [(heading, self[f"{of}-{name}-{number}"]) for name, (heading, _choices) in columns.items()]
            for number in range(count)
        ]
        self.tables.append(Rows(title, rows))

    def fill(self, table: dict[str, Any], names: dict[Path, str]) -> None:
        data = self.cleaned_data
        lines = data["features"].splitlines()
        table["features"] = [line.strip() for line in lines if line.strip()]
        table["rank"] = data["rank"]
        table["free"] = self.present.get("free", False)  # two entries at once: in a catalogue file
        table["unlimited_services"] = listed(data["unlimited_services"])
        names |= {("unlimited_services",): "unlimited_services"}
        prices = {name: self._given_prices(name, names, ("prices", name)) for name in ("month", "year")}
        table["prices"] = {interval: given for interval, given in prices.items() if given}
        table["payment_methods"] = self._given_methods(names)
        table["allowances"] = self._given("allowance", "allowances", names)
        table["quotas"] = self._given("quota", "quotas", names)

    def _given(self, of: str, part: str, names: dict[Path, str]) -> list[dict[str, Any]]:
        entries: list[dict[str, Any]] = []
        columns = {name.split("-")[1] for name in self.fields if name.startswith(f"{of}-")}
        number = 0
        while f"{of}-key-{number}" in self.fields:
            given = {name: self.cleaned_data[f"{of}-{name}-{number}"] for name in columns}
            typed = {name: value for name, value in given.items() if name not in ("kind", "period")}
            if any(typed.values()):
                names |= {(part, len(entries), name): f"{of}-{name}-{number}" for name in columns}
                names[part, len(entries)] = f"{of}-key-{number}"
                given["assumed"] = bool(given["reason"])
                if "services" in given:
                    given["services"] = listed(given["services"])
                entries.append({name: value for name, value in given.items() if value not in ("", [])})
            number += 1
        return entries


def listed(text: str) -> list[str]:
    """The parts between commas."""
    return [part.strip() for part in text.split(",") if part.strip()]


FORMS: dict[type[Plan] | type[Pack] | type[Sale], type[OfferForm]] = {
    Plan: PlanForm,
    Pack: PackForm,
    Sale: SaleForm,
}
