"""The steps of an archive: plan, write, read back, store and sign, remove.

Invariants: entries are removed only after the file was read back from the disk and the wallets' positions and
sums are stored; every step can be interrupted: before the records are stored nothing has changed, afterwards
the next run removes what is left.
"""

import datetime as dt
from pathlib import Path
from typing import Any

import structlog
from django.db import connection, transaction

from billing.ledger import checkpoints, database
from billing.ledger.archive import writing
from billing.ledger.models import Archive, ArchivedWallet
from core.portions import portions

PORTION = 5000  # entries removed by one transaction
log = structlog.get_logger(__name__)

_LEFT = """
select a.account_id, max(a.seq) as seq from billing_archivedwallet a
 where a.account_id > %(after)s and exists (
   select from billing_entry e where e.account_id = a.account_id and e.seq <= a.seq)
 group by a.account_id order by a.account_id limit %(chunk)s
"""
_REMOVE = """
with portion as (
  select id from billing_entry where account_id = %(account)s and seq <= %(seq)s order by seq limit %(size)s)
delete from billing_entry e using portion p where e.account_id = %(account)s and e.id = p.id
"""


def run(*, before: dt.datetime, path: Path, now: dt.datetime, dry_run: bool = False) -> writing.Plan:
    """Archive the signed entries older than `before` to the file at `path`; returns what was archived.

    A file that an interrupted run has completed is used: call it again with the same path. Raises
    writing.ArchiveFailed, and OSError when the file cannot be written.
    """
    if dry_run:
        planned = list(writing.cuts(before))
        return writing.Plan(wallets=len(planned), entries=sum(cut.seq - cut.after for cut in planned))
    _require(before, now)
    path = path.absolute()
    archive = Archive.objects.filter(file=str(path)).first()
    if archive is None:
        if path.exists():
            raise writing.ArchiveFailed(f"{path} exists")
        remove_archived()
        checkpoints.take(now)
        plan = writing.write(path, before)
        archive = _store(path, before, now)
    else:
        plan = writing.Plan(wallets=archive.wallets, entries=archive.entries)
        if writing.content_hash(path) != bytes(archive.file_hash):
            raise writing.ArchiveFailed(f"{path} is not the file that was written")
    removed = remove_archived()
    log.info("ledger_archived", number=archive.number, file=str(path), entries=plan.entries, removed=removed)
    return writing.Plan(wallets=plan.wallets, entries=plan.entries, removed=removed)


def remove_archived() -> int:
    """Remove, in portions, all entries at or below their wallet's archived position; returns how many."""
    removed = 0
    bounds = {"after": "00000000-0000-0000-0000-000000000000", "chunk": writing.CHUNK}
    while left := database.rows(_LEFT, bounds):
        for wallet in left:
            while count := _remove_portion(wallet):
                removed += count
        bounds["after"] = left[-1]["account_id"]
    return removed


def _remove_portion(wallet: dict[str, Any]) -> int:
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("set local refill.archiving = 'on'")
        parameters = {"account": wallet["account_id"], "seq": wallet["seq"], "size": PORTION}
        cursor.execute(_REMOVE, parameters)
        return int(cursor.rowcount)


def _require(before: dt.datetime, now: dt.datetime) -> None:
    if before > now:
        raise writing.ArchiveFailed("the date is in the future: only periods that have ended are archived")
    statement = "select has_table_privilege('billing_entry', 'delete') as allowed"
    if not database.row(statement, {})["allowed"]:
        raise writing.ArchiveFailed("this database role may not remove entries: use the owner's role")


def _store(path: Path, before: dt.datetime, now: dt.datetime) -> Archive:
    """Read the file back, and store and sign the records that it contains."""
    with transaction.atomic():
        newest = Archive.objects.order_by("number").last()
        number = newest.number + 1 if newest else 1
        reading = writing.Reading(path)
        for records in portions(reading.records(number), 500):
            ArchivedWallet.objects.bulk_create(records)
        archive = Archive(
            number=number,
            created_at=now,
            before=before,
            file=str(path),
            file_hash=reading.digest.digest(),
            wallets=reading.wallets,
            entries=reading.entries,
            root=checkpoints.archives.root_of(number),
        )
        checkpoints.archives.sign(archive)
        archive.save(force_insert=True)
    return archive
