"""Promotion codes for credits or discounts, codes for one use, and referrals that reward both accounts.

Invariants: a promotion's limits are counted under a lock on its row; each account redeems it at most
`per_account` times, apart from payments that arrive after their purchase had failed; a code for one use has
at most one redemption that counts; an account is invited at most once, and not by itself.
"""

from typing import Any

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import F, Q
from django.utils.translation import gettext_lazy as _

from accounts.models import Account
from billing.models.purchase import Purchase
from core.models import CreditsField, Identified


class Promotion(models.Model):
    """A promotion code; those of the catalogue are copied here at their first use."""

    class Gives(models.TextChoices):
        CREDITS = "credits", _("Credits")
        DISCOUNT = "discount", _("Discount on a pack")

    code = models.CharField(max_length=40, unique=True, help_text="Upper case.")
    single_use = models.BooleanField(
        _("codes for one use"),
        default=False,
        db_default=False,
        help_text=_("Users enter codes that you make or import. The code above is not accepted."),
    )
    label = models.CharField(max_length=200)
    gives = models.CharField(max_length=8, choices=Gives)
    credits = CreditsField(default=0)
    services = ArrayField(models.CharField(max_length=100), null=True, blank=True)
    lasts = models.CharField(max_length=40, default="forever")
    percent_off = models.PositiveSmallIntegerField(default=0)
    packs = ArrayField(models.CharField(max_length=100), null=True, blank=True, help_text="Empty: any pack.")
    plans = ArrayField(
        models.CharField(max_length=100),
        null=True,
        blank=True,
        help_text="Plans that may use it; empty: any.",
    )
    starts_at = models.DateTimeField()
    ends_at = models.DateTimeField()
    total_limit = models.PositiveIntegerField(null=True, blank=True)
    per_account = models.PositiveIntegerField(default=1)
    redeemed = models.PositiveIntegerField(default=0)
    from_catalogue = models.BooleanField(default=False)

    class Meta:
        constraints = [
            models.CheckConstraint(condition=Q(percent_off__lte=100), name="percent_within_hundred"),
            models.CheckConstraint(
                condition=Q(gives="credits", credits__gt=0) | Q(gives="discount", percent_off__gt=0),
                name="promotion_gives_something",
            ),
        ]

    def __str__(self) -> str:
        return self.code

    def save(self, **options: Any) -> None:
        """Save the promotion. An empty list means no restriction, as null does, and is stored as null."""
        self.services = self.services or None
        self.packs = self.packs or None
        self.plans = self.plans or None
        super().save(**options)


class SingleUseCode(models.Model):
    """A code of a promotion that is redeemed once, by the first account that enters it."""

    promotion = models.ForeignKey(Promotion, on_delete=models.CASCADE, related_name="single_use_codes")
    code = models.CharField(max_length=40, unique=True, help_text="Upper case.")
    batch = models.UUIDField(help_text="The form or import that made it, which acts once.")
    created_at = models.DateTimeField()

    class Meta:
        indexes = [models.Index(fields=["promotion", "batch"], name="codes_by_batch")]

    def __str__(self) -> str:
        return f"code {self.pk}"  # whose reader could redeem it


class Redemption(Identified):
    """One use of a promotion by one account."""

    PREFIX = "red"

    promotion = models.ForeignKey(Promotion, on_delete=models.PROTECT, related_name="redemptions")
    account = models.ForeignKey(Account, on_delete=models.PROTECT, related_name="redemptions")
    nth = models.PositiveIntegerField(help_text="Number of the account's redemption, from 1.")
    purchase = models.OneToOneField(
        Purchase, null=True, blank=True, on_delete=models.PROTECT, related_name="redemption"
    )
    single_use_code = models.ForeignKey(
        SingleUseCode, null=True, blank=True, on_delete=models.PROTECT, related_name="redemptions"
    )
    credits = CreditsField(default=0)
    created_at = models.DateTimeField()
    released_at = models.DateTimeField(
        null=True,
        blank=True,
        help_text="When the purchase failed or was cancelled, so that the redemption does not count.",
    )

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["promotion", "account", "nth"],
                condition=Q(released_at=None),
                name="each_use_counted_once",
            ),
            models.UniqueConstraint(
                fields=["single_use_code"], condition=Q(released_at=None), name="code_used_once"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.promotion_id} by {self.account_id}"


class InvitationCode(models.Model):
    """The code in an account's invitation link."""

    account = models.OneToOneField(
        Account, primary_key=True, on_delete=models.PROTECT, related_name="invitation_code"
    )
    code = models.CharField(max_length=40, unique=True)

    def __str__(self) -> str:
        return self.code


class Referral(Identified):
    """An account that signed up through another account's invitation."""

    PREFIX = "refl"

    class State(models.TextChoices):
        JOINED = "joined", _("Signed up")
        REWARDED = "rewarded", _("Rewarded")
        TAKEN_BACK = "taken_back", _("Reward taken back")
        NO_REWARD = "no_reward", _("No reward")

    inviter = models.ForeignKey(Account, on_delete=models.PROTECT, related_name="invitations")
    invited = models.OneToOneField(Account, on_delete=models.PROTECT, related_name="invited_by")
    state = models.CharField(max_length=10, choices=State, default=State.JOINED)
    reason = models.CharField(max_length=300, blank=True)
    purchase = models.ForeignKey(Purchase, null=True, blank=True, on_delete=models.PROTECT, related_name="+")
    created_at = models.DateTimeField()
    rewarded_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = [
            models.CheckConstraint(condition=~Q(inviter=F("invited")), name="nobody_invites_himself")
        ]

    def __str__(self) -> str:
        return f"{self.invited_id} by {self.inviter_id}"
