"""`manage.py audit_ledger`: exit status 0 when the entries prove every balance, 1 when they do not.

`--export` writes the signed checkpoints to a file and `--against` compares them with it: a file
kept elsewhere shows a rewrite of the whole database.
"""

import sys
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from billing.ledger import audit, checkpoints


class Command(BaseCommand):
    help = "Recompute every grant, wallet, hold and charge from the ledger's entries and list differences."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--export",
            metavar="FILE",
            help="Write the chain of checkpoints to FILE (- for the output) and end.",
        )
        parser.add_argument(
            "--against", metavar="FILE", help="Compare the database's checkpoints with an exported file, too."
        )

        parser.add_argument(
            "--moved", action="store_true", help="Read only accounts that moved since the last audit."
        )

    def handle(self, *args: Any, **options: Any) -> None:
        if options["export"]:
            self._export(options["export"])
            return
        differences = self._differences(options["against"]) if options["against"] else []
        try:
            outcome = audit.run(now=timezone.now(), is_full=not options["moved"])
        except audit.AuditRunning:
            raise CommandError("Another audit is running.", returncode=3) from None
        seconds = (outcome.finished_at - outcome.started_at).total_seconds()
        self.stdout.write(f"{outcome.entries} entries in {outcome.wallets} wallets, {seconds:.1f} s")
        figures = outcome.totals
        self.stdout.write(
            "issued {issued} = spent {spent} + expired {expired} + taken back {taken_back}"
            " + remaining {remaining} + held {held}".format(**figures)
        )
        for finding in outcome.findings:
            self.stderr.write(f"{finding['check']}: {finding['subject']}: {finding['found']}")
        for difference in differences:
            self.stderr.write(f"file: {difference.subject}: {difference.found}")
        if count := len(outcome.findings) + len(differences):
            raise CommandError(f"{count} findings", returncode=1)
        self.stdout.write(self.style.SUCCESS("No findings."))

    def _export(self, path: str) -> None:
        if path == "-":
            checkpoints.write(sys.stdout)
            return
        with Path(path).open("w", encoding="ascii") as file:
            count = checkpoints.write(file)
        self.stdout.write(f"{count} checkpoints written to {path}")

    def _differences(self, path: str) -> list[checkpoints.Difference]:
        try:
            with Path(path).open(encoding="ascii") as file:
                return list(checkpoints.differences(file))
        except (OSError, checkpoints.NotAnExport) as error:
            raise CommandError(f"{path}: {error}", returncode=2) from error
