"""What a checkpoint signs: its content as canonical JSON, and the leaves of its Merkle tree.

Invariant: the same row always gives the same bytes; clients/verify_statement.py builds the same ones.
"""

import datetime as dt
import hashlib
import json
import uuid
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

from billing.ledger.models import Checkpoint, Entry, Head

FORMAT = "refill-ledger-checkpoint/1"
LEAF_FORMAT = "refill-ledger-head/1"
NO_HASH = bytes(32)


def content_of(checkpoint: Checkpoint) -> dict[str, Any]:
    """The signed content. Hashes are hexadecimal, credits decimals with six places, the time is UTC."""
    return {
        "format": FORMAT,
        "number": checkpoint.number,
        "created_at": time_text(checkpoint.created_at),
        "previous": bytes(checkpoint.previous).hex(),
        "root": bytes(checkpoint.root).hex(),
        "moved": checkpoint.moved,
        "wallets": checkpoint.wallets,
        "entries": checkpoint.entries,
        "balance": six_places(checkpoint.balance),
        "held": six_places(checkpoint.held),
        "debt": six_places(checkpoint.debt),
        "audits": list(checkpoint.audits),
        "audits_hash": bytes(checkpoint.audits_hash).hex(),
        "key_id": checkpoint.key_id,
    }


def message_of(content: dict[str, Any]) -> bytes:
    """The bytes that are signed and hashed: JSON with sorted names, without spaces, in ASCII."""
    return json.dumps(content, sort_keys=True, separators=(",", ":")).encode("ascii")


def hash_of(content: dict[str, Any]) -> bytes:
    """The checkpoint's hash, which the next checkpoint contains."""
    return hashlib.sha256(message_of(content)).digest()


def leaf_of(head: Head) -> bytes:
    """The content of a leaf. No part can contain the separator."""
    parts = [LEAF_FORMAT, str(head.account_id), str(head.seq), bytes(head.head).hex()]
    return "|".join(parts + [six_places(amount) for amount in (head.balance, head.held, head.debt)]).encode()


def entry_content(entry: Entry) -> dict[str, Any]:
    """What an entry's hash covers besides its account, and the hash."""
    ids = {"grant": entry.grant_id, "charge": entry.charge_id, "hold": entry.hold_id}
    return {
        "seq": entry.seq,
        "created_at": time_text(entry.created_at),
        "kind": entry.kind,
        "credits": six_places(entry.credits),
        "debt": six_places(entry.debt),
        "grant_after": six_places(entry.grant_after),
        "balance_after": six_places(entry.balance_after),
        **{name: str(value) if value else None for name, value in ids.items()},
        "reason": entry.reason,
        "actor": entry.actor,
        "digest": bytes(entry.digest).hex() if entry.digest else None,
        "hash": bytes(entry.hash).hex(),
    }


def first_hash(account_id: uuid.UUID) -> bytes:
    """The hash that an account's first entry continues."""
    return hashlib.sha256(account_id.bytes).digest()


def audits_hash(before: bytes | memoryview, audits: Sequence[bytes]) -> bytes:
    """The chain of audits' hashes, continued by these."""
    chain = bytes(before)
    for audit in audits:
        chain = hashlib.sha256(chain + audit).digest()
    return chain


def six_places(credits: Decimal) -> str:
    """The amount with exactly six decimals."""
    return f"{credits:.6f}"


def time_text(at: dt.datetime) -> str:
    """The instant in UTC with microseconds, such as 2026-11-20T12:00:00.000000Z."""
    return at.astimezone(dt.UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
