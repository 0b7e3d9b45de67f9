"""Reads the refused calls of an account.

Invariants: a member who may not buy sees the own calls only (`member_id`); every query is over a bounded time
and returns a bounded number of rows. Hours are whole: the first one may have begun before `since`.
"""

import json
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID

from django.db import connection
from django.db.models import QuerySet, Sum

from usage.models import RefusedCalls

KEPT = timedelta(days=90)  # how long refused calls are stored (config.retention)
MOST_SHOWN = 100

_GROUPS = """
    select r.code, r.limit_kind, r.subject, r.service, r.api_key_id, r.member_id, sum(r.calls)::bigint,
      min(r.first_at), max(r.last_at), (array_agg(r.figures::text order by r.last_at desc))[1]
      from usage_refusedcalls r
     where r.account_id = %(account)s and r.hour > %(since)s - interval '1 hour' and r.last_at >= %(since)s
       and (%(code)s = '' or r.code = %(code)s)
       and (%(api_key)s::uuid is null or r.api_key_id = %(api_key)s)
       and (%(member)s::uuid is null or r.member_id = %(member)s)
     group by 1, 2, 3, 4, 5, 6 order by 9 desc, 7 desc limit %(most)s
"""


class RefusedGroup(NamedTuple):
    """Refused calls with one reason, limit, service, key and member. `figures` are those of the last one."""

    code: str
    limit: str
    subject: str
    service: str
    api_key_id: UUID | None
    member_id: UUID | None
    calls: int
    first_at: datetime
    last_at: datetime
    figures: Mapping[str, Any]


def groups(
    account_id: UUID,
    *,
    since: datetime,
    code: str = "",
    api_key_id: UUID | None = None,
    member_id: UUID | None = None,
) -> list[RefusedGroup]:
    """The refused calls since then, grouped, those with the newest call first; MOST_SHOWN at most."""
    wanted: dict[str, Any] = {
        "account": account_id,
        "since": since,
        "code": code,
        "api_key": api_key_id,
        "member": member_id,
        "most": MOST_SHOWN,
    }
    with connection.cursor() as cursor:
        cursor.execute(_GROUPS, wanted)
        return [RefusedGroup._make([*row[:-1], json.loads(row[-1])]) for row in cursor.fetchall()]


def rows(account_id: UUID, *, since: datetime, member_id: UUID | None = None) -> QuerySet[RefusedCalls]:
    """The stored rows since then."""
    found = RefusedCalls.objects.filter(
        account_id=account_id, hour__gt=since - timedelta(hours=1), last_at__gte=since
    )
    return found if member_id is None else found.filter(member_id=member_id)


def number(account_id: UUID, *, since: datetime, member_id: UUID | None = None) -> int:
    """How many calls were refused since then."""
    found = rows(account_id, since=since, member_id=member_id)
    return found.aggregate(calls=Sum("calls"))["calls"] or 0


def reasons_and_keys(
    account_id: UUID, *, since: datetime, member_id: UUID | None = None
) -> tuple[list[str], list[UUID]]:
    """The codes and the keys that the calls since then have."""
    found = rows(account_id, since=since, member_id=member_id)
    pairs = list(found.values_list("code", "api_key_id").distinct())
    return sorted({code for code, _key in pairs}), list({key for _code, key in pairs if key is not None})
