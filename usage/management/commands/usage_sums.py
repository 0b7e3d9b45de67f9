"""`manage.py usage_sums`: compare the stored sums of usage with the charges, or make them again."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from usage.sums import folding


class Command(BaseCommand):
    help = "Compare the stored sums of usage with the charges. Exit code 1 when one differs."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--rebuild", action="store_true", help="make the sums that differ again")

    def handle(self, *args: Any, **options: Any) -> None:
        found = folding.check_all()
        for difference in found:
            self.stdout.write(difference.text)
        if found and options["rebuild"]:
            for account_id in {difference.account_id for difference in found}:
                folding.rebuild(account_id)
                self.stdout.write(f"made again: account {account_id}")
        elif found:
            raise CommandError("sums differ; --rebuild makes them again")
        else:
            self.stdout.write("all sums are those of the charges")
