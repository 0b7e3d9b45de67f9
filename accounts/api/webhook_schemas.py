"""Request and response bodies of the endpoints of webhooks."""

from typing import Annotated, Any, Literal, NotRequired, TypedDict

from rest_framework import serializers

from accounts.models import Account, WebhookDelivery, WebhookEndpoint, WebhookEvent
from core.fields import AccountNamed, AccountQuery, Flag, StrictSerializer, Text
from core.json_types import Pattern, TimeText, id_of
from core.pagination import PageQuery

OWNER_HELP = "For platform keys: id or external id. Without it: the endpoints of the platform."


class EventTypes(serializers.ListField):
    """Types of events, at least one."""

    def __init__(self, **options: Any) -> None:
        super().__init__(
            child=serializers.ChoiceField(choices=WebhookEvent.Type.choices),
            min_length=1,
            max_length=len(WebhookEvent.Type),
            **options,
        )


class OwnerQuery(AccountQuery):
    account = serializers.CharField(required=False, max_length=255, help_text=OWNER_HELP)


class EndpointsQuery(PageQuery):
    account = serializers.CharField(required=False, max_length=255, help_text=OWNER_HELP)


class DeliveriesQuery(EndpointsQuery):
    endpoint = Text(
        pattern=id_of(WebhookEndpoint).regex, required=False, max_length=64, help_text="Its deliveries only."
    )
    status = serializers.ChoiceField(required=False, choices=WebhookDelivery.Status.values)


class EndpointInput(StrictSerializer):
    account = Text(required=False, max_length=255, help_text=OWNER_HELP)
    url = Text(max_length=2000, help_text="https, without user name and fragment.")
    events = EventTypes(required=False, help_text="Default: all types.")
    description = Text(required=False, max_length=200, allow_blank=True)


class EndpointChange(AccountNamed):
    url = Text(required=False, max_length=2000)
    events = EventTypes(required=False)
    description = Text(required=False, max_length=200, allow_blank=True)
    enabled = Flag(required=False, help_text="An endpoint that is enabled again receives what was pending.")


class WebhookEndpointAnswer(TypedDict):
    """`account` is null for an endpoint of the platform, which gets events of all accounts."""

    id: Annotated[str, id_of(WebhookEndpoint)]
    account: Annotated[str, id_of(Account)] | None
    url: str
    description: str
    events: list[Annotated[str, WebhookEvent.Type]]
    enabled: bool
    disabled_at: TimeText | None
    disabled_reason: Annotated[str, WebhookEndpoint.DisabledReason] | None
    previous_secret_until: Annotated[TimeText | None, "Until then former secrets sign deliveries too."]
    created_at: TimeText
    secret: NotRequired[Annotated[str, "`whsec_…`. Only in the answer that creates it."]]


class WebhookEventOfDelivery(TypedDict):
    id: Annotated[str, "The `webhook-id` header, the same at each attempt.", Pattern("^evt_[0-9a-f]{32}$")]
    type: str
    account: Annotated[str, id_of(Account)] | None
    created_at: TimeText


class WebhookResponse(TypedDict):
    """What the receiver answered to the last attempt."""

    status: int | None
    body: Annotated[str, "At most 2,000 characters."]
    error: Annotated[str | None, "Why there was no valid answer."]
    duration_ms: int


class WebhookDeliveryAnswer(TypedDict):
    id: Annotated[str, id_of(WebhookDelivery)]
    endpoint: Annotated[str, id_of(WebhookEndpoint)]
    event: WebhookEventOfDelivery
    status: Annotated[str, Literal["pending", "delivered", "failed"]]
    attempts: int
    attempted_at: TimeText | None
    next_attempt_at: Annotated[TimeText | None, "Null also while an earlier event of the account is pending."]
    request: Annotated[str, "The body of the request."]
    response: WebhookResponse | None
    created_at: TimeText
