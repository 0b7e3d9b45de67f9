"""Stripe webhook endpoint.

Invariant: 2xx means that the event is stored and either applied, ignored or quarantined for staff, as
malformed events are; any other status makes Stripe deliver the event again.
"""

from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_POST

from billing import stripe_gateway
from billing.models import StripeEvent
from billing.webhooks import events


@csrf_exempt  # authenticated by Stripe's signature
@require_POST
def webhook(request: HttpRequest) -> HttpResponse:
    """Verify, store, commit, apply."""
    now = timezone.now()
    try:
        event = events.receive(request.body, request.headers.get("Stripe-Signature"), now)
    except stripe_gateway.SignatureVerificationError:
        return HttpResponse("signature invalid", status=400, content_type="text/plain")
    except events.WrongStripeAccount:
        return HttpResponse("not for this site", status=400, content_type="text/plain")
    event = events.process(event.pk, now)
    failed = event.state == StripeEvent.State.FAILED
    return HttpResponse(event.state, status=500 if failed else 200, content_type="text/plain")
