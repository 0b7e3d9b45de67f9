"""Reads of charges, holds, grants and entries, and of service names. No function here writes or keeps state.

Invariant: every query filters by account, so that data of another account is never found.
"""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from django.db.models import F, Q, QuerySet

from accounts.api_keys import Principal
from accounts.models import Account, ApiKey, Project, User
from billing import ledger
from billing.models import Charge, Entry, Grant, Hold
from pricing.catalogue import cache as catalogue_cache
from pricing.catalogue import texts
from usage.periods import Period

NO_ID = UUID(int=0)  # matches no object: the filter for a malformed public id


def charges(account_id: UUID, query: dict[str, Any]) -> QuerySet[Charge]:
    """The account's charges, narrowed by a validated ChargeQuery."""
    found = _between(Charge.objects.filter(account_id=account_id), query)
    for name in ("service", "action", "conversation"):
        if name in query:
            found = found.filter(**{name: query[name]})
    if "project" in query:
        found = found.filter(project_id=Project.uuid_of(query["project"]) or NO_ID)
    if "member" in query:
        found = found.filter(member_id=User.uuid_of(query["member"]) or NO_ID)
    if "status" in query:
        found = found.filter(_has_status(query["status"]))
    return found


def _has_status(status: str) -> Q:
    """Charge.status as a database condition."""
    if status == "charged":
        return Q(returned=0)
    reversed_in_full = Q(returned=F("credits") - F("uncollected"))
    return Q(returned__gt=0) & (reversed_in_full if status == "reversed" else ~reversed_in_full)


def charges_in(account: Account, period: Period) -> QuerySet[Charge]:
    """The account's charges of a period."""
    return Charge.objects.filter(account=account, created_at__gte=period.start, created_at__lt=period.end)


def charge(account_id: UUID, public_id: str) -> Charge | None:
    """The account's charge with this public id, or None."""
    return Charge.objects.filter(account_id=account_id, pk=Charge.uuid_of(public_id) or NO_ID).first()


def may_close_holds_of(principal: Principal, key_id: UUID | None) -> bool:
    """Whether the caller may capture and release holds made with this API key; None: in a browser session.

    A platform key closes the holds of platform keys; an account key or a session closes those of the
    account's keys and sessions.
    """
    return key_id == principal.id or _is_of_platform(key_id) == principal.is_platform


def _is_of_platform(key_id: UUID | None) -> bool:
    return key_id is not None and ApiKey.objects.filter(pk=key_id, kind=ApiKey.Kind.PLATFORM).exists()


def children_of(hold: Hold, *, most: int = 100) -> QuerySet[Hold]:
    """The newest children of a hold."""
    children = Hold.objects.filter(account_id=hold.account_id, parent_id=hold.pk)
    return children.order_by("-created_at", "-pk")[:most]


def grants(account_id: UUID) -> QuerySet[Grant]:
    """The account's grants."""
    return Grant.objects.filter(account_id=account_id)


def entries(account_id: UUID, query: dict[str, Any]) -> QuerySet[Entry]:
    """The account's entries that move credits, and its charges of none, narrowed by a TransactionQuery."""
    listed = Q(grant__isnull=False) | Q(kind=Entry.Kind.CHARGE)
    found = Entry.objects.filter(listed, account_id=account_id)
    if "from" in query or "to" in query:
        span = ledger.span(account_id, start=query.get("from"), end=query.get("to"))
        found = found.filter(seq__gt=span.after, seq__lte=span.until)
    if "kind" in query:
        found = found.filter(kind=query["kind"])
    if "grant" in query:
        found = found.filter(grant_id=Grant.uuid_of(query["grant"]) or NO_ID)
    return found


def is_staff(actor: str) -> bool:
    """Whether staff acted. Earlier releases recorded their e-mail address, which members do not see."""
    return actor == "staff" or "@" in actor


def _between(found: QuerySet[Any], query: dict[str, Any]) -> QuerySet[Any]:
    if "from" in query:
        found = found.filter(created_at__gte=query["from"])
    if "to" in query:
        found = found.filter(created_at__lt=query["to"])
    return found


def service_names(keys: Sequence[str]) -> dict[str, str]:
    """Names of services by key, to be shown. A service that is not in the catalogue has its key as name."""
    services = catalogue_cache.current().services
    return {key: texts.translated(services[key].name) if key in services else key for key in keys}
