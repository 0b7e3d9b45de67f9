"""Buying a pack: the shelf, the confirmation, the way to Stripe and back."""

import contextlib
import uuid
from typing import Any

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_GET, require_POST, require_safe

from accounts.access import account_page, buyers_only
from accounts.http import AccountRequest
from billing import offers, selectors, stripe_gateway
from billing.models import Purchase
from billing.promotions import redemption
from billing.purchases import checkout, create
from billing.subscriptions import lifecycle, stripe_sync
from billing.views.forms import OrderForm

REFUSALS = (
    offers.UnknownOffer,
    offers.UnknownCurrency,
    offers.PaidPlanRequired,
    redemption.CodeRefused,
    create.PurchaseInvalid,
    create.PurchaseKeyReused,
    create.PriceChanged,
)
UNREACHABLE = gettext_lazy(
    "The payment provider did not answer. Check your purchases and your plan before you try again."
)


@require_safe
@account_page
def buy(request: AccountRequest) -> HttpResponse:
    """The packs, each with the price of one credit and what it saves."""
    return render(request, "billing/buy.html", _shelf(request, request.GET.get("currency")))


@require_safe
@account_page
@buyers_only
def confirm_pack(request: AccountRequest, pack: str) -> HttpResponse:
    """The confirmation as a page of its own, for browsers without script."""
    try:
        offer = _offer(request, pack, request.GET.get("currency"))
    except offers.PaidPlanRequired as refusal:
        messages.error(request, str(refusal))
        return redirect("plans")
    except (offers.UnknownOffer, offers.UnknownCurrency):
        raise Http404 from None
    return render(request, "billing/confirm_pack.html", {"offer": offer, "key": uuid.uuid4()})


@require_POST
@account_page
@buyers_only
def order(request: AccountRequest) -> HttpResponse:
    """Write the order down and go to the payment page; the same form sent twice is one order."""
    form = OrderForm(request.POST)
    if not form.is_valid():
        return _order_again(request, form)
    told = form.cleaned_data
    now = timezone.now()
    try:
        purchase = create.pack_purchase(
            account=request.account,
            buyer=request.user,
            origin=Purchase.Origin.PAGE,
            pack_key=told["pack"],
            quantity=told["quantity"],
            currency=told["currency"].lower(),
            promotion_code=told["code"],
            key=f"page:{told['key']}",
            now=now,
            shown=told["shown"],
        )
    except REFUSALS as refusal:
        form.add_error("code" if isinstance(refusal, redemption.CodeRefused) else None, str(refusal))
        return _order_again(request, form)
    return go_and_pay(request, purchase)


def go_and_pay(request: HttpRequest, purchase: Purchase) -> HttpResponse:
    """On to Stripe's page for this order (always the same one)."""
    try:
        return see_other(checkout.open_page(purchase, timezone.now()))
    except stripe_gateway.StripeUnavailable:
        messages.error(request, UNREACHABLE)
    except stripe_gateway.StripeError:
        messages.error(request, _("The payment page could not be opened. Nothing was charged. Try again."))
    return redirect("purchase", purchase.public_id)


def form_key(request: HttpRequest) -> str:
    """The key that was drawn with the form; a new one where the form was made by somebody else."""
    try:
        return str(uuid.UUID(request.POST.get("key", "")))
    except ValueError:
        return str(uuid.uuid4())


def see_other(url: str) -> HttpResponseRedirect:
    """After a POST: 303, so that reloading what comes next sends nothing again."""
    answer = HttpResponseRedirect(url)
    answer.status_code = 303
    return answer


@require_GET
@account_page
def purchase_return(request: AccountRequest, public_id: str) -> HttpResponse:
    """Back from Stripe, which is asked at once what happened."""
    purchase = find(request, public_id)
    # If Stripe cannot tell now, the webhook or the reconciliation will; the page says that it waits.
    with contextlib.suppress(stripe_gateway.StripeError, stripe_sync.UnmatchedObject, lifecycle.PlanClosed):
        purchase = checkout.refresh_from_stripe(purchase, timezone.now())
    return render(request, "billing/purchase_return.html", _outcome(request, purchase))


