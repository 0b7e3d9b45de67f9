"""The ledger's tables: wallets, grants, the append-only entries, and what was charged, held and corrected.

Invariants, kept by the SQL in `billing/ledger/sql` and proven by `manage.py audit_ledger`:
- the sum of a grant's entries is what remains in it; the sum of its grants is a wallet's balance;
- a wallet's entries are numbered without a gap and each carries a hash of the one before it;
- entries are never changed or removed (triggers refuse it).

Nothing outside `billing.ledger` writes these tables; reads go through `selectors.py`.
Foreign keys on the busy tables have no database constraint (each costs about 5 % of a charge); the audit
looks for orphans instead.
"""

from typing import Any

from django.contrib.postgres.fields import ArrayField
from django.contrib.postgres.indexes import BrinIndex
from django.db import models
from django.db.models import F, Q
from django.utils.translation import gettext_lazy as _

from accounts.models import Account, ApiKey, Project, User
from core.models import CreditsField, Identified


def loose_key(to: type[models.Model], **options: Any) -> Any:
    """A foreign key the database does not check and does not index (see the module's docstring)."""
    return models.ForeignKey(
        to, on_delete=models.DO_NOTHING, db_constraint=False, db_index=False, related_name="+", **options
    )


class Wallet(models.Model):
    """An account's purse: the row every movement locks first."""

    account = models.OneToOneField(
        Account, primary_key=True, on_delete=models.DO_NOTHING, db_constraint=False, related_name="wallet"
    )
    balance = CreditsField(default=0, help_text="The sum of what remains in the grants.")
    held = CreditsField(default=0)
    debt = CreditsField(default=0)
    seq = models.BigIntegerField(default=0, help_text="Number of the newest entry.")
    head = models.BinaryField(max_length=32, help_text="Hash of the newest entry.")
    next_due_at = models.DateTimeField(null=True, help_text="When settling has something to do next.")
    limited = models.BooleanField(default=False, help_text="Whether any limit or quota stands.")
    warn_below = CreditsField(null=True, help_text="The user's low-credit threshold.")
    is_low = models.BooleanField(
        default=False, help_text="The balance is below the threshold and that was told."
    )
    created_at = models.DateTimeField()

    class Meta:
        indexes = [models.Index(fields=["next_due_at"], name="wallet_due")]
        constraints = [
            models.CheckConstraint(condition=Q(balance__gte=0), name="wallet_balance_not_negative"),
            models.CheckConstraint(condition=Q(held__gte=0), name="wallet_held_not_negative"),
            models.CheckConstraint(condition=Q(debt__gte=0), name="wallet_debt_not_negative"),
        ]

    def __str__(self) -> str:
        return f"wallet of {self.account_id}"


class Grant(Identified):
    """Credits given at one time for one reason, with what remains of them."""

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
    credits = CreditsField(help_text="What was given.")
    remaining = CreditsField()
    held = CreditsField(default=0)
    priority = models.SmallIntegerField(help_text="Lower is spent sooner.")
    expires_at = models.DateTimeField(null=True)
    services = ArrayField(
        models.TextField(),
        null=True,
        help_text="Service keys or tag:… that it pays for; null: any.",
    )
    open = models.BooleanField(
        default=True, help_text="Whether anything remains (the partial index's condition)."
    )
    idempotency_key = models.CharField(max_length=300)
    fingerprint = models.BinaryField(default=b"")
    allowance = models.CharField(max_length=100, default="", help_text="Key of the allowance that gave it.")
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


