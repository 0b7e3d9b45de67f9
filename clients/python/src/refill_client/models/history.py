"""Exports of the history, statements, and the memorial wall."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class Export:
    """A file of the history. `state` is `waiting`, `ready` or `failed`."""

    id: str
    account: str
    state: str
    percent: int
    rows: int
    kind: str | None
    grant: str | None
    search: str | None
    created_at: datetime
    expires_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Movement:
    """The sum of the entries of a kind in the whole period."""

    kind: str
    credits: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class StatementLine:
    id: str
    kind: str
    title: str
    credits: Decimal
    balance_after: Decimal
    grant: str | None
    grant_kind: str | None
    charge: str | None
    covered_by: str | None
    service: str | None
    action: str | None
    conversation: str | None
    actor: str
    created_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class StatementPage:
    """The page adds up: its opening balance and the credits of its lines are its closing balance."""

    opening_balance: Decimal
    closing_balance: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class Archive:
    """Where entries are that are not in the database any more: those before `before`."""

    archive: int
    file: str
    before: datetime
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement:
    """A page of a statement, newest entries first. Opening balance + movements = closing balance."""

    account: str
    zone: str
    from_: datetime
    to: datetime
    opening_balance: Decimal
    closing_balance: Decimal
    movements: list[Movement]
    signed: bool
    """Whether a signed checkpoint covers the closing balance."""
    archived: Archive | None
    page: StatementPage
    data: list[StatementLine]
    has_more: bool
    next_cursor: str | None
    """The `cursor` of the next page, with older entries."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ListedMember:
    """A member on the memorial wall."""

    name: str
    badge: str
    since: datetime
