"""The audit: proves the ledger's figures from its entries alone and names what differs.

Each check is a query in `audit_sql/` that returns the wrong rows: `subject` (which row) and `found` (the
figures that differ). No check relies on a cached figure.
Invariant: the audit reads one snapshot of the database, so it can run beside full traffic, and writes only
its own record.
"""

import datetime as dt
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

from django.db import connection, transaction
from django.utils import timezone

from billing.ledger import checkpoints, database
from billing.ledger.models import Audit
from core import amounts

HERE = Path(__file__).parent
NAMED = 100  # rows named for each check; more are counted in the text


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One wrong row: the check that found it, its name, and the figures that differ."""

    check: str
    subject: str
    found: str


def run(*, now: dt.datetime, clock: Callable[[], dt.datetime] = timezone.now) -> Audit:
    """Run every check in one snapshot, store the outcome and return it.

    Outside a transaction it opens a repeatable-read one; inside one it uses that transaction's snapshot.
    """
    if connection.in_atomic_block:
        findings, totals = _inspect()
    else:
        with transaction.atomic():
            with connection.cursor() as cursor:
                cursor.execute("set transaction isolation level repeatable read, read only")
            findings, totals = _inspect()
    findings += _identity(totals)
    return Audit.objects.create(
        started_at=now,
        finished_at=clock(),
        wallets=int(totals["wallets"]),
        entries=int(totals["entries"]),
        totals={name: amounts.plain(Decimal(value)) for name, value in totals.items()},
        findings=[vars(finding) for finding in findings],
    )


def _inspect() -> tuple[list[Finding], dict[str, Decimal]]:
    findings = []
    for file in sorted((HERE / "audit_sql").glob("*.sql")):
        rows = database.rows(f"{file.read_text()} limit {NAMED}", {})
        findings += [Finding(check=file.stem, subject=row["subject"], found=row["found"]) for row in rows]
    findings += [Finding(check="checkpoint", **one._asdict()) for one in checkpoints.findings()]
    return findings, database.row((HERE / "audit_totals.sql").read_text(), {})


def _identity(totals: dict[str, Decimal]) -> list[Finding]:
    """Issued = spent + expired + taken back + remaining + held, to the last digit."""
    parts = ("spent", "expired", "taken_back", "remaining", "held")
    accounted = sum((totals[part] for part in parts), Decimal(0)) - totals["carried"]
    if totals["issued"] == accounted:
        return []
    found = f"issued {totals['issued']}, accounted for {accounted}"
    return [Finding(check="identity", subject="the whole ledger", found=found)]
