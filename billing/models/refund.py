"""Refunds and disputes of purchases, and plan payments whose money has left.

Invariants: a purchase has at most one refund request that is not decided; a refund's key is the idempotency
key of the request to Stripe, and the beginning of the keys of the credits that it takes back.
"""

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from accounts.models import Account, User
from billing.models.purchase import Purchase
from core.models import CreditsField, Identified


class Refund(Identified):
    """A refund of a purchase's unspent credits, or a refund that staff made at Stripe."""

    PREFIX = "ref"

    class Status(models.TextChoices):
        REQUESTED = "requested", _("Requested")
        REFUSED = "refused", _("Refused")
        APPROVED = "approved", _("Approved")
        PENDING = "pending", _("Pending")
        DONE = "done", _("Refunded")
        FAILED = "failed", _("Failed")
        WITHDRAWN = "withdrawn", _("Withdrawn")

    OPEN = ("requested", "approved", "pending")
    NOT_APPROVED = ("requested", "refused", "withdrawn")

    account = models.ForeignKey(Account, on_delete=models.PROTECT, related_name="refunds")
    purchase = models.ForeignKey(Purchase, on_delete=models.PROTECT, related_name="refunds")
    status = models.CharField(max_length=9, choices=Status, default=Status.REQUESTED)
    amount = models.BigIntegerField(help_text="Minor units; for a request, as computed at its creation.")
    currency = models.CharField(max_length=3)
    credits = CreditsField(default=0, help_text="Credits taken back.")
    buyer_reason = models.CharField(
        db_column="wish", max_length=1000, blank=True, help_text="The buyer's reason."
    )
    requested_by = models.ForeignKey(User, null=True, blank=True, on_delete=models.SET_NULL, related_name="+")
    decided_by = models.CharField(max_length=200, blank=True)
    decision = models.CharField(max_length=1000, blank=True, help_text="Why it was approved or refused.")
    error = models.CharField(db_column="trouble", max_length=500, blank=True)
    reference = models.CharField(
        max_length=255, blank=True, help_text="Number with which the buyer's bank finds the refund."
    )
    reference_status = models.CharField(
        max_length=20, blank=True, help_text="Stripe's pending, available or unavailable."
    )
    stripe_refund_id = models.CharField(max_length=255, null=True, blank=True, unique=True)
    created_at = models.DateTimeField()
    decided_at = models.DateTimeField(null=True, blank=True)
    closed_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["purchase"], condition=Q(status="requested"), name="one_open_refund_request"
            ),
            models.CheckConstraint(condition=Q(amount__gte=0), name="refund_not_negative"),
        ]

    def __str__(self) -> str:
        return f"refund of {Purchase.public_id_of(self.purchase_id)}"

    @property
    def key(self) -> str:
        """The idempotency key of the credits it takes back, and of the call to Stripe."""
        return f"refund:{self.id.hex}"


class Dispute(Identified):
    """A payment disputed by the cardholder; the bank decides the outcome, and may decide again."""

    PREFIX = "disp"

    class Status(models.TextChoices):
        INQUIRY = "inquiry", _("Inquiry")
        OPEN = "open", _("Open")
        WON = "won", _("Won")
        LOST = "lost", _("Lost")
        CLOSED = "closed", _("Inquiry closed")
        PREVENTED = "prevented", _("Prevented")

    UNDECIDED = ("inquiry", "open")

    account = models.ForeignKey(Account, on_delete=models.PROTECT, related_name="disputes")
    purchase = models.ForeignKey(Purchase, on_delete=models.PROTECT, related_name="disputes")
    stripe_dispute_id = models.CharField(max_length=255, unique=True)
    status = models.CharField(max_length=9, choices=Status, default=Status.OPEN)
    stripe_status = models.CharField(max_length=40)
    case_type = models.CharField(max_length=40, blank=True, help_text="The card network's type of case.")
    withdrawn = models.BooleanField(default=False, help_text="Whether the money has left.")
    reason = models.CharField(max_length=100, blank=True)
    amount = models.BigIntegerField()
    currency = models.CharField(max_length=3)
    credits = CreditsField(default=0, help_text="Credits taken back from the balance or recorded as debt.")
    evidence_due_at = models.DateTimeField(null=True, blank=True)
    version = models.PositiveIntegerField(default=0, help_text="Rises with every change.")
    created_at = models.DateTimeField()
    closed_at = models.DateTimeField(null=True, blank=True)

    @property
    def undecided(self) -> bool:
        return self.status in self.UNDECIDED

    def __str__(self) -> str:
        return f"dispute of {Purchase.public_id_of(self.purchase_id)}"

    @property
    def key(self) -> str:
        return f"dispute:{self.stripe_dispute_id}"


class WithdrawnPlanPayment(models.Model):
    """A payment of a plan's period whose whole amount was refunded or disputed, now or before."""

    purchase = models.OneToOneField(
        Purchase, primary_key=True, on_delete=models.PROTECT, related_name="withdrawn_plan_payment"
    )
    withdrawn = models.BooleanField(help_text="Whether all of its money has left.")
    due = models.BooleanField(help_text="Whether the subscription at Stripe has yet to follow.")
    changed_at = models.DateTimeField()

    class Meta:
        indexes = [models.Index(fields=["changed_at"], name="withdrawn_payment_due", condition=Q(due=True))]

    def __str__(self) -> str:
        return f"withdrawn payment {self.purchase_id}"