@require_GET
@account_page
def purchase_state(request: AccountRequest, public_id: str) -> HttpResponse:
    """The part of the return page that renews itself until the payment is decided."""
    return render(request, "billing/_purchase_status.html", _outcome(request, find(request, public_id)))


@require_GET
@account_page
def purchase_left(request: AccountRequest, public_id: str) -> HttpResponse:
    """Back from Stripe without having paid: nothing happened, and the way on is shown."""
    purchase = find(request, public_id)
    if purchase.status != Purchase.Status.CREATED:
        return redirect("purchase_return", purchase.public_id)
    return render(request, "billing/purchase_unpaid.html", {"purchase": purchase})


@require_POST
@account_page
@buyers_only
def pay_again(request: AccountRequest, public_id: str) -> HttpResponse:
    """On to the payment page of an order that is not paid yet."""
    return go_and_pay(request, find(request, public_id))


@require_POST
@account_page
@buyers_only
def purchase_cancel(request: AccountRequest, public_id: str) -> HttpResponse:
    """Give an unpaid order up."""
    try:
        purchase = checkout.cancel(find(request, public_id), timezone.now())
    except stripe_gateway.StripeError:
        messages.error(
            request,
            _("The payment provider cannot be reached. The purchase was not cancelled. Try again."),
        )
        return redirect("purchase", public_id)
    if purchase.status == Purchase.Status.CANCELLED:
        messages.success(request, _("Purchase cancelled. Nothing was charged."))
    return redirect("purchase", public_id)


def find(request: AccountRequest, public_id: str) -> Purchase:
    """The account's own purchase. Raises Http404."""
    purchase = Purchase.with_public_id(public_id)
    if purchase is None or purchase.account_id != request.account.pk:
        raise Http404
    return purchase


def _outcome(request: AccountRequest, purchase: Purchase) -> dict[str, Any]:
    waits = purchase.status in {Purchase.Status.CREATED, Purchase.Status.PENDING}
    return {"purchase": purchase, "waits": waits, "fresh": purchase.status == Purchase.Status.CREATED}


def _offer(request: AccountRequest, pack: str, currency: str | None) -> offers.PackOffer:
    return offers.get_pack(
        key=pack,
        currency=offers.resolve_currency(currency),
        paid_plan=selectors.has_paid_plan(request.account.pk),
        now=timezone.now(),
    )


def _shelf(request: AccountRequest, currency: str | None) -> dict[str, Any]:
    try:
        chosen = offers.resolve_currency((currency or "").lower())
    except offers.UnknownCurrency:
        chosen = offers.resolve_currency(None)
    paid_plan = selectors.has_paid_plan(request.account.pk)
    shelf = offers.list_packs(currency=chosen, paid_plan=paid_plan, now=timezone.now())
    return {
        # One key for each pack of each page shown: whatever is clicked twice is one order.
        "packs": [(offer, uuid.uuid4()) for offer in shelf],
        "currency": chosen,
        "currencies": offers.currencies(),
        "needs_plan": any(not offer.allowed for offer in shelf),
        "may_buy": request.membership.may_buy,
        "most": create.MAX_PACKS,
    }


def _order_again(request: AccountRequest, form: OrderForm) -> HttpResponse:
    """The confirmation again, with what was wrong; or the shelf, when not even the pack is clear."""
    try:
        offer = _offer(request, form.data.get("pack", ""), form.data.get("currency"))
    except (offers.UnknownOffer, offers.UnknownCurrency, offers.PaidPlanRequired) as refusal:
        context = _shelf(request, None) | {"refusal": str(refusal)}
        return render(request, "billing/buy.html", context, status=422)
    context = {"offer": offer, "form": form, "key": uuid.uuid4()}
    return render(request, "billing/confirm_pack.html", context, status=422)
