"""Accounts and what they spend: balances, grants, entries, charges, holds, estimates, sums of usage."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from refill_client.errors import ApiError


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    id: str
    external_id: str | None
    name: str
    kind: str
    zone: str
    created_at: datetime
    plan: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    id: str
    kind: str
    label: str
    granted: Decimal
    remaining: Decimal
    held: Decimal
    expires_at: datetime | None
    services: list[str] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Daily:
    """The daily allowance."""

    amount: Decimal
    remaining: Decimal
    resets_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Balance:
    account: str
    available: Decimal
    held: Decimal
    debt: Decimal
    as_of: datetime
    grants: list[Grant]
    daily: Daily | None
    unlimited_services: list[str]
    low: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class AnyGrant(Grant):
    """A grant in any state: in force, spent or expired."""

    reason: str
    created_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Transaction:
    """A ledger entry."""

    id: str
    kind: str
    grant: str | None
    """None for a charge that costs no credits."""
    credits: Decimal
    """Credits into the grant; negative for credits out of it."""
    grant_after: Decimal
    balance_after: Decimal
    charge: str | None
    hold: str | None
    reason: str
    actor: str
    created_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Rate:
    version: str
    effective_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One line of a price: quantity, unit price and multipliers."""

    meter: str
    quantity: Decimal
    unit_credits: Decimal
    per: int
    multipliers: dict[str, Decimal]
    credits: Decimal
    blocks: int | None = None
    """Number of blocks, where each block begun is charged whole."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawn:
    """Credits taken from one grant."""

    grant: str
    kind: str
    credits: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    id: str
    charge: str
    status: str
    reason: str
    answer: str
    created_at: datetime
    answered_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Charge:
    """A charge: what was used, what it cost and which grants paid."""

    id: str
    status: str
    account: str
    service: str
    action: str | None
    credits: Decimal
    created_at: datetime
    covered_by: str | None
    uncollected: Decimal
    returned: Decimal
    drawn: list[Drawn]
    balance_before: Decimal
    balance_after: Decimal
    hold: str | None
    lines: list[Line]
    rate: Rate
    usage: dict[str, Any]
    options: dict[str, Any]
    metadata: dict[str, Any]
    project: str | None
    conversation: str | None
    member: str | None
    api_key: str | None
    report: Report | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Returned:
    """Credits returned to one grant."""

    grant: str
    credits: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class Reversal:
    id: str
    charge: str
    credits: Decimal
    returned_to: list[Returned]
    reason: str
    balance_after: Decimal
    created_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    id: str
    credits: Decimal
    maximum: Decimal
    lines: list[Line]
    rate: Rate
    available: Decimal
    sufficient: bool
    covered_by: str | None
    approximate: bool
    valid_until: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class ChildHold:
    """A child of a hold, with everything below it."""

    id: str
    status: str
    service: str
    action: str | None
    credits: Decimal
    spent: Decimal
    reserved: Decimal
    remaining: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportedUsage:
    """The usage that was last reported for a hold, with its price."""

    usage: dict[str, Any]
    credits: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenHold:
    """A hold that is neither captured, released nor expired."""

    id: str
    account: str
    service: str
    action: str | None
    credits: Decimal
    created_at: datetime
    expires_at: datetime
    project: str | None
    conversation: str | None
    member: str | None
    parent: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Hold:
    """A hold: credits reserved for a use, until it is captured, released or expires."""

    id: str
    status: str
    account: str
    service: str
    action: str | None
    credits: Decimal
    created_at: datetime
    expires_at: datetime
    closed_at: datetime | None
    charge: str | None
    lines: list[Line]
    rate: Rate
    usage: dict[str, Any]
    options: dict[str, Any]
    metadata: dict[str, Any]
    drawn: list[Drawn]
    project: str | None
    conversation: str | None
    member: str | None
    parent: str | None
    spent: Decimal
    """What it and all holds below it were charged."""
    reserved: Decimal
    """What its open children reserve."""
    remaining: Decimal
    """What is left for it and for new children."""
    children: list[ChildHold]
    """The newest 100."""
    at_expiry: str
    """What becomes of it when nobody captures it: release, capture_estimate or capture_reported."""
    reported: ReportedUsage | None


@dataclass(frozen=True, slots=True, kw_only=True)
class UsageSum:
    """Use of one interval and group."""

    start: datetime | None
    """Start of the interval; None without `interval`."""
    group: str | None
    """Value of the `group_by` dimension; None without `group_by`."""
    credits: Decimal
    charges: int


@dataclass(frozen=True, slots=True, kw_only=True)
class UsageTotal:
    credits: Decimal
    charges: int


@dataclass(frozen=True, slots=True, kw_only=True)
class UsageReport:
    data: list[UsageSum]
    total: UsageTotal
    timezone: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusals:
    """Calls of one hour that were refused for one reason. The amounts are those of the last call."""

    hour: datetime
    code: str
    """Code of the problem, such as "insufficient_credits"."""
    limit: str | None
    """The limit that was reached: "project", "member" or "key"."""
    subject: str | None
    """Id of the project, member or key that has the limit."""
    service: str | None
    api_key: str | None
    member: str | None
    calls: int
    first_at: datetime
    last_at: datetime
    needed: Decimal | None
    available: Decimal | None
    maximum: Decimal | None
    used: Decimal | None
    resets_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Project:
    id: str
    name: str
    daily_limit: Decimal | None
    archived: bool
    created_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderKey:
    """A provider key without its secret."""

    id: str
    provider: str
    last_four: str
    created_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchItem:
    """The outcome of one use of a batch: its `charge`, or the `error` that a single charge would raise."""

    status: int
    idempotency_key: str
    charge: Charge | None = None
    error: ApiError | None = None
    replayed: bool = False
