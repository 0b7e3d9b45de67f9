"""/webhook-endpoints and /webhook-deliveries: who receives events, and what was sent."""

from uuid import UUID

from django.http import HttpResponse
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request

from accounts.api import webhook_schemas as schemas
from accounts.authentication import account_of, object_of, principal_of
from accounts.models import Account, WebhookDelivery, WebhookEndpoint, WebhookEvent
from accounts.webhook_endpoints import deliveries, endpoints, events
from core import json_body, problems
from core.endpoint import Endpoint, query_of
from core.fields import AccountNamed, instant, instant_or_none
from core.pagination import Page, page


class WebhookEndpoints(Endpoint):
    """Endpoints that receive events."""

    scopes = {"GET": "manage", "POST": "manage"}
    raises = {"POST": (endpoints.TooManyEndpoints,)}

    @extend_schema(parameters=[schemas.EndpointsQuery], responses=Page[schemas.WebhookEndpointAnswer])
    def get(self, request: Request) -> HttpResponse:
        """Endpoints that receive events, newest first."""
        query = query_of(request, schemas.EndpointsQuery)
        rows = endpoints.endpoints_of(_owner(request, query.get("account")))
        rows = rows.prefetch_related("former_secrets")
        return json_body.answer(page(rows, query, keys=("created_at", "id"), build=_endpoint))

    @extend_schema(request=schemas.EndpointInput, responses={201: schemas.WebhookEndpointAnswer})
    def post(self, request: Request) -> HttpResponse:
        """Create an endpoint; only this response has its secret."""
        body = schemas.EndpointInput.checked(request.data)
        owner = _owner(request, body.get("account"))
        issued = endpoints.create(
            account=Account.objects.get(pk=owner) if owner else None,
            url=body["url"],
            events=body.get("events", WebhookEvent.Type.values),
            description=body.get("description", ""),
            now=self.now,
        )
        return json_body.answer(_issued(issued), 201)


class OneWebhookEndpoint(Endpoint):
    """Change or delete an endpoint."""

    scopes = {"PATCH": "manage", "DELETE": "manage"}
    path_ids = {"webhook_endpoint": WebhookEndpoint}

    @extend_schema(request=schemas.EndpointChange, responses=schemas.WebhookEndpointAnswer)
    def patch(self, request: Request, webhook_endpoint: str) -> HttpResponse:
        """Change, enable or disable an endpoint."""
        body = schemas.EndpointChange.checked(request.data)
        changed = endpoints.change(
            _named(request, webhook_endpoint, body.pop("account", None)),
            now=self.now,
            **body,
        )
        return json_body.answer(_endpoint(changed))

    @extend_schema(parameters=[schemas.OwnerQuery], responses={204: None})
    def delete(self, request: Request, webhook_endpoint: str) -> HttpResponse:
        """Delete an endpoint with its deliveries."""
        query_of(request, schemas.OwnerQuery)
        endpoints.delete(_named(request, webhook_endpoint))
        return HttpResponse(status=204)


class RotateWebhookSecret(Endpoint):
    """Replace the signing secret of an endpoint.

    For 24 hours deliveries are signed with the old one too.
    """

    scopes = {"POST": "manage"}
    raises = {"POST": (endpoints.TooManySecrets,)}
    path_ids = {"webhook_endpoint": WebhookEndpoint}

    @extend_schema(request=AccountNamed, responses=schemas.WebhookEndpointAnswer)
    def post(self, request: Request, webhook_endpoint: str) -> HttpResponse:
        body = AccountNamed.checked(request.data)
        found = _named(request, webhook_endpoint, body.get("account"))
        return json_body.answer(_issued(endpoints.rotate_secret(found, self.now)))


class TestWebhookEndpoint(Endpoint):
    """Send a test event to an endpoint.

    The delivery log shows the answer.
    """

    scopes = {"POST": "manage"}
    raises = {"POST": (deliveries.EndpointDisabled, deliveries.TooManyRequested)}
    path_ids = {"webhook_endpoint": WebhookEndpoint}

    @extend_schema(request=AccountNamed, responses={202: schemas.WebhookDeliveryAnswer})
    def post(self, request: Request, webhook_endpoint: str) -> HttpResponse:
        body = AccountNamed.checked(request.data)
        found = _named(request, webhook_endpoint, body.get("account"))
        return json_body.answer(_delivery(deliveries.send_test(found, self.now)), 202)


