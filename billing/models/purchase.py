"""Purchases, invoice numbers and automatic top-up.

Invariants: offer, price and currency are stored before the first request to Stripe and never change; a
payment belongs to one purchase; a purchase grants its credits once (the grant's key is the purchase's id).
"""

from django.db import models
from django.db.models import F, Q
from django.utils.translation import gettext_lazy as _

from accounts.models import Account, User
from billing.models.profile import METHOD_NAMES
from core.models import CreditsField, Identified


class Purchase(Identified):
    """A purchase of packs or of a plan's period, and the status of its payment."""

    PREFIX = "pur"

    class Kind(models.TextChoices):
        PACK = "pack", _("Pack")
        PLAN = "plan", _("Plan")

    class Origin(models.TextChoices):
        PAGE = "page", _("Portal")
        API = "api", _("API")
        AUTO_TOP_UP = "auto_top_up", _("Automatic top-up")
        RENEWAL = "renewal", _("Subscription")

    class Status(models.TextChoices):
        CREATED = "created", _("Not paid yet")
        PENDING = "pending", _("Payment pending")
        PAID = "paid", _("Paid")
        FAILED = "failed", _("Failed")
        CANCELLED = "cancelled", _("Cancelled")
        QUARANTINED = "quarantined", _("Under review")

    account = models.ForeignKey(Account, on_delete=models.PROTECT, related_name="purchases")
    buyer = models.ForeignKey(User, null=True, blank=True, on_delete=models.SET_NULL, related_name="+")
    language = models.CharField(
        max_length=10,
        blank=True,
        default="",
        db_default="",
        help_text="The buyer's setting, for the payment page; empty: the browser's.",
    )
    kind = models.CharField(max_length=4, choices=Kind)
    origin = models.CharField(max_length=12, choices=Origin)
    offer = models.CharField(max_length=100, help_text="Key of the pack or plan.")
    interval = models.CharField(max_length=5, blank=True, help_text="For plans: month or year.")
    label = models.CharField(max_length=200)
    quantity = models.PositiveIntegerField(default=1)
    credits = CreditsField(
        default=0, help_text="All credits of the pack; plans grant theirs through allowances."
    )
    lasts = models.CharField(max_length=40, default="forever")
    amount = models.BigIntegerField(
        help_text="Minor units: the price until it is paid, then the money received, tax included."
    )
    tax = models.BigIntegerField(default=0, help_text="Minor units of tax in what was paid.")
    tax_behavior = models.CharField(
        max_length=9, blank=True, help_text="inclusive or exclusive when Stripe Tax computes the tax."
    )
    country = models.CharField(max_length=2, blank=True, help_text="Where it was taxed.")
    balance_used = models.BigIntegerField(
        default=0,
        help_text="Minor units from the credit balance at Stripe; negative: a debt there was collected.",
    )
    list_amount = models.BigIntegerField(help_text="Minor units before sale and promotion.")
    currency = models.CharField(max_length=3)
    promotion_code = models.CharField(max_length=40, blank=True)
    status = models.CharField(max_length=11, choices=Status, default=Status.CREATED)
    error = models.CharField(
        db_column="trouble", max_length=500, blank=True, help_text="Why it failed or is under review."
    )
    refunded = models.BigIntegerField(default=0, help_text="Minor units refunded or being refunded.")
    idempotency_key = models.CharField(max_length=300)
    fingerprint = models.BinaryField(default=b"")
    stripe_session_id = models.CharField(max_length=255, null=True, blank=True, unique=True)
    checkout_url = models.TextField(blank=True)
    stripe_payment_id = models.CharField(max_length=255, null=True, blank=True, unique=True)
    stripe_invoice_id = models.CharField(max_length=255, null=True, blank=True, unique=True)
    stripe_subscription_id = models.CharField(
        max_length=255, blank=True, db_index=True, help_text="For plans: the subscription that it pays."
    )
    payment_method = models.CharField(max_length=40, blank=True)
    receipt_url = models.TextField(blank=True)
    instructions_url = models.TextField(blank=True, help_text="Instructions for paying by bank transfer.")
    period_start = models.DateTimeField(null=True, blank=True)
    period_end = models.DateTimeField(null=True, blank=True)
    invoice_number = models.CharField(max_length=40, null=True, blank=True, unique=True)
    billed_to = models.JSONField(
        default=dict, blank=True, help_text="Name, address and tax id on the invoice."
    )
    created_at = models.DateTimeField()
    paid_at = models.DateTimeField(null=True, blank=True)
    closed_at = models.DateTimeField(null=True, blank=True, help_text="When it failed or was cancelled.")
    changed_at = models.DateTimeField(
        null=True,
        editable=False,
        help_text="When status or refunds last changed, by the database's clock; set by a trigger.",
    )

    class Meta:
        indexes = [
            models.Index(fields=["account", "created_at"], name="purchase_by_account"),
            models.Index(fields=["status", "created_at"], name="purchase_by_status"),
            models.Index(fields=["paid_at"], name="purchase_by_payment_day"),
            # usage.live_updates looks there for each account that somebody watches
            models.Index(
                fields=["account"], name="purchase_waiting", condition=Q(status__in=["created", "pending"])
            ),
        ]
        constraints = [
            models.UniqueConstraint(fields=["account", "idempotency_key"], name="purchase_once"),
            models.UniqueConstraint(
                fields=["account"],
                condition=Q(origin="auto_top_up", status__in=["created", "pending"]),
                name="one_auto_top_up_in_flight",
            ),
            models.CheckConstraint(condition=Q(amount__gte=0, quantity__gte=1), name="purchase_not_negative"),
            models.CheckConstraint(
                condition=Q(refunded__gte=0, refunded__lte=F("amount")), name="refunded_within_purchase"
            ),
            models.CheckConstraint(
                condition=~Q(status="paid") | Q(paid_at__isnull=False), name="paid_at_a_time"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.label} ({self.public_id})"

    @property
    def payment_method_name(self) -> str:
        """The payment method as pages show it; Stripe's own name for one that Refill does not offer."""
        return str(METHOD_NAMES.get(self.payment_method, self.payment_method))

    @property
    def usual_days(self) -> int:
        """Business days until a pending payment by this method usually arrives; 0 when it is not days.

        https://docs.stripe.com/payments/sepa-debit, https://docs.stripe.com/payments/bank-transfers
        """
        return {"sepa_debit": 5, "customer_balance": 3}.get(self.payment_method, 0)

    @property
    def total(self) -> int:
        """Minor units of the whole purchase, however it is paid: price, and tax as far as it is known."""
        return self.amount + (self.balance_used if self.paid_at else self._tax_added)

    @property
    def price(self) -> int:
        """The price in minor units, with sale and promotion, without a tax that is added to it."""
        return self.total - self._tax_added

    @property
    def _tax_added(self) -> int:
        return self.tax if self.tax_behavior == "exclusive" else 0

    @property
    def net(self) -> int:
        """Minor units without any tax."""
        return self.total - self.tax

    @property
    def tax_paid(self) -> int:
        """Minor units of tax in the money received; the rest of the tax was paid from the credit balance."""
        return self.tax * self.amount // self.total if self.total > 0 else 0

    @property
    def dispute_status(self) -> str:
        """The status of the newest dispute that has withdrawn the money, else of the newest undecided one.

        Empty when there is neither. A list of purchases prefetches `disputes`.
        """
        found = [one for one in self.disputes.all() if one.withdrawn or one.undecided]
        newest = max(found, key=lambda one: (one.withdrawn, one.created_at), default=None)
        return newest.status if newest else ""

    @property
    def settled(self) -> bool:
        """Whether the payment has ended, successfully or not."""
        return self.status not in {self.Status.CREATED, self.Status.PENDING}


class InvoiceYear(models.Model):
    """The last invoice number of a year; locked while a number is assigned, so that none is skipped."""

    year = models.PositiveIntegerField(primary_key=True)
    last = models.PositiveIntegerField(default=0)

    def __str__(self) -> str:
        return f"{self.year}: {self.last}"


class AutoTopUp(models.Model):
    """Settings of automatic top-up with monthly limits, and the outcome of the last attempts."""

    class Outcome(models.TextChoices):
        PAID = "paid", _("Paid")
        PENDING = "pending", _("Payment pending")
        DECLINED = "declined", _("The card was declined")
        AUTHENTICATE = "authenticate", _("The bank requires confirmation")
        NO_CARD = "no_card", _("No card is saved")
        CEILING_MONEY = "ceiling_money", _("The monthly spending limit is reached")
        CEILING_COUNT = "ceiling_count", _("The monthly number of top-ups is reached")
        COOLING = "cooling", _("Waiting after the last attempt")
        OFFER_GONE = "offer_gone", _("The pack can no longer be bought")
        SUSPENDED = "suspended", _("Suspended after failures until the card changes")
        UNREACHABLE = "unreachable", _("Stripe could not be reached")

    account = models.OneToOneField(
        Account, primary_key=True, on_delete=models.PROTECT, related_name="auto_top_up"
    )
    enabled = models.BooleanField(default=False)
    below = CreditsField(default=0, help_text="Buys when the available credits are below this.")
    pack = models.CharField(max_length=100, blank=True)
    currency = models.CharField(max_length=3, blank=True)
    monthly_amount = models.BigIntegerField(
        default=0, help_text="Limit for a calendar month, in minor units."
    )
    monthly_count = models.PositiveIntegerField(default=1)
    failures = models.PositiveIntegerField(default=0, help_text="Consecutive failures.")
    suspended_card = models.CharField(
        max_length=255,
        blank=True,
        help_text="The payment method that failed; saving a card, the same one too, ends the suspension.",
    )
    attempt_card = models.CharField(
        max_length=255,
        blank=True,
        help_text="The payment method of the last attempt; a repeated request has to name the same.",
    )
    payment_to_confirm = models.CharField(
        max_length=255,
        blank=True,
        help_text="The PaymentIntent that failed because the bank requires the cardholder's confirmation.",
    )
    last_outcome = models.CharField(max_length=14, choices=Outcome, blank=True)
    last_looked_at = models.DateTimeField(null=True, blank=True)
    last_tried_at = models.DateTimeField(null=True, blank=True)
    set_by = models.ForeignKey(User, null=True, blank=True, on_delete=models.SET_NULL, related_name="+")

    def __str__(self) -> str:
        return f"automatic top-up of {self.account_id}"
