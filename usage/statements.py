"""Statements that can be verified offline: entries, their positions in the chain, and a signed checkpoint.

The format is described in docs/verify-statements.md and verified by clients/verify_statement.py.
Invariant: the entries are consecutive, so their hashes can be computed one from the other; they lead from the
opening position to the closing position and to the signed one.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from django.core.cache import cache

from accounts.models import Account
from billing import ledger
from billing.models import Entry
from billing.tasks import checkpoint_ledger

FORMAT = "refill-statement/1"
CHUNK = 1000  # entries read at once
REQUEST_SECONDS = 30  # at most one request for a checkpoint in this time


@dataclass(frozen=True)
class Statement:
    """A period of an account, and the checkpoint that covers its closing position (or precedes it)."""

    account: Account
    start: datetime
    end: datetime
    span: ledger.Span
    opening: Entry | None
    closing: Entry | None
    signed: ledger.checkpoints.Signed | None

    @property
    def opening_seq(self) -> int:
        return self.span.after

    @property
    def closing_seq(self) -> int:
        return self.span.until

    @property
    def complete(self) -> bool:
        """Whether the closing position is signed."""
        return self.signed is not None and self.signed.head.seq >= self.closing_seq


def of_period(account: Account, *, start: datetime, end: datetime) -> Statement:
    """The statement of the period from `start` (included) to `end` (excluded)."""
    span = ledger.span(account.pk, start=start, end=end)
    ends = {
        entry.seq: entry for entry in Entry.objects.filter(account=account, seq__in=[span.after, span.until])
    }
    return Statement(
        account=account,
        start=start,
        end=end,
        span=span,
        opening=ends.get(span.after),
        closing=ends.get(span.until),
        signed=ledger.checkpoints.covering(account.pk, span.until),
    )


def request_signature(statement: Statement) -> None:
    """Have a checkpoint taken soon when the closing position is not signed yet."""
    if not statement.complete and cache.add("checkpoint-requested", True, timeout=REQUEST_SECONDS):
        checkpoint_ledger.delay()


def as_json(statement: Statement) -> Iterator[str]:
    """The statement's JSON document in parts: its entries are read in chunks."""
    signed = statement.signed.head.seq if statement.signed else statement.closing_seq
    opening, closing = statement.opening_seq, statement.closing_seq
    first = max(min(opening - 1, signed), 0)  # the number before the first entry of the document
    head = {
        "format": FORMAT,
        "account": str(statement.account.pk),
        "from": _time(statement.start),
        "to": _time(statement.end),
        "zone": statement.account.zone,
        "opening": _position(statement, statement.opening),
        "closing": _position(statement, statement.closing),
        "start": {"seq": first, "hash": _hash_at(statement, first)},
        "proof": statement.signed.proof() if statement.signed else None,
        "keys": ledger.checkpoints.published_keys(),
    }
    yield json.dumps(head)[:-1]
    for name, after, until in (
        ("before", first, opening),
        ("entries", opening, closing),
        ("after", closing, max(closing, signed)),
    ):
        yield f', "{name}": ['
        yield from _entries(statement.account, after, until)
        yield "]"
    yield "}\n"


def _entries(account: Account, after: int, until: int) -> Iterator[str]:
    """The entries with numbers from `after` (excluded) to `until` (included), as JSON with commas."""
    separator = "\n"
    while after < until:
        chunk = Entry.objects.filter(account=account, seq__gt=after, seq__lte=min(until, after + CHUNK))
        for entry in chunk.order_by("seq"):
            yield separator + json.dumps(_fields(entry))
            separator = ",\n"
        after += CHUNK


def _fields(entry: Entry) -> dict[str, Any]:
    """What the entry's hash covers, and the hash."""
    ids = {"grant": entry.grant_id, "charge": entry.charge_id, "hold": entry.hold_id}
    return {
        "seq": entry.seq,
        "created_at": _time(entry.created_at),
        "kind": entry.kind,
        "credits": f"{entry.credits:.6f}",
        "debt": f"{entry.debt:.6f}",
        "grant_after": f"{entry.grant_after:.6f}",
        "balance_after": f"{entry.balance_after:.6f}",
        **{name: str(value) if value else None for name, value in ids.items()},
        "reason": entry.reason,
        "actor": entry.actor,
        "digest": bytes(entry.digest).hex() if entry.digest else None,
        "hash": bytes(entry.hash).hex(),
    }


def _position(statement: Statement, entry: Entry | None) -> dict[str, Any]:
    if entry is None:
        return {"seq": 0, "hash": _hash_at(statement, 0), "balance": "0.000000"}
    return {"seq": entry.seq, "hash": bytes(entry.hash).hex(), "balance": f"{entry.balance_after:.6f}"}


def _hash_at(statement: Statement, seq: int) -> str:
    """The hash of the account's entry with this number; for 0, the one that the first entry continues."""
    if seq == 0:
        return ledger.checkpoints.first_hash(statement.account.pk).hex()
    return bytes(Entry.objects.get(account=statement.account, seq=seq).hash).hex()


def _time(at: datetime) -> str:
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
