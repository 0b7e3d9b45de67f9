"""What was bought: the list, one purchase, its invoice, asking for the money back."""

from django.contrib import messages
from django.core.paginator import Paginator
from django.http import Http404, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_safe

from accounts.access import account_page, buyers_only, require_may_buy
from accounts.http import AccountRequest
from billing import selectors
from billing.models import Purchase
from billing.payments import invoice_pdf as pdf
from billing.refunds import requests
from billing.views.buy import find
from billing.views.forms import RefundForm

ON_A_PAGE = 25


@require_safe
@account_page
def purchases(request: AccountRequest) -> HttpResponse:
    """All purchases with state, amount, credits and what is left of them."""
    page = Paginator(selectors.purchases_of(request.account.pk), ON_A_PAGE).get_page(request.GET.get("page"))
    left = selectors.remaining_credits_by_purchase(list(page.object_list))
    rows = [(purchase, left.get(purchase.pk, 0)) for purchase in page.object_list]
    return render(request, "billing/purchases.html", {"rows": rows, "page": page})


@require_safe
@account_page
def purchase(request: AccountRequest, public_id: str) -> HttpResponse:
    """One purchase, what became of its money and of its credits."""
    found = find(request, public_id)
    context = {
        "purchase": found,
        "left": selectors.remaining_credits(found),
        "refunds": found.refunds.order_by("-created_at"),
        "disputes": found.disputes.order_by("-created_at"),
        "refund_refused": "",
        "refundable": None,
    }
    try:
        context["refundable"] = requests.refundable(found, timezone.now())
    except requests.RefundRefused as refusal:
        context["refund_refused"] = str(refusal)
    return render(request, "billing/purchase.html", context)


@require_safe
@account_page
def invoice(request: AccountRequest, public_id: str) -> HttpResponse:
    """The invoice as a page that prints well."""
    return render(request, "billing/invoice.html", {"purchase": _invoiced(request, public_id)})


@require_safe
@account_page
def invoice_pdf(request: AccountRequest, public_id: str) -> HttpResponse:
    """The same as a PDF."""
    found = _invoiced(request, public_id)
    answer = HttpResponse(pdf.render(found), content_type="application/pdf")
    answer["Content-Disposition"] = f'attachment; filename="invoice-{found.invoice_number}.pdf"'
    return answer


@require_http_methods(["GET", "POST"])
@account_page
@buyers_only
def refund(request: AccountRequest, public_id: str) -> HttpResponse:
    """What would go back, and asking for it."""
    require_may_buy(request)
    found = find(request, public_id)
    now = timezone.now()
    try:
        sum_ = requests.refundable(found, now)
        form = RefundForm(request.POST or None)
        if request.method == "POST" and form.is_valid():
            wish = form.cleaned_data["wish"]
            requests.create(purchase=found, user=request.user, message=wish, now=now)
            messages.success(request, _("Refund requested. We will answer by e-mail."))
            return redirect("purchase", found.public_id)
    except requests.RefundRefused as refusal:
        messages.error(request, str(refusal))
        return redirect("purchase", found.public_id)
    return render(request, "billing/refund.html", {"purchase": found, "sum": sum_, "form": form})


def _invoiced(request: AccountRequest, public_id: str) -> Purchase:
    found = find(request, public_id)
    if not found.invoice_number:
        raise Http404
    return found