class Entry(models.Model):
    """One line of the ledger: so many credits into or out of one grant. Append-only."""

    class Kind(models.TextChoices):
        GRANT = "grant", _("Granted")
        CHARGE = "charge", _("Charged")
        REVERSE = "reverse", _("Given back")
        HOLD = "hold", _("Set aside")
        RELEASE = "release", _("Released")
        EXPIRE = "expire", _("Expired")
        CLAW_BACK = "claw_back", _("Taken back")
        RESTORE = "restore", _("Restored")
        REPAY = "repay", _("Debt repaid")
        CARRY_OVER = "carry_over", _("Carried over")
        ADJUST = "adjust", _("Adjusted")

    id = models.BigAutoField(primary_key=True)
    account = loose_key(Account)
    seq = models.BigIntegerField()
    kind = models.CharField(max_length=12, choices=Kind)
    grant = loose_key(Grant)
    credits = CreditsField(help_text="Into the grant (positive) or out of it (negative).")
    debt = CreditsField(default=0, help_text="Change of the account's debt.")
    grant_after = CreditsField()
    balance_after = CreditsField()
    charge_id = models.UUIDField(null=True)
    hold_id = models.UUIDField(null=True)
    reason = models.CharField(max_length=500, default="")
    actor = models.CharField(max_length=200, default="")
    created_at = models.DateTimeField()
    hash = models.BinaryField(max_length=32)

    class Meta:
        indexes = [BrinIndex(fields=["created_at"], name="entry_time")]
        constraints = [models.UniqueConstraint(fields=["account", "seq"], name="entry_sequence")]

    def __str__(self) -> str:
        return f"{self.kind} {self.credits}"

    @property
    def public_id(self) -> str:
        """Opaque: half of the entry's hash, so that entries cannot be counted from outside."""
        return f"ent_{bytes(self.hash[:16]).hex()}"


class Attributed(Identified):
    """What a charge and a hold both say of the use behind them."""

    account = loose_key(Account)
    idempotency_key = models.CharField(max_length=300)
    fingerprint = models.BinaryField(default=b"")
    credits = CreditsField()
    service = models.CharField(max_length=100)
    action = models.CharField(max_length=100, default="")
    project = loose_key(Project, null=True)
    member = loose_key(User, null=True)
    api_key = loose_key(ApiKey, null=True)
    conversation = models.CharField(max_length=200, default="")
    detail = models.JSONField(help_text="Lines, rate, usage, options, metadata: as priced, never recomputed.")
    drawn = models.JSONField(help_text="Which grants paid: [{grant, kind, credits}] in order.")
    created_at = models.DateTimeField()

    class Meta:
        abstract = True


class Charge(Attributed):
    """Credits taken for a use that happened."""

    PREFIX = "chg"

    covered_by = models.CharField(max_length=12, null=True, help_text="unlimited, own_key, or nothing.")
    uncollected = CreditsField(
        default=0, help_text="Part of the credits that the balance lacked at a capture."
    )
    returned = CreditsField(default=0, help_text="Given back by reversals.")
    hold_id = models.UUIDField(null=True)
    balance_before = CreditsField()
    balance_after = CreditsField()

    class Meta:
        indexes = [models.Index(fields=["account", "created_at"], name="charge_by_account")]
        constraints = [
            models.UniqueConstraint(fields=["account", "idempotency_key"], name="charge_once"),
            models.CheckConstraint(condition=Q(credits__gte=0), name="charge_not_negative"),
            models.CheckConstraint(
                condition=Q(returned__gte=0, returned__lte=F("credits")), name="charge_returned_within"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.service} {self.credits}"

    @property
    def status(self) -> str:
        if self.returned == 0:
            return "charged"
        return "reversed" if self.returned == self.credits - self.uncollected else "partly_reversed"


class Hold(Attributed):
    """Credits set aside for a use whose size is not yet known."""

    PREFIX = "hold"

    class Status(models.TextChoices):
        HELD = "held", _("Held")
        CAPTURED = "captured", _("Captured")
        RELEASED = "released", _("Released")
        EXPIRED = "expired", _("Expired")

    covers = ArrayField(models.TextField())
    status = models.CharField(max_length=10, choices=Status, default=Status.HELD)
    expires_at = models.DateTimeField()
    closed_at = models.DateTimeField(null=True)
    charge_id = models.UUIDField(null=True)

    class Meta:
        indexes = [
            models.Index(fields=["account", "expires_at"], name="hold_running", condition=Q(status="held"))
        ]
        constraints = [
            models.UniqueConstraint(fields=["account", "idempotency_key"], name="hold_once"),
            models.CheckConstraint(condition=Q(credits__gte=0), name="hold_not_negative"),
        ]

    def __str__(self) -> str:
        return f"{self.service} {self.credits} ({self.status})"


class Allowance(models.Model):
    """Credits that an account is given again and again (or once) by its plan, and when next."""

    class Period(models.TextChoices):
        DAY = "day", _("Each day")
        MONTH = "month", _("Each month")
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
        help_text="period: until the next; forever; or an interval, '1 month'.",
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


class Limit(models.Model):
    """How much a project, member, key or quota may take in a window, and how much it has taken."""

    class Kind(models.TextChoices):
        PROJECT = "project", _("Project")
        MEMBER = "member", _("Member")
        KEY = "key", _("Key")
        QUOTA = "quota", _("Quota")

    class Period(models.TextChoices):
        DAY = "day", _("Day")
        MONTH = "month", _("Month")
        EVER = "ever", _("Ever")

    account = loose_key(Account)
    kind = models.CharField(max_length=8, choices=Kind)
    subject = models.CharField(
        max_length=100, help_text="The project's, member's or key's UUID, or the quota's key."
    )
    period = models.CharField(max_length=5, choices=Period)
    maximum = models.DecimalField(max_digits=20, decimal_places=6, help_text="Credits; for a quota, a count.")
    used = models.DecimalField(max_digits=20, decimal_places=6, default=0)
    window_start = models.DateTimeField()
    window_end = models.DateTimeField(null=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["account", "kind", "subject"], name="limit_once")]

    def __str__(self) -> str:
        return f"{self.kind} {self.subject}: {self.used} of {self.maximum}"


