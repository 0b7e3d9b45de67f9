"""Projects of an account: creating and changing them, and what each has spent today.

Invariants: a project's daily limit is written to the ledger in the transaction that changes the project, and
its use is the figure that the ledger enforces; an archived project takes no more uses and keeps its limit's
window; names are unique among projects that are not archived; a project of another account is never found.
"""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from uuid import UUID

from django.db import transaction
from django.utils.translation import gettext as _

from accounts.models import Account, Membership, Project, User
from billing import ledger
from billing.models import Limit
from core.errors import Refusal
from core.unset import UNSET, Unset
from usage import periods
from usage.dashboard import aggregates

ZERO = Decimal(0)


class UnknownProject(Refusal):
    """The account has no such project that is not archived (404)."""

    code, status = "unknown_project", 404

    def __init__(self) -> None:
        super().__init__(_("There is no project with this id. GET /api/v1/projects lists its projects."))


class UnknownMember(Refusal):
    """The user is not a member of the account (404)."""

    code, status = "unknown_member", 404

    def __init__(self) -> None:
        super().__init__(_("This user is not a member of the account."))


class NameTaken(Refusal):
    """Another project of the account that is not archived has this name (409)."""

    code = "name_taken"

    def __init__(self) -> None:
        super().__init__(_("A project with this name already exists. Choose a different name."))


@dataclass(frozen=True)
class ProjectSummary:
    """A project with today's figures. `used` is what its limit has counted, open holds included."""

    project: Project
    spent: Decimal
    calls: int
    used: Decimal
    resets_at: datetime | None

    @property
    def left(self) -> Decimal:
        """Credits left of the daily limit; 0 when the limit was lowered below what was used."""
        return max(ZERO, (self.project.daily_limit or ZERO) - self.used)

    @property
    def limit_reached(self) -> bool:
        return self.project.daily_limit is not None and not self.left

    @property
    def nearly_reached(self) -> bool:
        """Less than a tenth of the limit is left."""
        limit = self.project.daily_limit
        return limit is not None and self.left * 10 < limit


def create(*, account_id: UUID, name: str, daily_limit: Decimal | None, now: datetime) -> Project:
    """Create a project. Raises NameTaken, ledger.UnknownWallet."""
    with transaction.atomic():
        _lock(account_id)
        _require_free_name(account_id, name)
        project = Project.objects.create(
            account_id=account_id, name=name, daily_limit=daily_limit, created_at=now
        )
        if daily_limit is not None:
            _set_limit(project, now)
    return project


def change(
    *,
    account_id: UUID,
    project_id: UUID,
    now: datetime,
    name: str | None = None,
    daily_limit: Decimal | Unset | None = UNSET,
    archived: bool | None = None,
) -> Project:
    """Change the given values and leave the others. Raises UnknownProject, NameTaken."""
    with transaction.atomic():
        _lock(account_id)
        project = Project.objects.filter(pk=project_id, account_id=account_id).first()
        if project is None:
            raise UnknownProject
        if archived is not None:
            project.archived_at = (project.archived_at or now) if archived else None
        if name is not None:
            project.name = name
        if project.archived_at is None:
            _require_free_name(account_id, project.name, except_id=project.pk)
        if not isinstance(daily_limit, Unset):
            project.daily_limit = daily_limit
            _set_limit(project, now)
        project.save(update_fields=["name", "daily_limit", "archived_at"])
    return project


def live_project_id(account_id: UUID, public_id: str) -> UUID:
    """The id of the account's project that a use is attributed to. Raises UnknownProject."""
    project_id = Project.uuid_of(public_id)
    if project_id is None:
        raise UnknownProject
    if not Project.objects.filter(pk=project_id, account_id=account_id, archived_at=None).exists():
        raise UnknownProject
    return project_id


def member_id(account_id: UUID, public_id: str) -> UUID:
    """The id of the account's member that a use is attributed to. Raises UnknownMember."""
    user_id = User.uuid_of(public_id)
    if user_id is None or not Membership.objects.filter(account_id=account_id, user_id=user_id).exists():
        raise UnknownMember
    return user_id


def summaries_of(account: Account, now: datetime) -> list[ProjectSummary]:
    """The account's projects that are not archived, by name, with today's figures."""
    return _summarize(account, list(account.projects.filter(archived_at=None).order_by("name")), now)


def archived_of(account: Account) -> list[Project]:
    """The account's archived projects, most recently archived first."""
    return list(account.projects.exclude(archived_at=None).order_by("-archived_at"))


def summary_of(account: Account, public_id: str, *, now: datetime) -> ProjectSummary | None:
    """One project of the account, archived or not; None when the account has no such project."""
    project_id = Project.uuid_of(public_id)
    project = account.projects.filter(pk=project_id).first() if project_id else None
    return _summarize(account, [project], now)[0] if project else None


def _summarize(account: Account, projects: list[Project], now: datetime) -> list[ProjectSummary]:
    today = periods.latest_days(account, days=1, now=now)
    ids = [project.pk for project in projects]
    totals = aggregates.totals_by_value(account, today, dimension="project", values=ids)
    limits = _running_limits(account, ids, now)
    summaries = []
    for project in projects:
        spent, calls = totals.get(project.pk, (ZERO, 0))
        limit = limits.get(str(project.pk))
        summaries.append(
            ProjectSummary(
                project=project,
                spent=spent,
                calls=calls,
                used=limit.used if limit else ZERO,
                resets_at=limit.window_end if limit else today.end,
            )
        )
    return summaries


def _running_limits(account: Account, project_ids: list[UUID], now: datetime) -> dict[str, Limit]:
    """The limits whose window has not ended: the ledger moves a window on at the next use only."""
    subjects = [str(project_id) for project_id in project_ids]
    limits = Limit.objects.filter(account=account, kind=Limit.Kind.PROJECT, subject__in=subjects)
    return {limit.subject: limit for limit in limits.filter(window_end__gt=now)}


def _lock(account_id: UUID) -> None:
    """Serialize changes of one account's projects."""
    Account.objects.select_for_update(no_key=True).get(pk=account_id)


def _require_free_name(account_id: UUID, name: str, except_id: UUID | None = None) -> None:
    same_name = Project.objects.filter(account_id=account_id, name=name, archived_at=None)
    if (same_name.exclude(pk=except_id) if except_id else same_name).exists():
        raise NameTaken


def _set_limit(project: Project, now: datetime) -> None:
    ledger.set_limit(
        account_id=project.account_id,
        kind="project",
        subject=str(project.pk),
        period="day",
        maximum=project.daily_limit,
        now=now,
    )
