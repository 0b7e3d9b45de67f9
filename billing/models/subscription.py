"""Subscriptions: an account's plan, its paid period and scheduled changes; history and prices of plans.

Invariants: every account has one subscription, which is on the free plan unless another was paid for or
assigned; `version` rises with every change, so that a confirmation of an older version can be refused; the
history shows which legacy plans the account has left and cannot return to.
"""

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from accounts.models import Account
from core.models import CreditsField, Identified


class Subscription(Identified):
    """The current plan of an account."""

    PREFIX = "sub"

    class State(models.TextChoices):
        ACTIVE = "active", _("Active")
        PAST_DUE = "past_due", _("Payment overdue")
        PAUSED = "paused", _("Paused")

    class Feedback(models.TextChoices):
        """Stripe's list of reasons (https://docs.stripe.com/api/subscriptions/update)."""

        TOO_EXPENSIVE = "too_expensive", _("It is too expensive")
        UNUSED = "unused", _("I don't use it enough")
        MISSING_FEATURES = "missing_features", _("Features are missing")
        SWITCHED_SERVICE = "switched_service", _("I found another service")
        LOW_QUALITY = "low_quality", _("The quality is too low")
        TOO_COMPLEX = "too_complex", _("It is too complicated")
        CUSTOMER_SERVICE = "customer_service", _("Customer service was poor")
        OTHER = "other", _("Another reason")

    account = models.OneToOneField(Account, on_delete=models.PROTECT, related_name="subscription")
    plan = models.CharField(max_length=100, help_text="Key of the plan.")
    interval = models.CharField(
        max_length=5, blank=True, help_text="month or year; empty for a plan without payment."
    )
    currency = models.CharField(max_length=3, blank=True)
    amount = models.BigIntegerField(default=0, help_text="Minor units per interval.")
    state = models.CharField(max_length=8, choices=State, default=State.ACTIVE)
    anchor_at = models.DateTimeField(help_text="Monthly credits are counted from here.")
    period_start = models.DateTimeField()
    period_end = models.DateTimeField(null=True, blank=True)
    paid_until = models.DateTimeField(
        null=True,
        blank=True,
        help_text="Credits of a paid plan are granted until then; empty for a plan without payment.",
    )
    unpaid_credits = CreditsField(
        default=0, help_text="Used of periods that were never paid; deducted from the next one that is paid."
    )
    cancel_at_period_end = models.BooleanField(default=False)
    cancel_feedback = models.CharField(
        max_length=20, choices=Feedback, blank=True, help_text="Why the plan was cancelled."
    )
    cancel_comment = models.TextField(blank=True, help_text="The member's own words about it.")
    next_plan = models.CharField(max_length=100, blank=True, help_text="Plan from the end of the period.")
    next_amount = models.BigIntegerField(default=0)
    pause_behavior = models.CharField(
        max_length=20, blank=True, help_text="What Stripe does with invoices while payment is paused."
    )
    paused_until = models.DateTimeField(null=True, blank=True, help_text="When the pause ends by itself.")
    pending_plan = models.CharField(
        max_length=100, blank=True, help_text="Plan of a change that waits for its payment to be confirmed."
    )
    pending_invoice = models.CharField(max_length=255, blank=True, help_text="Stripe's id of its invoice.")
    pending_url = models.TextField(blank=True, help_text="URL of the page where its payment is confirmed.")
    pending_until = models.DateTimeField(null=True, blank=True, help_text="The change is dropped then.")
    stripe_subscription_id = models.CharField(max_length=255, null=True, blank=True, unique=True)
    stripe_item_id = models.CharField(max_length=255, blank=True)
    recovery_url = models.TextField(blank=True, help_text="URL of the page to pay the overdue invoice.")
    version = models.PositiveIntegerField(default=1)
    intent = models.CharField(
        max_length=64,
        blank=True,
        help_text="Hash of the confirmed change whose request to Stripe is under way.",
    )
    created_at = models.DateTimeField()
    updated_at = models.DateTimeField()

    class Meta:
        indexes = [
            models.Index(fields=["period_end"], name="subscription_due", condition=~Q(period_end=None))
        ]

    def __str__(self) -> str:
        return f"{self.plan} ({self.state})"

    @property
    def paid(self) -> bool:
        return self.stripe_subscription_id is not None

    @property
    def following_plan(self) -> str | None:
        """The plan of a scheduled downgrade; None without one, and when the subscription is cancelled."""
        return None if self.cancel_at_period_end else self.next_plan or None

    @property
    def payment_withdrawn(self) -> bool:
        """Whether the payment of the running period was refunded or disputed in full."""
        withdrawn = self.account.purchases.filter(withdrawn_plan_payment__withdrawn=True)
        return withdrawn.filter(
            period_start__lte=self.period_start, period_end__gt=self.period_start
        ).exists()


