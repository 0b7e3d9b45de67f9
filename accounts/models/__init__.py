"""Users, accounts, memberships, invitations, requests for teams, projects and keys.

Invariant: a user has at most one personal account (`Account.person` is unique; sign-up opens it); the
secret of a key is stored only as a hash; so is an address that has received a free quota.
"""

from datetime import datetime
from decimal import Decimal
from typing import Any, ClassVar

from django.conf import settings
from django.contrib.auth.base_user import BaseUserManager
from django.contrib.auth.models import AbstractUser
from django.contrib.postgres.fields import ArrayField
from django.core.validators import MinValueValidator
from django.db import models
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy

from accounts.models.staff_note import StaffNote as StaffNote
from accounts.models.webhook import FormerSecret as FormerSecret
from accounts.models.webhook import WebhookDelivery as WebhookDelivery
from accounts.models.webhook import WebhookEndpoint as WebhookEndpoint
from accounts.models.webhook import WebhookEvent as WebhookEvent
from core.models import CreditsField, Identified


class UserManager(BaseUserManager["User"]):
    """Creates users by e-mail address; there are no usernames."""

    def create_user(self, email: str, password: str | None = None, **fields: Any) -> "User":
        user = self.model(email=self.normalize_email(email).lower(), **fields)
        user.set_password(password)
        user.save(using=self._db)
        return user

    def create_superuser(self, email: str, password: str | None = None, **fields: Any) -> "User":
        return self.create_user(email, password, is_staff=True, is_superuser=True, **fields)


class User(AbstractUser, Identified):
    """A person who signs in, identified by the e-mail address, which is stored in lower case."""

    PREFIX = "user"

    class Theme(models.TextChoices):
        SYSTEM = "system", _("As the device")
        LIGHT = "light", _("Light")
        DARK = "dark", _("Dark")

    username = None  # type: ignore[assignment]
    email = models.EmailField(_("e-mail address"), unique=True)
    language = models.CharField(
        max_length=10,
        choices=settings.LANGUAGES,
        blank=True,
        default="",
        db_default="",
        help_text="Empty: that of the browser.",
    )
    browser_language = models.CharField(
        max_length=10,
        default=settings.LANGUAGE_CODE,
        db_default=settings.LANGUAGE_CODE,
        editable=False,
        help_text="The language of the browser at the last sign-in.",
    )
    theme = models.CharField(max_length=6, choices=Theme, default=Theme.SYSTEM, db_default=Theme.SYSTEM)
    sign_in_epoch = models.PositiveIntegerField(
        default=0, help_text="Increased when the second factor changes, which ends all older sessions."
    )

    USERNAME_FIELD = "email"
    REQUIRED_FIELDS: ClassVar[list[str]] = []
    objects = UserManager()  # type: ignore[misc,assignment]

    class Meta(AbstractUser.Meta):
        permissions = [("view_as_customer", "Can view the portal as a customer")]

    def __str__(self) -> str:
        return self.email

    @property
    def shown_name(self) -> str:
        """The name on pages: the first name, or the part of the address before the @."""
        return self.get_full_name() or self.email.partition("@")[0]

    @property
    def mail_language(self) -> str:
        """The language of e-mails to the user."""
        return self.language or self.browser_language

    def _get_session_auth_hash(self, secret: str | None = None) -> str:
        """Django ends every session whose hash differs: it contains the password *and* the epoch."""
        inner: str = super()._get_session_auth_hash(secret=secret)  # type: ignore[misc]
        return f"{inner}.{self.sign_in_epoch}" if self.sign_in_epoch else inner


