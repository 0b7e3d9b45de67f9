"""/refusals: refused calls of the account, with their reasons."""

from typing import Annotated, Literal, TypedDict
from uuid import UUID

from django.http import HttpResponse
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request

from accounts.authentication import account_of, principal_of
from accounts.models import ApiKey, Project, User
from core import json_body
from core.endpoint import Endpoint, query_of
from core.fields import instant
from core.json_types import CreditsText, TimeText, id_of
from core.models import Identified
from core.pagination import Page, PageQuery, page
from usage import selectors
from usage.models import RefusedCalls
from usage.refusals import reading

_SUBJECTS: dict[str, type[Identified]] = {"project": Project, "member": User, "key": ApiKey}


Limit = Annotated[str, Literal["account", "project", "member", "key"], "What has the limit that was reached."]


class RefusalQuery(PageQuery):
    code = serializers.CharField(required=False, max_length=60)
    api_key = serializers.CharField(required=False, max_length=100)


class Refusals(TypedDict):
    """Calls of one hour that were refused for one reason, with one service, key and member."""

    hour: Annotated[TimeText, "The beginning of the hour."]
    code: Annotated[str, "The code of the problem, such as `insufficient_credits`."]
    limit: Limit | None
    subject: Annotated[str | None, "The id of the project, member or key that has the limit."]
    service: Annotated[str | None, "Null: no service, or several."]
    api_key: Annotated[str, id_of(ApiKey)] | None
    member: Annotated[str, id_of(User)] | None
    calls: int
    first_at: TimeText
    last_at: TimeText
    needed: Annotated[CreditsText | None, "Of the last call, like the fields below."]
    available: CreditsText | None
    maximum: CreditsText | None
    used: CreditsText | None
    resets_at: TimeText | None


class RefusedRequests(Endpoint):
    """Requests with 402, 403 or 429 and refused items of batches, counted by hour and reason."""

    scopes = {"GET": "read"}

    @extend_schema(operation_id="refusals_list", parameters=[RefusalQuery], responses=Page[Refusals])
    def get(self, request: Request) -> HttpResponse:
        """Refused calls of the last 90 days, newest hours first; they appear within seconds.

        A key without the scope `manage` sees the calls of its own member.
        """
        query = query_of(request, RefusalQuery)
        account_id, principal = account_of(request), principal_of(request)
        own = None if principal.is_platform or principal.may("manage") else principal.member_id
        rows = reading.rows(account_id, since=self.now - reading.KEPT, member_id=own)
        if "code" in query:
            rows = rows.filter(code=query["code"])
        if "api_key" in query:
            rows = rows.filter(api_key=ApiKey.uuid_of(query["api_key"]) or selectors.NO_ID)
        return json_body.answer(page(rows, query, keys=("hour", "id"), build=_refusals))


def _refusals(row: RefusedCalls) -> Refusals:
    subject = _SUBJECTS.get(row.limit)
    return {
        "hour": instant(row.hour),
        "code": row.code,
        "limit": row.limit or None,
        "subject": subject.public_id_of(UUID(row.subject)) if subject else None,
        "service": row.service or None,
        "api_key": ApiKey.public_id_of(row.api_key_id),
        "member": User.public_id_of(row.member_id),
        "calls": row.calls,
        "first_at": instant(row.first_at),
        "last_at": instant(row.last_at),
        "needed": row.figures.get("needed"),
        "available": row.figures.get("available"),
        "maximum": row.figures.get("maximum"),
        "used": row.figures.get("used"),
        "resets_at": row.figures.get("resets_at"),
    }
