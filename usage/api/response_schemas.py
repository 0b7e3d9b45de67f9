"""Response bodies of usage's endpoints.

Each object is declared once: the endpoint modules build it, mypy checks what they build against the
declaration, and config.openapi derives the OpenAPI document from it.
"""

from typing import Annotated, Any, Literal, NotRequired, TypedDict

from accounts import models as accounts
from billing.models import Charge as ChargeModel
from billing.models import Correction, Entry, Grant, Hold
from core import declared_problems
from core.json_types import CreditsText, Pattern, SignedCreditsText, TimeText, id_of
from core.problems import ProblemDocument
from pricing.models import Service as PricedService
from pricing.rates.quotes import Line, Meter, RateVersion
from usage.api import errors
from usage.models import ChargeReport

AccountId = Annotated[str, id_of(accounts.Account)]
MemberId = Annotated[str, id_of(accounts.User)]
KeyId = Annotated[str, id_of(accounts.ApiKey)]
ProjectId = Annotated[str, id_of(accounts.Project)]
ProviderKeyId = Annotated[str, id_of(accounts.ProviderKey)]
GrantId = Annotated[str, id_of(Grant)]
EntryId = Annotated[str, Pattern("^ent_[0-9a-f]{32}$")]
ChargeId = Annotated[str, id_of(ChargeModel)]
HoldId = Annotated[str, id_of(Hold)]
ReversalId = Annotated[str, id_of(Correction)]
ReportId = Annotated[str, id_of(ChargeReport)]

UsedQuantities = Annotated[dict[str, Any], "Quantities by meter, as they were sent."]
ChosenOptions = Annotated[dict[str, Any], "The chosen options and their values, as they were sent."]
GrantKind = Annotated[str, Grant.Kind]
CoveredBy = Annotated[str, Literal["unlimited", "own_key"]]


class Drawn(TypedDict):
    """Credits taken from one grant."""

    grant: GrantId
    kind: GrantKind
    credits: CreditsText


class Report(TypedDict):
    id: ReportId
    charge: ChargeId
    status: Annotated[str, ChargeReport.Status]
    reason: str
    answer: str
    created_at: TimeText
    answered_at: TimeText | None


class Charge(TypedDict):
    """A charge: what was used, what it cost and which grants paid."""

    id: ChargeId
    status: Annotated[str, Literal["charged", "partly_reversed", "reversed"]]
    account: AccountId
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
    hold: HoldId | None
    lines: list[Line]
    rate: RateVersion
    usage: UsedQuantities
    options: ChosenOptions
    metadata: dict[str, Any]
    project: ProjectId | None
    conversation: str | None
    member: MemberId | None
    api_key: KeyId | None
    report: NotRequired[Report | None]


ItemError = Annotated[
    ProblemDocument,
    (*declared_problems.OF_BATCH_ITEM, *declared_problems.of_classes(errors.OF_BATCH_ITEM)),
]


class ChargedItem(TypedDict):
    """A batch item that was charged, now or by an earlier request with its idempotency key (`replayed`)."""

    status: Annotated[int, Literal[201]]
    charge: Charge
    replayed: NotRequired[bool]


class RefusedItem(TypedDict):
    """A batch item that was not charged."""

    status: Annotated[int, "The status of `error`."]
    error: ItemError


BatchItemOutcome = ChargedItem | RefusedItem


class BatchOutcome(TypedDict):
    """The outcome of each item, in the order of the request."""

    data: list[BatchItemOutcome]


class Returned(TypedDict):
    """Credits returned to one grant."""

    grant: GrantId
    credits: CreditsText


class Reversal(TypedDict):
    id: ReversalId
    charge: ChargeId
    credits: CreditsText
    returned_to: list[Returned]
    reason: str
    balance_after: CreditsText
    created_at: TimeText


