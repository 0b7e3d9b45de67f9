"""Requests and responses of /exports and /statement."""

from typing import Annotated, Any, Literal, TypedDict

from django.utils.translation import gettext_lazy as _
from rest_framework import serializers

from billing.models import Entry, Grant
from core.fields import AccountNamed, Instant, Text
from core.json_types import CreditsText, Pattern, SignedCreditsText, TimeText, id_of
from usage.api.response_schemas import AccountId, ChargeId, CoveredBy, EntryId, GrantId, GrantKind
from usage.history import search
from usage.models import Export as ExportModel

EntryKind = Annotated[str, Entry.Kind]
Hash = Annotated[str, "SHA-256, hexadecimal.", Pattern("^[0-9a-f]{64}$")]
SixPlaces = Annotated[str, "Credits with six decimals.", Pattern(r"^-?[0-9]+\.[0-9]{6}$")]
Microseconds = Annotated[str, Pattern(r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{6}Z$")]
RowId = Annotated[str, "UUID.", Pattern("^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$")]


class ExportInput(AccountNamed):
    """Which entries the file has; without fields, all. `from` is inclusive, `to` exclusive."""

    kind = serializers.ChoiceField(choices=Entry.Kind.choices, required=False)
    grant = Text(required=False, pattern=id_of(Grant).regex, max_length=100)
    search = Text(
        required=False,
        max_length=search.LONGEST,
        help_text="An id, an amount, or part of the name of a service or project or of a conversation.",
    )
    to = Instant(required=False)

    def get_fields(self) -> Any:
        return super().get_fields() | {"from": Instant(required=False)}

    def validate_grant(self, value: str) -> str:
        if Grant.uuid_of(value) is None:
            raise serializers.ValidationError(_("This grant does not exist."))
        return value

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if "from" in attrs and "to" in attrs and attrs["from"] >= attrs["to"]:
            raise serializers.ValidationError({"to": _("The end must be later than the start.")})
        return attrs


class Export(TypedDict):
    """A file of the history: CSV, written in the background."""

    id: Annotated[str, id_of(ExportModel)]
    account: AccountId
    state: Annotated[
        str,
        ExportModel.State,
        "`waiting`: being written. `ready`: it can be downloaded. `failed`: it cannot be written.",
    ]
    percent: Annotated[int, "How much has been written."]
    rows: Annotated[int, "Entries written so far."]
    kind: EntryKind | None
    grant: GrantId | None
    search: str | None
    created_at: TimeText
    expires_at: Annotated[TimeText | None, "When the file is deleted."]


Period = TypedDict("Period", {"from": TimeText, "to": TimeText})


class Movement(TypedDict):
    """The sum of the entries of a kind in the whole period."""

    kind: EntryKind
    credits: SignedCreditsText


class StatementLine(TypedDict):
    """An entry of the history, as members see it."""

    id: EntryId
    kind: EntryKind
    title: Annotated[str, "The service, or why credits moved."]
    credits: SignedCreditsText
    balance_after: CreditsText
    grant: GrantId | None
    grant_kind: GrantKind | None
    charge: ChargeId | None
    covered_by: CoveredBy | None
    service: str | None
    action: str | None
    conversation: str | None
    actor: Annotated[str, "Who acted: a member's address, the name of a key, “Support”, or empty."]
    created_at: TimeText


class StatementPage(TypedDict):
    """The page adds up: its opening balance and the credits of `data` are its closing balance."""

    opening_balance: CreditsText
    closing_balance: CreditsText


class Archive(TypedDict):
    """Where entries are that are not in the database any more: those before `before`."""

    archive: Annotated[int, "Its number."]
    file: str
    before: Microseconds
    sha256: Hash


class Statement(Period):
    """The entries of a period, newest first. Opening balance + movements = closing balance."""

    account: AccountId
    zone: Annotated[str, "IANA time zone of the account."]
    opening_balance: CreditsText
    closing_balance: CreditsText
    movements: list[Movement]
    signed: Annotated[bool, "Whether a signed checkpoint covers the closing balance."]
    archived: Annotated[Archive | None, "The period then begins where the archive ends."]
    page: StatementPage
    data: list[StatementLine]
    has_more: bool
    next_cursor: str | None


class ChainPosition(TypedDict):
    """A position on the account's chain of entries: after the entry `seq`, or 0 before the first."""

    seq: int
    hash: Hash


class ChainBalance(ChainPosition):
    balance: SixPlaces


class SignedHead(ChainBalance):
    held: SixPlaces
    debt: SixPlaces


class StatementProof(TypedDict):
    """The signed position, its path in the Merkle tree, and the signed checkpoint."""

    head: SignedHead
    index: int
    count: int
    nodes: list[Hash]
    checkpoint: dict[str, Any]
    signature: str


class StatementEntry(TypedDict):
    """An entry with all that its hash covers besides its account."""

    seq: int
    created_at: Microseconds
    kind: Annotated[str, "Those of transactions, and kinds that move no credits, such as `terms`."]
    credits: SixPlaces
    debt: SixPlaces
    grant_after: SixPlaces
    balance_after: SixPlaces
    grant: RowId | None
    charge: RowId | None
    hold: RowId | None
    reason: str
    actor: str
    digest: Hash | None
    hash: Hash


SignedPeriod = TypedDict("SignedPeriod", {"from": Microseconds, "to": Microseconds})


class SignedStatement(SignedPeriod):
    """A statement that can be verified offline; docs/verify-statements.md describes the format."""

    format: Annotated[str, Literal["refill-statement/1"]]
    account: RowId
    zone: str
    archived: Archive | None
    opening: ChainBalance
    closing: ChainBalance
    start: ChainPosition
    proof: StatementProof | None
    keys: Annotated[dict[str, str], "Public keys by their ids."]
    before: list[StatementEntry]
    entries: list[StatementEntry]
    after: list[StatementEntry]
