"""The transaction history: ledger entries with their grants, charges and names; its CSV export and statement.

Invariants: every entry of the account appears exactly once, in ledger order (`seq`), so that paging is stable
while entries arrive; a period's entries are those of `ledger.span`, so that opening balance + movements =
closing balance; a page costs a fixed number of queries whatever its length; no CSV cell that holds text
written by users can be read as a formula.
"""

import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from django.db.models import QuerySet, Sum
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from accounts.models import Account, ApiKey, Membership, User
from billing import ledger
from billing.models import Charge, Entry, Grant, Hold
from core.amounts import plain
from usage import selectors, statements

PAGE_SIZE = 50
EXPORT_CHUNK = 1000  # entries read at once by an export
MAX_STATEMENT_ROWS = 2000
CSV_HEADINGS = [
    "time_utc", "time_local", "zone", "kind", "what", "service", "action", "conversation", "who", "credits",
    "balance_after", "grant_kind", "grant", "charge", "entry",
]  # fmt: skip
# How the product's own reasons begin: billing.payments.clawbacks, billing.promotions.referrals, the ledger.
_OWN_REASONS = {
    "refund ": gettext_lazy("Refund"),
    "dispute ": gettext_lazy("Disputed payment"),
    "the purchase that earned the reward ": gettext_lazy("Reward of an invitation"),
    "plan changed": gettext_lazy("Plan changed"),
}
_KINDS_WITH_OWN_REASONS = (
    Entry.Kind.CLAW_BACK,
    Entry.Kind.RESTORE,
    Entry.Kind.EXPIRE,
    Entry.Kind.CARRY_OVER,
)
_FORMULA_STARTS = tuple("=+-@\t\r\n")


@dataclass(frozen=True)
class Filter:
    """Which entries to return; without values, all. `start` is included, `end` is excluded.

    `span` is a period that is resolved already, for figures that must agree while entries arrive.
    """

    kind: str = ""
    grant_id: UUID | None = None
    start: datetime | None = None
    end: datetime | None = None
    span: ledger.Span | None = None


@dataclass(frozen=True)
class HistoryLine:
    """An entry with its grant, its charge, a title, and the name of the person or key that acted."""

    entry: Entry
    grant: Grant | None
    charge: Charge | None
    title: str
    actor: str


@dataclass(frozen=True)
class Page:
    """Lines of one page. `older_than` is the cursor of the next page, None at the end."""

    lines: list[HistoryLine]
    older_than: int | None


@dataclass(frozen=True)
class Summary:
    """A statement's figures: opening balance, movements by kind, closing balance."""

    opening: Decimal
    closing: Decimal
    by_kind: list[tuple[str, Decimal]]


def entries_of(account: Account, filters: Filter) -> QuerySet[Entry]:
    """The account's entries that move credits and match, newest first."""
    entries = Entry.objects.filter(account=account, grant__isnull=False)
    if filters.kind:
        entries = entries.filter(kind=filters.kind)
    if filters.grant_id:
        entries = entries.filter(grant_id=filters.grant_id)
    span = filters.span
    if span is None and (filters.start or filters.end):
        span = ledger.span(account.pk, start=filters.start, end=filters.end)
    if span is not None:
        entries = entries.filter(seq__gt=span.after, seq__lte=span.until)
    return entries.order_by("-seq")


def page_of(
    account: Account, filters: Filter, *, older_than: int | None = None, size: int = PAGE_SIZE
) -> Page:
    """The newest entries, or those older than the cursor `older_than`."""
    entries = entries_of(account, filters)
    if older_than is not None:
        entries = entries.filter(seq__lt=older_than)
    found = list(entries[: size + 1])
    lines = describe(account, found[:size])
    return Page(lines=lines, older_than=found[size - 1].seq if len(found) > size else None)


def newer_than(account: Account, filters: Filter, *, seen: int, limit: int = PAGE_SIZE) -> list[HistoryLine]:
    """Entries after the entry number `seen`, newest first."""
    return describe(account, list(entries_of(account, filters).filter(seq__gt=seen)[:limit]))


def all_lines(account: Account, filters: Filter) -> Iterator[HistoryLine]:
    """Every matching entry, read in chunks so that an export of any length needs little memory."""
    cursor: int | None = None
    while True:
        page = page_of(account, filters, older_than=cursor, size=EXPORT_CHUNK)
        yield from page.lines
        cursor = page.older_than
        if cursor is None:
            return


