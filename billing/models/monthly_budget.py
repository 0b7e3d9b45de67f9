"""What an account may spend in a month.

Invariant: the ledger counts the month in the account's limit; this row has the amount and the warnings.
"""

from django.db import models

from accounts.models import Account
from core.models import CreditsField


class MonthlyBudget(models.Model):
    """The credits that an account plans to spend in a calendar month of its time zone."""

    account = models.OneToOneField(
        Account, primary_key=True, on_delete=models.PROTECT, related_name="monthly_budget"
    )
    credits = CreditsField()
    pauses = models.BooleanField(help_text="Calls beyond the budget are refused.")
    month_ends_at = models.DateTimeField(null=True, help_text="The month that `warn_at_percent` belongs to.")
    warn_at_percent = models.SmallIntegerField(
        null=True, help_text="The next warning of that month; null: none is left."
    )

    def __str__(self) -> str:
        return f"{self.credits} a month for {self.account_id}"
