"""/memorial-wall: the public names of early members."""

from typing import Any, TypedDict

from django.http import HttpResponse
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request

from accounts.authentication import account_of
from core import json_body
from core.endpoint import Endpoint, query_of
from core.errors import DomainError
from core.fields import instant
from core.json_types import TimeText
from core.pagination import Page, PageQuery, page
from usage import memorial_wall


class ListedMember(TypedDict):
    """A member who chose to be listed. The page of the wall shows the same to everybody."""

    name: str
    badge: str
    since: TimeText


class NoMemorialWall(DomainError):
    """The product has no memorial wall."""

    code, status = "not_found", 404

    def detail(self) -> str:
        return ""


class MemorialWall(Endpoint):
    """The members on the memorial wall, newest first. `PATCH /settings` adds an account or removes it."""

    scopes = {"GET": "read"}
    raises = {"GET": (NoMemorialWall,)}

    @extend_schema(parameters=[PageQuery], responses=Page[ListedMember])
    def get(self, request: Request) -> HttpResponse:
        query = query_of(request, PageQuery)
        if query.get("account"):  # the wall is the same for every account
            account_of(request, query["account"])
        if not memorial_wall.exists():
            raise NoMemorialWall
        rows = memorial_wall.listed()
        return json_body.answer(page(rows, query, keys=("created_at", "id"), build=_member))


def _member(subscription: Any) -> ListedMember:
    member = memorial_wall.member_of(subscription)
    return {"name": member.name, "badge": member.badge, "since": instant(member.since)}