def describe(account: Account, entries: Sequence[Entry]) -> list[HistoryLine]:
    """Entries with their grants, charges and names, in a fixed number of queries."""
    grants = Grant.objects.filter(account=account).in_bulk({entry.grant_id for entry in entries} - {None})
    charges = _named(Charge.objects.filter(account=account), {entry.charge_id for entry in entries})
    holds = _named(Hold.objects.filter(account=account), {entry.hold_id for entry in entries})
    uses: list[Any] = [*charges.values(), *holds.values()]
    services = selectors.service_names([key for use in uses for key in (use.service, use.action) if key])
    members = dict(User.objects.filter(pk__in={use.member_id for use in uses}).values_list("pk", "email"))
    keys = dict(ApiKey.objects.filter(pk__in={use.api_key_id for use in uses}).values_list("pk", "name"))
    actors = _actor_names(account, {entry.actor for entry in entries})
    lines = []
    for entry in entries:
        grant = grants.get(entry.grant_id) if entry.grant_id else None
        charge = charges.get(entry.charge_id) if entry.charge_id else None
        use: Any = charge or (holds.get(entry.hold_id) if entry.hold_id else None)
        user_of_use = use and (members.get(use.member_id) or keys.get(use.api_key_id))
        lines.append(
            HistoryLine(
                entry=entry,
                grant=grant,
                charge=charge,
                title=_title(use, services) if use else _reason(entry) or (grant.label if grant else ""),
                actor=actors[entry.actor] or user_of_use or "",
            )
        )
    return lines


def _named(uses: QuerySet[Any], ids: set[UUID | None]) -> dict[UUID, Any]:
    """The uses with these ids, with the fields that a line names: details are long."""
    fields = ("account_id", "service", "action", "conversation", "member_id", "api_key_id")
    return uses.only(*fields).in_bulk(ids - {None})


def _actor_names(account: Account, actors: set[str]) -> dict[str, str]:
    """Display names of actors: members by e-mail, API keys by name, staff and other users as "Support"."""
    users = {actor: user_id for actor in actors if (user_id := User.uuid_of(actor))}
    keys = {actor: key_id for actor in actors if (key_id := ApiKey.uuid_of(actor))}
    members = account.memberships.filter(user_id__in=users.values()) if users else Membership.objects.none()
    emails = dict(members.values_list("user_id", "user__email"))
    api_keys = ApiKey.objects.filter(pk__in=keys.values()) if keys else ApiKey.objects.none()
    key_names = dict(api_keys.values_list("pk", "name"))
    names = {actor: _("Support") if selectors.is_staff(actor) else actor for actor in actors}
    names |= {actor: emails.get(user_id, _("Support")) for actor, user_id in users.items()}
    return names | {actor: key_names.get(key_id, "") for actor, key_id in keys.items()}


def _reason(entry: Entry) -> str:
    """Why credits moved, for members. The product's own reasons contain ids and are not translated."""
    own = next((text for start, text in _OWN_REASONS.items() if entry.reason.startswith(start)), None)
    return str(own) if own and entry.kind in _KINDS_WITH_OWN_REASONS else entry.reason


def _title(use: Charge | Hold, services: dict[str, str]) -> str:
    return " · ".join(dict.fromkeys(services[key] for key in (use.action, use.service) if key))


def summary_of(statement: statements.Statement) -> Summary:
    """The figures of a statement: opening balance + movements = closing balance.

    Charges are what the other movements leave: there may be hundreds of thousands, and the index of kinds
    (entry_kind) leaves them out. Each takes credits, so without charges nothing is left.
    """
    span, labels = statement.span, dict(Entry.Kind.choices)
    others = Entry.objects.filter(account=statement.account, grant__isnull=False).exclude(
        kind=Entry.Kind.CHARGE
    )
    sums = dict(
        others.filter(seq__gt=span.after, seq__lte=span.until)
        .values_list("kind")
        .annotate(total=Sum("credits"))
        .order_by()
    )
    opening, closing = statement.opening.balance, statement.closing.balance
    if charged := closing - opening - sum(sums.values(), Decimal(0)):
        sums[Entry.Kind.CHARGE] = charged
    by_kind = [(str(labels[kind]), total) for kind, total in sorted(sums.items())]
    return Summary(opening=opening, closing=closing, by_kind=by_kind)


def csv_rows(account: Account, filters: Filter) -> Iterator[list[str]]:
    """The headings, then the cells of each matching entry, newest first. Credits are exact decimals."""
    zone = ZoneInfo(account.zone)
    yield CSV_HEADINGS
    for line in all_lines(account, filters):
        entry, charge, grant = line.entry, line.charge, line.grant
        yield [
            entry.created_at.astimezone(UTC).isoformat(),
            entry.created_at.astimezone(zone).isoformat(),
            account.zone,
            entry.kind,
            escape_formula(line.title),
            escape_formula(charge.service) if charge else "",
            escape_formula(charge.action) if charge else "",
            escape_formula(charge.conversation) if charge else "",
            escape_formula(line.actor),
            plain(entry.credits),
            plain(entry.balance_after),
            grant.kind if grant else "",
            grant.public_id if grant else "",
            charge.public_id if charge else "",
            entry.public_id,
        ]


def escape_formula(text: str) -> str:
    """The text with a leading apostrophe where a spreadsheet would read it as a formula.

    In some languages spreadsheets read the full-width and small forms of a sign (U+FF1D, U+FE66) as the sign.
    """
    first = unicodedata.normalize("NFKC", text.lstrip(" ")[:1])
    return f"'{text}" if first in _FORMULA_STARTS else text
