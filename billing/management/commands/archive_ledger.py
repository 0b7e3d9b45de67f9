"""`manage.py archive_ledger --before 2026-01-01 --to FILE`: moves entries of closed periods to a file."""

import datetime as dt
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from billing.ledger import archive


class Command(BaseCommand):
    help = (
        "Write the signed entries older than a date to a compressed file, read it back, and remove them from"
        " the database. Charges, holds, grants and corrections stay. Repeat an interrupted run with the same"
        " FILE."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--before", required=True, type=_date, help="Date, such as 2026-01-01 (0:00 UTC)."
        )
        parser.add_argument("--to", metavar="FILE", help="The file to write, such as ledger-2025.jsonl.gz.")
        parser.add_argument("--dry-run", action="store_true", help="Only count what would be archived.")

    def handle(self, *args: Any, **options: Any) -> None:
        if not options["to"] and not options["dry_run"]:
            raise CommandError("--to FILE is missing")
        try:
            plan = archive.run(
                before=options["before"],
                path=Path(options["to"] or "."),
                now=timezone.now(),
                dry_run=options["dry_run"],
            )
        except (archive.ArchiveFailed, OSError) as error:
            raise CommandError(f"{error}; no entry that is not archived was removed") from error
        if options["dry_run"]:
            self.stdout.write(f"{plan.entries} entries of {plan.wallets} accounts would be archived.")
            return
        self.stdout.write(
            f"{plan.entries} entries of {plan.wallets} accounts are in {options['to']};"
            f" {plan.removed} were removed from the database."
        )


def _date(text: str) -> dt.datetime:
    return dt.datetime.combine(dt.date.fromisoformat(text), dt.time(), dt.UTC)
