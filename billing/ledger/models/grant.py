"""Grants, and the allowances that give them per day, per month or once.

Invariant: `open` is true exactly while something remains in the grant.
"""

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from accounts.models import Account
from billing.ledger.models.wallet import loose_key
from core.models import CreditsField, Identified


class Grant(Identified):
    """Credits given at one time for one reason, with the amount that remains."""

    PREFIX = "grant"

    class Kind(models.TextChoices):
        DAILY = "daily", _("Daily")
        PLAN = "plan", _("Plan")
        BONUS = "bonus", _("Bonus")
        PROMOTION = "promotion", _("Promotion")
        REFERRAL = "referral", _("Referral")
        ADJUSTMENT = "adjustment", _("Adjustment")
        TOP_UP = "top_up", _("Top-up")

    account = loose_key(Account)
    kind = models.CharField(max_length=12, choices=Kind)
    label = models.CharField(max_length=200)
    credits = CreditsField(help_text="Credits granted.")
    remaining = CreditsField()
    held = CreditsField(default=0)
    spent = CreditsField(
        db_default=0, help_text="Credits consumed and not returned, less what claw-backs have booked as debt."
    )
    repaid = CreditsField(db_default=0, help_text="The part that repaid debt when the credits were granted.")
    balance_after = CreditsField(null=True, help_text="The wallet's balance after the credits were granted.")
    first_seq = models.BigIntegerField(db_default=0, help_text="Number of the grant's first entry.")
    last_seq = models.BigIntegerField(db_default=0, help_text="Number of the grant's newest entry.")
    priority = models.SmallIntegerField(help_text="Lower is spent sooner.")
    expires_at = models.DateTimeField(null=True)
    services = ArrayField(
        models.TextField(),
        null=True,
        help_text="Service keys or tag:… that it covers; null: all.",
    )
    open = models.BooleanField(
        default=True, help_text="Whether credits remain (condition of the partial index)."
    )
    idempotency_key = models.CharField(max_length=300)
    fingerprint = models.BinaryField(default=b"")
    allowance = models.CharField(
        max_length=100, default="", help_text="Key of the allowance that granted it."
    )
    purchase_id = models.UUIDField(null=True)
    reason = models.CharField(max_length=500, default="")
    actor = models.CharField(max_length=200, default="")
    created_at = models.DateTimeField()

    class Meta:
        indexes = [
            models.Index(
                "account",
                "priority",
                "expires_at",
                "created_at",
                "id",
                name="grant_spending_order",
                condition=Q(open=True),
            ),
            models.Index(fields=["account", "created_at"], name="grant_by_account"),
            models.Index(fields=["purchase_id"], name="grant_by_purchase", condition=~Q(purchase_id=None)),
        ]
        constraints = [
            models.UniqueConstraint(fields=["account", "idempotency_key"], name="grant_once"),
            models.CheckConstraint(condition=Q(credits__gt=0), name="grant_gives_something"),
            models.CheckConstraint(
                condition=Q(remaining__gte=0, held__gte=0), name="grant_remaining_not_negative"
            ),
            models.CheckConstraint(
                condition=Q(open=False) | Q(remaining__gt=0), name="grant_open_has_credits"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.label} ({self.public_id})"


class Allowance(models.Model):
    """Credits that the account's plan gives per day, per month or once, and when they are due next."""

    class Period(models.TextChoices):
        DAY = "day", _("Daily")
        MONTH = "month", _("Monthly")
        ONCE = "once", _("Once")

    account = loose_key(Account)
    key = models.CharField(max_length=100)
    kind = models.CharField(max_length=12, choices=Grant.Kind)
    label = models.CharField(max_length=200)
    credits = CreditsField()
    period = models.CharField(max_length=5, choices=Period)
    lasts = models.CharField(
        max_length=40,
        default="period",
        help_text="period (until the next one), forever, or an interval such as 1 month.",
    )
    services = ArrayField(models.TextField(), null=True)
    priority = models.SmallIntegerField()
    anchor_at = models.DateTimeField(help_text="Months are counted from here.")
    zone = models.CharField(max_length=64, help_text="The accounting zone of the running period.")
    next_at = models.DateTimeField(null=True)
    ends_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["account", "key"], name="allowance_key_once")]

    def __str__(self) -> str:
        return f"{self.label} {self.credits}/{self.period}"
