"""Pages that save, replace and remove the card, pay an overdue plan with it, and open Stripe's portal."""

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST, require_safe

from accounts.access import account_page, buyers_only
from accounts.http import AccountRequest
from billing import selectors, stripe_gateway
from billing.payments import cards
from billing.subscriptions import overdue
from billing.views.buy import STRIPE_UNAVAILABLE, see_other, submitted_key, unavailable_message
from pricing.catalogue import texts


@require_POST
@account_page
@buyers_only
def save_card(request: AccountRequest) -> HttpResponse:
    """Redirect to Stripe's page that saves a card."""
    try:
        return see_other(_setup_page_url(request))
    except stripe_gateway.StripeError as error:
        messages.error(request, unavailable_message(error))
        return redirect("billing")


def _setup_page_url(request: AccountRequest) -> str:
    return cards.setup_page_url(request.account, key=submitted_key(request), language=request.user.language)


@require_safe
@account_page
@buyers_only
def card_saved(request: AccountRequest) -> HttpResponse:
    """The page to which Stripe redirects after saving a card; it does not wait for the webhook."""
    try:
        saved = cards.save_card_from_session(request.account, request.GET.get("session", ""), timezone.now())
    except (stripe_gateway.StripeError, cards.StaleCards):
        messages.info(request, _("Your card is shown here as soon as Stripe confirms it."))
        return redirect("billing")
    if saved:
        profile = selectors.profile_of(request.account.pk)
        message = _(
            "%(card)s ending in %(last4)s saved. It pays your plan and automatic top-ups from now on."
        )
        if not profile.plan_card_id:
            message = _("%(card)s ending in %(last4)s saved.")
        messages.success(request, message % {"card": profile.card_name, "last4": profile.card_last4})
    return redirect("billing")


@require_POST
@account_page
@buyers_only
def remove_card(request: AccountRequest) -> HttpResponse:
    """Remove the saved card at Stripe."""
    try:
        cards.remove_card(request.account.pk, timezone.now())
    except cards.CardPaysPlan as refusal:
        messages.error(request, str(refusal))
    except (stripe_gateway.StripeError, cards.StaleCards):
        messages.error(request, STRIPE_UNAVAILABLE)
    else:
        messages.success(request, _("Card removed."))
    return redirect("billing")


@require_POST
@account_page
@buyers_only
def pay_overdue(request: AccountRequest) -> HttpResponse:
    """Charge the overdue invoice of the plan to the card that pays it."""
    try:
        paid = overdue.pay(request.account.pk, timezone.now())
    except stripe_gateway.AuthenticationRequired:
        subscription = selectors.subscription_of(request.account.pk)
        if subscription and subscription.recovery_url:
            return see_other(subscription.recovery_url)
        messages.error(
            request, _("Your bank requires you to confirm the payment. Open the invoice to pay it.")
        )
    except stripe_gateway.CardDeclined as declined:
        messages.error(request, texts.translated(declined.message))
    except stripe_gateway.StripeError as error:
        messages.error(request, unavailable_message(error))
    else:
        text = _("Payment received. Your plan is active again.") if paid else _("Nothing is due.")
        messages.success(request, text)
    return redirect("billing")


@require_POST
@account_page
@buyers_only
def customer_portal(request: AccountRequest) -> HttpResponse:
    """Redirect to Stripe's customer portal."""
    try:
        return see_other(cards.portal_url(request.account, language=request.user.language))
    except stripe_gateway.StripeError as error:
        messages.error(request, unavailable_message(error))
        return redirect("billing")
