"""Cursor pagination: newest first, stable while rows arrive.

Invariant: a page starts after the position of the last row of the page before (keyset, not offset), so that
new rows change nothing and deep pages cost no more. The cursor is signed and valid for its own list only.
"""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any, Generic, TypedDict, TypeVar

from django.core import signing
from django.db.models import Model, Q, QuerySet
from django.utils.translation import gettext as _
from rest_framework import serializers

from core.fields import AccountQuery, Digits
from core.problems import Problem, field_problem

LARGEST_PAGE = 100
USUAL_PAGE = 25
Entry = TypeVar("Entry")
Item = TypeVar("Item")


class Page(TypedDict, Generic[Item]):
    """A page of a list, as responses declare it: `Page[Charge]`."""

    data: list[Item]
    has_more: bool
    next_cursor: str | None


class PageQuery(AccountQuery):
    """The query parameters of every list; lists with filters add theirs."""

    limit = Digits(required=False, min_value=1, max_value=LARGEST_PAGE, default=USUAL_PAGE)
    cursor = serializers.CharField(required=False, max_length=500)


def page(
    rows: QuerySet[Any],
    query: dict[str, Any],
    *,
    keys: tuple[str, ...],
    build: Callable[[Any], Item],
) -> Page[Item]:
    """One page of `rows`, each as `build` returns it.

    `keys` are the columns that order the list, each descending, together unique; `query` is a checked
    PageQuery. Raises Problem (400) for an invalid cursor.
    """
    of_list = rows.model._meta.label_lower
    if "cursor" in query:
        rows = rows.filter(_after(keys, position_of(query["cursor"], of_list=of_list, length=len(keys))))
    limit = query["limit"]
    found = list(rows.order_by(*(f"-{key}" for key in keys))[: limit + 1])
    more, found = len(found) > limit, found[:limit]
    return {
        "data": [build(row) for row in found],
        "has_more": more,
        "next_cursor": cursor_at(_position(found[-1], keys), of_list=of_list) if more else None,
    }


def page_of_catalogue(
    entries: Sequence[Entry],
    query: dict[str, Any],
    *,
    key: Callable[[Entry], str],
    build: Callable[[Entry], Item],
) -> Page[Item]:
    """One page of entries of the catalogue, in their order. The cursor is the key of a page's last entry.

    Raises Problem (400) for a cursor that names no entry.
    """
    keys = [key(entry) for entry in entries]
    begin = 0
    if "cursor" in query:
        if query["cursor"] not in keys:
            raise invalid_cursor()
        begin = keys.index(query["cursor"]) + 1
    end = begin + query["limit"]
    more = end < len(entries)
    return {
        "data": [build(entry) for entry in entries[begin:end]],
        "has_more": more,
        "next_cursor": keys[end - 1] if more else None,
    }


def _position(row: Model, keys: tuple[str, ...]) -> list[str | int]:
    values = [getattr(row, key) for key in keys]
    return [
        value.isoformat() if isinstance(value, datetime) else value if isinstance(value, int) else str(value)
        for value in values
    ]


def _after(keys: tuple[str, ...], position: list[str | int]) -> Q:
    """Rows after the position: compared by the first key, then by the next one where equal, and so on."""
    condition = Q(**{f"{keys[-1]}__lt": position[-1]})
    for key, value in zip(keys[-2::-1], position[-2::-1], strict=True):
        # The additional simple bound is what an index can use.
        condition = Q(**{f"{key}__lte": value}) & (Q(**{f"{key}__lt": value}) | condition)
    return condition


def cursor_at(position: Sequence[str | int], *, of_list: str) -> str:
    """The signed cursor of a position in a list."""
    return signing.dumps(list(position), salt=f"cursor:{of_list}")


def position_of(cursor: str, *, of_list: str, length: int) -> list[Any]:
    """The position of a cursor. Raises Problem (400) for one of another list."""
    try:
        position = signing.loads(cursor, salt=f"cursor:{of_list}")
    except signing.BadSignature:
        position = None
    if not isinstance(position, list) or len(position) != length:
        raise invalid_cursor()
    return position


def invalid_cursor() -> Problem:
    return field_problem(
        "cursor",
        "invalid_cursor",
        _("The cursor is not valid for this list. Start again without a cursor."),
    )
