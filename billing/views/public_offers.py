"""What visitors see without an account: plans and packs with their prices, and what an invitation gives.

Invariant: these pages show the catalogue and nothing of any account.
"""

from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.http import require_safe

from billing import offers
from billing.promotions import referrals
from billing.signals import SESSION_KEY
from billing.views import plan_columns
from pricing import selectors
from pricing.catalogue import cache as catalogue_cache
from pricing.models import Plan


@require_safe
def plans_and_packs(request: HttpRequest) -> HttpResponse:
    """The plans and packs on offer, with the prices for an account without a paid plan."""
    currency = _currency(request)
    interval = "year" if request.GET.get("interval") == "year" else "month"
    plans = list(Plan.objects.filter(legacy=False, retired_at=None).order_by("rank", "position"))
    context: dict[str, Any] = {
        "plans": [plan_columns.column_of(plan, interval, currency, None) for plan in plans],
        "packs": offers.list_packs(currency=currency, paid_plan=True, now=timezone.now()),
        "interval": interval,
        "yearly": any("year" in plan.prices for plan in plans),
        "currency": currency,
        "currencies": offers.currencies(),
    }
    return render(request, "billing/public_offers.html", context)


@require_safe
def invited(request: HttpRequest, code: str) -> HttpResponse:
    """What an invitation gives. Its code is kept in the session until the visitor signs up or redeems it."""
    inviter = referrals.inviter_of(code)
    if inviter is not None:
        request.session[SESSION_KEY] = code.strip().upper()[:40]
    if request.user.is_authenticated:
        return redirect("redeem")
    policy = catalogue_cache.current().policies.referral
    context = {
        "known": inviter is not None,
        "policy": policy if inviter is not None and inviter.erased_at is None else None,
        "free_plan": selectors.free_plan(),
    }
    return render(request, "billing/invited.html", context)


def _currency(request: HttpRequest) -> str:
    try:
        return offers.resolve_currency(request.GET.get("currency", "").lower())
    except offers.UnknownCurrency:
        return offers.resolve_currency(None)
