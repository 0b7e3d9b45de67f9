"""Projects: figures of the day, limits at their boundaries, names, and what a use may be attributed to."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.utils import timezone

from accounts.models import Account, Membership, Project, User
from billing.models import Limit
from tests.usage.spending import give, spend
from usage import projects
from usage.projects import ProjectSummary

AccountOf = Callable[[User], Account]


@pytest.fixture
def account(clock: Any, alice: User, account_of: AccountOf) -> Account:
    account = account_of(alice)
    give(account, "1000", timezone.now())
    return account


def create(account: Account, name: str, limit: str | None = None) -> Project:
    daily_limit = None if limit is None else Decimal(limit)
    return projects.create(account_id=account.pk, name=name, daily_limit=daily_limit, now=timezone.now())


def summary(project: Project, limit: str | None, used: str) -> ProjectSummary:
    project.daily_limit = None if limit is None else Decimal(limit)
    return ProjectSummary(project=project, spent=Decimal(0), calls=0, used=Decimal(used), resets_at=None)


@pytest.mark.parametrize(
    ("limit", "used", "left", "reached", "nearly"),
    [
        ("20", "0", "20", False, False),
        ("20", "18", "2", False, False),
        ("20", "18.000001", "1.999999", False, True),
        ("20", "19.999999", "0.000001", False, True),
        ("20", "20", "0", True, True),
        ("20", "25", "0", True, True),  # lowered below what was used
        (None, "25", "0", False, False),
    ],
)
def test_what_is_left_of_a_limit(
    limit: str | None, used: str, left: str, reached: bool, nearly: bool
) -> None:
    shown = summary(Project(name="p"), limit, used)
    assert (shown.left, shown.limit_reached, shown.nearly_reached) == (Decimal(left), reached, nearly)


def test_summaries_are_by_name_with_the_figures_of_the_accounts_day(
    account: Account, charlie: User, account_of: AccountOf
) -> None:
    Account.objects.filter(pk=account.pk).update(zone="Asia/Kathmandu")  # midnight at 18:15 in UTC
    account.refresh_from_db()
    b, a, archived = create(account, "b", "20"), create(account, "a"), create(account, "c")
    projects.change(account_id=account.pk, project_id=archived.pk, archived=True, now=timezone.now())
    now = timezone.now()
    spend(account, "7", now - timedelta(hours=18), project_id=b.pk)  # yesterday there
    spend(account, "2", now, project_id=b.pk)
    spend(account, "3", now, project_id=b.pk)
    spend(account, "4", now, project_id=a.pk)
    spend(account, "9", now)
    spend(account_of(charlie), "9", now, project_id=b.pk)
    midnight = datetime(2026, 11, 20, 18, 15, tzinfo=UTC)
    shown = [
        (s.project.name, s.spent, s.calls, s.used, s.resets_at) for s in projects.summaries_of(account, now)
    ]
    assert [row[:3] for row in shown] == [("a", 4, 1), ("b", 5, 2)]
    assert [row[4] for row in shown] == [midnight, midnight]
    assert projects.summary_of(account, b.public_id, now=now) == projects.summaries_of(account, now)[1]
    assert projects.summary_of(account, archived.public_id, now=now) is not None
    assert projects.summary_of(account, "proj_nonsense", now=now) is None
    assert projects.summary_of(account_of(charlie), b.public_id, now=now) is None


def test_the_use_of_a_limit_is_counted_until_its_window_ends(account: Account) -> None:
    project = create(account, "web", "20")
    now = timezone.now()
    spend(account, "15", now, project_id=project.pk)
    end = Limit.objects.get(kind=Limit.Kind.PROJECT).window_end
    assert end == datetime(2026, 11, 21, tzinfo=UTC)
    for at, used, resets_at in (
        (now, 15, end),
        (end - timedelta(microseconds=1), 15, end),
        (end, 0, end + timedelta(days=1)),
    ):
        [shown] = projects.summaries_of(account, at)
        assert (shown.used, shown.resets_at) == (used, resets_at)


def test_a_limit_ends_with_its_own_window_after_the_account_has_moved_to_another_zone(
    account: Account,
) -> None:
    limited, free = create(account, "a", "20"), create(account, "b")
    Account.objects.filter(pk=account.pk).update(zone="Asia/Kathmandu")  # midnight at 18:15 in UTC
    account.refresh_from_db()
    shown = {one.project: one.resets_at for one in projects.summaries_of(account, timezone.now())}
    assert shown == {
        limited: datetime(2026, 11, 21, tzinfo=UTC),
        free: datetime(2026, 11, 20, 18, 15, tzinfo=UTC),
    }


def test_archived_projects_are_listed_by_the_time_they_were_archived(account: Account) -> None:
    now = timezone.now()
    made = [create(account, name) for name in ("a", "b", "c")]
    for minutes, project in enumerate((made[1], made[0])):
        at = now + timedelta(minutes=minutes)
        projects.change(account_id=account.pk, project_id=project.pk, archived=True, now=at)
    assert [project.name for project in projects.archived_of(account)] == ["a", "b"]
    later = now + timedelta(hours=1)
    again = projects.change(account_id=account.pk, project_id=made[1].pk, archived=True, now=later)
    assert again.archived_at == now, "archived already"
    renamed = projects.change(account_id=account.pk, project_id=made[1].pk, name="d", now=later)
    assert (renamed.archived_at, renamed.name) == (now, "d")
    restored = projects.change(account_id=account.pk, project_id=made[1].pk, archived=False, now=later)
    assert restored.archived_at is None
    assert [shown.project.name for shown in projects.summaries_of(account, later)] == ["c", "d"]


def test_a_change_leaves_what_it_does_not_name(account: Account) -> None:
    project = create(account, "web", "20")
    now = timezone.now()

    def stored() -> tuple[str, Decimal | None, list[Decimal]]:
        row = Project.objects.get(pk=project.pk)
        maxima = Limit.objects.filter(kind=Limit.Kind.PROJECT, subject=str(project.pk))
        return row.name, row.daily_limit, [limit.maximum for limit in maxima]

    assert stored() == ("web", 20, [20])
    projects.change(account_id=account.pk, project_id=project.pk, name="web", now=now)
    assert stored() == ("web", 20, [20]), "its own name is not taken"
    projects.change(account_id=account.pk, project_id=project.pk, daily_limit=Decimal(30), now=now)
    assert stored() == ("web", 30, [30])
    projects.change(account_id=account.pk, project_id=project.pk, archived=True, now=now)
    assert stored() == ("web", 30, [30]), "an archived project keeps its limit"
    projects.change(account_id=account.pk, project_id=project.pk, daily_limit=None, now=now)
    assert stored() == ("web", None, [])


def test_a_name_is_taken_by_projects_in_use_of_the_same_account(
    account: Account, charlie: User, account_of: AccountOf
) -> None:
    now = timezone.now()
    first, second = create(account, "web"), create(account, "bot")
    create(account_of(charlie), "web")
    with pytest.raises(projects.NameTaken):
        create(account, "web")
    with pytest.raises(projects.NameTaken):
        projects.change(account_id=account.pk, project_id=second.pk, name="web", now=now)
    assert Project.objects.get(pk=second.pk).name == "bot"
    projects.change(account_id=account.pk, project_id=second.pk, name="web", archived=True, now=now)
    with pytest.raises(projects.NameTaken):
        projects.change(account_id=account.pk, project_id=second.pk, archived=False, now=now)
    projects.change(account_id=account.pk, project_id=first.pk, archived=True, now=now)
    assert (
        projects.change(account_id=account.pk, project_id=second.pk, archived=False, now=now).archived_at
        is None
    )


def test_a_use_is_attributed_to_projects_in_use_and_members_of_its_account(
    account: Account, team: Account, alice: User, bob: User, charlie: User, account_of: AccountOf
) -> None:
    project, archived = create(account, "web"), create(account, "old")
    projects.change(account_id=account.pk, project_id=archived.pk, archived=True, now=timezone.now())
    assert projects.live_project_id(account.pk, project.public_id) == project.pk
    for account_id, name in (
        (account.pk, archived.public_id),
        (team.pk, project.public_id),
        (account.pk, "proj_nonsense"),
        (account.pk, alice.public_id),
    ):
        with pytest.raises(projects.UnknownProject):
            projects.live_project_id(account_id, name)
        with pytest.raises(projects.UnknownProject):
            projects.change(account_id=team.pk, project_id=project.pk, name="mine", now=timezone.now())
    assert projects.member_id(team.pk, bob.public_id) == bob.pk
    for account_id, name in ((team.pk, charlie.public_id), (account.pk, bob.public_id), (team.pk, "user_x")):
        with pytest.raises(projects.UnknownMember):
            projects.member_id(account_id, name)
    Membership.objects.filter(account=team, user=bob).delete()
    with pytest.raises(projects.UnknownMember):
        projects.member_id(team.pk, bob.public_id)
