"""The pages that a payment leads to: 3-D Secure, wallet authorisation, bank transfer details, receipt.

Invariant: the customer's decision changes the intent and its checkout session or invoice in one transaction.
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
from sandbox.objects import clocks, payment_intents, payments
from sandbox.pages import checkout
from sandbox.store import Body


def _intent(intent_id: str) -> Body:
    intent = store.find("payment_intent", intent_id) or store.find("setup_intent", intent_id)
    if intent is None:
        raise Http404(_("This payment does not exist."))
    return intent


@never_cache
@require_http_methods(["GET", "POST"])
def authenticate(request: HttpRequest, intent_id: str) -> HttpResponse:
    """The bank's 3-D Secure page. https://docs.stripe.com/payments/3d-secure"""
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
        return _return(intent)
    method = store.find("payment_method", intent["payment_method"])
    return render(request, template, {"intent": intent, "method": method})


def _decide(request: HttpRequest, intent_id: str) -> HttpResponse:
    decision = request.POST.get("decision", "")
    with transaction.atomic():
        store.lock()
        intent = _intent(intent_id)
        call = clocks.of_customer(calls.without_request(timezone.now()), intent["customer"])
        if intent["status"] == "requires_action":
            try:
                if decision == "later":
                    payments.authorised_for_later(intent, call)
                else:
                    payments.authenticated(intent, call, passed=decision == "pass")
            except payment_intents.Declined:
                payments.failed(intent, call)
    return _return(_intent(intent_id))


def _return(intent: Body) -> HttpResponse:
    """Redirect from the checkout page onward, or to the intent's return URL with its result."""
    if session := store.find("checkout.session", intent.get("_session")):
        return checkout.redirect_after_payment(session)
    target = intent.get("_return_url") or "/sandbox/"
    name = intent["object"]
    result = "succeeded" if intent["status"] in ("succeeded", "processing") else "failed"
    query = urlencode(
        {name: intent["id"], f"{name}_client_secret": intent["client_secret"], "redirect_status": result}
    )
    return HttpResponseRedirect(f"{target}{'&' if '?' in target else '?'}{query}")


@require_GET
def transfer(request: HttpRequest, intent_id: str) -> HttpResponse:
    """The bank account and reference of a bank transfer."""
    intent = _intent(intent_id)
    details = (intent.get("next_action") or {}).get("display_bank_transfer_instructions")
    return render(request, "sandbox/transfer.html", {"intent": intent, "details": details})


@require_GET
def receipt(request: HttpRequest, charge_id: str) -> HttpResponse:
    """The receipt of a charge."""
    charge = store.find("charge", charge_id)
    if charge is None:
        raise Http404(_("This receipt does not exist."))
    return render(request, "sandbox/receipt.html", {"charge": charge})
