"""Ranges of days and filters of the usage and history pages, at their boundaries."""

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from accounts.models import Account, Project, User
from core.amounts import LARGEST, plain
from core.ids import new_id, public_id
from usage.views.forms import HistoryForm, ProjectForm, RangeForm, UsageForm

AccountOf = Callable[[User], Account]
NOW = datetime(2026, 11, 20, 18, 30, tzinfo=UTC)  # the 21st in Kathmandu
TODAY = date(2026, 11, 21)


@pytest.fixture
def account(alice: User, account_of: AccountOf) -> Account:
    account = account_of(alice)
    account.zone = "Asia/Kathmandu"
    return account


def usage(account: Account, **data: str) -> UsageForm:
    return UsageForm(data or None, account=account, now=NOW)


def test_the_range_is_of_the_accounts_days_and_the_last_30_unless_told(account: Account) -> None:
    first_days: list[tuple[dict[str, str], date, date, str]] = [
        ({}, TODAY - timedelta(29), TODAY, "30"),
        ({"days": "1"}, TODAY, TODAY, "1"),
        ({"days": "7"}, TODAY - timedelta(6), TODAY, "7"),
        ({"days": "90"}, TODAY - timedelta(89), TODAY, "90"),
        ({"days": "8"}, TODAY - timedelta(29), TODAY, "30"),
        ({"since": "2026-11-19"}, date(2026, 11, 19), TODAY, ""),
        ({"until": "2026-11-10"}, date(2026, 10, 12), date(2026, 11, 10), ""),
        ({"until": "2026-11-10", "days": "7"}, date(2026, 11, 4), date(2026, 11, 10), ""),
        ({"since": "2026-11-19", "until": "2026-11-19"}, date(2026, 11, 19), date(2026, 11, 19), ""),
        ({"since": "2026-11-22"}, date(2026, 11, 22), TODAY, ""),
    ]
    for data, first, last, preset in first_days:
        form = usage(account, **data)
        assert (form.period.first, form.period.last, form.preset_days) == (first, last, preset), data
        assert str(form.period.zone) == "Asia/Kathmandu"


def test_each_error_is_beside_its_field(account: Account) -> None:
    errors: list[tuple[dict[str, str], set[str]]] = [
        ({"since": "2000-01-01", "until": "2000-02-01"}, set()),
        ({"since": "1999-12-31", "until": "2000-02-01"}, {"since"}),
        ({"until": "2026-11-22"}, set()),
        ({"until": "2026-11-23"}, {"until"}),
        ({"since": "2026-11-23"}, {"since"}),
        ({"since": "2026-11-20", "until": "2026-11-19"}, {"until"}),
        ({"since": "2025-11-21"}, set()),  # 366 days with today
        ({"since": "2025-11-20"}, {"since"}),
        ({"since": "2025-11-20", "until": "2026-11-20"}, set()),
        ({"since": "2025-11-19", "until": "2026-11-20"}, {"since"}),
        ({"since": "x"}, {"since"}),
        ({"by": "grant"}, {"by"}),
        ({"days": "31"}, {"days"}),
        ({"only": "x" * 201}, {"only"}),
    ]
    for data, fields in errors:
        form = usage(account, **data)
        form.is_valid()
        assert set(form.errors) == fields, data
    long = RangeForm({"since": "2020-01-01", "until": "2026-11-20"}, account=account, now=NOW)
    assert long.is_valid(), "statements may be longer than a year"


def test_the_selected_value_is_a_filter_of_its_dimension(account: Account) -> None:
    project_id = new_id()
    project = public_id(prefix=Project.PREFIX, value=project_id)
    filters: list[tuple[dict[str, str], dict[str, Any]]] = [
        ({"only": ""}, {}),
        ({"by": "project"}, {}),
        ({"only": "gpt-4o"}, {"service": "gpt-4o"}),
        ({"by": "conversation", "only": "c-1"}, {"conversation": "c-1"}),
        ({"by": "project", "only": project}, {"project_id": project_id}),
        ({"by": "project", "only": "user" + project[4:]}, {"project_id": None}),
        ({"by": "member", "only": "user_x"}, {"member_id": None}),
        ({"by": "api_key", "only": "key" + project[4:]}, {"api_key_id": project_id}),
    ]
    for data, expected in filters:
        assert usage(account, **data).filters == expected, data
    data = {"days": "7", "by": "project", "only": project, "since": "2026-11-19", "until": "2026-11-20"}
    form = usage(account, **data)
    assert form.days_query == "days=7&since=2026-11-19&until=2026-11-20"
    assert form.query == f"{form.days_query}&by=project&only={project}"


def test_the_history_is_narrowed_to_whole_days_of_the_account(account: Account) -> None:
    grant_id = new_id()
    grant = public_id(prefix="grant", value=grant_id)
    data = {"since": "2026-11-19", "until": "2026-11-20", "kind": "charge", "grant": grant}
    filters = HistoryForm(data, account=account, now=NOW).filters
    assert filters.start == datetime(2026, 11, 18, 18, 15, tzinfo=UTC)
    assert filters.end == datetime(2026, 11, 20, 18, 15, tzinfo=UTC)
    assert (filters.kind, filters.grant_id, filters.span) == ("charge", grant_id, None)
    empty = HistoryForm(None, account=account, now=NOW).filters
    assert (empty.start, empty.end, empty.kind, empty.grant_id) == (None, None, "", None)
    invalid = HistoryForm({"kind": "x", "grant": "chg" + grant[5:], "since": "?"}, account=account, now=NOW)
    assert invalid.filters == empty
    assert set(invalid.errors) == {"kind", "grant", "since"}


def test_the_limit_of_a_project_is_an_amount_up_to_the_largest() -> None:
    for text, limit in (("", None), ("0.000001", Decimal("0.000001")), (plain(LARGEST), LARGEST)):
        form = ProjectForm({"name": "web", "daily_limit": text})
        assert form.is_valid() and form.cleaned_data == {"name": "web", "daily_limit": limit}
    for text in ("0", "0.0000001", f"{plain(LARGEST)}.000001", "1000000001"):
        assert set(ProjectForm({"name": "web", "daily_limit": text}).errors) == {"daily_limit"}, text
    assert ProjectForm({"name": "x" * 100}).is_valid() and not ProjectForm({"name": "x" * 101}).is_valid()
