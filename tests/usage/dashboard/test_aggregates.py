"""Totals of credits spent by day and by dimension."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from django.utils import timezone

from accounts import api_keys
from accounts.models import Account, ApiKey, Project, User
from billing import ledger
from tests.usage.spending import give, spend
from usage import periods
from usage.dashboard import aggregates, chart_data
from usage.sums import folding

AccountOf = Callable[[User], Account]


@pytest.mark.parametrize("by", ["service", "project", "conversation", "member", "api_key"])
def test_group_totals_add_up_to_the_same_sum_by_every_dimension(
    alice: User, account_of: AccountOf, by: str
) -> None:
    account, now = account_of(alice), timezone.now()
    spend(account, "10", now, member_id=alice.pk, conversation="a")
    spend(account, "2.5", now, service="gpt-4o")
    period = periods.latest_days(account, days=7, now=now)
    groups = aggregates.group_totals(account, period, dimension=by)
    assert sum(group.credits for group in groups) == Decimal("12.5")
    assert sum(group.calls for group in groups) == 2


def test_returned_credits_do_not_count_as_spent(alice: User, account_of: AccountOf) -> None:
    account, now = account_of(alice), timezone.now()
    charged = spend(account, "20", now)
    ledger.reverse(
        account_id=account.pk,
        charge_id=charged.charge_id,
        credits=None,
        key="back",
        reason="",
        actor="",
        now=now,
    )
    period = periods.latest_days(account, days=1, now=now)
    assert [amount for _, amount in aggregates.daily_totals(account, period)] == [Decimal(0)]


@dataclass
class Scene:
    """Alice's account with charges of two days, by project, member, key and conversation."""

    account: Account
    alice: User
    project: Project
    key: ApiKey
    period: periods.Period


@pytest.fixture
def scene(clock: Any, alice: User, charlie: User, account_of: AccountOf) -> Scene:
    account, now = account_of(alice), timezone.now()
    give(account, "500", now - timedelta(days=3))
    project = Project.objects.create(account=account, name="Research", created_at=now)
    issued = api_keys.issue(
        kind="account", name="laptop", scopes=["spend"], account=account, created_by=alice, now=now
    )
    key = ApiKey.objects.get(pk=issued.key.pk)
    by = {"member_id": alice.pk, "api_key_id": key.pk, "project_id": project.pk, "conversation": "c-1"}
    spend(account, "4", now - timedelta(days=1), **by)
    spend(account, "3", now - timedelta(hours=1), service="gpt-4o", **by)
    spend(account, "3", now, service="gpt-4o")
    spend(account, "0", now, service="kimi-k2")
    spend(account, "90", now - timedelta(days=2), **by)  # before the period
    spend(account_of(charlie), "50", now, **by)  # of another account
    return Scene(account, alice, project, key, periods.latest_days(account, days=2, now=now))


def test_each_dimension_has_its_groups_with_names_and_the_time_of_the_last_call(scene: Scene) -> None:
    now = timezone.now()
    hour_ago = now - timedelta(hours=1)
    laptop = str(scene.key)
    expected = {
        "service": [
            ("gpt-4o", "GPT-4o", 6, 2, now),
            ("claude-sonnet-4", "Claude Sonnet 4", 4, 1, now - timedelta(days=1)),
            ("kimi-k2", "Kimi K2", 0, 1, now),
        ],
        "project": [(scene.project.public_id, "Research", 7, 2, hour_ago), ("", "", 3, 2, now)],
        "conversation": [("c-1", "c-1", 7, 2, hour_ago), ("", "", 3, 2, now)],
        "member": [(scene.alice.public_id, "alice@example.org", 7, 2, hour_ago), ("", "", 3, 2, now)],
        "api_key": [(scene.key.public_id, laptop, 7, 2, hour_ago), ("", "", 3, 2, now)],
    }
    for dimension, rows in expected.items():
        groups = aggregates.group_totals(scene.account, scene.period, dimension=dimension)
        found = [(group.key, group.name, group.credits, group.calls, group.last_at) for group in groups]
        assert found == rows, dimension
        largest = aggregates.group_totals(scene.account, scene.period, dimension=dimension, limit=1)
        assert largest == groups[:1]
    services = aggregates.group_totals(
        scene.account, scene.period, dimension="service", project_id=scene.project.pk
    )
    assert [(group.key, group.credits) for group in services] == [("claude-sonnet-4", 4), ("gpt-4o", 3)]


def test_an_archived_project_keeps_its_name(scene: Scene) -> None:
    Project.objects.update(archived_at=timezone.now())
    groups = aggregates.group_totals(scene.account, scene.period, dimension="project")
    assert [group.name for group in groups] == ["Research", ""]


def test_groups_of_equal_credits_are_ordered_by_calls_and_then_by_value(
    clock: Any, alice: User, account_of: AccountOf
) -> None:
    account, now = account_of(alice), timezone.now()
    for conversation, credits in (("b", "2"), ("a", "2"), ("c", "1"), ("c", "1"), ("d", "5")):
        spend(account, credits, now, conversation=conversation)
    period = periods.latest_days(account, days=1, now=now)
    groups = aggregates.group_totals(account, period, dimension="conversation")
    assert [group.key for group in groups] == ["d", "c", "a", "b"]


