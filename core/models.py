"""Model fields and base classes that all apps share."""

import uuid
from typing import Any, ClassVar, Self, overload

from django.core.validators import MaxValueValidator
from django.db import models
from django.utils.translation import gettext_lazy as _

from core import amounts, ids


class Identified(models.Model):
    """A row with a time-ordered UUID as primary key and a prefixed public id (see core.ids)."""

    PREFIX: ClassVar[str]

    id = models.UUIDField(primary_key=True, default=ids.new_id, editable=False)

    class Meta:
        abstract = True

    @property
    def public_id(self) -> str:
        return ids.public_id(prefix=self.PREFIX, value=self.id)

    @overload
    @classmethod
    def public_id_of(cls, value: uuid.UUID) -> str: ...
    @overload
    @classmethod
    def public_id_of(cls, value: uuid.UUID | None) -> str | None: ...
    @classmethod
    def public_id_of(cls, value: uuid.UUID | None) -> str | None:
        """The public id for a primary key; None for None."""
        return None if value is None else ids.public_id(prefix=cls.PREFIX, value=value)

    @classmethod
    def uuid_of(cls, text: str) -> uuid.UUID | None:
        """The primary key behind a public id of this kind; None when the text is not such an id."""
        return ids.parse_public_id(text, prefix=cls.PREFIX)

    @classmethod
    def with_public_id(cls, text: str) -> Self | None:
        value = cls.uuid_of(text)
        return None if value is None else cls._default_manager.filter(pk=value).first()


class CreditsField(models.DecimalField):
    """An amount of credits: exact, six places, numeric(20,6) in the database.

    Forms refuse more than core.amounts.LARGEST.
    """

    default_validators = [MaxValueValidator(amounts.LARGEST)]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs["max_digits"] = 20
        kwargs["decimal_places"] = 6
        super().__init__(*args, **kwargs)

    def deconstruct(self) -> Any:
        name, path, args, kwargs = super().deconstruct()
        del kwargs["max_digits"], kwargs["decimal_places"]
        return name, path, args, kwargs


class KeptAnswer(models.Model):
    """The stored response for an idempotency key (see core.idempotency)."""

    owner = models.UUIDField(help_text="The account, or the API key if there was no account yet.")
    endpoint = models.CharField(max_length=200)
    key = models.CharField(max_length=255)
    fingerprint = models.BinaryField(max_length=32)
    status = models.PositiveSmallIntegerField()
    body = models.TextField()
    created_at = models.DateTimeField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["owner", "endpoint", "key"], name="answered_once")]

    def __str__(self) -> str:
        return f"{self.endpoint} {self.key}"


class RateWindow(models.Model):
    """The number of requests of a caller in the current window (see core.rate_limit)."""

    identity = models.CharField(max_length=100, primary_key=True)
    window_start = models.BigIntegerField(help_text="Seconds since 1970.")
    used = models.BigIntegerField(
        default=0, help_text="Permits reserved by processes, including those beyond the quota."
    )

    def __str__(self) -> str:
        return f"{self.identity}: {self.used}"


class DailyRun(models.Model):
    """When work that runs once a day began last (core.daily)."""

    name = models.CharField(max_length=40, primary_key=True)
    began_at = models.DateTimeField()

    def __str__(self) -> str:
        return f"{self.name} at {self.began_at:%Y-%m-%d %H:%M}"


class Lease(models.Model):
    """A lock that ends by itself (core.locks); the id is a hash of its name."""

    id = models.BigIntegerField(primary_key=True)
    holder = models.UUIDField()
    expires_at = models.DateTimeField()

    def __str__(self) -> str:
        return f"lease {self.id}"


class StaffAct(Identified):
    """What a member of staff did in the admin (core.staff_acts). Append-only: triggers refuse all changes.

    Ids have no foreign keys: a record stays when what it names is deleted.
    """

    PREFIX = "act"

    actor_id = models.UUIDField()
    act = models.CharField(max_length=60)
    subject_type = models.CharField(max_length=60, blank=True, help_text="Such as accounts.user.")
    subject_id = models.CharField(max_length=64, blank=True)
    account_id = models.UUIDField(null=True, blank=True)
    reason = models.TextField(blank=True)
    before = models.JSONField(default=dict)
    after = models.JSONField(default=dict)
    created_at = models.DateTimeField()

    class Meta:
        verbose_name = _("Staff act")
        verbose_name_plural = _("Audit log")
        indexes = [
            models.Index(fields=["account_id", "created_at"], name="act_account"),
            models.Index(fields=["actor_id", "created_at"], name="act_actor"),
            models.Index(fields=["created_at"], name="act_time"),
        ]

    def __str__(self) -> str:
        return self.act
