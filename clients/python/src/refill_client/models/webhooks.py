"""Endpoints that receive webhooks, and deliveries."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class WebhookEndpoint:
    """`account` is None for an endpoint of the platform, which gets events of all accounts."""

    id: str
    account: str | None
    url: str
    description: str
    events: list[str]
    enabled: bool
    disabled_at: datetime | None
    disabled_reason: str | None
    previous_secret_until: datetime | None
    created_at: datetime
    secret: str | None = None
    """Only in the answer to its creation or rotation."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WebhookEventOfDelivery:
    id: str
    type: str
    account: str | None
    created_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class WebhookResponse:
    """What the receiver answered to the last attempt."""

    status: int | None
    body: str
    error: str | None
    duration_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class WebhookDelivery:
    """An event for one endpoint. `status`: pending, delivered or failed."""

    id: str
    endpoint: str
    event: WebhookEventOfDelivery
    status: str
    attempts: int
    attempted_at: datetime | None
    next_attempt_at: datetime | None
    request: str
    response: WebhookResponse | None
    created_at: datetime
