"""The loaded catalogue.

Invariant: there is at most one row; its `stamp` changes with every change of a price or an offer, so that
processes can check with one small read whether their cache is current.
"""

import uuid

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Q


class Catalogue(models.Model):
    """The catalogue loaded last: brand, wording and policies (schema: pricing.catalogue.policies)."""

    THE_ONE = 1

    id = models.PositiveSmallIntegerField(primary_key=True, default=THE_ONE, editable=False)
    key = models.CharField(max_length=100)
    currencies = ArrayField(
        models.CharField(max_length=3), help_text="ISO 4217, lower case; the first is the default."
    )
    brand = models.JSONField(default=dict)
    wording = models.JSONField(default=dict)
    policies = models.JSONField(default=dict)
    translations = models.JSONField(
        default=dict, db_default={}, help_text='By language: {"zh-hans": {"Daily refresh": "每日刷新"}}.'
    )
    fingerprint = models.CharField(max_length=64, help_text="SHA-256 of the content loaded last.")
    rates = models.JSONField(default=dict, help_text="SHA-256 of each service's rate in the file.")
    offers = models.JSONField(
        default=dict,
        db_default={},
        help_text="SHA-256 of each plan, pack and sale in the file, by key.",
    )
    stamp = models.UUIDField(default=uuid.uuid4)
    loaded_at = models.DateTimeField()

    class Meta:
        constraints = [models.CheckConstraint(condition=Q(id=1), name="catalogue_is_one")]

    def __str__(self) -> str:
        return self.key
