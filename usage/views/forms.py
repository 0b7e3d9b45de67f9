"""Forms of the usage, history, project and charge pages.

Invariant: whatever the query string holds, the resulting range is whole local days of the account and at most
`periods.MAX_DAYS` long; an invalid value has an error beside its field.
"""

from collections.abc import Mapping
from datetime import date, datetime, timedelta
from typing import Any
from urllib.parse import urlencode
from uuid import UUID
from zoneinfo import ZoneInfo

from django import forms
from django.utils.translation import gettext_lazy as _

from accounts import zones
from accounts.models import Account, ApiKey, Membership
from billing.models import Entry, Grant
from core.form_fields import CreditsInput
from usage.dashboard import aggregates
from usage.history import pages, search
from usage.periods import MAX_DAYS, Period
from usage.sums.columns import DIMENSIONS

EARLIEST = date(2000, 1, 1)


class DateInput(forms.DateInput):
    input_type = "date"

    def __init__(self) -> None:
        super().__init__(format="%Y-%m-%d")


class RangeForm(forms.Form):
    """Two dates in the account's time zone, both included and both optional."""

    since = forms.DateField(label=_("From"), required=False, widget=DateInput())
    until = forms.DateField(label=_("To"), required=False, widget=DateInput())

    def __init__(self, data: Any, *, account: Account, now: datetime) -> None:
        super().__init__(data)
        self.account, self.now = account, now
        self.zone = ZoneInfo(account.zone)
        self.today = now.astimezone(self.zone).date()

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or {}
        since, until = cleaned.get("since"), cleaned.get("until")
        if since and until and since > until:
            self.add_error(
                "until", _("The end date is before the start date. Choose a later date, or leave it empty.")
            )
        for name, day in (("since", since), ("until", until)):
            if day and not EARLIEST <= day <= self.today + timedelta(days=1):
                self.add_error(name, _("Choose a date between 2000 and today."))
        return cleaned

    def value(self, name: str) -> Any:
        """The field's cleaned value, or None when it is empty or invalid."""
        if not self.is_bound:
            return None
        self.is_valid()
        return self.cleaned_data.get(name) or None

    def dates_of(self, period: Period) -> "RangeForm":
        """The fields with the dates of the period in force; with what was entered where that is invalid."""
        if self.errors:
            return self
        dates = RangeForm(None, account=self.account, now=self.now)
        dates.initial = {"since": period.first, "until": period.last}
        return dates


class UsageForm(RangeForm):
    """The range of days, the dimension of the totals, and a value of the dimension to filter by."""

    DAYS = {"1": 1, "7": 7, "30": 30, "90": 90}

    days = forms.ChoiceField(
        label=_("Period"),
        required=False,
        choices=[
            ("1", _("Today")),
            ("7", _("Last 7 days")),
            ("30", _("Last 30 days")),
            ("90", _("Last 90 days")),
        ],
    )
    by = forms.ChoiceField(label=_("By"), required=False, choices=[(key, key) for key in DIMENSIONS])
    only = forms.CharField(required=False, max_length=200, widget=forms.HiddenInput())

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean()
        since, until = cleaned.get("since"), cleaned.get("until") or self.today
        if since and (until - since).days >= MAX_DAYS:
            self.add_error("since", _("A period can have at most 366 days. Choose a later start date."))
        return cleaned

    @property
    def dimension(self) -> str:
        """The key of `usage.sums.columns.DIMENSIONS` that the totals are grouped by."""
        return str(self.value("by") or "service")

    @property
    def selected_key(self) -> str:
        """The public key of the service, project, … whose charges are shown; empty: all."""
        return str(self.value("only") or "")

    @property
    def filters(self) -> dict[str, Any]:
        """The selected value as a filter on columns of Charge."""
        if not self.selected_key:
            return {}
        column = DIMENSIONS[self.dimension]
        return {column: aggregates.column_value(self.dimension, self.selected_key)}

    @property
    def days_query(self) -> str:
        """The range as a query string."""
        return urlencode({name: value for name in ("days", "since", "until") if (value := self.value(name))})

    @property
    def query(self) -> str:
        """All values as a query string."""
        names = ("days", "since", "until", "by", "only")
        return urlencode({name: value for name in names if (value := self.value(name))})

    @property
    def preset_days(self) -> str:
        """The preset range that is shown; empty with custom dates."""
        return "" if self.value("since") or self.value("until") else str(self.value("days") or "30")

    @property
    def period(self) -> Period:
        """The selected days: custom dates, else the preset range that ends today."""
        last = self.value("until") or self.today
        count = self.DAYS.get(self.value("days") or "30", 30)
        first = self.value("since") or last - timedelta(days=count - 1)
        return Period(first=first, last=last, zone=self.zone)


