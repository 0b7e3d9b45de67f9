"""The customer portal: subscription, cards and invoices of one customer.

Invariant: a portal link gives access to the objects of its own customer only.
https://docs.stripe.com/customer-management
"""

from typing import Any

from django.db import transaction
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from sandbox import calls, store
from sandbox.calls import Call
from sandbox.objects import (
    customers,
    payment_intents,
    payment_methods,
    payments,
    portal_sessions,
    prices,
    setup_intents,
    stripe_test_cards,
    subscription_states,
)
from sandbox.pages.payment_form import PaymentForm
from sandbox.store import Body


def _portal(portal_id: str) -> tuple[Body, Body, Call]:
    """(session, customer, call at the time of the customer's clock)."""
    found = portal_sessions.usable(portal_id, calls.without_request(timezone.now()))
    if found is None:
        raise Http404(_("This link has expired. Open the billing portal again."))
    return found


@never_cache
@require_GET
def portal(request: HttpRequest, portal_id: str) -> HttpResponse:
    session, customer, _call = _portal(portal_id)
    subscriptions = store.where("subscription", customer=customer["id"])
    invoices = store.where("invoice", customer=customer["id"])
    context = {
        "session": session,
        "customer": customer,
        "subscriptions": [
            _described(subscription)
            for subscription in subscriptions
            if subscription["status"] not in subscription_states.ENDED
        ],
        "cards": store.where("payment_method", customer=customer["id"]),
        "invoices": [invoice for invoice in invoices if invoice["status"] != "draft"],
    }
    return render(request, "sandbox/portal.html", context)


def _described(subscription: Body) -> dict[str, Any]:
    item = subscription["items"]["data"][0]
    return {"body": subscription, "item": item, "name": prices.name_of(item["price"])}


@never_cache
@require_http_methods(["GET", "POST"])
def card(request: HttpRequest, portal_id: str) -> HttpResponse:
    """Save a new card and make it the default."""
    portal_url = f"/sandbox/portal/{portal_id}"
    with transaction.atomic():
        store.lock()
        session, customer, call = _portal(portal_id)
        form = PaymentForm(types=["card"], saved=[])
        if request.method == "GET":
            return _card_page(request, session, form)
        submission = form.read(request.POST, timezone.now())
        if submission is None or submission.card is None:
            return _card_page(request, session, form, status=422)
        billing = payment_methods.billing_details(name=submission.name)
        method = payment_methods.new_card(submission.card, call, billing)
        intent = setup_intents.new(call, customer=customer["id"])
        intent |= {"_return_url": session["url"], "_becomes_default": True}
        store.save(intent)
        try:
            setup_intents.attempt(intent, method, call)
        except payment_intents.Declined as declined:
            form.decline = str(declined)
            return _card_page(request, session, form, status=422)
        payments.changed(intent, call)
    action = (intent["next_action"] or {}).get("redirect_to_url") or {}
    return HttpResponseRedirect(action.get("url") or portal_url)


def _card_page(request: HttpRequest, session: Body, form: PaymentForm, *, status: int = 200) -> HttpResponse:
    context = {"session": session, "form": form, "test_cards": stripe_test_cards.CARDS}
    return render(request, "sandbox/portal_card.html", context, status=status)


@require_POST
def act(request: HttpRequest, portal_id: str) -> HttpResponse:
    """Cancel or resume a subscription, choose the default card, or remove a card."""
    action, target = request.POST.get("action"), request.POST.get("target", "")
    with transaction.atomic():
        store.lock()
        _session, customer, call = _portal(portal_id)
        kind = "payment_method" if action in ("choose", "remove") else "subscription"
        body = store.find(kind, target)
        if body is None or body["customer"] != customer["id"]:
            raise Http404(_("This object does not belong to the customer."))
        if action == "choose":
            customers.set_default_payment_method(customer["id"], target, call)
        elif action == "remove":
            payment_methods.detach(body, call)
        elif action in ("cancel", "resume") and body["status"] not in subscription_states.ENDED:
            subscription_states.schedule_cancellation(body, call, cancel=action == "cancel")
    return HttpResponseRedirect(f"/sandbox/portal/{portal_id}")
