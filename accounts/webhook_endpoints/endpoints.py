"""Endpoints: create, change, rotate the secret, delete, disable.

Invariants: a secret is returned once, by `create` or `rotate_secret`, and stored encrypted; a secret that was
replaced signs deliveries too for ROTATION_OVERLAP, whatever rotations follow; an owner has at most
MOST_ENDPOINTS.
"""

import base64
import secrets
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Annotated, TypedDict
from uuid import UUID

from django.db import transaction
from django.db.models import Min, Q, QuerySet
from django.dispatch import Signal
from django.shortcuts import get_object_or_404
from django.utils.translation import gettext as _

from accounts import encryption
from accounts.models import Account, WebhookDelivery, WebhookEndpoint, WebhookEvent
from accounts.webhook_endpoints import targets
from core import locks
from core.errors import DomainError
from core.fields import instant
from core.json_types import TimeText

Reason = WebhookEndpoint.DisabledReason
MOST_ENDPOINTS = 10
ROTATION_OVERLAP = timedelta(hours=24)
MOST_SECRETS = 5  # of an endpoint that sign at the same time: each is a signature in the header
SECRET_BYTES = 32

# Sent in the transaction that disables an endpoint, unless a user did. Receivers get `endpoint` and `now`.
endpoint_disabled = Signal()


class TooManyEndpoints(DomainError):
    """The account, or the platform, has the largest number of endpoints."""

    code, status = "too_many_webhook_endpoints", 409

    def detail(self) -> str:
        return _("There are %(most)d webhook endpoints already. Delete one first.") % {"most": MOST_ENDPOINTS}


class SecretsEnd(TypedDict):
    first_ends_at: Annotated[TimeText, "When the oldest secret ends, and the endpoint can have a new one."]


class TooManySecrets(DomainError):
    """The largest number of secrets sign the deliveries of the endpoint."""

    code, status = "too_many_webhook_secrets", 409

    def __init__(self, first_ends_at: datetime) -> None:
        super().__init__()
        self.first_ends_at = first_ends_at

    def detail(self) -> str:
        return _(
            "%(most)d secrets sign the deliveries of this endpoint already. "
            "Each ends 24 hours after it was replaced; rotate again then."
        ) % {"most": MOST_SECRETS}

    def extra(self) -> SecretsEnd:
        return {"first_ends_at": instant(self.first_ends_at)}


@dataclass(frozen=True, slots=True)
class Issued:
    """An endpoint with its new secret, which is available only here."""

    endpoint: WebhookEndpoint
    secret: str


def create(
    *, account: Account | None, url: str, events: Collection[str], description: str, now: datetime
) -> Issued:
    """Create an endpoint of an account, or of the platform (None). Raises UrlRefused, TooManyEndpoints."""
    targets.parsed(url, private=targets.private_allowed(is_platform=account is None))
    secret = _new_secret()
    with transaction.atomic():
        if account is not None:  # concurrent requests count one after the other
            Account.objects.select_for_update(no_key=True).get(pk=account.pk)
        else:
            locks.lock_in_transaction("webhooks: endpoints of the platform")
        if WebhookEndpoint.objects.filter(account=account).count() >= MOST_ENDPOINTS:
            raise TooManyEndpoints
        endpoint = WebhookEndpoint.objects.create(
            account=account,
            url=url,
            description=description,
            events=_in_order(events),
            secret=encryption.encrypt(secret),
            created_at=now,
        )
    return Issued(endpoint, secret)


def change(
    endpoint: WebhookEndpoint,
    *,
    now: datetime,
    url: str | None = None,
    events: Collection[str] | None = None,
    description: str | None = None,
    enabled: bool | None = None,
) -> WebhookEndpoint:
    """Change what is not None. An endpoint that is enabled again receives what was pending.

    Raises UrlRefused.
    """
    if url is not None:
        targets.parsed(url, private=is_private_allowed(endpoint))
    with transaction.atomic():
        endpoint = locked(endpoint.pk)
        if url is not None and url != endpoint.url:
            endpoint.url = url
            _begin_anew(endpoint, now)
        if events is not None:
            endpoint.events = _in_order(events)
        if description is not None:
            endpoint.description = description
        if enabled is False and endpoint.disabled_at is None:
            endpoint.disabled_at, endpoint.disabled_reason = now, Reason.MANUAL
        elif enabled and endpoint.disabled_at is not None:
            endpoint.disabled_at, endpoint.disabled_reason = None, ""
            _begin_anew(endpoint, now)
        endpoint.save()
    return endpoint


