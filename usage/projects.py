"""Projects (servers) of an account, and whom a use may be attributed to.

Invariants: a project's daily limit stands in the ledger as soon as it stands on the project; an archived
project takes no more uses and keeps its limit's window; names are unique among live projects.
"""

from datetime import datetime
from decimal import Decimal
from uuid import UUID

from django.db import transaction
from django.utils.translation import gettext as _

from accounts.models import Account, Membership, Project, User
from billing import ledger


class UnknownProject(Exception):
    """The account has no such live project (404)."""

    code = "unknown_project"

    def __init__(self) -> None:
        super().__init__(_("This account has no such project. GET /api/v1/projects lists those it has."))


class UnknownMember(Exception):
    """No such person acts for the account (404)."""

    code = "unknown_member"

    def __init__(self) -> None:
        super().__init__(_("This user is not a member of the account."))


class NameTaken(Exception):
    """Another live project of the account has this name (409)."""

    code = "name_taken"

    def __init__(self) -> None:
        super().__init__(_("A project with this name already exists. Choose a different name."))


class Unset:
    """What a change leaves as it is (None means: no limit)."""


UNSET = Unset()


def create(*, account_id: UUID, name: str, daily_limit: Decimal | None, now: datetime) -> Project:
    """A new project. Raises NameTaken, ledger.UnknownWallet."""
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
    """Change what is given and leave the rest. Raises UnknownProject, NameTaken."""
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
            _require_free_name(account_id, project.name, but=project.pk)
        if not isinstance(daily_limit, Unset):
            project.daily_limit = daily_limit
            _set_limit(project, now)
        project.save(update_fields=["name", "daily_limit", "archived_at"])
    return project


def live_project_id(account_id: UUID, public_id: str) -> UUID:
    """The project of the account that a use names. Raises UnknownProject."""
    project_id = Project.uuid_of(public_id)
    if project_id is None:
        raise UnknownProject
    if not Project.objects.filter(pk=project_id, account_id=account_id, archived_at=None).exists():
        raise UnknownProject
    return project_id


def member_id(account_id: UUID, public_id: str) -> UUID:
    """The member of the account that a use names. Raises UnknownMember."""
    user_id = User.uuid_of(public_id)
    if user_id is None or not Membership.objects.filter(account_id=account_id, user_id=user_id).exists():
        raise UnknownMember
    return user_id


def _lock(account_id: UUID) -> None:
    """Two changes of one account's projects come one after the other."""
    Account.objects.select_for_update().get(pk=account_id)


def _require_free_name(account_id: UUID, name: str, but: UUID | None = None) -> None:
    same = Project.objects.filter(account_id=account_id, name=name, archived_at=None)
    if (same.exclude(pk=but) if but else same).exists():
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