class RefusalForm(forms.Form):
    """The days, the reason and the key of refused calls. The caller passes the reasons and keys there are."""

    DAYS = {1: _("Last 24 hours"), 7: _("Last 7 days"), 30: _("Last 30 days"), 90: _("Last 90 days")}

    days = forms.TypedChoiceField(label=_("Period"), coerce=int, required=False, choices=DAYS.items())
    reason = forms.ChoiceField(label=_("Reason"), required=False)
    key = forms.ChoiceField(label=_("API key"), required=False)

    def __init__(self, data: Any, *, reasons: list[tuple[str, str]], keys: list[tuple[str, str]]) -> None:
        super().__init__({"days": "7", **data.dict()} if data else None, initial={"days": 7})
        for name, choices, every in (
            ("reason", reasons, _("All reasons")),
            ("key", keys, _("All API keys")),
        ):
            field = self.fields[name]
            assert isinstance(field, forms.ChoiceField)
            field.choices = [("", every), *choices]

    def _value(self, name: str) -> Any:
        """The field's cleaned value, or None when it is empty or invalid."""
        if not self.is_bound:
            return None
        self.is_valid()
        return self.cleaned_data.get(name) or None

    @property
    def length(self) -> timedelta:
        return timedelta(days=self._value("days") or 7)

    @property
    def code(self) -> str:
        return self._value("reason") or ""

    @property
    def api_key_id(self) -> UUID | None:
        return ApiKey.uuid_of(self._value("key") or "")


class HistoryForm(RangeForm):
    """Filters of the transaction history."""

    kind = forms.ChoiceField(
        label=_("Kind"), required=False, choices=[("", _("All kinds")), *Entry.Kind.choices]
    )
    q = forms.CharField(
        label=_("Search"),
        required=False,
        max_length=search.LONGEST,
        widget=forms.TextInput(
            attrs={"type": "search", "placeholder": _("Model, conversation, project, id or amount")}
        ),
    )
    grant = forms.CharField(required=False, max_length=80, widget=forms.HiddenInput())

    def clean_grant(self) -> str:
        text: str = self.cleaned_data["grant"]
        if text and Grant.uuid_of(text) is None:
            raise forms.ValidationError(_("This grant does not exist."))
        return text

    @property
    def filters(self) -> pages.Filter:
        """The valid values as a filter of entries."""
        since, until, grant = self.value("since"), self.value("until"), self.value("grant")
        return pages.Filter(
            kind=self.value("kind") or "",
            grant_id=Grant.uuid_of(grant) if grant else None,
            search=self.value("q") or "",
            start=zones.midnight(since, self.zone) if since else None,
            end=zones.midnight(until + timedelta(days=1), self.zone) if until else None,
        )


class ProjectForm(forms.Form):
    """A project's name and daily limit."""

    name = forms.CharField(label=_("Name"), max_length=100, error_messages={"required": _("Enter a name.")})
    daily_limit = CreditsInput(
        label=_("Daily limit"),
        required=False,
        help_text=_(
            "In credits. At the limit, calls are refused until the next day. Leave empty for no limit."
        ),
    )


class ReportForm(forms.Form):
    """The description of a problem with a charge."""

    reason = forms.CharField(
        label=_("What is wrong?"),
        max_length=2000,
        widget=forms.Textarea(attrs={"rows": 4}),
        help_text=_("Describe what you expected. We answer here and by e-mail."),
        error_messages={"required": _("Describe the problem.")},
    )


class MemberForm(forms.Form):
    """The role and the monthly limit of a member."""

    role = forms.ChoiceField(
        label=_("Role"),
        choices=Membership.Role.choices,
        initial=Membership.Role.MEMBER,
        help_text=_(
            "Owners manage everything. Billing members buy and manage keys and members. Members spend."
        ),
    )
    monthly_limit = CreditsInput(
        label=_("Monthly limit"),
        required=False,
        help_text=_(
            "In credits. At the limit, calls are refused until the next month. Leave empty for no limit."
        ),
    )


class InvitationForm(MemberForm):
    """An invitation by e-mail."""

    email = forms.EmailField(
        label=_("E-mail address"),
        max_length=254,
        widget=forms.EmailInput(attrs={"autocomplete": "off"}),
        error_messages={"required": _("Enter an e-mail address.")},
    )

    field_order = ("email", "role", "monthly_limit")


class TeamRequestForm(forms.Form):
    """A request for a team account. The caller passes the kinds that the catalogue offers."""

    kind = forms.ChoiceField(label=_("Kind of account"))
    name = forms.CharField(
        label=_("Name of the team"), max_length=200, error_messages={"required": _("Enter a name.")}
    )
    note = forms.CharField(
        label=_("What do you need it for?"),
        required=False,
        max_length=2000,
        widget=forms.Textarea(attrs={"rows": 4}),
    )

    def __init__(self, *args: Any, kinds: list[tuple[str, str]], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        kind = self.fields["kind"]
        assert isinstance(kind, forms.ChoiceField)
        kind.choices = kinds


class SwapForm(forms.Form):
    """Two models: one that was used, and one of the same kind to compare with."""

    service = forms.ChoiceField(label=_("Model you used"))
    other = forms.ChoiceField(label=_("Other model"), required=False)

    def offer(self, *, services: Mapping[str, str], others: Mapping[str, str]) -> None:
        """Offer these models, names by key."""
        self.fields["service"].choices = list(services.items())  # type: ignore[attr-defined]
        self.fields["other"].choices = [("", "—"), *others.items()]  # type: ignore[attr-defined]
