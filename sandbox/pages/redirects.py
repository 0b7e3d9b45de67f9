"""The pages between a payment and the shop: the bank's 3-D Secure page, a wallet's page, transfer
instructions, receipts.

Invariant: what the buyer decides here reaches the intent, and with it checkout or invoice, in one
transaction.
"""

from urllib.parse import urlencode

from django.db import transaction
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_http_methods

from sandbox import calls, store
from sandbox.objects import clocks, outcomes, payments
from sandbox.pages import checkout
from sandbox.store import Body


def _intent(intent_id: str) -> Body:
    intent = store.find("payment_intent", intent_id) or store.find("setup_intent", intent_id)
    if intent is None:
        raise Http404(_("There is no such payment."))
    return intent


@never_cache
@require_http_methods(["GET", "POST"])
def authenticate(request: HttpRequest, intent_id: str) -> HttpResponse:
    """The bank asks the buyer whether it was really them (3-D Secure)."""
    if request.method == "GET":
        return _ask(request, intent_id, "sandbox/authenticate.html")
    return _decide(request, intent_id)


@never_cache
@require_http_methods(["GET", "POST"])
def authorise(request: HttpRequest, intent_id: str) -> HttpResponse:
    """The page of Alipay or WeChat Pay: authorise, authorise with later settlement, refuse."""
    if request.method == "GET":
        return _ask(request, intent_id, "sandbox/authorise.html")
    return _decide(request, intent_id)


def _ask(request: HttpRequest, intent_id: str, template: str) -> HttpResponse:
    intent = _intent(intent_id)
    if intent["status"] != "requires_action":
        return back(intent)
    method = store.find("payment_method", intent["payment_method"])
    return render(request, template, {"intent": intent, "method": method})


def _decide(request: HttpRequest, intent_id: str) -> HttpResponse:
    decision = request.POST.get("decision", "")
    with transaction.atomic():
        store.lock()
        intent = _intent(intent_id)
        call = clocks.of_customer(calls.by_page(timezone.now()), intent["customer"])
        if intent["status"] == "requires_action":
            try:
                if decision == "later":
                    outcomes.authorised_later(intent, call)
                else:
                    outcomes.authenticated(intent, call, passed=decision == "pass")
            except payments.Declined:
                outcomes.failed(intent, call)
    return back(_intent(intent_id))


def back(intent: Body) -> HttpResponse:
    """To the checkout's next page, or to the `return_url` of an intent of the API."""
    if session := store.find("checkout.session", intent.get("_session")):
        return checkout.onward(session)
    target = intent.get("_return_url") or "/sandbox/"
    name = intent["object"]
    ended = "succeeded" if intent["status"] in ("succeeded", "processing") else "failed"
    query = urlencode(
        {name: intent["id"], f"{name}_client_secret": intent["client_secret"], "redirect_status": ended}
    )
    return HttpResponseRedirect(f"{target}{'&' if '?' in target else '?'}{query}")


@require_GET
def transfer(request: HttpRequest, intent_id: str) -> HttpResponse:
    """Where to send the money of a bank transfer."""
    intent = _intent(intent_id)
    details = (intent.get("next_action") or {}).get("display_bank_transfer_instructions")
    return render(request, "sandbox/transfer.html", {"intent": intent, "details": details})


@require_GET
def receipt(request: HttpRequest, charge_id: str) -> HttpResponse:
    """Stripe's receipt of a charge."""
    charge = store.find("charge", charge_id)
    if charge is None:
        raise Http404(_("There is no such receipt."))
    return render(request, "sandbox/receipt.html", {"charge": charge})
