"""Stripe's pages for customers: the billing portal (card, plan, invoices) and the page of one invoice.

Invariant: the portal's link shows one customer's things only; an invoice is paid here at most once.
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
    clocks,
    default_cards,
    invoices,
    outcomes,
    payment_methods,
    payments,
    portal_sessions,
    setup_intents,
    stripe_test_cards,
    subscription_states,
)
from sandbox.pages import payment_form
from sandbox.store import Body


def _portal(portal_id: str) -> tuple[Body, Body, Call]:
    found = portal_sessions.usable(portal_id, calls.by_page(timezone.now()))
    if found is None:
        raise Http404(_("This link does not work any more. Go back and open the billing portal again."))
    return found


@never_cache
@require_GET
def portal(request: HttpRequest, portal_id: str) -> HttpResponse:
    """Plan, cards and invoices of a customer."""
    session, customer, _call = _portal(portal_id)
    if (session["flow"] or {}).get("type") == "payment_method_update" and "stay" not in request.GET:
        return HttpResponseRedirect(f"{request.path}/card")
    subscriptions = [
        subscription
        for subscription in store.where("subscription", customer=customer["id"])
        if subscription["status"] not in subscription_states.OVER
    ]
    context = {
        "session": session,
        "customer": customer,
        "subscriptions": [_described(subscription) for subscription in subscriptions],
        "cards": store.where("payment_method", customer=customer["id"]),
        "invoices": [
            invoice
            for invoice in store.where("invoice", customer=customer["id"])
            if invoice["status"] != "draft"
        ],
    }
    return render(request, "sandbox/portal.html", context)


def _described(subscription: Body) -> dict[str, Any]:
    item = subscription["items"]["data"][0]
    name = store.get("product", item["price"]["product"])["name"]
    return {"body": subscription, "item": item, "name": name}


@never_cache
@require_http_methods(["GET", "POST"])
def card(request: HttpRequest, portal_id: str) -> HttpResponse:
    """Save a new card and make it the default."""
    with transaction.atomic():
        store.lock()
        session, customer, call = _portal(portal_id)
        form = payment_form.PaymentForm(kinds=["card"], saved=[], asks_email=False)
        if request.method == "GET":
            return _card_page(request, session, form)
        buyer = payment_form.read(form, request.POST, timezone.now())
        if buyer is None or buyer.card is None:
            return _card_page(request, session, form, status=422)
        method = payment_methods.new_card(buyer.card, call, payment_methods.billing_details(name=buyer.name))
        intent = setup_intents.new(call, customer=customer["id"])
        intent |= {"_return_url": f"{session['url']}?stay", "_becomes_default": True}
        store.save(intent)
        try:
            setup_intents.attempt(intent, method, call)
        except payments.Declined as declined:
            form.refusal = str(declined)
            return _card_page(request, session, form, status=422)
        outcomes.changed(intent, call)
    action = (intent["next_action"] or {}).get("redirect_to_url") or {}
    done = (session["flow"] or {}).get("after_completion", {}).get("redirect") or {}
    return HttpResponseRedirect(
        action.get("url") or done.get("return_url") or f"/sandbox/portal/{portal_id}?stay"
    )


def _card_page(
    request: HttpRequest, session: Body, form: payment_form.PaymentForm, *, status: int = 200
) -> HttpResponse:
    context = {"session": session, "form": form, "test_cards": stripe_test_cards.CARDS}
    return render(request, "sandbox/portal_card.html", context, status=status)


@require_POST
def act(request: HttpRequest, portal_id: str) -> HttpResponse:
    """Cancel at the period's end, or take that back; choose another default card; remove a card."""
    action, target = request.POST.get("action"), request.POST.get("target", "")
    with transaction.atomic():
        store.lock()
        _session, customer, call = _portal(portal_id)
        kind = "payment_method" if action in ("choose", "remove") else "subscription"
        body = store.find(kind, target)
        if body is None or body["customer"] != customer["id"]:
            raise Http404(_("There is no such thing here."))
        if action == "choose":
            default_cards.choose(customer["id"], target, call)
        elif action == "remove":
            payment_methods.detach(Call(now=call.now, ids={"payment_method": target}))
        elif action in ("cancel", "resume") and body["status"] not in subscription_states.OVER:
            _set_cancel(body, call, wanted=action == "cancel")
    return HttpResponseRedirect(f"/sandbox/portal/{portal_id}?stay")


def _set_cancel(subscription: Body, call: Call, *, wanted: bool) -> None:
    end = min(item["current_period_end"] for item in subscription["items"]["data"])
    reason = "cancellation_requested" if wanted else None
    subscription_states.change(
        subscription,
        call,
        cancel_at_period_end=wanted,
        cancel_at=end if wanted else None,
        canceled_at=call.now if wanted else None,
        cancellation_details=subscription["cancellation_details"] | {"reason": reason},
    )


@never_cache
@require_http_methods(["GET", "POST"])
def invoice(request: HttpRequest, invoice_id: str) -> HttpResponse:
    """The hosted invoice: its lines, and a form to pay it (the recovery link of a failed renewal)."""
    with transaction.atomic():
        store.lock()
        body = store.find("invoice", invoice_id)
        if body is None or body["status"] == "draft":
            raise Http404(_("There is no such invoice."))
        form = payment_form.PaymentForm(
            kinds=["card"],
            saved=store.where("payment_method", customer=body["customer"], type="card"),
            asks_email=False,
        )
        if request.method == "GET" or body["status"] != "open":
            return _invoice_page(request, body, form)
        buyer = payment_form.read(form, request.POST, timezone.now())
        if buyer is None:
            return _invoice_page(request, body, form, status=422)
        call = clocks.of_customer(calls.by_page(timezone.now()), body["customer"])
        method = (
            store.get("payment_method", buyer.saved)
            if buyer.card is None
            else payment_methods.new_card(buyer.card, call, payment_methods.billing_details(name=buyer.name))
        )
        try:
            _pay(body, method, call)
        except payments.Declined as declined:
            form.refusal = str(declined)
            return _invoice_page(request, body, form, status=422)
        intent = _intent_of(body)
    if intent["status"] == "requires_action":
        return HttpResponseRedirect(intent["next_action"]["redirect_to_url"]["url"])
    return HttpResponseRedirect(request.path)


def _pay(body: Body, method: Body, call: Call) -> None:
    intent = _intent_of(body)
    intent["_return_url"] = body["hosted_invoice_url"]
    store.save(intent)
    invoices.collect(body, call, method=method, off_session=False)


def _intent_of(body: Body) -> Body:
    payment = store.where("invoice_payment", invoice=body["id"])[0]
    return store.get("payment_intent", payment["payment"]["payment_intent"])


def _invoice_page(
    request: HttpRequest, body: Body, form: payment_form.PaymentForm, *, status: int = 200
) -> HttpResponse:
    context = {"invoice": body, "form": form, "test_cards": stripe_test_cards.CARDS}
    return render(request, "sandbox/invoice.html", context, status=status)