class Account(Identified):
    """The owner of credits: a personal account, or a team with members."""

    PREFIX = "acct"

    class Kind(models.TextChoices):
        PERSONAL = "personal", _("Personal")
        TEAM = "team", _("Team")

    kind = models.CharField(max_length=10, choices=Kind, default=Kind.PERSONAL)
    person = models.OneToOneField(
        User,
        null=True,
        blank=True,
        on_delete=models.SET_NULL,
        related_name="personal_account",
        help_text="The user of a personal account; empty for teams and accounts opened by the platform.",
    )
    name = models.CharField(max_length=200)
    external_id = models.CharField(
        max_length=255, null=True, blank=True, unique=True, help_text="The id in the AI product."
    )
    zone = models.CharField(
        max_length=64, default="UTC", help_text="IANA time zone in which the account's days begin."
    )
    on_wall = models.BooleanField(default=False, help_text="Shown on the public memorial wall.")
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    erased_at = models.DateTimeField(null=True, blank=True)
    members = models.ManyToManyField(User, through="Membership", related_name="accounts")

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=Q(person=None) | Q(kind="personal"), name="only_personal_accounts_have_a_person"
            )
        ]

    def __str__(self) -> str:
        return self.name


class Membership(Identified):
    """A user in an account, with a role and perhaps a monthly limit in credits."""

    PREFIX = "mem"

    class Role(models.TextChoices):
        OWNER = "owner", _("Owner")
        BILLING = "billing", pgettext_lazy("role", "Billing")
        MEMBER = "member", _("Member")

    BUYERS = frozenset({Role.OWNER, Role.BILLING})

    account = models.ForeignKey(Account, on_delete=models.CASCADE, related_name="memberships")
    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="memberships")
    role = models.CharField(max_length=10, choices=Role, default=Role.MEMBER)
    monthly_limit = CreditsField(
        null=True,
        blank=True,
        validators=[MinValueValidator(Decimal("0.000001"))],
        help_text="Credits of a calendar month. Empty: no limit.",
    )
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["account", "user"], name="one_membership_each")]

    def __str__(self) -> str:
        return f"{self.user} in {self.account}"

    @property
    def may_buy(self) -> bool:
        """Whether the role may buy, request refunds and create keys; other members only use credits."""
        return self.role in self.BUYERS


class Invitation(Identified):
    """An invitation to become a member of an account, sent to an e-mail address."""

    PREFIX = "inv"

    account = models.ForeignKey(Account, on_delete=models.CASCADE, related_name="member_invitations")
    email = models.EmailField(help_text="Lower case.")
    role = models.CharField(max_length=10, choices=Membership.Role, default=Membership.Role.MEMBER)
    monthly_limit = CreditsField(null=True, blank=True)
    invited_by = models.ForeignKey(
        User,
        null=True,
        on_delete=models.SET_NULL,
        related_name="+",
        help_text="Empty: the platform.",
    )
    created_at = models.DateTimeField(editable=False)
    sent = models.PositiveSmallIntegerField(default=1, help_text="E-mails; only the newest one is valid.")
    expires_at = models.DateTimeField()
    accepted_at = models.DateTimeField(null=True, blank=True)
    revoked_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["account", "email"],
                condition=Q(accepted_at=None, revoked_at=None),
                name="one_open_invitation_each",
            )
        ]

    def __str__(self) -> str:
        return f"{self.email} to {self.account}"

    def status_at(self, now: datetime) -> str:
        """open, accepted, revoked or expired."""
        if self.accepted_at is not None:
            return "accepted"
        if self.revoked_at is not None:
            return "revoked"
        return "open" if now < self.expires_at else "expired"


class TeamRequest(Identified):
    """A user's request for a team account, which staff approve or decline, or the user withdraws."""

    PREFIX = "treq"

    class Kind(models.TextChoices):
        FAMILY = "family", _("Family")
        BUSINESS = "business", _("Business")

    class Status(models.TextChoices):
        OPEN = "open", _("Open")
        APPROVED = "approved", _("Approved")
        DECLINED = "declined", _("Declined")
        WITHDRAWN = "withdrawn", _("Withdrawn")

    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="team_requests")
    kind = models.CharField(max_length=10, choices=Kind)
    name = models.CharField(max_length=200)
    note = models.CharField(max_length=2000, blank=True)
    status = models.CharField(max_length=10, choices=Status, default=Status.OPEN)
    answer = models.CharField(max_length=2000, blank=True)
    account = models.OneToOneField(
        Account, null=True, blank=True, on_delete=models.PROTECT, related_name="team_request"
    )
    created_at = models.DateTimeField(editable=False)
    answered_at = models.DateTimeField(null=True, blank=True)
    answered_by = models.ForeignKey(User, null=True, blank=True, on_delete=models.SET_NULL, related_name="+")

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["user"], condition=Q(status="open"), name="one_open_team_request_each"
            )
        ]

    def __str__(self) -> str:
        return f"{self.name} ({self.kind})"