class WebhookDeliveries(Endpoint):
    """The delivery log of webhooks, newest first.

    Events with the answer to the last attempt, kept for 30 days.
    """

    scopes = {"GET": "manage"}

    @extend_schema(parameters=[schemas.DeliveriesQuery], responses=Page[schemas.WebhookDeliveryAnswer])
    def get(self, request: Request) -> HttpResponse:
        query = query_of(request, schemas.DeliveriesQuery)
        owned = endpoints.endpoints_of(_owner(request, query.get("account")))
        if "endpoint" in query:
            named = WebhookEndpoint.uuid_of(query["endpoint"])
            owned = owned.filter(pk=named) if named else owned.none()
        rows = WebhookDelivery.objects.filter(endpoint__in=owned).select_related("event")
        if "status" in query:
            rows = rows.filter(status=query["status"])
        return json_body.answer(page(rows, query, keys=("created_at", "id"), build=_delivery))


class RedeliverWebhook(Endpoint):
    """Send the event of a finished delivery again.

    It is a new delivery with the same `webhook-id`, sent at once.
    """

    scopes = {"POST": "manage"}
    raises = {"POST": (deliveries.DeliveryPending, deliveries.EndpointDisabled, deliveries.TooManyRequested)}
    path_ids = {"webhook_delivery": WebhookDelivery}

    @extend_schema(request=AccountNamed, responses={202: schemas.WebhookDeliveryAnswer})
    def post(self, request: Request, webhook_delivery: str) -> HttpResponse:
        body = AccountNamed.checked(request.data)
        found = WebhookDelivery.with_public_id(webhook_delivery)
        if found is None:
            raise problems.not_found()
        # the delivery belongs to whom its endpoint belongs
        _named(request, WebhookEndpoint.public_id_of(found.endpoint_id), body.get("account"))
        return json_body.answer(_delivery(deliveries.redeliver(found, self.now)), 202)


def _owner(request: Request, named: str | None) -> UUID | None:
    """The account whose endpoints are meant; None: the platform's, for a platform key that names none."""
    if named is None and principal_of(request).account_id is None:
        return None
    return account_of(request, named)


def _named(request: Request, public_id: str, named: str | None = None) -> WebhookEndpoint:
    """The endpoint that the path names, of the account of the request or of the platform."""
    value = WebhookEndpoint.uuid_of(public_id)
    if value and _owner(request, named or request.query_params.get("account")) is None:
        of_platform = endpoints.endpoints_of(None).filter(pk=value).first()
        if of_platform is not None:
            return of_platform
    return object_of(request, WebhookEndpoint, public_id, named)


def _issued(issued: endpoints.Issued) -> schemas.WebhookEndpointAnswer:
    return {**_endpoint(issued.endpoint), "secret": issued.secret}


def _endpoint(endpoint: WebhookEndpoint) -> schemas.WebhookEndpointAnswer:
    return {
        "id": endpoint.public_id,
        "account": Account.public_id_of(endpoint.account_id),
        "url": endpoint.url,
        "description": endpoint.description,
        "events": endpoint.events,
        "enabled": endpoint.disabled_at is None,
        "disabled_at": instant_or_none(endpoint.disabled_at),
        "disabled_reason": endpoint.disabled_reason or None,
        "previous_secret_until": instant_or_none(endpoints.overlap_ends(endpoint)),
        "created_at": instant(endpoint.created_at),
    }


def _delivery(delivery: WebhookDelivery) -> schemas.WebhookDeliveryAnswer:
    event = delivery.event
    response: schemas.WebhookResponse | None = None
    if delivery.duration_ms is not None:
        response = {
            "status": delivery.response_status,
            "body": delivery.response_body,
            "error": delivery.error or None,
            "duration_ms": delivery.duration_ms,
        }
    return {
        "id": delivery.public_id,
        "endpoint": WebhookEndpoint.public_id_of(delivery.endpoint_id),
        "event": {
            "id": event.public_id,
            "type": event.type,
            "account": Account.public_id_of(event.account_id),
            "created_at": instant(event.created_at),
        },
        "status": delivery.status,
        "attempts": delivery.attempts,
        "attempted_at": instant_or_none(delivery.attempted_at),
        "next_attempt_at": instant_or_none(delivery.due_at),
        "request": events.body_of(event),
        "response": response,
        "created_at": instant(delivery.created_at),
    }
