"""The hosted checkout page.

Invariant: the page shows the session's current state; a completed or expired session cannot be paid.
"""

from django.db import transaction
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods

from sandbox import calls, store
from sandbox.calls import Call
from sandbox.errors import StripeError
from sandbox.objects import checkout_payments, checkout_sessions, payment_intents, stripe_test_cards, taxes
from sandbox.pages.payment_form import PaymentForm
from sandbox.store import Body


@never_cache
@require_http_methods(["GET", "POST"])
def checkout(request: HttpRequest, session_id: str) -> HttpResponse:
    """Show the session, or pay it."""
    now = timezone.now()
    call = calls.without_request(now)
    with transaction.atomic():
        store.lock()
        session = _session(session_id, call)
        if session["status"] != "open":
            return _closed(request, session)
        form = _form_of(session)
        if request.method == "GET":
            return _page(request, session, form)
        submission = form.read(request.POST, now)
        if submission is None:
            return _page(request, session, form, status=422)
        try:
            session = checkout_payments.pay(session, submission, call)
        except payment_intents.Declined as declined:
            form.decline = str(declined)
            return _page(request, session, form, status=422)
        except StripeError as error:
            transaction.set_rollback(True)
            form.decline = str(error)
            return _page(request, session, form, status=422)
    return redirect_after_payment(session)


def _session(session_id: str, call: Call) -> Body:
    session = store.find("checkout.session", session_id)
    if session is None:
        raise Http404(_("This checkout page does not exist."))
    return checkout_sessions.expire_if_due(session, call)


def _form_of(session: Body) -> PaymentForm:
    # A session in setup mode collects a new method: https://docs.stripe.com/payments/checkout/subscriptions/update-payment-details
    saved = store.where("payment_method", customer=session["customer"]) if session["mode"] != "setup" else []
    intent = checkout_payments.intent_of(session) or {}
    customer = store.get("customer", session["customer"])
    error = intent.get("last_payment_error") or intent.get("last_setup_error") or {}
    return PaymentForm(
        types=session["payment_method_types"],
        saved=[method for method in saved if method["type"] in session["payment_method_types"]],
        email=customer["email"] or "",
        asks_country=session["automatic_tax"]["enabled"]
        or session["billing_address_collection"] == "required",
        asks_tax_id=(session.get("tax_id_collection") or {}).get("enabled", False),
        country=taxes.country_of(customer),
        decline=str(error.get("message", "")),
    )


def redirect_after_payment(session: Body) -> HttpResponse:
    """Redirect to the success URL, to the page of the intent's next action, or back to the checkout page."""
    if session["status"] == "complete":
        return HttpResponseRedirect(_success_url(session))
    action = (checkout_payments.intent_of(session) or {}).get("next_action") or {}
    if action.get("type") == "redirect_to_url":
        return HttpResponseRedirect(action["redirect_to_url"]["url"])
    return HttpResponseRedirect(f"/sandbox/checkout/{session['id']}")


def _success_url(session: Body) -> str:
    return str(session["success_url"]).replace("{CHECKOUT_SESSION_ID}", session["id"])


def _closed(request: HttpRequest, session: Body) -> HttpResponse:
    context = {"session": session, "success_url": _success_url(session)}
    status = 200 if session["status"] == "complete" else 410
    return render(request, "sandbox/checkout_closed.html", context, status=status)


def _page(request: HttpRequest, session: Body, form: PaymentForm, *, status: int = 200) -> HttpResponse:
    context = {
        "session": session,
        "lines": session["_line_items"],
        "form": form,
        "test_cards": stripe_test_cards.CARDS,
    }
    return render(request, "sandbox/checkout.html", context, status=status)
