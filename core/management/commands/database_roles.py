"""`manage.py database_roles`: the SQL of the runtime role; with --apply it is executed."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db import ProgrammingError, transaction

from core import database_roles

REFUSED = (
    "{error}\nNothing was changed. Only a superuser or a role with CREATEROLE makes roles and sets their "
    "limits. As such a role execute once:\n  create role {role} login;\n"
    "then, as the owner of the tables, repeat this command. With --limit run it as a superuser."
)


class Command(BaseCommand):
    help = (
        "Print the SQL that makes a role the runtime role of web, worker and beat; --apply executes it. "
        "Run it as the owner of the tables after each release (docs/runbook.md)."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--runtime", default="refill_runtime", help="name of the role")
        parser.add_argument(
            "--limit",
            action="append",
            default=[],
            metavar="lock_timeout=3s",
            help="a setting of the role, for connections through a pooler; can be repeated",
        )
        parser.add_argument("--apply", action="store_true", help="execute the SQL")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            limits = dict(limit.split("=", 1) for limit in options["limit"])
            sql = database_roles.statements(runtime=options["runtime"], limits=limits)
        except ValueError as error:
            raise CommandError(str(error)) from None
        if options["apply"]:
            try:
                with transaction.atomic():
                    database_roles.apply(sql)
            except ProgrammingError as error:
                raise CommandError(REFUSED.format(error=error, role=options["runtime"])) from None
        self.stdout.write(";\n".join(sql) + ";")
