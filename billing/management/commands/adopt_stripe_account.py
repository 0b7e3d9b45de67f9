"""Leave the live Stripe account that the database belongs to, for the account of STRIPE_SECRET_KEY."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from billing.webhooks import reconciliation


class Command(BaseCommand):
    """See docs/decisions/0066-stripe-accounts-and-modes.md."""

    help = (
        "Use the Stripe account and mode of STRIPE_SECRET_KEY for this database. Paid plans of the previous"
        " account stay until the end of their paid period, saved cards are forgotten."
    )

    def handle(self, *_args: Any, **_options: Any) -> None:
        report = reconciliation.run(timezone.now(), even_live=True)
        if report is None:
            raise CommandError("A reconciliation is running. Try again in a minute.")
        self.stdout.write(f"This database now belongs to {report.stripe_account}.")