def rotate_secret(endpoint: WebhookEndpoint, now: datetime) -> Issued:
    """Replace the secret. Deliveries are signed with the old one too for ROTATION_OVERLAP.

    Raises TooManySecrets.
    """
    secret = _new_secret()
    with transaction.atomic():
        endpoint = locked(endpoint.pk)
        endpoint.former_secrets.filter(ends_at__lte=now).delete()
        former = endpoint.former_secrets.order_by("ends_at")
        if len(former) >= MOST_SECRETS - 1:
            raise TooManySecrets(former[0].ends_at)
        endpoint.former_secrets.create(secret=endpoint.secret, ends_at=now + ROTATION_OVERLAP)
        endpoint.secret = encryption.encrypt(secret)
        endpoint.save(update_fields=["secret"])
    return Issued(endpoint, secret)


def delete(endpoint: WebhookEndpoint) -> None:
    """Delete an endpoint with its deliveries."""
    with transaction.atomic():
        # Without the lock a sender adds or finishes a delivery at the same time.
        for found in WebhookEndpoint.objects.select_for_update(no_key=True).filter(pk=endpoint.pk):
            found.delete()


def disable(endpoint: WebhookEndpoint, reason: Reason, now: datetime) -> None:
    """Disable a locked endpoint that does not work; its owners get an e-mail. The caller saves it."""
    endpoint.disabled_at, endpoint.disabled_reason = now, reason
    endpoint_disabled.send(sender=WebhookEndpoint, endpoint=endpoint, now=now)


def secrets_of(endpoint: WebhookEndpoint, now: datetime) -> list[str]:
    """The secrets that sign a delivery now, the newest first. Raises encryption.Unreadable."""
    former = endpoint.former_secrets.filter(ends_at__gt=now).order_by("-ends_at", "-pk")
    stored = [endpoint.secret, *former.values_list("secret", flat=True)]
    return [encryption.decrypt(secret) for secret in stored]


def overlap_ends(endpoint: WebhookEndpoint) -> datetime | None:
    """When the newest of the secrets that were replaced ends; None where none is stored."""
    return max((former.ends_at for former in endpoint.former_secrets.all()), default=None)


def is_private_allowed(endpoint: WebhookEndpoint) -> bool:
    return targets.private_allowed(is_platform=endpoint.account_id is None)


def endpoints_of(account_id: UUID | None) -> QuerySet[WebhookEndpoint]:
    """The endpoints of an account; of the platform for None."""
    every = WebhookEndpoint.objects.all()
    return every.filter(account=None) if account_id is None else every.filter(account_id=account_id)


def locked(endpoint_id: UUID) -> WebhookEndpoint:
    """The endpoint with its row locked. Every change of its pending deliveries begins here.

    Raises Http404 when it was deleted meanwhile.
    """
    return get_object_or_404(WebhookEndpoint.objects.select_for_update(no_key=True), pk=endpoint_id)


def _begin_anew(endpoint: WebhookEndpoint, now: datetime) -> None:
    """Forget failures, and make the first pending delivery of each lane due now."""
    endpoint.failures, endpoint.failing_since, endpoint.failed_at, endpoint.next_at = 0, None, None, now
    pending = endpoint.deliveries.filter(status=WebhookDelivery.Status.PENDING)
    waiting = pending.filter(Q(claimed_until=None) | Q(claimed_until__lte=now))
    first = pending.exclude(lane=None).values("lane").annotate(first=Min("event_id")).values("first")
    waiting.filter(Q(lane=None) | Q(event_id__in=first)).update(due_at=now, attempts=0)


def _in_order(events: Collection[str]) -> list[str]:
    return [one for one in WebhookEvent.Type.values if one in events]


def _new_secret() -> str:
    return "whsec_" + base64.b64encode(secrets.token_bytes(SECRET_BYTES)).decode()