class UnpaidDeduction(models.Model):
    """What a paid period gave less, because credits of unpaid periods had been used."""

    account = models.ForeignKey(Account, on_delete=models.PROTECT, related_name="+")
    stripe_subscription_id = models.CharField(max_length=255)
    period_start = models.DateTimeField()
    credits = CreditsField()
    owed_again = models.BooleanField(default=False, help_text="Whether the period's payment has left.")
    created_at = models.DateTimeField()

    class Meta:
        indexes = [models.Index(fields=["account", "period_start"], name="unpaid_deduction_by_period")]

    def __str__(self) -> str:
        return f"{self.credits} of {self.period_start}"


class SurplusSubscription(models.Model):
    """A subscription at Stripe that an account must not have: it is cancelled and refunded."""

    class Reason(models.TextChoices):
        SECOND = "second", _("Another plan is in force")
        PAYMENT_FAILED = "payment_failed", _("The first payment failed")

    account = models.ForeignKey(Account, on_delete=models.PROTECT, related_name="surplus_subscriptions")
    stripe_subscription_id = models.CharField(max_length=255, unique=True)
    reason = models.CharField(max_length=14, choices=Reason)
    error = models.CharField(max_length=500, blank=True, help_text="Why it is not cancelled at Stripe yet.")
    created_at = models.DateTimeField()
    cancelled_at = models.DateTimeField(null=True, blank=True, help_text="When it was cancelled at Stripe.")

    class Meta:
        indexes = [
            models.Index(fields=["created_at"], name="surplus_open", condition=Q(cancelled_at=None)),
        ]

    def __str__(self) -> str:
        return f"{self.stripe_subscription_id} ({self.reason})"


class PlanChange(models.Model):
    """A change of an account's plan; never deleted."""

    account = models.ForeignKey(Account, on_delete=models.PROTECT, related_name="plan_changes")
    left = models.CharField(max_length=100, blank=True)
    entered = models.CharField(max_length=100)
    reason = models.CharField(max_length=200)
    actor = models.CharField(max_length=200, blank=True)
    created_at = models.DateTimeField()

    class Meta:
        indexes = [models.Index(fields=["account", "created_at"], name="plan_change_by_account")]

    def __str__(self) -> str:
        return f"{self.left} -> {self.entered}"


class StripePrice(models.Model):
    """A recurring Stripe Price and its plan: created for the catalogue, or made in Stripe's dashboard."""

    stripe_account = models.CharField(
        max_length=80, blank=True, help_text="Stripe account and mode: acct_…/live."
    )
    plan_key = models.CharField(max_length=100, blank=True, help_text="Empty until staff choose the plan.")
    interval = models.CharField(max_length=5)
    currency = models.CharField(max_length=3)
    amount = models.BigIntegerField(help_text="Minor units.")
    tax_behavior = models.CharField(max_length=9, blank=True, help_text="inclusive, exclusive or empty.")
    stripe_price_id = models.CharField(max_length=255, unique=True)
    offered = models.BooleanField(
        default=True, help_text="Used for new subscriptions. Others were archived, or made at Stripe."
    )

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["stripe_account", "plan_key", "interval", "currency", "amount", "tax_behavior"],
                condition=Q(offered=True),
                name="one_offered_stripe_price",
            )
        ]

    def __str__(self) -> str:
        return f"{self.plan_key or '?'}/{self.interval} {self.amount} {self.currency}"
