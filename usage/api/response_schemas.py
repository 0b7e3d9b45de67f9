"""Response bodies of usage's endpoints.

Each object is declared once: the endpoint modules build it, mypy checks what they build against the
declaration, and config.openapi derives the OpenAPI document from it.
"""

from typing import Annotated, Any, Literal, NotRequired, TypedDict

from billing.models import Entry, Grant, Hold
from core.json_types import CreditsText, TimeText
from core.problems import ProblemDocument
from pricing.models import Service as PricedService
from pricing.rates.quotes import Line, RateVersion
from usage.models import ChargeReport

GrantKind = Annotated[str, Grant.Kind]
CoveredBy = Annotated[str, Literal["unlimited", "own_key"]]


class Drawn(TypedDict):
    """Credits taken from one grant."""

    grant: str
    kind: GrantKind
    credits: CreditsText


class Report(TypedDict):
    id: str
    charge: str
    status: Annotated[str, ChargeReport.Status]
    reason: str
    answer: str
    created_at: TimeText
    answered_at: TimeText | None


class Charge(TypedDict):
    """A charge: what was used, what it cost and which grants paid."""

    id: str
    status: Annotated[str, Literal["charged", "partly_reversed", "reversed"]]
    account: str
    service: str
    action: str | None
    credits: CreditsText
    created_at: TimeText
    covered_by: CoveredBy | None
    uncollected: CreditsText
    returned: CreditsText
    drawn: list[Drawn]
    balance_before: CreditsText
    balance_after: CreditsText
    hold: str | None
    lines: list[Line]
    rate: RateVersion
    usage: Any
    options: Any
    metadata: Any
    project: str | None
    conversation: str | None
    member: str | None
    api_key: str | None
    report: NotRequired[Report | None]


class BatchItemOutcome(TypedDict):
    status: Annotated[int, "201, or the status of `error`."]
    charge: NotRequired[Charge]
    error: NotRequired[ProblemDocument]
    replayed: NotRequired[bool]


class BatchOutcome(TypedDict):
    data: list[BatchItemOutcome]


class Returned(TypedDict):
    """Credits returned to one grant."""

    grant: str
    credits: CreditsText


class Reversal(TypedDict):
    id: str
    charge: str
    credits: CreditsText
    returned_to: list[Returned]
    reason: str
    balance_after: CreditsText
    created_at: TimeText


class HoldAnswer(TypedDict):
    """A hold: credits reserved for a use, until it is captured, released or expires."""

    id: str
    status: Annotated[str, Hold.Status]
    account: str
    service: str
    action: str | None
    credits: CreditsText
    created_at: TimeText
    expires_at: TimeText
    closed_at: TimeText | None
    charge: str | None
    lines: list[Line]
    rate: RateVersion
    usage: Any
    options: Any
    metadata: Any
    drawn: list[Drawn]
    project: str | None
    conversation: str | None
    member: str | None


class BalanceGrant(TypedDict):
    id: str
    kind: GrantKind
    label: str
    granted: CreditsText
    remaining: CreditsText
    held: CreditsText
    expires_at: TimeText | None
    services: list[str] | None


class AnyGrant(BalanceGrant):
    """A grant in any state: in force, spent or expired."""

    reason: str
    created_at: TimeText


class Daily(TypedDict):
    """The daily allowance."""

    amount: CreditsText
    remaining: CreditsText
    resets_at: TimeText


class Balance(TypedDict):
    account: str
    available: CreditsText
    held: CreditsText
    debt: CreditsText
    as_of: TimeText
    grants: list[BalanceGrant]
    daily: Daily | None
    unlimited_services: list[str]
    low: bool


class Transaction(TypedDict):
    """A ledger entry."""

    id: str
    kind: Annotated[str, Entry.Kind]
    grant: str
    credits: Annotated[str, "Credits into the grant; negative for credits out of it."]
    grant_after: CreditsText
    balance_after: CreditsText
    charge: str | None
    hold: str | None
    reason: str
    actor: str
    created_at: TimeText


class Account(TypedDict):
    id: str
    external_id: str | None
    name: str
    kind: str
    zone: str
    created_at: TimeText
    plan: str | None


class Project(TypedDict):
    id: str
    name: str
    daily_limit: str | None
    archived: bool
    created_at: TimeText


class ProviderKey(TypedDict):
    """A provider key without its secret."""

    id: str
    provider: str
    last_four: str
    created_at: TimeText


class UsageSum(TypedDict):
    """Use of one interval and group."""

    start: Annotated[TimeText | None, "Start of the interval; null without `interval`."]
    group: Annotated[str | None, "Value of the `group_by` dimension; null for uses without one."]
    credits: CreditsText
    charges: int


class UsageSums(TypedDict):
    data: list[UsageSum]
    has_more: bool
    next_cursor: str | None
    total: dict[str, Any]
    timezone: str


class Band(TypedDict):
    """A price band: credits up to this quantity."""

    up_to: int | None
    credits: CreditsText


class PriceLine(TypedDict):
    meter: str
    credits: CreditsText
    per: int
    whole_blocks: bool
    also: Annotated[list[str], "Meters that may be sent instead."]
    bands: list[Band]


class Service(TypedDict):
    """A service and its price."""

    key: str
    name: str
    kind: Annotated[str, PricedService.Kind]
    modality: str
    tags: list[str]
    tier: str | None
    speed: str | None
    usage_class: str | None
    best_for: str | None
    providers: list[str]
    quota: str | None
    priced: bool
    cost_of_model: bool
    lines: list[PriceLine]
    minimum: CreditsText
    multiplier: CreditsText
    options: Any
    rate: RateVersion | None


class Estimate(TypedDict):
    id: str
    credits: CreditsText
    maximum: CreditsText
    lines: list[Line]
    rate: RateVersion
    available: CreditsText
    sufficient: bool
    covered_by: CoveredBy | None
    approximate: bool
    valid_until: TimeText
