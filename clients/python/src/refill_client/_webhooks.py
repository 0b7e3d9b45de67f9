"""Endpoints that receive webhooks, and the delivery log. Each function returns a call."""

from __future__ import annotations

from collections.abc import Sequence

from refill_client._calls import Call, Page, get_page, path, post, reader
from refill_client._decoding import given
from refill_client.models import WebhookDelivery, WebhookEndpoint


def webhook_endpoints(*, account: str | None = None, limit: int | None = None) -> Call[Page[WebhookEndpoint]]:
    """Endpoints of the account; with a platform key that names no account, those of the platform."""
    return get_page("/webhook-endpoints", WebhookEndpoint, account=account, limit=limit)


def create_webhook_endpoint(
    url: str,
    *,
    events: Sequence[str] | None = None,
    description: str | None = None,
    account: str | None = None,
) -> Call[WebhookEndpoint]:
    """Create an endpoint for these types of events (default: all). Only this answer has its `secret`."""
    body = {"url": url, "events": _listed(events), "description": description, "account": account}
    return post("/webhook-endpoints", WebhookEndpoint, body)


def update_webhook_endpoint(
    webhook_endpoint: str,
    *,
    url: str | None = None,
    events: Sequence[str] | None = None,
    description: str | None = None,
    enabled: bool | None = None,
    account: str | None = None,
) -> Call[WebhookEndpoint]:
    """Change an endpoint. One that is enabled again receives what was pending."""
    body = {"url": url, "events": _listed(events), "description": description, "enabled": enabled}
    body["account"] = account
    return Call(
        "PATCH", path("webhook-endpoints", webhook_endpoint), reader(WebhookEndpoint), body=given(body)
    )


def delete_webhook_endpoint(webhook_endpoint: str, *, account: str | None = None) -> Call[None]:
    """Delete an endpoint with its deliveries."""
    query = given({"account": account})
    at = path("webhook-endpoints", webhook_endpoint)
    return Call("DELETE", at, reader(None), query=query, repeatable=False)


def rotate_webhook_secret(webhook_endpoint: str, *, account: str | None = None) -> Call[WebhookEndpoint]:
    """Replace the secret; the answer has the new one. For 24 hours deliveries are signed with both."""
    at = path("webhook-endpoints", webhook_endpoint, "rotate-secret")
    return post(at, WebhookEndpoint, {"account": account})


def test_webhook_endpoint(webhook_endpoint: str, *, account: str | None = None) -> Call[WebhookDelivery]:
    """Send an event of the type `endpoint.test`."""
    return post(path("webhook-endpoints", webhook_endpoint, "test"), WebhookDelivery, {"account": account})


def webhook_deliveries(
    *,
    endpoint: str | None = None,
    status: str | None = None,
    account: str | None = None,
    limit: int | None = None,
) -> Call[Page[WebhookDelivery]]:
    """Deliveries, newest first. `status`: pending, delivered or failed."""
    query = {"endpoint": endpoint, "status": status, "account": account, "limit": limit}
    return get_page("/webhook-deliveries", WebhookDelivery, **query)


def redeliver_webhook(webhook_delivery: str, *, account: str | None = None) -> Call[WebhookDelivery]:
    """Send the event of a delivery again, with the same `webhook-id`."""
    at = path("webhook-deliveries", webhook_delivery, "redeliver")
    return post(at, WebhookDelivery, {"account": account})


def _listed(events: Sequence[str] | None) -> list[str] | None:
    return None if events is None else list(events)
