"""The billing page and its settings: alerts, automatic top-up, the card, what invoices say."""

import uuid
from decimal import Decimal
from typing import Any
from uuid import UUID

from babel.numbers import get_currency_precision
from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from accounts.access import account_page, buyers_only
from accounts.http import AccountRequest
from billing import offers, selectors, stripe_gateway
from billing.models import BillingProfile
from billing.notifications import low_credit_alerts
from billing.payments import cards
from billing.purchases import auto_top_up
from billing.subscriptions import plan_terms
from billing.views.buy import UNREACHABLE, form_key, see_other
from billing.views.forms import AlertForm, AutoTopUpForm, InvoiceDetailsForm
from core.amounts import plain
from pricing.catalogue import cache as catalogue_cache


@require_safe
@account_page
def billing(request: AccountRequest) -> HttpResponse:
    """Everything about money in one place: plan, card, last purchases, and the settings."""
    account_id = request.account.pk
    recent = list(selectors.purchases_of(account_id)[:5])
    left = selectors.remaining_credits_by_purchase(recent)
    context = {
        "subscription": selectors.subscription_of(account_id),
        "terms": plan_terms.get(account_id),
        "profile": selectors.profile_of(account_id),
        "rows": [(purchase, left.get(purchase.pk, 0)) for purchase in recent],
        "alert": low_credit_alerts.get_settings(account_id),
        "top_up": auto_top_up.settings_of(account_id),
        "policies": catalogue_cache.current().policies,
        "may_buy": request.membership.may_buy,
    }
    return render(request, "billing/billing.html", context)


@require_http_methods(["GET", "POST"])
@account_page
@buyers_only
def alerts_page(request: AccountRequest) -> HttpResponse:
    """The account's low-credit alert."""
    saved = low_credit_alerts.get_settings(request.account.pk)
    initial = {
        "enabled": saved.enabled,
        "below": plain(saved.below),
        "by_email": saved.by_email,
        "extra_addresses": ", ".join(saved.extra_addresses),
    }
    form = AlertForm(request.POST or None, initial=initial)
    if request.method == "POST" and form.is_valid():
        low_credit_alerts.save_settings(
            account_id=request.account.pk, now=timezone.now(), **form.cleaned_data
        )
        messages.success(request, _("Alerts saved."))
        return redirect("alerts")
    return render(request, "billing/alerts.html", {"form": form}, status=422 if form.errors else 200)


@require_http_methods(["GET", "POST"])
@account_page
@buyers_only
def auto_top_up_page(request: AccountRequest) -> HttpResponse:
    """What is bought by itself, and why it last was or was not."""
    now = timezone.now()
    account_id = request.account.pk
    saved = auto_top_up.settings_of(account_id)
    currency = saved.currency or offers.resolve_currency(None)
    shelf = offers.list_packs(currency=currency, paid_plan=selectors.has_paid_plan(account_id), now=now)
    form = AutoTopUpForm(
        request.POST or None,
        packs=[(offer.key, offer.pack.name) for offer in shelf if offer.allowed],
        most=auto_top_up.max_monthly_count(),
        initial=_top_up_initial(saved, currency) if saved.pack else _top_up_suggestion(account_id, shelf),
    )
    if request.method == "POST" and form.is_valid():
        try:
            told = {
                **form.cleaned_data,
                "monthly_amount": _minor(form.cleaned_data["monthly_amount"], currency),
            }
            auto_top_up.change_settings(
                account_id=account_id, currency=currency, user=request.user, now=now, **told
            )
        except auto_top_up.SettingsInvalid as refusal:
            form.add_error(refusal.field, str(refusal))
        else:
            messages.success(request, _("Automatic top-up saved."))
            return redirect("auto_top_up")
    spent, count = auto_top_up.spent_this_month(account_id, now)
    context = {
        "form": form,
        "saved": saved,
        "profile": selectors.profile_of(account_id),
        "packs": shelf,
        "currency": currency,
        "spent": spent,
        "count": count,
        "card_key": uuid.uuid4(),
    }
    return render(request, "billing/auto_top_up.html", context, status=422 if form.errors else 200)


@require_POST
@account_page
@buyers_only
def save_card(request: AccountRequest) -> HttpResponse:
    """On to Stripe's page on which a card is saved."""
    try:
        return see_other(cards.setup_page_url(request.account, key=form_key(request)))
    except stripe_gateway.StripeError:
        messages.error(request, UNREACHABLE)
        return redirect("auto_top_up")


@require_safe
@account_page
@buyers_only
def card_saved(request: AccountRequest) -> HttpResponse:
    """Back from saving a card: Stripe is asked, so that the page need not wait for the webhook."""
    try:
        if cards.save_card_from_session(request.account, request.GET.get("session", "")):
            messages.success(request, _("Card saved."))
    except stripe_gateway.StripeError:
        messages.info(request, _("Your card is shown here as soon as Stripe confirms it."))
    return redirect("auto_top_up")


@require_POST
@account_page
@buyers_only
def portal(request: AccountRequest) -> HttpResponse:
    """On to Stripe's own page for card and address."""
    try:
        return see_other(cards.portal_url(request.account))
    except stripe_gateway.StripeError:
        messages.error(request, UNREACHABLE)
        return redirect("billing")


@require_http_methods(["GET", "POST"])
@account_page
@buyers_only
def invoice_details(request: AccountRequest) -> HttpResponse:
    """What invoices say of the buyer from now on."""
    profile, _created = BillingProfile.objects.get_or_create(account=request.account)
    form = InvoiceDetailsForm(request.POST or None, instance=profile)
    if request.method == "POST" and form.is_valid():
        form.save()
        messages.success(request, _("Invoice details saved."))
        return redirect("billing")
    return render(request, "billing/invoice_details.html", {"form": form})


def _top_up_initial(saved: Any, currency: str) -> dict[str, Any]:
    return {
        "enabled": saved.enabled,
        "below": plain(saved.below),
        "pack": saved.pack,
        "monthly_count": saved.monthly_count,
        "monthly_amount": format(offers.major_units(saved.monthly_amount, currency), "f"),
    }


def _top_up_suggestion(account_id: UUID, shelf: list[offers.PackOffer]) -> dict[str, Any]:
    """For whoever sets it up: the alert's threshold, the smallest pack, three of it a month."""
    first = next((offer for offer in shelf if offer.allowed), None)
    most = min(3, max(1, auto_top_up.max_monthly_count()))
    amount = offers.major_units(first.amount * most, first.currency) if first else Decimal(0)
    return {
        "below": plain(low_credit_alerts.get_settings(account_id).below),
        "pack": first.key if first else "",
        "monthly_count": most,
        "monthly_amount": format(amount, "f"),
    }


def _minor(amount: Decimal, currency: str) -> int:
    minor = amount.scaleb(get_currency_precision(currency.upper()))
    if minor != int(minor):
        raise auto_top_up.SettingsInvalid(
            "monthly_amount",
            "too_precise",
            _("This currency has fewer decimal places. Remove some decimals."),
        )
    return int(minor)
