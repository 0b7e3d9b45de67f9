"""The billing overview and its settings: alerts, automatic top-up, invoice details."""

import uuid
from decimal import Decimal
from typing import Any
from uuid import UUID

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from accounts.access import account_page, buyers_only
from accounts.http import AccountRequest
from billing import offers, selectors, stripe_gateway
from billing.models import AutoTopUp
from billing.notifications import alert_addresses, low_credit_alerts, monthly_budgets
from billing.payments import invoices
from billing.purchases import auto_top_up, top_up_settings
from billing.subscriptions import plan_terms
from billing.views.buy import see_other, submitted_key, unavailable_message
from billing.views.forms import AlertForm, AutoTopUpForm, InvoiceDetailsForm, MonthlyBudgetForm
from core import currencies
from core.amounts import plain
from pricing.catalogue import cache as catalogue_cache
from pricing.catalogue import texts
from pricing.models import Plan


@require_safe
@account_page
def overview(request: AccountRequest) -> HttpResponse:
    """Overview of plan, card, recent purchases and settings."""
    account_id = request.account.pk
    current = selectors.subscription_of(account_id)
    recent = list(selectors.purchases_of(account_id)[:5])
    remaining = selectors.remaining_credits_by_purchase(recent)
    context = {
        "subscription": current,
        "next_plan": Plan.objects.filter(key=current.following_plan).first() if current else None,
        "terms": plan_terms.get(account_id),
        "profile": selectors.profile_of(account_id),
        "rows": [(purchase, remaining.get(purchase.pk, 0)) for purchase in recent],
        "alert": low_credit_alerts.get_settings(account_id),
        "top_up": top_up_settings.get(account_id),
        "policies": catalogue_cache.current().policies,
        "card_key": uuid.uuid4(),
    }
    return render(request, "billing/billing.html", context)


@require_http_methods(["GET", "POST"])
@account_page
@buyers_only
def alert_settings(request: AccountRequest) -> HttpResponse:
    """The account's low-credit alert settings."""
    saved = low_credit_alerts.get_settings(request.account.pk)
    initial = {
        "enabled": saved.enabled,
        "below": plain(saved.below),
        "also_below": ", ".join(plain(threshold) for threshold in saved.also_below),
        "by_email": saved.by_email,
        "extra_addresses": ", ".join(saved.extra_addresses),
    }
    form = AlertForm(request.POST or None, initial=initial)
    if request.method == "POST" and form.is_valid():
        try:
            low_credit_alerts.save_settings(
                account_id=request.account.pk, now=timezone.now(), **form.cleaned_data
            )
        except alert_addresses.TooManyAddresses as error:
            form.add_error(error.field, str(error))
        else:
            messages.success(request, _("Alerts saved."))
            return redirect("alerts")
    context = {"form": form, "unconfirmed": alert_addresses.split(saved)[1]}
    return render(request, "billing/alerts.html", context, status=422 if form.errors else 200)


@require_http_methods(["GET", "POST"])
@account_page
@buyers_only
def monthly_budget(request: AccountRequest) -> HttpResponse:
    """The account's monthly budget, and what is spent of it."""
    now = timezone.now()
    saved = monthly_budgets.get(request.account.pk, now)
    initial = {"credits": plain(saved.credits) if saved else "", "pauses": saved.pauses if saved else True}
    form = MonthlyBudgetForm(request.POST or None, initial=initial)
    if request.method == "POST" and form.is_valid():
        monthly_budgets.save(request.account.pk, now=now, **form.cleaned_data)
        messages.success(request, _("Monthly budget saved."))
        return redirect("monthly_budget")
    context = {"form": form, "budget": saved}
    return render(request, "billing/monthly_budget.html", context, status=422 if form.errors else 200)


@require_http_methods(["GET", "POST"])
def confirm_alerts(request: HttpRequest, token: str) -> HttpResponse:
    """The link of an e-mail to an additional address of alerts: its reader agrees to get them."""
    named = alert_addresses.named_by(token)
    if named is None:
        raise Http404
    account_id, address = named
    context: dict[str, Any] = {"address": address}
    if request.method == "POST":
        context["confirmed"] = alert_addresses.confirm(account_id, address)
        context["gone"] = not context["confirmed"]
    return render(request, "billing/confirm_alerts.html", context)


