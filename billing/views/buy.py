"""Pages on which packs are bought: packs, confirmation, redirect to Stripe, return page."""

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
from django.views.decorators.vary import vary_on_headers

from accounts import guesses
from accounts.access import account_page, buyers_only
from accounts.http import AccountRequest
from billing import offers, selectors, stripe_gateway
from billing.models import Purchase
from billing.promotions import redemption
from billing.purchases import checkout, create
from billing.subscriptions import stripe_objects, stripe_sync
from billing.views.forms import OrderForm, PurchaseForm
from core.errors import Refusal

STRIPE_UNAVAILABLE = gettext_lazy(
    "The payment provider did not answer. Check your purchases and your plan before you try again."
)


@require_safe
@vary_on_headers("HX-Request")
@account_page
def buy(request: AccountRequest) -> HttpResponse:
    """List the packs with the price of one credit and the saving; for htmx, the dialog of "Buy more"."""
    context = _packs_context(request, request.GET.get("currency"))
    in_dialog = bool(request.htmx)  # type: ignore[attr-defined]
    return render(request, "billing/_buy_dialog.html" if in_dialog else "billing/buy.html", context)


@require_safe
@account_page
@buyers_only
def confirm_pack(request: AccountRequest, pack: str) -> HttpResponse:
    """The confirmation on its own page, for browsers without JavaScript."""
    try:
        offer = _offer(request, pack, request.GET.get("currency"))
    except offers.PaidPlanRequired as error:
        messages.error(request, str(error))
        return redirect("plans")
    except (offers.UnknownOffer, offers.UnknownCurrency):
        raise Http404 from None
    return render(request, "billing/confirm_pack.html", {"offer": offer, "key": uuid.uuid4()})


@require_safe
@account_page
@buyers_only
def order_sum(request: AccountRequest, pack: str) -> HttpResponse:
    """The fragment of the confirmation with credits and price of the quantity and code that are entered."""
    form = OrderForm(request.GET)
    context: dict[str, Any] = {}
    try:
        context["offer"] = _offer(request, pack, request.GET.get("currency"))
    except (offers.UnknownOffer, offers.UnknownCurrency, offers.PaidPlanRequired):
        raise Http404 from None
    if form.is_valid():
        context |= _sum_of(request, context["offer"], form.cleaned_data)
    else:
        context["error"] = next(iter(form.errors.values()))[0]
    return render(request, "billing/_order_sum.html", context)


@require_POST
@account_page
@buyers_only
def create_purchase(request: AccountRequest) -> HttpResponse:
    """Create the purchase and redirect to the payment page; the same form sent twice is one purchase."""
    form = PurchaseForm(request.POST)
    if not form.is_valid():
        return _show_errors(request, form)
    data = form.cleaned_data
    if data["code"]:
        guesses.count_promotion_code(
            account_id=request.account.pk, client=guesses.client_of(request), now=timezone.now()
        )
    try:
        purchase = create.pack_purchase(
            account=request.account,
            buyer=request.user,
            origin=Purchase.Origin.PAGE,
            pack_key=data["pack"],
            quantity=data["quantity"],
            currency=data["currency"].lower(),
            promotion_code=data["code"],
            key=f"page:{data['key']}",
            now=timezone.now(),
            shown=data["shown"],
        )
    except Refusal as error:
        form.add_error("code" if isinstance(error, redemption.CodeRefused) else None, str(error))
        return _show_errors(request, form)
    return redirect_to_payment(request, purchase)


def redirect_to_payment(request: HttpRequest, purchase: Purchase) -> HttpResponse:
    """Redirect to the purchase's payment page at Stripe; to the purchase when that fails."""
    try:
        return see_other(checkout.open_page(purchase, timezone.now()))
    except Refusal as error:
        messages.error(request, str(error))
    except stripe_gateway.StripeUnavailable as error:
        messages.error(request, unavailable_message(error))
    except stripe_gateway.StripeError:
        messages.error(request, _("The payment page could not be opened. Nothing was charged. Try again."))
    return redirect("purchase", purchase.public_id)


def unavailable_message(error: stripe_gateway.StripeError) -> str:
    """The sentence for a request to Stripe that failed; trying again does not help when access is refused."""
    refused = isinstance(error, stripe_gateway.AccessRefused)
    return error.detail() if refused else str(STRIPE_UNAVAILABLE)


def submitted_key(request: HttpRequest) -> str:
    """The idempotency key in the submitted form; a new one when it is missing or malformed."""
    try:
        return str(uuid.UUID(request.POST.get("key", "")))
    except ValueError:
        return str(uuid.uuid4())


def see_other(url: str) -> HttpResponseRedirect:
    """Redirect after a POST with status 303, so that reloading the next page does not send the form again."""
    response = HttpResponseRedirect(url)
    response.status_code = 303
    return response


@require_GET
@account_page
def purchase_return(request: AccountRequest, public_id: str) -> HttpResponse:
    """The page to which Stripe redirects after payment; it retrieves the session immediately."""
    purchase = refreshed(find_purchase(request, public_id))
    return render(request, "billing/purchase_return.html", _status_context(purchase))


