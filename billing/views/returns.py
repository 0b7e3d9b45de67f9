"""Pages to which Stripe redirects after a payment or a saved card, for readers with and without a session.

Invariants: a member who has chosen the account goes on to its pages; everybody else learns the outcome and
nothing about the account; without the signed link there is no page.
"""

from urllib.parse import urlencode
from uuid import UUID

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET

from accounts.access import chosen_membership
from accounts.models import Account
from billing import stripe_gateway
from billing.models import Purchase
from billing.payments import cards, return_links
from billing.purchases import auto_top_up
from billing.views.buy import refreshed


@require_GET
@never_cache
def payment_returned(request: HttpRequest, token: str) -> HttpResponse:
    """The page to which Stripe redirects after payment."""
    purchase = _purchase(token)
    if _has_chosen(request, purchase.account_id):
        return redirect("purchase_return", purchase.public_id)
    purchase = refreshed(purchase)
    refunded = purchase.status == Purchase.Status.PAID and 0 < purchase.amount == purchase.refunded
    return _answer(request, "refunded" if refunded else purchase.status, purchase)


@require_GET
@never_cache
def payment_left(request: HttpRequest, token: str) -> HttpResponse:
    """The page to which Stripe redirects a buyer who goes back without paying."""
    purchase = _purchase(token)
    if _has_chosen(request, purchase.account_id):
        return redirect("purchase_unpaid", purchase.public_id)
    is_open = purchase.status == Purchase.Status.CREATED
    return _answer(request, "left" if is_open else purchase.status, purchase)


@require_GET
@never_cache
def card_returned(request: HttpRequest, token: str) -> HttpResponse:
    """The page to which Stripe redirects after saving a card, with `session`, or without having done so."""
    account = Account.with_public_id(return_links.named_by(token))
    if account is None:
        raise Http404
    session = request.GET.get("session", "")
    if _has_chosen(request, account.pk):
        saved_page = f"{reverse('card_saved')}?{urlencode({'session': session})}"
        return redirect(saved_page if session else "billing")
    if not session:
        return _answer(request, "card_left")
    try:
        saved = cards.save_card_from_session(account, session, timezone.now())
    except (stripe_gateway.StripeError, cards.StaleCards):
        return _answer(request, "card_waits")
    return _answer(request, "card_saved" if saved else "card_left")


@require_GET
@never_cache
def top_up_returned(request: HttpRequest, token: str) -> HttpResponse:
    """The page to which the bank redirects after the confirmation of an automatic top-up."""
    account = Account.with_public_id(return_links.named_by(token))
    if account is None:
        raise Http404
    if _has_chosen(request, account.pk):
        return redirect("top_up_confirmed")
    try:
        paid = auto_top_up.refresh_confirmed_payment(account.pk, timezone.now())
    except stripe_gateway.StripeError:
        return _answer(request, "created")
    return _answer(request, "paid" if paid else "failed")


def _purchase(token: str) -> Purchase:
    """The purchase that the link names. Raises Http404."""
    purchase = Purchase.with_public_id(return_links.named_by(token))
    if purchase is None:
        raise Http404
    return purchase


def _has_chosen(request: HttpRequest, account_id: UUID) -> bool:
    return request.user.is_authenticated and chosen_membership(request).account_id == account_id


def _answer(request: HttpRequest, outcome: str, purchase: Purchase | None = None) -> HttpResponse:
    path = reverse("purchase", args=[purchase.public_id]) if purchase else reverse("billing")
    return render(request, "billing/returned.html", {"outcome": outcome, "path": path})
