"""Tables of the sandbox: Stripe objects, event deliveries, idempotency records, switches, e-mails.

Invariant: no table of the product refers to these tables, and they refer to no table of the product.
"""

from django.db import models


class Resource(models.Model):
    """One Stripe object (customer, charge, event …) as the API returns it, with references as ids."""

    position = models.BigAutoField(primary_key=True)  # order of creation, also within one second
    stripe_id = models.CharField(max_length=255, unique=True)
    kind = models.CharField(max_length=60)  # Stripe's `object`: "checkout.session"
    created = models.BigIntegerField()  # Unix seconds, by the object's clock
    environment = models.CharField(max_length=40, default="acct_sandbox/test")  # Stripe account and mode
    body = models.JSONField()

    class Meta:
        indexes = [models.Index(fields=["kind", "-position"], name="sandbox_resource_kind")]

    def __str__(self) -> str:
        return self.stripe_id


class Delivery(models.Model):
    """The delivery of one event to one webhook endpoint."""

    class State(models.TextChoices):
        WAITING = "waiting"
        DELIVERED = "delivered"
        GIVEN_UP = "given_up"
        LOST = "lost"  # by a switch: not sent until it is redelivered

    event = models.ForeignKey(Resource, on_delete=models.CASCADE, related_name="deliveries")
    url = models.URLField(max_length=500)
    secret = models.CharField(max_length=100)
    state = models.CharField(max_length=10, choices=State, default=State.WAITING)
    due_at = models.DateTimeField()  # next attempt; during an attempt, the end of its lease
    attempts = models.PositiveIntegerField(default=0)
    last_status = models.PositiveIntegerField(null=True)
    last_answer = models.CharField(max_length=500, blank=True)

    class Meta:
        indexes = [
            models.Index(fields=["due_at"], condition=models.Q(state="waiting"), name="sandbox_delivery_due")
        ]

    def __str__(self) -> str:
        return f"{self.event_id} to {self.url}: {self.state}"


class IdempotencyRecord(models.Model):
    """The stored response of an Idempotency-Key; null while the request is in progress."""

    key = models.CharField(max_length=255, unique=True)
    fingerprint = models.CharField(max_length=64)
    started_at = models.DateTimeField()
    request_id = models.CharField(max_length=40)
    status = models.PositiveIntegerField(null=True)
    answer = models.JSONField(null=True)

    def __str__(self) -> str:
        return self.key


class Switch(models.Model):
    """A fault that is switched on, for a number of occurrences or until it is switched off (-1)."""

    name = models.CharField(max_length=30, unique=True)
    remaining = models.IntegerField(default=0)
    seconds = models.PositiveIntegerField(default=0)

    def __str__(self) -> str:
        return f"{self.name}: {self.remaining}"


class Due(models.Model):
    """An action that runs later on an object: a refund fails, a payment settles."""

    stripe_id = models.CharField(max_length=255)
    action = models.CharField(max_length=30)
    due_at = models.DateTimeField()

    class Meta:
        indexes = [models.Index(fields=["due_at"], name="sandbox_due_at")]

    def __str__(self) -> str:
        return f"{self.action} {self.stripe_id}"


class Mail(models.Model):
    """An e-mail of the product, stored instead of being sent."""

    sender = models.CharField(max_length=320)
    recipients = models.JSONField()
    subject = models.CharField(max_length=998)
    text = models.TextField(blank=True)
    html = models.TextField(blank=True)
    headers = models.JSONField(default=dict)
    attachments = models.JSONField(default=list)  # names and sizes only
    created_at = models.DateTimeField()

    class Meta:
        indexes = [models.Index(fields=["-created_at"], name="sandbox_mail_newest")]

    def __str__(self) -> str:
        return self.subject