def refreshed(purchase: Purchase) -> Purchase:
    """The purchase as Stripe reports it. After an error the webhook or the reconciliation updates it."""
    with contextlib.suppress(
        stripe_gateway.StripeError,
        stripe_objects.UnmatchedObject,
        stripe_sync.StaleSnapshot,
        offers.PlanClosed,
    ):
        return checkout.refresh_from_stripe(purchase, timezone.now())
    return purchase


@require_GET
@account_page
def purchase_state(request: AccountRequest, public_id: str) -> HttpResponse:
    """The fragment of the return page that is loaded again until the payment succeeds or fails."""
    return render(
        request, "billing/_purchase_status.html", _status_context(find_purchase(request, public_id))
    )


@require_GET
@account_page
def purchase_unpaid(request: AccountRequest, public_id: str) -> HttpResponse:
    """The page to which Stripe redirects a buyer who goes back without paying."""
    purchase = find_purchase(request, public_id)
    if purchase.status != Purchase.Status.CREATED:
        return redirect("purchase_return", purchase.public_id)
    return render(request, "billing/purchase_unpaid.html", {"purchase": purchase})


@require_POST
@account_page
@buyers_only
def continue_to_payment(request: AccountRequest, public_id: str) -> HttpResponse:
    """Redirect to the payment page of a purchase that is not paid yet."""
    return redirect_to_payment(request, find_purchase(request, public_id))


@require_POST
@account_page
@buyers_only
def cancel_purchase(request: AccountRequest, public_id: str) -> HttpResponse:
    """Cancel an unpaid purchase."""
    try:
        purchase = checkout.cancel(find_purchase(request, public_id), timezone.now())
    except stripe_gateway.StripeError:
        messages.error(
            request,
            _("The payment provider cannot be reached. The purchase was not cancelled. Try again."),
        )
        return redirect("purchase", public_id)
    if purchase.status == Purchase.Status.CANCELLED:
        messages.success(request, _("Purchase cancelled. Nothing was charged."))
    return redirect("purchase", public_id)


def find_purchase(request: AccountRequest, public_id: str) -> Purchase:
    """The purchase, if it belongs to the account. Raises Http404."""
    purchase = Purchase.with_public_id(public_id)
    if purchase is None or purchase.account_id != request.account.pk:
        raise Http404
    return purchase


def _sum_of(request: AccountRequest, offer: offers.PackOffer, order: dict[str, Any]) -> dict[str, Any]:
    """Credits, price and discount of an order, and why it or its code is refused."""
    now, quantity, code, discount, error = timezone.now(), order["quantity"], order["code"], 0, ""
    if code:
        guesses.count_promotion_code(
            account_id=request.account.pk, client=guesses.client_of(request), now=now
        )
    try:
        create.order_of(
            request.account, pack_key=offer.key, quantity=quantity, currency=offer.currency, now=now
        )
        discount = create.discount_of(request.account, offer, quantity=quantity, code=code, now=now)
    except Refusal as refusal:
        error = str(refusal)
    return {
        "quantity": quantity,
        "credits": offer.pack.credits * quantity,
        "list_amount": offer.list_amount * quantity,
        "discount": discount,
        "code": code.strip().upper(),
        "total": offer.amount * quantity - discount,
        "error": error,
    }


def _status_context(purchase: Purchase) -> dict[str, Any]:
    waits = purchase.status in {Purchase.Status.CREATED, Purchase.Status.PENDING}
    return {"purchase": purchase, "waits": waits}


def _offer(request: AccountRequest, pack: str, currency: str | None) -> offers.PackOffer:
    return offers.get_pack(
        key=pack,
        currency=offers.resolve_currency((currency or "").lower()),
        paid_plan=selectors.has_paid_plan(request.account.pk),
        now=timezone.now(),
    )


def _packs_context(request: AccountRequest, currency: str | None) -> dict[str, Any]:
    try:
        chosen = offers.resolve_currency((currency or "").lower())
    except offers.UnknownCurrency:
        chosen = offers.resolve_currency(None)
    paid_plan = selectors.has_paid_plan(request.account.pk)
    packs = offers.list_packs(currency=chosen, paid_plan=paid_plan, now=timezone.now())
    return {
        # One idempotency key for each pack and page view: a second click is the same purchase.
        "packs": [(offer, uuid.uuid4()) for offer in packs],
        "currency": chosen,
        "currencies": offers.currencies(),
        "needs_plan": any(not offer.allowed for offer in packs),
    }


def _show_errors(request: AccountRequest, form: PurchaseForm) -> HttpResponse:
    """The confirmation with the form's errors; the list of packs when the pack itself is not available."""
    try:
        offer = _offer(request, form.data.get("pack", ""), form.data.get("currency"))
    except (offers.UnknownOffer, offers.UnknownCurrency, offers.PaidPlanRequired) as error:
        context = _packs_context(request, None) | {"error": str(error)}
        return render(request, "billing/buy.html", context, status=422)
    context = {"offer": offer, "form": form, "key": uuid.uuid4()}
    return render(request, "billing/confirm_pack.html", context, status=422)
