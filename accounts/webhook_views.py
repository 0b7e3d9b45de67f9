"""The pages of webhooks: endpoints, their secrets and the delivery log. For owners and billing members.

Invariant: a secret is shown only in the response that created it.
"""

import uuid

from django.contrib import messages
from django.http import Http404, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.debug import sensitive_variables
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from accounts import access
from accounts.access import account_page
from accounts.forms import WebhookForm
from accounts.http import AccountRequest
from accounts.models import WebhookDelivery, WebhookEndpoint, WebhookEvent
from accounts.webhook_endpoints import deliveries, endpoints, events
from core.errors import DomainError

MADE = "webhook_made"  # session key: the form whose secret was shown last
LOGGED = 50  # deliveries on the page of an endpoint


@require_http_methods(["GET", "POST"])
@account_page
@access.buyers_only
@sensitive_variables("issued")
def webhooks_page(request: AccountRequest) -> HttpResponse:
    """List the endpoints; create one. The response shows the secret, so there is no redirect."""
    every = {"once": uuid.uuid4().hex, "events": WebhookEvent.Type.values}
    form = WebhookForm(request.POST or None, initial=every)
    issued = None
    if request.method == "POST" and form.is_valid():
        if _is_reload(request, form.cleaned_data["once"]):
            return redirect("webhooks")
        issued = _create(request, form)
    rows = endpoints.endpoints_of(request.account.pk).order_by("-created_at")
    context = {"endpoints": rows, "form": form, "issued": issued}
    return render(request, "accounts/webhooks.html", context, status=422 if form.errors else 200)


def _create(request: AccountRequest, form: WebhookForm) -> endpoints.Issued | None:
    """The new endpoint, or None with the error on the form."""
    try:
        issued = endpoints.create(account=request.account, now=timezone.now(), **form.terms)
    except DomainError as error:
        form.add_error(error.field or None, error.detail())
        return None
    request.session[MADE] = form.cleaned_data["once"]
    return issued


@require_http_methods(["GET", "POST"])
@account_page
@access.buyers_only
def webhook_page(request: AccountRequest, public_id: str) -> HttpResponse:
    """An endpoint with its delivery log; POST changes it."""
    endpoint = _endpoint(request, public_id)
    form = WebhookForm(
        request.POST or None,
        initial={"url": endpoint.url, "events": endpoint.events, "description": endpoint.description},
    )
    if request.method == "POST" and form.is_valid():
        try:
            endpoints.change(endpoint, now=timezone.now(), **form.terms)
        except DomainError as error:
            form.add_error(error.field or None, error.detail())
        else:
            messages.success(request, _("The endpoint was saved."))
            return redirect("webhook", public_id)
    log = endpoint.deliveries.select_related("event").order_by("-created_at", "-id")[:LOGGED]
    context = {
        "endpoint": endpoint,
        "form": form,
        "deliveries": log,
        "former_secrets_end": endpoints.overlap_ends(endpoint),
        "now": timezone.now(),
    }
    return render(request, "accounts/webhook.html", context, status=422 if form.errors else 200)


@require_http_methods(["GET", "POST"])
@account_page
@access.buyers_only
@sensitive_variables("issued")
def rotate_webhook_secret(request: AccountRequest, public_id: str) -> HttpResponse:
    """Confirm, then replace the secret. The response shows it, so there is no redirect."""
    endpoint = _endpoint(request, public_id)
    issued = None
    if request.method == "POST":
        once = request.POST.get("once", "")
        if _is_reload(request, once):
            return redirect("webhook", public_id)
        try:
            issued = endpoints.rotate_secret(endpoint, timezone.now())
        except DomainError as error:
            messages.error(request, error.detail())
            return redirect("webhook", public_id)
        request.session[MADE] = once
    context = {"endpoint": endpoint, "issued": issued, "once": uuid.uuid4().hex}
    return render(request, "accounts/rotate_webhook_secret.html", context)


@require_POST
@account_page
@access.buyers_only
def test_webhook(request: AccountRequest, public_id: str) -> HttpResponse:
    """Queue a test event."""
    endpoint = _endpoint(request, public_id)
    try:
        delivery = deliveries.send_test(endpoint, timezone.now())
    except DomainError as error:
        messages.error(request, error.detail())
        return redirect("webhook", public_id)
    messages.success(request, _("A test event is on its way. Reload this page to see the answer."))
    return redirect("webhook_delivery", delivery.public_id)


@require_POST
@account_page
@access.buyers_only
def enable_webhook(request: AccountRequest, public_id: str) -> HttpResponse:
    """Enable or, with `enabled=0`, disable an endpoint."""
    enabled = request.POST.get("enabled") != "0"
    endpoints.change(_endpoint(request, public_id), enabled=enabled, now=timezone.now())
    messages.success(request, _("The endpoint is enabled.") if enabled else _("The endpoint is disabled."))
    return redirect("webhook", public_id)


@require_http_methods(["GET", "POST"])
@account_page
@access.buyers_only
def delete_webhook(request: AccountRequest, public_id: str) -> HttpResponse:
    """Confirm (without JavaScript there is no dialog), then delete."""
    endpoint = _endpoint(request, public_id)
    if request.method == "GET":
        return render(request, "accounts/delete_webhook.html", {"endpoint": endpoint})
    endpoints.delete(endpoint)
    messages.success(request, _("The endpoint was deleted. It receives no more events."))
    return redirect("webhooks")


@require_GET
@account_page
@access.buyers_only
def webhook_delivery(request: AccountRequest, public_id: str) -> HttpResponse:
    """A delivery: request and answer."""
    delivery = _delivery(request, public_id)
    context = {"delivery": delivery, "body": events.body_of(delivery.event), "now": timezone.now()}
    return render(request, "accounts/webhook_delivery.html", context)


@require_POST
@account_page
@access.buyers_only
def redeliver_webhook(request: AccountRequest, public_id: str) -> HttpResponse:
    """Queue the event of a delivery again."""
    delivery = _delivery(request, public_id)
    try:
        again = deliveries.redeliver(delivery, timezone.now())
    except DomainError as error:
        messages.error(request, error.detail())
        return redirect("webhook_delivery", public_id)
    messages.success(request, _("The event is sent again. Reload this page to see the answer."))
    return redirect("webhook_delivery", again.public_id)


def _is_reload(request: AccountRequest, once: str) -> bool:
    """Whether the page with the secret was reloaded."""
    return bool(once) and once == request.session.get(MADE)


def _endpoint(request: AccountRequest, public_id: str) -> WebhookEndpoint:
    endpoint = WebhookEndpoint.with_public_id(public_id)
    if endpoint is None or endpoint.account_id != request.account.pk:
        raise Http404
    return endpoint


def _delivery(request: AccountRequest, public_id: str) -> WebhookDelivery:
    delivery = WebhookDelivery.with_public_id(public_id)
    if delivery is None or delivery.endpoint.account_id != request.account.pk:
        raise Http404
    return delivery
