"""Parts of the settings about outgoing webhooks (accounts.webhook_endpoints)."""

from typing import Any

from django.core.exceptions import ImproperlyConfigured

from config import broker

_SEND = "accounts.tasks.send_webhooks"
# A queue and a process of their own (Procfile): receivers that are slow delay nothing else.
ROUTES = {_SEND: {"queue": broker.WEBHOOK_QUEUE}}
SCHEDULE: dict[str, dict[str, Any]] = {
    "webhooks": {"task": _SEND, "schedule": 5.0, "options": {"expires": 10}},
    "webhooks-purge": {
        "task": "accounts.tasks.purge_webhooks",
        "schedule": 600.0,
        "options": {"expires": 60},
    },
}
IN_OPENAPI = [
    f"config.openapi.webhooks.{name}"
    for name in (
        "BALANCE_LOW",
        "BALANCE_DEPLETED",
        "CREDITS_GRANTED",
        "CREDITS_EXPIRING",
        "LIMIT_REACHED",
        "PURCHASE_PAID",
        "PURCHASE_FAILED",
        "PURCHASE_REFUNDED",
        "SUBSCRIPTION_CHANGED",
        "AUTO_TOP_UP_FAILED",
        "MEMBER_ADDED",
        "MEMBER_REMOVED",
        "ENDPOINT_TEST",
    )
]


def checked(private_addresses: str) -> str:
    """Which endpoints may have private addresses, and http there: none, those of the platform, all."""
    if private_addresses not in {"none", "platform", "all"}:
        raise ImproperlyConfigured("WEBHOOK_PRIVATE_ADDRESSES is none, platform or all.")
    return private_addresses