class ChildHold(TypedDict):
    """A child of a hold, with everything below it."""

    id: HoldId
    status: Annotated[str, Hold.Status]
    service: str
    action: str | None
    credits: CreditsText
    spent: CreditsText
    reserved: CreditsText
    remaining: CreditsText


class ReportedUsage(TypedDict):
    """The usage that was last reported for a hold, with its price."""

    usage: UsedQuantities
    credits: CreditsText


class HoldAnswer(TypedDict):
    """A hold: credits reserved for a use, until it is captured, released or expires.

    `spent` is what it and all holds below it were charged, `reserved` what its open children reserve, and
    `remaining` what is left for it and for new children. `children`: the newest 100.
    """

    id: HoldId
    status: Annotated[str, Hold.Status]
    account: AccountId
    service: str
    action: str | None
    credits: CreditsText
    created_at: TimeText
    expires_at: TimeText
    closed_at: TimeText | None
    charge: ChargeId | None
    lines: list[Line]
    rate: RateVersion
    usage: UsedQuantities
    options: ChosenOptions
    metadata: dict[str, Any]
    drawn: list[Drawn]
    project: ProjectId | None
    conversation: str | None
    member: MemberId | None
    parent: HoldId | None
    spent: CreditsText
    reserved: CreditsText
    remaining: CreditsText
    children: list[ChildHold]
    at_expiry: Annotated[str, Hold.AtExpiry]
    reported: ReportedUsage | None


class OpenHold(TypedDict):
    """A hold that is neither captured, released nor expired. `GET /holds/{id}` shows what its tree spent."""

    id: HoldId
    account: AccountId
    service: str
    action: str | None
    credits: CreditsText
    created_at: TimeText
    expires_at: TimeText
    project: ProjectId | None
    conversation: str | None
    member: MemberId | None
    parent: HoldId | None


class BalanceGrant(TypedDict):
    id: GrantId
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
    account: AccountId
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

    id: EntryId
    kind: Annotated[str, Entry.Kind]
    grant: Annotated[GrantId | None, "Null for a charge that costs no credits."]
    credits: Annotated[SignedCreditsText, "Credits into the grant; negative for credits out of it."]
    grant_after: CreditsText
    balance_after: CreditsText
    charge: ChargeId | None
    hold: HoldId | None
    reason: str
    actor: str
    created_at: TimeText


class Account(TypedDict):
    id: AccountId
    external_id: str | None
    name: str
    kind: Annotated[str, accounts.Account.Kind]
    zone: str
    created_at: TimeText
    plan: str | None


class Project(TypedDict):
    id: ProjectId
    name: str
    daily_limit: CreditsText | None
    archived: bool
    created_at: TimeText


class ProviderKey(TypedDict):
    """A provider key without its secret."""

    id: ProviderKeyId
    provider: str
    last_four: str
    created_at: TimeText


class UsageSum(TypedDict):
    """Use of one interval and group."""

    start: Annotated[TimeText | None, "Start of the interval; null without `interval`."]
    group: Annotated[str | None, "Value of the `group_by` dimension; null for uses without one."]
    credits: CreditsText
    charges: int


class UsageTotal(TypedDict):
    credits: CreditsText
    charges: int


class UsageSums(TypedDict):
    data: list[UsageSum]
    has_more: bool
    next_cursor: str | None
    total: UsageTotal
    timezone: str


class Band(TypedDict):
    """A price band: credits up to this quantity."""

    up_to: int | None
    credits: CreditsText


class PriceLine(TypedDict):
    meter: Meter
    credits: CreditsText
    per: int
    whole_blocks: bool
    also: Annotated[list[Meter], "Meters that may be sent instead."]
    bands: list[Band]


class ServiceOption(TypedDict):
    """An option of a service."""

    default: Annotated[str, "The value of a use that does not choose one."]
    multipliers: Annotated[
        dict[str, CreditsText] | None, "The price's factor for each value; null for no effect on the price."
    ]


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
    options: dict[str, ServiceOption]
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
