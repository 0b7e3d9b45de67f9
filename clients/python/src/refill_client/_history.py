"""Endpoints of exports, statements and the memorial wall. Each function returns a call."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from refill_client._calls import Call, Page, get, get_page, path, post_once
from refill_client._decoding import decode, given
from refill_client.models import Export, ListedMember, Statement


def exports(*, account: str | None = None, limit: int | None = None) -> Call[Page[Export]]:
    """Exports of the account, newest first."""
    return get_page("/exports", Export, account=account, limit=limit)


def create_export(
    *,
    kind: str | None = None,
    grant: str | None = None,
    search: str | None = None,
    from_: datetime | None = None,
    to: datetime | None = None,
    account: str | None = None,
    idempotency_key: str | None = None,
) -> Call[Export]:
    """Start a file of the history, or of the entries that match. `get_export` shows its progress."""
    body = {"kind": kind, "grant": grant, "search": search, "from": from_, "to": to, "account": account}
    return post_once("/exports", Export, body, idempotency_key)


def get_export(export: str, *, account: str | None = None) -> Call[Export]:
    """One export with its progress."""
    return get(path("exports", export), Export, account=account)


def download_export(export: str, *, account: str | None = None) -> Call[bytes]:
    """The CSV file of an export. Raises Conflict (`export_not_ready`) until its state is `ready`."""
    return Call("GET", path("exports", export, "file"), bytes, query=given({"account": account}), binary=True)


def statement(
    *,
    from_: datetime | None = None,
    to: datetime | None = None,
    cursor: str | None = None,
    limit: int | None = None,
    account: str | None = None,
) -> Call[Statement]:
    """A page of the statement of a period, by default of the current month. Each page adds up."""
    query = {"from": from_, "to": to, "cursor": cursor, "limit": limit, "account": account}
    return Call("GET", "/statement", _statement, query=given(query))


def signed_statement(
    *, from_: datetime | None = None, to: datetime | None = None, account: str | None = None
) -> Call[bytes]:
    """The signed statement as a JSON document, which `verify_statement.py` of the portal verifies offline."""
    query = given({"from": from_, "to": to, "account": account})
    return Call("GET", "/statement.json", bytes, query=query, binary=True)


def memorial_wall(*, account: str | None = None, limit: int | None = None) -> Call[Page[ListedMember]]:
    """The members on the memorial wall, newest first."""
    return get_page("/memorial-wall", ListedMember, account=account, limit=limit)


def _statement(data: Any) -> Statement:
    result: Statement = decode(Statement, {**data, "from_": data["from"]})
    return result
