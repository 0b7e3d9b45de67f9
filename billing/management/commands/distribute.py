"""`manage.py distribute`: puts the ledger of a running installation on the nodes of Citus."""

import time
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db import DatabaseError

from billing import ledger


class Command(BaseCommand):
    help = (
        "Distribute the ledger's tables by account over the nodes of Citus (docs/runbook.md). Stop the portal"
        " first: the ledger's rows are copied. The command can be repeated, and goes on where it stopped."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--shards", type=int, default=32, help="groups of accounts (32), for a first run")
        parser.add_argument("--dry-run", action="store_true", help="say what would be done, and do nothing")

    def handle(self, *args: Any, **options: Any) -> None:
        if missing := ledger.distribution.missing():
            lines = ["The database cannot be distributed:", *(f"- {one}" for one in missing)]
            raise CommandError("\n".join(lines))
        for step in ledger.distribution.steps(shard_count=options["shards"]):
            self.stdout.write(f"{step.words} … ", ending="")
            if options["dry_run"]:
                self.stdout.write("not done (--dry-run)")
                continue
            self.stdout.flush()
            started = time.monotonic()
            try:
                step.run()
            except (DatabaseError, RuntimeError) as error:
                raise CommandError(
                    f"{error}\nRun the command again when this is mended: it goes on with this step."
                ) from error
            self.stdout.write(f"{time.monotonic() - started:.1f} s")
        if not options["dry_run"]:
            self.stdout.write("Start web, workers and beat again.")
