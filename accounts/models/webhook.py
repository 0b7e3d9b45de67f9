"""Outgoing webhooks: endpoints, events and deliveries (accounts.webhook_endpoints).

Invariants: a fact of an account has one event; secrets are stored encrypted.
"""

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from core import ids
from core.models import Identified


class WebhookEndpoint(Identified):
    """A URL that receives events: those of its account, or, without one (the platform's), of all accounts."""

    PREFIX = "whe"

    class DisabledReason(models.TextChoices):
        MANUAL = "manual", _("Disabled by a user")
        GONE = "gone", _("The receiver answered 410 Gone")
        FAILING = "failing", _("All deliveries failed for three days")

    account = models.ForeignKey(
        "accounts.Account", null=True, blank=True, on_delete=models.CASCADE, related_name="webhook_endpoints"
    )
    url = models.CharField(max_length=2000)
    description = models.CharField(max_length=200, blank=True)
    events = ArrayField(models.CharField(max_length=40))
    secret = models.BinaryField(help_text="Encrypted.")
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    disabled_at = models.DateTimeField(null=True, blank=True)
    disabled_reason = models.CharField(max_length=7, choices=DisabledReason, blank=True)
    next_at = models.DateTimeField(null=True, help_text="When a delivery may be due; null: none is pending.")
    failures = models.PositiveIntegerField(default=0, help_text="Failed attempts since the last success.")
    failing_since = models.DateTimeField(null=True, blank=True)
    failed_at = models.DateTimeField(null=True, blank=True, help_text="The last failed attempt.")

    class Meta:
        indexes = [models.Index(fields=["next_at"], name="webhook_due", condition=Q(disabled_at=None))]

    def __str__(self) -> str:
        return self.url


class FormerSecret(models.Model):
    """A secret of an endpoint that was replaced. It signs deliveries too until `ends_at`."""

    endpoint = models.ForeignKey(WebhookEndpoint, on_delete=models.CASCADE, related_name="former_secrets")
    secret = models.BinaryField(help_text="Encrypted.")
    ends_at = models.DateTimeField()

    def __str__(self) -> str:
        return f"until {self.ends_at:%Y-%m-%d %H:%M}"


class WebhookEvent(models.Model):
    """A fact that endpoints receive, written in its transaction (accounts/webhook_events.sql)."""

    class Type(models.TextChoices):
        BALANCE_LOW = "balance.low", _("The balance fell below the threshold")
        BALANCE_DEPLETED = "balance.depleted", _("The balance is used up")
        CREDITS_GRANTED = "credits.granted", _("Credits were granted")
        CREDITS_EXPIRING = "credits.expiring", _("Credits expire within a week")
        LIMIT_REACHED = "limit.reached", _("A limit refused a use")
        PURCHASE_PAID = "purchase.paid", _("A purchase was paid")
        PURCHASE_FAILED = "purchase.failed", _("A payment failed")
        PURCHASE_REFUNDED = "purchase.refunded", _("A purchase was refunded")
        SUBSCRIPTION_CHANGED = "subscription.changed", _("The subscription changed")
        AUTO_TOP_UP_FAILED = "auto_top_up.failed", _("An automatic top-up failed")
        MEMBER_ADDED = "member.added", _("A member was added")
        MEMBER_REMOVED = "member.removed", _("A member was removed")

    TEST = "endpoint.test"  # sent on request to one endpoint, whatever types it has chosen

    uuid = models.UUIDField(default=ids.new_id, editable=False)
    account = models.ForeignKey(
        "accounts.Account", null=True, on_delete=models.CASCADE, related_name="webhook_events"
    )
    type = models.CharField(max_length=40)
    fact = models.CharField(max_length=200, help_text="Identifies the fact; one event for each.")
    data = models.JSONField()
    created_at = models.DateTimeField()
    fanned_out = models.BooleanField(default=False, help_text="Whether its deliveries were created.")

    class Meta:
        constraints = [models.UniqueConstraint(fields=["account", "fact"], name="one_event_a_fact")]
        indexes = [
            models.Index(fields=["id"], name="webhook_event_new", condition=Q(fanned_out=False)),
            models.Index(fields=["created_at"], name="webhook_event_by_time"),
        ]

    def __str__(self) -> str:
        return f"{self.type} {self.public_id}"

    @property
    def public_id(self) -> str:
        """The webhook-id of its deliveries."""
        return ids.public_id(prefix="evt", value=self.uuid)


class WebhookDelivery(Identified):
    """An event for one endpoint, with the result of the last attempt."""

    PREFIX = "whd"

    class Status(models.TextChoices):
        PENDING = "pending", _("Pending")
        DELIVERED = "delivered", _("Delivered")
        FAILED = "failed", _("Failed")

    endpoint = models.ForeignKey(WebhookEndpoint, on_delete=models.CASCADE, related_name="deliveries")
    event = models.ForeignKey(WebhookEvent, on_delete=models.CASCADE, related_name="deliveries")
    lane = models.UUIDField(
        null=True, help_text="Account whose events go out in order; null for tests and redeliveries."
    )
    status = models.CharField(max_length=9, choices=Status, default=Status.PENDING)
    due_at = models.DateTimeField(
        null=True, help_text="Next attempt; null when finished or behind another delivery of the lane."
    )
    claimed_until = models.DateTimeField(null=True, help_text="A sender is working on it until then.")
    attempts = models.PositiveIntegerField(default=0)
    attempted_at = models.DateTimeField(null=True)
    response_status = models.PositiveIntegerField(null=True)
    response_body = models.TextField(blank=True)
    error = models.CharField(max_length=200, blank=True)
    duration_ms = models.PositiveIntegerField(null=True)
    created_at = models.DateTimeField()

    class Meta:
        verbose_name_plural = _("webhook deliveries")
        indexes = [
            models.Index(
                fields=["endpoint", "due_at"],
                name="webhook_delivery_due",
                condition=Q(status="pending", due_at__isnull=False),
            ),
            models.Index(
                fields=["endpoint", "lane", "event"],
                name="webhook_delivery_lane",
                condition=Q(status="pending"),
            ),
            models.Index(fields=["endpoint", "created_at", "id"], name="webhook_delivery_log"),
        ]

    def __str__(self) -> str:
        return f"{self.public_id} ({self.status})"
