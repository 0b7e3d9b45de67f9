"""The one row that says which product this installation is.

Invariant: there is at most one row; its `stamp` changes with everything that could change a price or an
offer, so that every process can tell by one small read whether what it remembers still holds.
"""

import uuid

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Q


class Catalogue(models.Model):
    """What was loaded last: the product's name, wording and policies (shapes: pricing.policies)."""

    THE_ONE = 1

    id = models.PositiveSmallIntegerField(primary_key=True, default=THE_ONE, editable=False)
    key = models.CharField(max_length=100)
    currencies = ArrayField(
        models.CharField(max_length=3), help_text="ISO 4217, lower case; the first is the default."
    )
    brand = models.JSONField(default=dict)
    wording = models.JSONField(default=dict)
    policies = models.JSONField(default=dict)
    fingerprint = models.CharField(max_length=64, help_text="SHA-256 of what was loaded last.")
    rates = models.JSONField(default=dict, help_text="SHA-256 of the rate that the file gave each service.")
    stamp = models.UUIDField(default=uuid.uuid4)
    loaded_at = models.DateTimeField()

    class Meta:
        constraints = [models.CheckConstraint(condition=Q(id=1), name="catalogue_is_one")]

    def __str__(self) -> str:
        return self.key
