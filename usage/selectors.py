"""Reads of charges, holds, grants and entries for the API. Nothing here changes anything.

Invariant: every query names the account, so that nothing of another's can be found.
"""

from typing import Any
from uuid import UUID

from django.db.models import F, Q, QuerySet

from accounts.models import ApiKey, Project, User
from billing.models import Charge, Entry, Grant, Hold

NOBODY = UUID(int=0)


def charges(account_id: UUID, query: dict[str, Any]) -> QuerySet[Charge]:
    """The account's charges, narrowed by a checked ChargeQuery."""
    rows = _between(Charge.objects.filter(account_id=account_id), query)
    for name in ("service", "action", "conversation"):
        if name in query:
            rows = rows.filter(**{name: query[name]})
    if "project" in query:
        rows = rows.filter(project_id=Project.uuid_of(query["project"]) or NOBODY)
    if "member" in query:
        rows = rows.filter(member_id=User.uuid_of(query["member"]) or NOBODY)
    if "status" in query:
        rows = rows.filter(_has_status(query["status"]))
    return rows


def _has_status(status: str) -> Q:
    """Charge.status, told to the database."""
    if status == "charged":
        return Q(returned=0)
    whole = Q(returned=F("credits") - F("uncollected"))
    return Q(returned__gt=0) & (whole if status == "reversed" else ~whole)


def charge(account_id: UUID, public_id: str) -> Charge | None:
    return Charge.objects.filter(account_id=account_id, pk=Charge.uuid_of(public_id) or NOBODY).first()


def hold(account_id: UUID, public_id: str) -> Hold | None:
    return Hold.objects.filter(account_id=account_id, pk=Hold.uuid_of(public_id) or NOBODY).first()


def is_of_platform(hold: Hold) -> bool:
    """Whether a platform key made the hold. A hold made in a browser session has no key."""
    key_id = hold.api_key_id
    return key_id is not None and ApiKey.objects.filter(pk=key_id, kind=ApiKey.Kind.PLATFORM).exists()


def grants(account_id: UUID) -> QuerySet[Grant]:
    return Grant.objects.filter(account_id=account_id)


def entries(account_id: UUID, query: dict[str, Any]) -> QuerySet[Entry]:
    """The account's ledger entries, narrowed by a checked TransactionQuery."""
    rows = _between(Entry.objects.filter(account_id=account_id), query)
    if "kind" in query:
        rows = rows.filter(kind=query["kind"])
    if "grant" in query:
        rows = rows.filter(grant_id=Grant.uuid_of(query["grant"]) or NOBODY)
    return rows


def _between(rows: QuerySet[Any], query: dict[str, Any]) -> QuerySet[Any]:
    if "from" in query:
        rows = rows.filter(created_at__gte=query["from"])
    if "to" in query:
        rows = rows.filter(created_at__lt=query["to"])
    return rows
