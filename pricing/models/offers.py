"""Plans, packs, and sales that lower the price of a pack for a time.

Invariant: prices are integer minor units in the currencies of the catalogue; a plan or pack is never deleted,
only retired or marked as legacy.
"""

from typing import Any

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import F, Q

from core.models import CreditsField, Identified


class Plan(Identified):
    """What an account subscribes to."""

    PREFIX = "plan"

    key = models.CharField(max_length=100, unique=True)
    name = models.CharField(max_length=200)
    summary = models.CharField(max_length=300, blank=True)
    features = ArrayField(models.CharField(max_length=200), default=list, blank=True)
    badge = models.CharField(max_length=60, blank=True, help_text="A badge shown to accounts on this plan.")
    rank = models.PositiveIntegerField(help_text="A change to a higher rank is an upgrade.")
    prices = models.JSONField(default=dict, help_text='{"month": {"usd": 1900}, "year": {…}}; empty: free.')
    allowances = models.JSONField(
        default=list, help_text="Allowances; see pricing.catalogue.schema.Allowance."
    )
    quotas = models.JSONField(default=list, help_text="Quotas; see pricing.catalogue.schema.Quota.")
    unlimited_services = ArrayField(models.CharField(max_length=100), default=list, blank=True)
    free = models.BooleanField(default=False, help_text="The plan of every new account.")
    legacy = models.BooleanField(default=False, help_text="Kept by accounts on it; closed to others.")
    carry_over = models.BooleanField(
        default=False, help_text="Unspent credits are carried over on an upgrade to it."
    )
    payment_methods = models.JSONField(
        default=dict, blank=True, help_text='By currency: {"eur": ["card", "sepa_debit"]}; else cards.'
    )
    assumed = models.BooleanField(default=False)
    reason = models.CharField(max_length=500, blank=True)
    position = models.PositiveIntegerField(default=0)
    retired_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["free"], condition=Q(free=True, retired_at=None), name="one_free_plan"
            ),
            models.CheckConstraint(condition=Q(free=False) | Q(legacy=False), name="free_plan_not_legacy"),
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def paid(self) -> bool:
        """Whether it costs money (packs for paid plans check this)."""
        return bool(self.prices)

    @property
    def open_to_new_members(self) -> bool:
        return not self.legacy and self.retired_at is None


class Pack(Identified):
    """Credits for money, once."""

    PREFIX = "pack"

    key = models.CharField(max_length=100, unique=True)
    name = models.CharField(max_length=200)
    summary = models.CharField(max_length=300, blank=True)
    credits = CreditsField()
    prices = models.JSONField(help_text='Minor units by currency: {"usd": 1000}.')
    lasts = models.CharField(
        max_length=40, default="forever", help_text="forever, or an interval such as 12 months."
    )
    popular = models.BooleanField(default=False)
    paid_plans_only = models.BooleanField(default=False)
    payment_methods = models.JSONField(
        default=dict, blank=True, help_text='By currency: {"usd": ["card"]}; else those of the policies.'
    )
    assumed = models.BooleanField(default=False)
    reason = models.CharField(max_length=500, blank=True)
    position = models.PositiveIntegerField(default=0)
    retired_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = [models.CheckConstraint(condition=Q(credits__gt=0), name="pack_gives_something")]

    def __str__(self) -> str:
        return self.name


class Sale(models.Model):
    """A lower price of a pack between two instants (the first included, the last not)."""

    key = models.CharField(max_length=100, unique=True)
    pack = models.ForeignKey(Pack, on_delete=models.PROTECT, related_name="sales")
    label = models.CharField(max_length=200)
    prices = models.JSONField()
    starts_at = models.DateTimeField()
    ends_at = models.DateTimeField()
    assumed = models.BooleanField(default=False)
    reason = models.CharField(max_length=500, blank=True)

    class Meta:
        constraints = [
            models.CheckConstraint(condition=Q(starts_at__lt=F("ends_at")), name="sale_ends_after_it_starts")
        ]

    def __str__(self) -> str:
        return self.label

    def price(self, currency: str) -> Any:
        return self.prices.get(currency)