class Correction(Identified):
    """A move that mends: a reversal, a claw-back, its restoration, an adjustment by staff."""

    PREFIX = "corr"

    class Kind(models.TextChoices):
        REVERSE = "reverse", _("Reversal")
        CLAW_BACK = "claw_back", _("Claw-back")
        RESTORE = "restore", _("Restoration")
        ADJUST = "adjust", _("Adjustment")

    account = loose_key(Account)
    kind = models.CharField(max_length=10, choices=Kind)
    idempotency_key = models.CharField(max_length=300)
    fingerprint = models.BinaryField(default=b"")
    credits = CreditsField(help_text="Credits moved.")
    debt = CreditsField(default=0, help_text="Debt booked (or, restoring, lifted).")
    charge_id = models.UUIDField(null=True)
    purchase_id = models.UUIDField(null=True)
    undone_by_id = models.UUIDField(null=True)
    detail = models.JSONField(default=list, help_text="Per grant: [{grant, credits, debt}].")
    balance_after = CreditsField()
    reason = models.CharField(max_length=500, default="")
    actor = models.CharField(max_length=200, default="")
    created_at = models.DateTimeField()

    class Meta:
        indexes = [models.Index(fields=["account", "charge_id"], name="correction_by_charge")]
        constraints = [models.UniqueConstraint(fields=["account", "idempotency_key"], name="correction_once")]

    def __str__(self) -> str:
        return f"{self.kind} {self.credits}"


class Notice(models.Model):
    """Something the ledger saw that others must act on (an outbox): written with the movement itself."""

    class Kind(models.TextChoices):
        LOW = "low", _("Balance low")
        DEPLETED = "depleted", _("Balance used up")
        GRANTED = "granted", _("Credits granted")

    account = loose_key(Account)
    kind = models.CharField(max_length=12, choices=Kind)
    detail = models.JSONField(default=dict)
    created_at = models.DateTimeField()
    handled_at = models.DateTimeField(null=True)

    class Meta:
        indexes = [models.Index(fields=["id"], name="notice_waiting", condition=Q(handled_at=None))]

    def __str__(self) -> str:
        return f"{self.kind} for {self.account_id}"


class Audit(models.Model):
    """The outcome of one run of the audit."""

    started_at = models.DateTimeField()
    finished_at = models.DateTimeField()
    wallets = models.BigIntegerField()
    entries = models.BigIntegerField()
    totals = models.JSONField()
    findings = models.JSONField(default=list)

    def __str__(self) -> str:
        return f"audit of {self.started_at:%Y-%m-%d %H:%M}"
