"""The audit: compares every figure of the ledger with its entries, and the entries with their hashes.

A run takes one portion of the accounts after the other, on two connections where it can. It is resumed where
a killed run stopped. A full run reads all accounts; any other only those with new entries since the last run.
Invariant: the audit relies on no cached figure, takes no locks, and writes only its own records and the
checkpoint that covers them.
"""

import contextlib
import datetime as dt
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict
from decimal import Decimal

from django.db import DatabaseError, connection, transaction
from django.utils import timezone

from billing.ledger import checkpoints, database
from billing.ledger.audit import installed, records, wallets
from billing.ledger.audit.wallets import Finding, Portion, Result
from billing.ledger.models import Audit, AuditProgress
from core import amounts

__all__ = ["AuditRunning", "Finding", "full_is_due", "is_due", "run"]

WORKERS = 2
EVERY, FULL_EVERY = dt.timedelta(days=1), dt.timedelta(days=7)
SILENT = dt.timedelta(minutes=2)  # a run that has saved nothing for so long was killed
# A transaction that is still open may hold entries with smaller ids than the newest.
IDS_IN_FLIGHT = 10_000
NAMED = 1000  # findings stored with an audit
TOTALS = ("issued", "spent", "expired", "taken_back", "carried", "remaining", "held", "debt")


class AuditRunning(Exception):
    """Another audit is running."""


def run(*, now: dt.datetime, is_full: bool = True, clock: Callable[[], dt.datetime] = timezone.now) -> Audit:
    """Audit the ledger, store the outcome and return it. Raises AuditRunning.

    Inside a transaction it uses that transaction's connection only.
    """
    progress = _begin(now, is_full, clock())
    try:
        _inspect(progress, clock)
    except BaseException:
        with contextlib.suppress(DatabaseError):
            AuditProgress.objects.filter(pk=progress.pk).update(saved_at=now - SILENT)
        raise
    findings = [Finding(**one) for one in progress.findings]
    findings += installed.findings()
    findings += _of_checkpoints(progress)
    findings += _deleted_checkpoints()
    totals = dict.fromkeys(TOTALS, Decimal(0))
    totals |= {name: Decimal(value) for name, value in progress.totals.items()}
    findings += _identity(totals)
    with transaction.atomic():
        progress.delete()
        audit = Audit(
            started_at=progress.started_at,
            finished_at=clock(),
            is_full=progress.is_full,
            newest_entry=progress.newest_entry,
            wallets=int(totals.get("wallets", 0)),
            entries=int(totals.get("entries", 0)),
            totals={name: amounts.plain(value) for name, value in totals.items()},
            findings=[asdict(one) for one in findings[:NAMED]],
            checkpoint_hash=checkpoints.newest_hash(),
        )
        records.save(audit)
    checkpoints.take(now)  # from here on, a change of the audit's record is found
    return audit


def is_due(now: dt.datetime) -> bool:
    """Whether no audit has ended in the last day, or a run was killed and can continue."""
    newest = records.newest(now)
    return newest is None or newest.started_at <= now - EVERY or AuditProgress.objects.exists()


def full_is_due(now: dt.datetime) -> bool:
    """Whether no full audit has ended in the last week."""
    audits = Audit.objects.filter(is_full=True, started_at__gt=now - FULL_EVERY, started_at__lte=now)
    return not any(records.is_ours(audit) for audit in audits)


def _begin(now: dt.datetime, is_full: bool, time: dt.datetime) -> AuditProgress:
    """The progress of a killed run of the same kind, or of a new run."""
    with transaction.atomic():
        found = AuditProgress.objects.select_for_update(no_key=True).order_by("-pk").first()
        if found and abs(found.saved_at - time) < SILENT:
            raise AuditRunning
        last = records.newest(now)
        if found and found.is_full >= is_full and _is_resumed(found, last, now):
            found.saved_at = time
            found.save(update_fields=["saved_at"])
            return found
        AuditProgress.objects.all().delete()
        newest = database.row("select coalesce(max(id), 0) as id from billing_entry", {})["id"]
        progress = AuditProgress(
            started_at=now,
            saved_at=time,
            # numbers of entries say which are newer on one node only
            is_full=is_full or last is None or database.is_distributed(),
            since_entry=last.newest_entry - IDS_IN_FLIGHT if last else 0,
            newest_entry=newest,
        )
        records.save(progress)
        return progress


def _is_resumed(progress: AuditProgress, last: Audit | None, now: dt.datetime) -> bool:
    """Whether an audit wrote this progress, in the last week, and no audit has ended since it began."""
    is_newer = last is None or progress.started_at > last.started_at
    return is_newer and now - FULL_EVERY < progress.started_at <= now and records.is_ours(progress)


def _inspect(progress: AuditProgress, clock: Callable[[], dt.datetime]) -> None:
    """Inspect the portions that are left, and save the progress after each."""
    if progress.is_full:
        portions = wallets.all_portions(progress.after)
    else:
        portions = wallets.moved_portions(progress.since_entry, progress.after)
    result = Result(findings=[Finding(**one) for one in progress.findings])
    result.totals.update({name: Decimal(value) for name, value in progress.totals.items()})
    for portion, found in _inspected(portions):
        result.add(found)
        progress.after = portion.end
        progress.findings = [asdict(one) for one in result.findings[:NAMED]]
        progress.totals = {name: str(value) for name, value in result.totals.items()}
        progress.saved_at = clock()
        records.save(progress)


def _inspected(portions: Iterable[Portion]) -> Iterator[tuple[Portion, Result]]:
    """Each portion with its result, in order."""
    if connection.in_atomic_block:
        for portion in portions:
            yield portion, wallets.inspect(portion)
        return
    with ThreadPoolExecutor(WORKERS) as pool:
        running: list[tuple[Portion, Future[Result]]] = []
        for portion in portions:
            running.append((portion, pool.submit(wallets.inspect_apart, portion)))
            if len(running) > WORKERS:
                first, future = running.pop(0)
                yield first, future.result()
        for first, future in running:
            yield first, future.result()


def _of_checkpoints(progress: AuditProgress) -> list[Finding]:
    """Differences of all checkpoints and archives, or unless the run is full, of those since the last run."""
    last = None if progress.is_full else records.newest(progress.started_at)
    after = checkpoints.newest_before(last.started_at) if last else 0
    found = list(checkpoints.findings(after=after))
    if last:  # the first statement reads only accounts that moved, this one all positions
        found += checkpoints.cut_wallets()
    findings = [Finding(check="checkpoint", **one._asdict()) for one in found]
    return findings + list(records.findings(after=last.pk - 1 if last else 0))


def _deleted_checkpoints() -> list[Finding]:
    """Heads newer than the newest checkpoint. (A gap between checkpoints is found by their numbers.)"""
    found = database.row(
        """select (select max(checkpoint_id) from billing_head) as head,
          (select max(number) from billing_checkpoint) as checkpoint""",
        {},
    )
    if (found["head"] or 0) <= (found["checkpoint"] or 0):
        return []
    subject = f"checkpoint {found['head']}"
    return [Finding(check="checkpoint", subject=subject, found="it has heads and is missing")]


def _identity(totals: dict[str, Decimal]) -> list[Finding]:
    """Issued = spent + expired + taken back + remaining + held, to the last digit."""
    parts = ("spent", "expired", "taken_back", "remaining", "held")
    accounted = sum((totals[part] for part in parts), Decimal(0)) - totals["carried"]
    if totals["issued"] == accounted:
        return []
    found = f"issued {totals['issued']}, accounted for {accounted}"
    return [Finding(check="identity", subject="the whole ledger", found=found)]
