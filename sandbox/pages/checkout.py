"""The hosted checkout page: what is bought, by whom, with which card.

Invariant: the page shows the session as it is now; a finished or expired session offers no payment.
"""

from django.db import transaction
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST

from sandbox import calls, store
from sandbox.calls import Call
from sandbox.errors import StripeError
from sandbox.objects import checkout_payments, checkout_sessions, discounts, payments, stripe_test_cards
from sandbox.pages import payment_form
from sandbox.store import Body


@never_cache
@require_http_methods(["GET", "POST"])
def checkout(request: HttpRequest, session_id: str) -> HttpResponse:
    """Show the session, or pay it."""
    now = timezone.now()
    call = calls.by_page(now)
    with transaction.atomic():
        store.lock()
        session = _session(session_id, call)
        if session["status"] != "open":
            return _closed(request, session)
        form = _form_of(session)
        if request.method == "GET":
            return _page(request, session, form)
        buyer = payment_form.read(form, request.POST, now)
        if buyer is None:
            return _page(request, session, form, status=422)
        try:
            session = checkout_payments.pay(session, buyer, call)
        except payments.Declined as declined:
            form.refusal = str(declined)
            return _page(request, session, form, status=422)
        except StripeError as error:
            transaction.set_rollback(True)
            form.refusal = str(error)
            return _page(request, session, form, status=422)
    return onward(session)


@require_POST
def promotion_code(request: HttpRequest, session_id: str) -> HttpResponse:
    """Apply the code the buyer typed, or take it away (an empty one)."""
    call = calls.by_page(timezone.now())
    with transaction.atomic():
        store.lock()
        session = _session(session_id, call)
        if session["status"] != "open" or not session["allow_promotion_codes"]:
            return HttpResponseRedirect(request.path_info.removesuffix("code/"))
        typed = request.POST.get("code", "").strip()
        code = discounts.code_by_name(typed, call) if typed else None
        form = _form_of(session)
        if typed and code is None:
            form.errors["code"] = _("“%(code)s” is not a valid code, or not any more.") % {"code": typed}
            return _page(request, session, form, status=422)
        before = session["discounts"]
        session["discounts"] = [{"coupon": None, "promotion_code": code["id"]}] if code else []
        try:
            checkout_sessions.total(session, call)
        except StripeError as error:
            session["discounts"] = before
            form.errors["code"] = str(error)
            return _page(request, session, form, status=422)
        store.save(session)
    return HttpResponseRedirect(f"/sandbox/checkout/{session_id}")


def _session(session_id: str, call: Call) -> Body:
    session = store.find("checkout.session", session_id)
    if session is None:
        raise Http404(_("There is no such checkout."))
    return checkout_sessions.lapse(session, call)


def _form_of(session: Body) -> payment_form.PaymentForm:
    customer = store.find("customer", session["customer"]) or {}
    saved = [
        method
        for method in (
            store.where("payment_method", customer=session["customer"]) if session["customer"] else []
        )
        if method["type"] in session["payment_method_types"]
    ]
    options = session["saved_payment_method_options"] or {}
    return payment_form.PaymentForm(
        kinds=session["payment_method_types"],
        saved=saved,
        email=customer.get("email") or session["customer_email"] or "",
        email_is_fixed=bool(customer.get("email") or session["customer_email"]),
        asks_address=session["billing_address_collection"] == "required",
        offers_saving=options.get("payment_method_save") == "enabled",
        refusal=_last_error(session),
    )


def _last_error(session: Body) -> str:
    intent = intent_of(session) or {}
    error = intent.get("last_payment_error") or intent.get("last_setup_error") or {}
    return str(error.get("message", ""))


def intent_of(session: Body) -> Body | None:
    """The payment or setup intent behind a session."""
    payment = session["payment_intent"] or session.get("_intent")
    return store.find("payment_intent", payment) or store.find("setup_intent", session["setup_intent"])


def onward(session: Body) -> HttpResponse:
    """Where the buyer goes now: to the shop, to the bank's page, or back to the checkout."""
    if session["status"] == "complete":
        return HttpResponseRedirect(success_url(session))
    intent = intent_of(session)
    action = (intent or {}).get("next_action") or {}
    if action.get("type") == "redirect_to_url":
        return HttpResponseRedirect(action["redirect_to_url"]["url"])
    return HttpResponseRedirect(f"/sandbox/checkout/{session['id']}")


def success_url(session: Body) -> str:
    return str(session["success_url"] or "/").replace("{CHECKOUT_SESSION_ID}", session["id"])


def _closed(request: HttpRequest, session: Body) -> HttpResponse:
    context = {"session": session, "success_url": success_url(session)}
    return render(
        request,
        "sandbox/checkout_closed.html",
        context,
        status=200 if session["status"] == "complete" else 410,
    )


def _page(
    request: HttpRequest, session: Body, form: payment_form.PaymentForm, *, status: int = 200
) -> HttpResponse:
    code = None
    if session["discounts"]:
        given = session["discounts"][0]
        code = store.find("promotion_code", given["promotion_code"]) or store.find("coupon", given["coupon"])
    context = {
        "session": session,
        "lines": session["_line_items"],
        "form": form,
        "code": code,
        "test_cards": stripe_test_cards.CARDS,
        "button": _button(session),
        "message": ((session["custom_text"] or {}).get("submit") or {}).get("message", ""),
    }
    return render(request, "sandbox/checkout.html", context, status=status)


def _button(session: Body) -> str:
    if session["mode"] == "setup":
        return _("Save card")
    return _("Subscribe") if session["mode"] == "subscription" else _("Pay")
