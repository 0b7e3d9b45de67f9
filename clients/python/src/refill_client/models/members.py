"""Members, invitations and keys of an account."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """A member of the account. `user` is the id that uses name in `member`."""

    id: str
    user: str
    email: str
    name: str
    role: str
    monthly_limit: Decimal | None
    created_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Invitation:
    id: str
    email: str
    role: str
    monthly_limit: Decimal | None
    status: str
    created_at: datetime
    expires_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class TeamRequest:
    """A request for a team account. `account` is the team that was opened."""

    id: str
    kind: str
    name: str
    note: str
    status: str
    answer: str
    account: str | None
    created_at: datetime
    answered_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """An API key of the account, without its secret."""

    id: str
    name: str
    prefix: str
    scopes: list[str]
    member: str | None
    daily_limit: Decimal | None
    monthly_limit: Decimal | None
    expires_at: datetime | None
    created_at: datetime
    last_used_at: datetime | None
    revoked_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class NewKey(Key):
    """A new API key with its secret, which no other response has."""

    secret: str
