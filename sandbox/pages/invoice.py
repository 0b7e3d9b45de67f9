"""The hosted invoice page: its lines, and a form to pay an open invoice.

Invariant: an invoice is paid at most once. https://docs.stripe.com/invoicing/hosted-invoice-page
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
from sandbox.objects import clocks, invoices, payment_intents, payment_methods, stripe_test_cards
from sandbox.objects.checkout_payments import Submission
from sandbox.pages.payment_form import PaymentForm
from sandbox.store import Body


@never_cache
@require_http_methods(["GET", "POST"])
def invoice(request: HttpRequest, invoice_id: str) -> HttpResponse:
    """Show the invoice, or pay it."""
    now = timezone.now()
    with transaction.atomic():
        store.lock()
        body = store.find("invoice", invoice_id)
        if body is None or body["status"] == "draft":
            raise Http404(_("This invoice does not exist."))
        saved = store.where("payment_method", customer=body["customer"], type="card")
        form = PaymentForm(types=["card"], saved=saved)
        if request.method == "GET" or body["status"] != "open":
            return _page(request, body, form)
        submission = form.read(request.POST, now)
        if submission is None:
            return _page(request, body, form, status=422)
        call = clocks.of_customer(calls.without_request(now), body["customer"])
        try:
            _pay(body, submission, call)
        except payment_intents.Declined as declined:
            form.decline = str(declined)
            return _page(request, body, form, status=422)
        intent = invoices.intent_of(body)
    if intent["status"] == "requires_action":
        return HttpResponseRedirect(intent["next_action"]["redirect_to_url"]["url"])
    return HttpResponseRedirect(request.path)


def _pay(body: Body, submission: Submission, call: Call) -> None:
    if submission.card is None:
        method = store.get("payment_method", submission.saved)
    else:
        billing = payment_methods.billing_details(name=submission.name)
        method = payment_methods.new_card(submission.card, call, billing)
    intent = invoices.intent_of(body)
    intent["_return_url"] = body["hosted_invoice_url"]
    store.save(intent)
    invoices.collect(body, call, method=method, off_session=False)


def _page(request: HttpRequest, body: Body, form: PaymentForm, *, status: int = 200) -> HttpResponse:
    context = {"invoice": body, "form": form, "test_cards": stripe_test_cards.CARDS}
    return render(request, "sandbox/invoice.html", context, status=status)
