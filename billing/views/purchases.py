"""Pages of purchases: list, detail, invoice and refund request."""

from django.contrib import messages
from django.core.paginator import Paginator
from django.http import Http404, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from accounts.access import account_page, buyers_only
from accounts.http import AccountRequest
from billing import selectors
from billing.models import Purchase, Refund
from billing.payments import invoice_pdf
from billing.refunds import requests
from billing.views.buy import find_purchase
from billing.views.forms import RefundForm

PAGE_SIZE = 25


@require_safe
@account_page
def list_purchases(request: AccountRequest) -> HttpResponse:
    """List the purchases with status, amount and remaining credits."""
    page = Paginator(selectors.purchases_of(request.account.pk), PAGE_SIZE).get_page(request.GET.get("page"))
    remaining = selectors.remaining_credits_by_purchase(list(page.object_list))
    rows = [(purchase, remaining.get(purchase.pk, 0)) for purchase in page.object_list]
    return render(request, "billing/purchases.html", {"rows": rows, "page": page})


@require_safe
@account_page
def show_purchase(request: AccountRequest, public_id: str) -> HttpResponse:
    """A purchase with its refunds, disputes and remaining credits."""
    purchase = find_purchase(request, public_id)
    context = {
        "purchase": purchase,
        "left": selectors.remaining_credits(purchase),
        "refunds": purchase.refunds.order_by("-created_at"),
        "disputes": purchase.disputes.order_by("-created_at"),
        "refund_requested": purchase.refunds.filter(status=Refund.Status.REQUESTED).exists(),
        "refund_refused": "",
        "refundable": None,
    }
    try:
        context["refundable"] = requests.refundable(purchase, timezone.now())
    except requests.RefundRefused as error:
        context["refund_refused"] = str(error)
    return render(request, "billing/purchase.html", context)


@require_safe
@account_page
def show_invoice(request: AccountRequest, public_id: str) -> HttpResponse:
    """The invoice as a printable page."""
    return render(request, "billing/invoice.html", {"purchase": _invoiced(request, public_id)})


@require_safe
@account_page
def download_invoice(request: AccountRequest, public_id: str) -> HttpResponse:
    """The invoice as a PDF file."""
    purchase = _invoiced(request, public_id)
    response = HttpResponse(invoice_pdf.render(purchase), content_type="application/pdf")
    response["Content-Disposition"] = f'attachment; filename="invoice-{purchase.invoice_number}.pdf"'
    return response


@require_http_methods(["GET", "POST"])
@account_page
@buyers_only
def request_refund(request: AccountRequest, public_id: str) -> HttpResponse:
    """Show the refundable amount (GET) and request the refund (POST)."""
    purchase = find_purchase(request, public_id)
    now = timezone.now()
    try:
        amount = requests.refundable(purchase, now)
        form = RefundForm(request.POST or None)
        if request.method == "POST" and form.is_valid():
            comment = form.cleaned_data["comment"]
            requests.create(purchase=purchase, user=request.user, message=comment, now=now)
            messages.success(request, _("Refund requested. We will answer by e-mail."))
            return redirect("purchase", purchase.public_id)
    except requests.RefundRefused as error:
        messages.error(request, str(error))
        return redirect("purchase", purchase.public_id)
    context = {"purchase": purchase, "sum": amount, "form": form}
    return render(request, "billing/refund.html", context, status=422 if form.errors else 200)


@require_POST
@account_page
@buyers_only
def withdraw_refund_request(request: AccountRequest, public_id: str) -> HttpResponse:
    """Withdraw the refund request of a purchase that is not decided yet."""
    purchase = find_purchase(request, public_id)
    try:
        requests.withdraw(purchase, timezone.now())
        messages.success(request, _("Refund request withdrawn. Your credits stay in your balance."))
    except requests.RefundRefused as error:
        messages.error(request, str(error))
    return redirect("purchase", purchase.public_id)


def _invoiced(request: AccountRequest, public_id: str) -> Purchase:
    """The purchase, if it has an invoice. Raises Http404."""
    purchase = find_purchase(request, public_id)
    if not purchase.invoice_number:
        raise Http404
    return purchase
