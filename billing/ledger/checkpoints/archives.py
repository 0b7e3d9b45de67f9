"""What proves the figures of archived entries: signed records of each wallet's position and sums.

Invariant: an archived position is a head of a signed checkpoint, the archived sums are its balance, held
credits and debt, and every record that archived entries introduced is still there, unchanged.
"""

import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from billing.ledger import database
from billing.ledger.checkpoints import content, keys, merkle
from billing.ledger.checkpoints.verification import Difference
from billing.ledger.models import Archive, ArchivedWallet

FORMAT = "refill-ledger-archive/1"
NAMED = 100

_LEAVES = """
select ledger_archived_leaf(a) as leaf from billing_archivedwallet a
 where archive_id = %(number)s order by account_id
"""
_WALLETS = (Path(__file__).parent / "archives.sql").read_text()


@dataclass(frozen=True)
class Position:
    """An account's position after its last archived entry, and the archive that contains that entry."""

    wallet: ArchivedWallet
    archive: Archive


def position(account_id: uuid.UUID) -> Position | None:
    """The account's archived position; None when nothing of it is archived."""
    wallet = ArchivedWallet.objects.filter(account_id=account_id).order_by("archive_id").last()
    return Position(wallet, Archive.objects.get(number=wallet.archive_id)) if wallet else None


def at(account_id: uuid.UUID, seq: int) -> ArchivedWallet | None:
    """The account's record whose last archived entry is `seq`, or None."""
    return ArchivedWallet.objects.filter(account_id=account_id, seq=seq).first()


def findings() -> Iterator[Difference]:
    """Differences of the archives' records: signatures, roots, positions, sums, records introduced."""
    number = 0
    for archive in Archive.objects.order_by("number"):
        number += 1
        subject = str(archive)
        if archive.number != number:
            yield Difference(subject, f"archive {number} is missing")
            number = archive.number
        message = content.message_of(_content(archive))
        if not keys.is_valid(
            signer=archive.key_id, signature=bytes(archive.signature), message=message
        ) or bytes(archive.root) != root_of(archive.number):
            yield Difference(subject, "its records are not those that were signed")
    for row in database.read(_WALLETS, {"limit": NAMED}):
        yield Difference(f"account {row['account_id']}", f"archive {row['archive_id']}: {row['found']}")
    yield from _unsigned()


def sign(archive: Archive) -> None:
    """Sign the archive's record with the current key."""
    archive.key_id = keys.current_id()
    archive.signature = keys.sign(content.message_of(_content(archive)))


def root_of(number: int) -> bytes:
    """The root over the records of the archive's wallets."""
    return merkle.root_of([row["leaf"] for row in database.rows(_LEAVES, {"number": number})])


def _unsigned() -> Iterator[Difference]:
    """Records of wallets that belong to no archive."""
    archives = list(Archive.objects.values_list("number", flat=True))
    for record in ArchivedWallet.objects.exclude(archive_id__in=archives)[:NAMED]:
        yield Difference(f"account {record.account_id}", f"archive {record.archive_id} does not exist")


def _content(archive: Archive) -> dict[str, Any]:
    return {
        "format": FORMAT,
        "number": archive.number,
        "created_at": content.time_text(archive.created_at),
        "before": content.time_text(archive.before),
        "file_hash": bytes(archive.file_hash).hex(),
        "wallets": archive.wallets,
        "entries": archive.entries,
        "root": bytes(archive.root).hex(),
        "key_id": archive.key_id,
    }
