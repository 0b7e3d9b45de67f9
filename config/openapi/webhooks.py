"""The `webhooks` of the OpenAPI document: the body of each type of event, from the TypedDict of its data.

drf-spectacular imports each of them by its name (settings.SPECTACULAR_SETTINGS).
"""

from typing import Annotated, Any, Literal, TypedDict

from drf_spectacular.openapi import AutoSchema
from drf_spectacular.utils import OpenApiResponse, OpenApiWebhook, extend_schema

from accounts.models import WebhookEvent
from accounts.webhook_endpoints.events import MemberEvent, TestEvent
from billing.notifications import webhook_events as billing
from core.json_types import TimeText

Type = WebhookEvent.Type


def _webhook(name: str, data: Any) -> OpenApiWebhook:
    """The request that a receiver gets."""
    title = "".join(part.title() for part in name.replace("_", ".").split("."))
    fields = {"type": Annotated[str, Literal[name]], "timestamp": TimeText, "data": data}  # type: ignore[valid-type]
    body = TypedDict(f"{title}Webhook", fields)  # type: ignore[misc]
    label = Type(name).label if name in Type.values else "A test that was requested"
    described = extend_schema(
        operation_id=f"receive{title}",
        request={"application/json": body},
        responses={"2XX": OpenApiResponse(description="Received. Every other status is a failure.")},
        summary=f"{label}",
        description="Headers: `webhook-id`, `webhook-timestamp`, `webhook-signature` (Standard Webhooks).",
    )

    def decorator(view: Any) -> Any:
        view.schema = AutoSchema()  # type: ignore[no-untyped-call]  # config.openapi describes our endpoints
        return described(view)

    return OpenApiWebhook(name, decorator)


BALANCE_LOW = _webhook(Type.BALANCE_LOW.value, billing.BalanceEvent)
BALANCE_DEPLETED = _webhook(Type.BALANCE_DEPLETED.value, billing.BalanceEvent)
CREDITS_GRANTED = _webhook(Type.CREDITS_GRANTED.value, billing.GrantEvent)
CREDITS_EXPIRING = _webhook(Type.CREDITS_EXPIRING.value, billing.ExpiryEvent)
LIMIT_REACHED = _webhook(Type.LIMIT_REACHED.value, billing.LimitEvent)
PURCHASE_PAID = _webhook(Type.PURCHASE_PAID.value, billing.PurchaseEvent)
PURCHASE_FAILED = _webhook(Type.PURCHASE_FAILED.value, billing.PurchaseEvent)
PURCHASE_REFUNDED = _webhook(Type.PURCHASE_REFUNDED.value, billing.RefundEvent)
SUBSCRIPTION_CHANGED = _webhook(Type.SUBSCRIPTION_CHANGED.value, billing.SubscriptionEvent)
AUTO_TOP_UP_FAILED = _webhook(Type.AUTO_TOP_UP_FAILED.value, billing.TopUpEvent)
MEMBER_ADDED = _webhook(Type.MEMBER_ADDED.value, MemberEvent)
MEMBER_REMOVED = _webhook(Type.MEMBER_REMOVED.value, MemberEvent)
ENDPOINT_TEST = _webhook(WebhookEvent.TEST, TestEvent)
