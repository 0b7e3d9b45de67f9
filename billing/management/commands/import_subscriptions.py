"""`manage.py import_subscriptions FILE.csv`: put members on the plans that they pay for at Stripe.

The first line names the columns `account` (id, external id or e-mail address), `stripe_subscription_id` and
`plan` (its key in the catalogue). Without `--apply` nothing is changed; each row is reported. Exit status 1
when a row was refused. docs/stripe.md describes the whole migration.
"""

from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone
from django.utils.translation import gettext as _

from billing import stripe_gateway
from billing.subscriptions import importing


class Command(BaseCommand):
    help = (
        "Import paid subscriptions that exist at Stripe from a CSV file; a dry run unless --apply is given."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("file", type=Path, help="columns: account, stripe_subscription_id, plan")
        parser.add_argument("--apply", action="store_true", help="Import the rows that can be imported.")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            with options["file"].open(encoding="utf-8-sig", newline="") as lines:
                rows = importing.read(lines)
        except (OSError, UnicodeDecodeError, importing.FileRefused) as error:
            raise CommandError(str(error)) from error
        repeated = importing.repeated(rows)
        refused = 0
        for row in rows:
            try:
                if row.line in repeated:
                    raise importing.RowRefused(repeated[row.line])
                outcome = self._row(row, apply=options["apply"])
            except importing.RowRefused as error:
                refused, outcome = refused + 1, _("refused: %(reason)s") % {"reason": error}
            except stripe_gateway.StripeUnavailable:
                refused, outcome = refused + 1, _("unknown: Stripe did not answer. Run the import again.")
            self.stdout.write(f"{row.line}: {row.account} {row.subscription_id} {row.plan}: {outcome}")
        self.stdout.write(
            _("%(rows)s rows, %(refused)s refused.") % {"rows": len(rows), "refused": refused}
            + ("" if options["apply"] else " " + _("Nothing was changed; --apply imports the others."))
        )
        if refused:
            raise CommandError(_("Correct the refused rows and run the import again."), returncode=1)

    def _row(self, row: importing.Row, *, apply: bool) -> str:
        checked = importing.check(row)
        if checked.done:
            return _("imported already")
        if not apply:
            return _("can be imported")
        importing.apply(checked, timezone.now())
        return _("imported")
