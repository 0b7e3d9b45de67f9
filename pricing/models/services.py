"""Services, rate cards and rates.

Invariants: a rate card is a whole snapshot (a service without a rate on the card in force cannot be
charged); a published card and its rates never change, enforced by triggers (migration 0002).
"""

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from core.models import CreditsField, Identified


class Service(Identified):
    """What credits buy: a model, or an action done with one."""

    PREFIX = "svc"

    class Kind(models.TextChoices):
        MODEL = "model", _("Model")
        ACTION = "action", _("Action")

    class Origin(models.TextChoices):
        CATALOGUE = "catalogue", _("Catalogue file")
        IMPORT = "import", _("Imported price map")

    key = models.CharField(max_length=100, unique=True)
    name = models.CharField(max_length=200)
    origin = models.CharField(max_length=9, choices=Origin, default=Origin.CATALOGUE)
    kind = models.CharField(max_length=6, choices=Kind)
    modality = models.CharField(max_length=30)
    tags = ArrayField(models.CharField(max_length=50), default=list, blank=True)
    tier = models.CharField(max_length=30, blank=True)
    speed = models.CharField(max_length=30, blank=True)
    usage_class = models.CharField(max_length=30, blank=True)
    best_for = models.CharField(max_length=200, blank=True)
    providers = ArrayField(
        models.CharField(max_length=60),
        default=list,
        blank=True,
        help_text="Providers whose keys can pay for it.",
    )
    quota = models.CharField(
        max_length=50, blank=True, help_text="The plan's quota that each use counts against."
    )
    at_expiry = models.CharField(
        max_length=16,
        blank=True,
        db_default="",
        help_text="What becomes of a hold that nobody captures; empty: it is released.",
    )
    position = models.PositiveIntegerField(default=0)
    retired_at = models.DateTimeField(null=True, blank=True)

    def __str__(self) -> str:
        return self.name

    @property
    def covers(self) -> tuple[str, ...]:
        """The names by which a limited grant can cover it."""
        return (self.key, *(f"tag:{tag}" for tag in self.tags))


class RateCard(Identified):
    """All rates from a date. The newest published card in effect prices every use."""

    PREFIX = "card"

    class State(models.TextChoices):
        DRAFT = "draft", _("Draft")
        PUBLISHED = "published", _("Published")
        WITHDRAWN = "withdrawn", _("Withdrawn before its effective date")

    version = models.CharField(max_length=40, unique=True)
    effective_at = models.DateTimeField()
    state = models.CharField(max_length=9, choices=State, default=State.DRAFT)
    source = models.CharField(max_length=200, help_text="catalogue:…, import:… or the user who created it.")
    note = models.CharField(max_length=500, blank=True)
    declared_at = models.DateTimeField(null=True, help_text="Its date in the catalogue file.")
    declared_fingerprint = models.CharField(
        max_length=64, blank=True, help_text="SHA-256 of its rates in the catalogue file."
    )
    fingerprint = models.CharField(max_length=64, blank=True, help_text="SHA-256 of its rates.")
    problems = models.JSONField(default=list, help_text="What an import could not map or found below cost.")
    created_at = models.DateTimeField()
    published_at = models.DateTimeField(null=True)
    published_by = models.CharField(max_length=200, blank=True)

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=Q(state="draft", published_at=None) | (~Q(state="draft") & ~Q(published_at=None)),
                name="card_published_at_a_time",
            )
        ]

    def __str__(self) -> str:
        return self.version


class Rate(models.Model):
    """What one service costs on one card: price lines, options, minimum (schema: pricing.rates.rate)."""

    card = models.ForeignKey(RateCard, on_delete=models.CASCADE, related_name="rates")
    service = models.ForeignKey(Service, on_delete=models.PROTECT, related_name="rates")
    lines = models.JSONField(default=list)
    options = models.JSONField(default=dict)
    minimum = CreditsField(default=0)
    multiplier = models.DecimalField(max_digits=12, decimal_places=6, default=1)
    cost_of_model = models.BooleanField(default=False, help_text="An action that costs what its model costs.")
    cost = models.JSONField(default=dict, blank=True, help_text="Cost at the provider by meter, in credits.")
    assumed = models.BooleanField(
        default=False, help_text="An assumed figure: the product's pages give none."
    )
    reason = models.CharField(max_length=500, blank=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["card", "service"], name="rate_once_on_a_card"),
            models.CheckConstraint(condition=Q(minimum__gte=0, multiplier__gt=0), name="rate_not_negative"),
            models.CheckConstraint(condition=Q(cost_of_model=True) | ~Q(lines=[]), name="rate_has_lines"),
            models.CheckConstraint(
                condition=Q(assumed=False) | ~Q(reason=""), name="rate_assumed_with_reason"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.service_id} on {self.card_id}"
