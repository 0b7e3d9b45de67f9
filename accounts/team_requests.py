"""Requests for a family or business account: a user asks, staff decide.

Invariants: a user has at most one open request; a request is answered or withdrawn once; an approved request
opens a team of which the user is the owner, in one transaction. The user's own account and its credits stay
as they are.
"""

from datetime import datetime
from uuid import UUID

from django.db import transaction
from django.dispatch import Signal
from django.utils.translation import gettext as _

from accounts import memberships, registration
from accounts.models import Account, Membership, TeamRequest, User, personal_account_of
from core.errors import Refusal

# Sent with team_request and now, inside the transaction: billing queues the e-mail.
request_answered = Signal()


class AlreadyRequested(Refusal):
    """The user has an open request (409)."""

    code = "already_requested"

    def __init__(self) -> None:
        super().__init__(_("You have asked for a team account already. We answer by e-mail."))


class AlreadyAnswered(Refusal):
    """The request has been answered or withdrawn (409)."""

    code = "already_answered"

    def __init__(self) -> None:
        super().__init__(_("This request has been answered or withdrawn already."))


def create(*, user: User, kind: str, name: str, note: str, now: datetime) -> TeamRequest:
    """Ask for a team account. Raises AlreadyRequested."""
    with transaction.atomic():
        User.objects.select_for_update(no_key=True).get(pk=user.pk)
        if open_request_of(user) is not None:
            raise AlreadyRequested
        return TeamRequest.objects.create(user=user, kind=kind, name=name, note=note, created_at=now)


def open_request_of(user: User) -> TeamRequest | None:
    """The user's request that has not been answered."""
    return TeamRequest.objects.filter(user=user, status=TeamRequest.Status.OPEN).first()


def withdraw(request_id: UUID) -> TeamRequest:
    """Withdraw an open request; another may follow. Raises AlreadyAnswered."""
    with transaction.atomic():
        request = _locked(request_id)
        request.status = TeamRequest.Status.WITHDRAWN
        request.save(update_fields=["status"])
    return request


def approve(request_id: UUID, *, by: User, answer: str, now: datetime) -> Account:
    """Open the team, with the user as its owner. Raises AlreadyAnswered."""
    with transaction.atomic():
        request = _locked(request_id)
        zone = personal_account_of(request.user).zone
        terms = {"name": request.name, "kind": Account.Kind.TEAM, "zone": zone, "created_at": now}
        account = Account.objects.create(**terms)
        registration.account_opened.send(sender=Account, account=account, user=request.user, now=now)
        memberships.add(account=account, user=request.user, role=Membership.Role.OWNER, now=now)
        request.account = account
        _answer(request, TeamRequest.Status.APPROVED, by, answer, now)
    return account


def decline(request_id: UUID, *, by: User, answer: str, now: datetime) -> None:
    """Answer that there will be no team. Raises AlreadyAnswered."""
    with transaction.atomic():
        _answer(_locked(request_id), TeamRequest.Status.DECLINED, by, answer, now)


def _locked(request_id: UUID) -> TeamRequest:
    request = TeamRequest.objects.select_for_update(no_key=True).get(pk=request_id)
    if request.status != TeamRequest.Status.OPEN:
        raise AlreadyAnswered
    return request


def _answer(request: TeamRequest, status: str, by: User, answer: str, now: datetime) -> None:
    request.status, request.answer, request.answered_by, request.answered_at = status, answer, by, now
    request.save(update_fields=["status", "answer", "answered_by", "answered_at", "account"])
    request_answered.send(sender=TeamRequest, team_request=request, now=now)
