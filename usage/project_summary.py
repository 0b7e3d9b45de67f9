"""How projects stand today: what each has spent, and how much of its daily limit is left.

Invariants: a limit's figure is the one that the ledger counts and refuses by, never a sum made here; a day is
a day of the account's zone; a project of others is never found.
"""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from uuid import UUID

from accounts.models import Account, Project
from billing.models import Limit
from usage.dashboard import statistics

NOTHING = Decimal(0)


@dataclass(frozen=True)
class ProjectLine:
    """A project with its day. `used` is what its limit has counted, running holds included."""

    project: Project
    spent: Decimal
    calls: int
    used: Decimal
    resets_at: datetime | None

    @property
    def left(self) -> Decimal:
        """What the limit still lets through today; 0 when a lowered limit lies below what was used."""
        return max(NOTHING, (self.project.daily_limit or NOTHING) - self.used)

    @property
    def full(self) -> bool:
        return self.project.daily_limit is not None and not self.left

    @property
    def near(self) -> bool:
        """Less than a tenth of the limit is left."""
        limit = self.project.daily_limit
        return limit is not None and self.left * 10 < limit


def lines_of(account: Account, now: datetime) -> list[ProjectLine]:
    """The account's projects that are not archived, by name, each with its day."""
    return _stood(account, list(account.projects.filter(archived_at=None).order_by("name")), now)


def archived_of(account: Account) -> list[Project]:
    return list(account.projects.exclude(archived_at=None).order_by("-archived_at"))


def line_of(account: Account, public_id: str, now: datetime) -> ProjectLine | None:
    """One project of the account, archived ones included; None when it has no such project."""
    project_id = Project.uuid_of(public_id)
    project = account.projects.filter(pk=project_id).first() if project_id else None
    return _stood(account, [project], now)[0] if project else None


def _stood(account: Account, projects: list[Project], now: datetime) -> list[ProjectLine]:
    today = statistics.latest_days(account, days=1, now=now)
    ids = [project.pk for project in projects]
    spent = statistics.parts_by_value(account, today, dimension="project", only=ids)
    limits = _limits(account, ids)
    lines = []
    for project in projects:
        credits, calls = spent.get(project.pk, (NOTHING, 0))
        limit = limits.get(str(project.pk))
        # A window that is over counts for nothing: the ledger moves it on at the next use.
        running = limit is not None and limit.window_end is not None and limit.window_end > now
        lines.append(
            ProjectLine(
                project=project,
                spent=credits,
                calls=calls,
                used=limit.used if limit and running else NOTHING,
                resets_at=limit.window_end if limit and running else today.end,
            )
        )
    return lines


def _limits(account: Account, ids: list[UUID]) -> dict[str, Limit]:
    subjects = [str(one) for one in ids]
    rows = Limit.objects.filter(account=account, kind=Limit.Kind.PROJECT, subject__in=subjects)
    return {row.subject: row for row in rows}
