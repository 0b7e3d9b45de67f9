"""Statements that can be verified offline: entries, their positions in the chain, and a signed checkpoint.

The format is described in docs/verify-statements.md and verified by clients/verify_statement.py.
Invariant: the entries are consecutive, so their hashes can be computed one from the other; they lead from the
opening position to the closing position and to the signed one.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, TypedDict

import structlog
from django.core.cache import cache
from django.utils.translation import gettext as _

from accounts.models import Account
from billing import ledger
from billing.models import Entry
from billing.tasks import checkpoint_ledger
from core.errors import Refusal

log = structlog.get_logger(__name__)
FORMAT = "refill-statement/1"
CHUNK = 1000  # entries read at once
REQUEST_SECONDS = 30  # at most one request for a checkpoint in this time

_REQUESTED = "checkpoint-requested"


@dataclass(frozen=True)
class Position:
    """A position on the account's chain: after the entry `seq`; 0 before the first entry."""

    seq: int
    hash: bytes
    balance: Decimal

    def as_json(self) -> dict[str, Any]:
        return {"seq": self.seq, "hash": self.hash.hex(), "balance": f"{self.balance:.6f}"}


class ArchiveReference(TypedDict):
    """The archive of the entries before `before`."""

    archive: int
    file: str
    before: str
    sha256: str


@dataclass(frozen=True)
class Statement:
    """A period of an account, and the checkpoint that covers its closing position (or precedes it).

    Entries older than `archived.archive.before` are in that archive: the period then begins at that time.
    """

    account: Account
    start: datetime
    end: datetime
    opening: Position
    closing: Position
    signed: ledger.checkpoints.Signed | None
    archived: ledger.archive.Position | None = None

    @property
    def span(self) -> ledger.Span:
        """The entries of the period."""
        return ledger.Span(after=self.opening.seq, until=self.closing.seq)

    @property
    def entries(self) -> int:
        """How many entries the period has, with those that move no credits."""
        return self.closing.seq - self.opening.seq

    @property
    def complete(self) -> bool:
        """Whether the closing position is signed."""
        return self.signed is not None and self.signed.head.seq >= self.closing.seq

    @property
    def all_archived(self) -> bool:
        """Whether nothing of the period is in the database any more."""
        return self.archived is not None and self.end <= self.archived.archive.before


def of_period(account: Account, *, start: datetime, end: datetime) -> Statement:
    """The statement of the period from `start` (included) to `end` (excluded). Raises EntriesMissing."""
    archived = ledger.archive.position(account.pk)
    if archived and start < archived.archive.before:
        start = min(archived.archive.before, end)
    else:
        archived = None
    span = ledger.span(account.pk, start=start, end=end)
    return Statement(
        account=account,
        start=start,
        end=end,
        opening=position_at(account, span.after),
        closing=position_at(account, span.until),
        signed=ledger.checkpoints.covering(account.pk, span.until),
        archived=archived,
    )


class EntriesMissing(Refusal):
    """Entries of the account are missing in the database, so that its statement would not add up (409)."""

    code = "entries_missing"

    def __init__(self, account: Account, seq: int) -> None:
        super().__init__(_("Some entries of this account are missing. Contact support."))
        log.error("entries_missing", alert=True, account=account.public_id, entry=seq)


def position_at(account: Account, seq: int) -> Position:
    """The position after the account's entry `seq`, which may be the last archived one; or 0.

    Raises EntriesMissing.
    """
    if seq == 0:
        return Position(0, ledger.checkpoints.first_hash(account.pk), Decimal(0))
    entry = Entry.objects.filter(account=account, seq=seq).first()
    if entry is not None:
        return Position(entry.seq, bytes(entry.hash), entry.balance_after)
    archived = ledger.archive.at(account.pk, seq)
    if archived is None:
        raise EntriesMissing(account, seq)
    return Position(seq, bytes(archived.head), archived.balance)


def balance_at(account: Account, seq: int) -> Decimal:
    """The balance after the account's entry `seq`, which is not archived. Raises EntriesMissing."""
    found = Entry.objects.filter(account=account, seq=seq).values_list("balance_after", flat=True).first()
    if found is None:
        raise EntriesMissing(account, seq)
    return found


def request_signature(statement: Statement) -> None:
    """Have a checkpoint taken soon when the closing position is not signed yet.

    A statement is shown without one, also while the cache or the broker does not answer: beat takes the next.
    """
    if statement.complete:
        return
    try:
        # a read is one query, `add` takes five
        if not cache.get(_REQUESTED) and cache.add(_REQUESTED, True, timeout=REQUEST_SECONDS):
            checkpoint_ledger.delay()
    except Exception:  # each cache and each broker has errors of its own
        log.warning("checkpoint_not_requested", exc_info=True)


def as_json(statement: Statement) -> Iterator[str]:
    """The statement's JSON document in parts: its entries are read in chunks. Raises EntriesMissing."""
    signed = statement.signed.head.seq if statement.signed else statement.closing.seq
    opening, closing = statement.opening.seq, statement.closing.seq
    first = max(min(opening - 1, signed), 0)  # the number before the first entry of the document
    lines, start = _archived_line(statement, first)
    head = {
        "format": FORMAT,
        "account": str(statement.account.pk),
        "from": _time(statement.start),
        "to": _time(statement.end),
        "zone": statement.account.zone,
        "archived": archive_of(statement),
        "opening": statement.opening.as_json(),
        "closing": statement.closing.as_json(),
        "start": {"seq": first, "hash": start.hex()},
        "proof": statement.signed.proof() if statement.signed else None,
        "keys": ledger.checkpoints.published_keys(),
    }
    lists: tuple[tuple[str, int, int, list[dict[str, Any]]], ...] = (
        ("before", first + len(lines), opening, lines),
        ("entries", opening, closing, []),
        ("after", closing, max(closing, signed), []),
    )

    def parts() -> Iterator[str]:
        yield json.dumps(head)[:-1]
        for name, after, until, archived in lists:
            yield f', "{name}": ['
            yield from _entries(statement.account, after, until, archived)
            yield "]"
        yield "}\n"

    return parts()


def _archived_line(statement: Statement, first: int) -> tuple[list[dict[str, Any]], bytes]:
    """The archived entry that follows position `first`, if it is archived; and the hash at that position."""
    archived = ledger.archive.position(statement.account.pk)
    if archived and archived.wallet.seq == first + 1:
        line = dict(archived.wallet.last)
        return [line], bytes.fromhex(line.pop("previous"))
    return [], position_at(statement.account, first).hash


def archive_of(statement: Statement) -> ArchiveReference | None:
    """Where the entries before the statement's beginning are."""
    if statement.archived is None:
        return None
    archive = statement.archived.archive
    return {
        "archive": archive.number,
        "file": Path(archive.file).name,
        "before": _time(archive.before),
        "sha256": bytes(archive.file_hash).hex(),
    }


def _entries(account: Account, after: int, until: int, archived: list[dict[str, Any]]) -> Iterator[str]:
    """The archived entries, then those from `after` (excluded) to `until` (included), as JSON with commas."""
    separator = "\n"
    for line in archived:
        yield separator + json.dumps(line)
        separator = ",\n"
    while after < until:
        chunk = Entry.objects.filter(account=account, seq__gt=after, seq__lte=min(until, after + CHUNK))
        for entry in chunk.order_by("seq"):
            yield separator + json.dumps(ledger.checkpoints.entry_content(entry))
            separator = ",\n"
        after += CHUNK


def _time(at: datetime) -> str:
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