def test_totals_of_given_values_and_of_days(scene: Scene) -> None:
    other = Project.objects.create(account=scene.account, name="Empty", created_at=timezone.now())
    values = [scene.project.pk, other.pk]
    totals = aggregates.totals_by_value(scene.account, scene.period, dimension="project", values=values)
    assert totals == {scene.project.pk: (7, 2)}
    days = aggregates.daily_totals(scene.account, scene.period)
    assert [(day.isoformat(), credits) for day, credits in days] == [("2026-11-19", 4), ("2026-11-20", 6)]
    own = aggregates.daily_totals(scene.account, scene.period, project_id=scene.project.pk)
    assert [credits for _day, credits in own] == [4, 3]


def test_bars_are_shares_of_the_largest_and_link_to_their_charges(scene: Scene) -> None:
    groups = aggregates.group_totals(scene.account, scene.period, dimension="project")
    bars = chart_data.bars_of(groups, dimension="project", period=scene.period)
    assert [(bar["name"], bar["credits"], bar["share"], bar["calls"]) for bar in bars] == [
        ("Research", 7, "100.0", 2),
        ("No canvas", 3, "42.9", 2),
    ]
    query = f"by=project&only={scene.project.public_id}&since=2026-11-19&until=2026-11-20"
    assert [bar["url"] for bar in bars] == [f"/usage/?{query}", ""]
    unlinked = chart_data.bars_of(groups, dimension="project", period=scene.period, linked=False)
    assert [bar["url"] for bar in unlinked] == ["", ""]
    free = chart_data.bars_of(
        [replace(groups[0], credits=Decimal(0))], dimension="project", period=scene.period
    )
    assert free[0]["share"] == "0"
    labels = ("No conversation", "Platform API keys", "Without account API key", "Unknown")
    dimensions = ("conversation", "member", "api_key", "service")
    assert [chart_data.label_without_value(name) for name in dimensions] == list(labels)


def test_a_platform_key_is_shown_by_its_name_only(clock: Any, alice: User, account_of: AccountOf) -> None:
    account, now = account_of(alice), timezone.now()
    issued = api_keys.issue(kind="platform", name="backend", scopes=["spend"], now=now)
    spend(account, "1", now, api_key_id=issued.key.pk)
    period = periods.latest_days(account, days=1, now=now)
    [group] = aggregates.group_totals(account, period, dimension="api_key")
    assert group.name == "backend"


def test_a_project_of_another_account_has_no_name_here(
    clock: Any, alice: User, charlie: User, account_of: AccountOf
) -> None:
    account, other = account_of(alice), account_of(charlie)
    ids = [
        Project.objects.create(account=one, name="p", created_at=timezone.now()).pk
        for one in (account, other)
    ]
    assert aggregates.display_names(account, dimension="project", values=ids) == {ids[0]: "p"}


def test_a_series_has_each_day_in_all_and_for_the_asked_values(
    clock: object, alice: User, account_of: AccountOf
) -> None:
    account, now = account_of(alice), timezone.now()
    spend(account, "1", now - timedelta(days=3))
    spend(account, "10", now - timedelta(days=1))
    spend(account, "2.5", now, service="gpt-4o")
    spend(account, "4", now, service="qwen-image")
    period = periods.latest_days(account, days=2, now=now)
    series = aggregates.series(account, period, dimension="service", values=["claude-sonnet-4", "gpt-4o"])
    assert series.labels == [date(2026, 11, 19), date(2026, 11, 20)]
    assert series.totals == [Decimal(10), Decimal("6.5")]
    assert series.parts == {
        "claude-sonnet-4": [Decimal(10), Decimal(0)],
        "gpt-4o": [Decimal(0), Decimal("2.5")],
    }
    assert aggregates.series(account, period.before).totals == [Decimal(1), Decimal(0)]


@pytest.mark.parametrize("summed", [False, True])
def test_the_series_of_one_day_has_its_local_hours(
    clock: object, alice: User, account_of: AccountOf, summed: bool
) -> None:
    account, now = account_of(alice), timezone.now()
    account.zone = "Asia/Kathmandu"  # 12:00 in UTC is 17:45
    account.save()
    spend(account, "1", now - timedelta(hours=18))  # 23:45 of the day before
    spend(account, "2", now - timedelta(hours=17))
    spend(account, "3", now, service="gpt-4o")
    if summed:
        folding.fold(account.pk)
    period = periods.latest_days(account, days=1, now=now)
    series = aggregates.series(account, period, dimension="service", values=["gpt-4o"])
    assert series.labels == list(range(24))
    assert {hour: spent for hour, spent in enumerate(series.totals) if spent} == {0: 2, 17: 3}
    assert series.parts["gpt-4o"][17] == 3
    only = aggregates.series(account, period, dimension="service", service="gpt-4o")
    assert (sum(only.totals), only.parts) == (3, {})


def test_a_day_of_25_hours_shows_the_repeated_hour_once(alice: User, account_of: AccountOf) -> None:
    account = account_of(alice)
    account.zone = "Europe/Berlin"
    account.save()
    for hour in (0, 1):  # both are 02:30 in Berlin on 25 October 2026
        spend(account, "1", datetime(2026, 10, 25, hour, 30, tzinfo=UTC))
    day = date(2026, 10, 25)
    period = periods.Period(first=day, last=day, zone=ZoneInfo("Europe/Berlin"))
    assert aggregates.series(account, period).totals[2] == 2
