"""The transaction history: ledger entries with their grants, charges and names; its CSV export and statement.

Invariants: every entry of the account appears exactly once, in ledger order (`seq`), so that paging is stable
while entries arrive; a period's entries are those of `ledger.span`, so that opening balance + movements =
closing balance; a page costs a fixed number of queries whatever its length; no CSV cell that holds text
written by users can be read as a formula.
"""

import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from django.db.models import Sum

from accounts.models import Account
from billing import ledger
from billing.models import Entry
from core.amounts import plain
from usage.history import lines, search, statements
from usage.history.lines import HistoryLine

PAGE_SIZE = 50
EXPORT_CHUNK = 1000  # entries read at once by an export
STATEMENT_PAGE = 100  # entries of a page of a statement
MOST_ON_ONE_PAGE = 10_000  # entries of a statement that is shown whole
CSV_HEADINGS = [
    "time_utc", "time_local", "zone", "kind", "what", "service", "action", "conversation", "who", "credits",
    "balance_after", "grant_kind", "grant", "charge", "entry",
]  # fmt: skip
_FORMULA_STARTS = tuple("=+-@\t\r\n")


@dataclass(frozen=True)
class Filter:
    """Which entries to return; without values, all. `start` is included, `end` is excluded.

    `span` is a period that is resolved already, for figures that must agree while entries arrive. `search` is
    what a user has entered (usage.history.search).
    """

    kind: str = ""
    grant_id: UUID | None = None
    search: str = ""
    start: datetime | None = None
    end: datetime | None = None
    span: ledger.Span | None = None


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


def newer_than(account: Account, filters: Filter, *, seen: int, limit: int = PAGE_SIZE) -> list[HistoryLine]:
    """Entries after the entry number `seen`, newest first."""
    conditions, parameters = _conditions(account, filters)
    conditions.append("e.seq > %(seen)s")
    return lines.read(account, conditions, parameters | {"seen": seen}, limit=limit, every=False)


def all_lines(account: Account, filters: Filter) -> Iterator[HistoryLine]:
    """Every matching entry, read in chunks so that an export of any length needs little memory."""
    for chunk in _chunks(account, filters):
        yield from chunk


def _chunks(account: Account, filters: Filter) -> Iterator[list[HistoryLine]]:
    cursor: int | None = None
    while True:
        page = page_of(account, filters, older_than=cursor, size=EXPORT_CHUNK, every=True)
        yield page.lines
        cursor = page.older_than
        if cursor is None:
            return


def page_of(
    account: Account,
    filters: Filter,
    *,
    older_than: int | None = None,
    size: int = PAGE_SIZE,
    every: bool = False,
) -> Page:
    """The newest entries, or those older than the cursor `older_than`.

    With `every`, what moves between holds is a line for each of its entries, as in exports and statements.
    """
    conditions, parameters = _conditions(account, filters)
    if older_than is not None:
        conditions.append("e.seq < %(older_than)s")
        parameters["older_than"] = older_than
    found = lines.read(account, conditions, parameters, limit=size + 1, every=every)
    has_more = len(found) > size
    return Page(lines=found[:size], older_than=found[size - 1].seq if has_more else None)


def _conditions(account: Account, filters: Filter) -> tuple[list[str], dict[str, Any]]:
    """The filter as SQL about an entry `e`, with its parameters."""
    conditions: list[str] = []
    if filters.kind:
        conditions.append("e.kind = %(kind)s")
    if filters.grant_id:
        conditions.append("e.grant_id = %(grant_id)s")
    span = filters.span
    if span is None and (filters.start or filters.end):
        span = ledger.span(account.pk, start=filters.start, end=filters.end)
    parameters: dict[str, Any] = {"kind": filters.kind, "grant_id": filters.grant_id}
    if span is not None:
        conditions.append("e.seq > %(span_after)s and e.seq <= %(span_until)s")
        parameters |= {"span_after": span.after, "span_until": span.until}
    found, of_search = search.conditions(account, filters.search)
    return conditions + found, parameters | of_search


def summary_of(statement: statements.Statement) -> Summary:
    """The figures of a statement: opening balance + movements = closing balance."""
    labels = dict(Entry.Kind.choices)
    by_kind = [(str(labels[kind]), total) for kind, total in movements_of(statement)]
    return Summary(opening=statement.opening.balance, closing=statement.closing.balance, by_kind=by_kind)