class ApiKey(Identified):
    """An API key. Only its SHA-256 is stored; people recognise it by the prefix."""

    PREFIX = "key"

    class Kind(models.TextChoices):
        PLATFORM = "platform", _("Platform")
        ACCOUNT = "account", _("Account")

    class Scope(models.TextChoices):
        READ = "read", _("Read")
        SPEND = "spend", _("Spend")
        MANAGE = "manage", _("Manage")

    kind = models.CharField(max_length=10, choices=Kind)
    account = models.ForeignKey(
        Account, null=True, blank=True, on_delete=models.CASCADE, related_name="api_keys"
    )
    created_by = models.ForeignKey(
        User,
        null=True,
        blank=True,
        on_delete=models.SET_NULL,
        related_name="api_keys",
        help_text="An account key ends with the membership of its creator.",
    )
    name = models.CharField(max_length=100)
    scopes = ArrayField(models.CharField(max_length=10, choices=Scope))
    prefix = models.CharField(max_length=16)
    secret_hash = models.BinaryField(max_length=32, unique=True)
    requests_per_minute = models.PositiveIntegerField(
        null=True,
        blank=True,
        validators=[MinValueValidator(1)],
        help_text="The key's own limit. Empty: the limit of its kind (API_RATE, PLATFORM_API_RATE).",
    )
    daily_limit = CreditsField(null=True, blank=True)
    monthly_limit = CreditsField(null=True, blank=True)
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    expires_at = models.DateTimeField(null=True, blank=True)
    last_used_at = models.DateTimeField(null=True, blank=True)
    revoked_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        verbose_name = _("API key")
        verbose_name_plural = _("API keys")
        constraints = [
            models.CheckConstraint(
                condition=Q(kind="platform", account=None) | Q(kind="account", account__isnull=False),
                name="account_keys_have_an_account",
            )
        ]

    def __str__(self) -> str:
        return f"{self.name} ({self.prefix}…)"

    @property
    def scope_labels(self) -> list[str]:
        return [str(self.Scope(scope).label) for scope in self.scopes]


class Project(Identified):
    """A project (or server) of an account, to attribute and limit usage."""

    PREFIX = "proj"

    account = models.ForeignKey(Account, on_delete=models.CASCADE, related_name="projects")
    name = models.CharField(max_length=100)
    daily_limit = CreditsField(null=True, blank=True)
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    archived_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["account", "name"], condition=Q(archived_at=None), name="project_name_once"
            )
        ]

    def __str__(self) -> str:
        return self.name


class ProviderKey(Identified):
    """An account's own key at a model provider: encrypted, never shown again."""

    PREFIX = "pkey"

    account = models.ForeignKey(Account, on_delete=models.CASCADE, related_name="provider_keys")
    provider = models.CharField(max_length=40)
    encrypted = models.BinaryField()
    last_four = models.CharField(max_length=4)
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["account", "provider"], name="one_key_a_provider")]

    def __str__(self) -> str:
        return f"{self.provider} …{self.last_four}"


class VerifiedAddress(models.Model):
    """A benefit claimed by a verified address. Remains when the user is deleted; stores a keyed hash."""

    address_hash = models.BinaryField(max_length=32)
    purpose = models.CharField(max_length=60)
    first_seen_at = models.DateTimeField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["address_hash", "purpose"], name="claimed_once_ever")]

    def __str__(self) -> str:
        return f"{self.purpose} {bytes(self.address_hash).hex()[:12]}"


def personal_account_of(user: User) -> Account:
    """The personal account of the user (opened at sign-up). Raises Account.DoesNotExist."""
    return Account.objects.get(person=user)
