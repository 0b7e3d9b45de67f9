"""`manage.py audit_ledger`: exit status 0 when the entries prove every balance, 1 when they do not."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from billing.ledger import audit


class Command(BaseCommand):
    help = "Recompute every grant, wallet, hold and charge from the ledger's entries and list differences."

    def handle(self, *args: Any, **options: Any) -> None:
        outcome = audit.run(now=timezone.now())
        seconds = (outcome.finished_at - outcome.started_at).total_seconds()
        self.stdout.write(f"{outcome.entries} entries in {outcome.wallets} wallets, {seconds:.1f} s")
        figures = outcome.totals
        self.stdout.write(
            "issued {issued} = spent {spent} + expired {expired} + taken back {taken_back}"
            " + remaining {remaining} + held {held}".format(**figures)
        )
        for finding in outcome.findings:
            self.stderr.write(f"{finding['check']}: {finding['subject']}: {finding['found']}")
        if outcome.findings:
            raise CommandError(f"{len(outcome.findings)} findings", returncode=1)
        self.stdout.write(self.style.SUCCESS("No findings."))