@require_http_methods(["GET", "POST"])
@account_page
@buyers_only
def auto_top_up_settings(request: AccountRequest) -> HttpResponse:
    """Settings of automatic top-up, and the outcome of the last attempt."""
    now = timezone.now()
    account_id = request.account.pk
    saved = top_up_settings.get(account_id)
    sold_in = saved.currency if saved.currency in offers.currencies() else None
    currency = offers.resolve_currency(sold_in)
    packs = offers.list_packs(currency=currency, paid_plan=selectors.has_paid_plan(account_id), now=now)
    initial = _top_up_initial(saved, packs, currency) if saved.pack else _top_up_defaults(account_id, packs)
    form = AutoTopUpForm(
        request.POST or None,
        packs=[(offer.key, texts.translated(offer.pack.name)) for offer in packs if offer.allowed],
        max_count=top_up_settings.max_monthly_count(),
        initial=initial,
    )
    if request.method == "POST" and form.is_valid():
        try:
            amount = _minor_units(form.cleaned_data["monthly_amount"], currency)
            values = {**form.cleaned_data, "monthly_amount": amount}
            top_up_settings.change(
                account_id=account_id, currency=currency, user=request.user, now=now, **values
            )
        except top_up_settings.SettingsInvalid as error:
            form.add_error(error.field, str(error))
        else:
            messages.success(request, _("Automatic top-up saved."))
            return redirect("auto_top_up")
    spent, count = top_up_settings.spent_this_month(account_id, currency, now)
    context = {
        "form": form,
        "saved": saved,
        "consent": top_up_settings.consent(saved, now),
        "profile": selectors.profile_of(account_id),
        "packs": packs,
        "currency": currency,
        "spent": spent,
        "count": count,
        "card_key": uuid.uuid4(),
    }
    return render(request, "billing/auto_top_up.html", context, status=422 if form.errors else 200)


@require_POST
@account_page
@buyers_only
def confirm_top_up(request: AccountRequest) -> HttpResponse:
    """Redirect to the bank's page that confirms a failed automatic top-up."""
    try:
        url = auto_top_up.confirm_failed_payment(
            request.account.pk, key=submitted_key(request), now=timezone.now()
        )
    except stripe_gateway.CardDeclined as declined:
        messages.error(request, texts.translated(declined.message))
        return redirect("auto_top_up")
    except stripe_gateway.StripeError as error:
        messages.error(request, unavailable_message(error))
        return redirect("auto_top_up")
    return see_other(url) if url else redirect("top_up_confirmed")


@require_safe
@account_page
@buyers_only
def top_up_confirmed(request: AccountRequest) -> HttpResponse:
    """The page to which the bank redirects after the confirmation; it does not wait for the webhook."""
    try:
        paid = auto_top_up.refresh_confirmed_payment(request.account.pk, timezone.now())
    except stripe_gateway.StripeError:
        messages.info(request, _("The payment is shown here as soon as Stripe confirms it."))
        return redirect("auto_top_up")
    if paid:
        messages.success(request, _("Payment confirmed. Automatic top-up is active again."))
    else:
        messages.error(request, _("The payment was not confirmed. Try again, or save another card."))
    return redirect("auto_top_up")


@require_http_methods(["GET", "POST"])
@account_page
@buyers_only
def invoice_details(request: AccountRequest) -> HttpResponse:
    """Name, address and tax ID on future invoices."""
    profile = selectors.profile_of(request.account.pk)
    form = InvoiceDetailsForm(request.POST or None, instance=profile)
    if request.method == "POST" and form.is_valid():
        invoices.set_details(request.account.pk, **form.cleaned_data)
        messages.success(request, _("Invoice details saved."))
        return redirect("billing")
    return render(request, "billing/invoice_details.html", {"form": form}, status=422 if form.errors else 200)


def _top_up_initial(saved: AutoTopUp, packs: list[offers.PackOffer], currency: str) -> dict[str, Any]:
    amount = saved.monthly_amount
    if saved.currency != currency:  # no longer sold: the price of the same top-ups in this one
        amount = sum(offer.amount for offer in packs if offer.key == saved.pack) * saved.monthly_count
    return {
        "enabled": saved.enabled,
        "below": plain(saved.below),
        "pack": saved.pack,
        "monthly_count": saved.monthly_count,
        "monthly_amount": format(currencies.to_major(amount, currency), "f"),
    }


def _top_up_defaults(account_id: UUID, packs: list[offers.PackOffer]) -> dict[str, Any]:
    """The alert's threshold and the smallest pack, at most three times a month."""
    smallest = next((offer for offer in packs if offer.allowed), None)
    count = min(3, max(1, top_up_settings.max_monthly_count()))
    amount = currencies.to_major(smallest.amount * count, smallest.currency) if smallest else Decimal(0)
    return {
        "below": plain(low_credit_alerts.get_settings(account_id).below),
        "pack": smallest.key if smallest else "",
        "monthly_count": count,
        "monthly_amount": format(amount, "f"),
    }


def _minor_units(amount: Decimal, currency: str) -> int:
    """Raises SettingsInvalid for more decimals than the currency has."""
    minor = currencies.to_minor(amount, currency)
    if minor is None:
        raise top_up_settings.SettingsInvalid(
            "monthly_amount",
            "too_precise",
            _("This currency has fewer decimal places. Remove some decimals."),
        )
    return minor