def movements_of(statement: statements.Statement) -> list[tuple[str, Decimal]]:
    """The sums of a statement's movements by kind.

    Charges are what the other movements leave: there may be hundreds of thousands, and the index of kinds
    (entry_kind) leaves them out. Charges without credits alone are no movement.
    """
    span = statement.span
    others = Entry.objects.filter(account=statement.account, grant__isnull=False).exclude(
        kind=Entry.Kind.CHARGE
    )
    sums = dict(
        others.filter(seq__gt=span.after, seq__lte=span.until)
        .values_list("kind")
        .annotate(total=Sum("credits"))
        .order_by()
    )
    moved = statement.closing.balance - statement.opening.balance
    if charged := moved - sum(sums.values(), Decimal(0)):
        sums[Entry.Kind.CHARGE] = charged
    return sorted(sums.items())


@dataclass(frozen=True)
class StatementPart:
    """Consecutive entries of a statement, newest first: opening balance + the lines = closing balance."""

    opening: Decimal
    closing: Decimal
    lines: list[HistoryLine]

    @property
    def moved(self) -> Decimal:
        """What the lines add up to."""
        return sum((line.credits for line in self.lines), Decimal(0))


@dataclass(frozen=True)
class StatementPage(StatementPart):
    """A part with its number.

    Pages are counted from the oldest one, so that a page has the same entries when newer ones arrive.
    """

    number: int
    count: int


def statement_page(statement: statements.Statement, number: int | None) -> StatementPage:
    """The page with this number, or the nearest one; None: the newest."""
    count = max(1, -(-statement.entries // STATEMENT_PAGE))
    number = count if number is None else min(max(number, 1), count)
    after = statement.opening.seq + (number - 1) * STATEMENT_PAGE
    span = ledger.Span(after=after, until=min(after + STATEMENT_PAGE, statement.closing.seq))
    return StatementPage(**vars(statement_part(statement, span)), number=number, count=count)


def statement_part(statement: statements.Statement, span: ledger.Span) -> StatementPart:
    """The part with these entries of the statement, at most STATEMENT_PAGE."""
    account, opening, closing = statement.account, statement.opening, statement.closing
    first, last = span.after == opening.seq, span.until == closing.seq
    return StatementPart(
        opening=opening.balance if first else statements.balance_at(account, span.after),
        closing=closing.balance if last else statements.balance_at(account, span.until),
        lines=page_of(account, Filter(span=span), size=STATEMENT_PAGE, every=True).lines,
    )


def statement_chunks(statement: statements.Statement) -> Iterator[list[HistoryLine]]:
    """All lines of a statement, newest first, chunk by chunk."""
    return _chunks(statement.account, Filter(span=statement.span))


def csv_rows(account: Account, filters: Filter) -> Iterator[list[str]]:
    """The headings, then the cells of each matching entry, newest first. Credits are exact decimals."""
    zone = ZoneInfo(account.zone)
    yield CSV_HEADINGS
    for line in all_lines(account, filters):
        yield csv_row(line, zone)


def csv_row(line: HistoryLine, zone: ZoneInfo) -> list[str]:
    """The cells of a line, in the order of CSV_HEADINGS."""
    return [
        line.created_at.astimezone(UTC).isoformat(),
        line.created_at.astimezone(zone).isoformat(),
        str(zone),
        line.kind,
        escape_formula(line.title),
        escape_formula(line.service) if line.charge_id else "",
        escape_formula(line.action) if line.charge_id else "",
        escape_formula(line.conversation) if line.charge_id else "",
        escape_formula(line.actor),
        plain(line.credits),
        plain(line.balance_after),
        line.grant_kind,
        line.grant_public_id,
        line.charge_public_id,
        line.entry_id,
    ]


def escape_formula(text: str) -> str:
    """The text with a leading apostrophe where a spreadsheet would read it as a formula.

    In some languages spreadsheets read the full-width and small forms of a sign (U+FF1D, U+FE66) as the sign.
    """
    first = unicodedata.normalize("NFKC", text.lstrip(" ")[:1])
    return f"'{text}" if first in _FORMULA_STARTS else text
