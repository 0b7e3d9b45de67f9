"""Plans side by side, what a change would do, and the account's own subscription."""

import uuid
from datetime import datetime
from typing import Any

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from accounts.access import account_page, buyers_only, require_may_buy
from accounts.http import AccountRequest
from billing import ledger, offers, selectors, stripe_gateway
from billing.models import PlanChange, Purchase
from billing.purchases import create
from billing.subscriptions import changes, lifecycle, previews
from billing.views.buy import UNREACHABLE, form_key, go_and_pay
from pricing.models import Plan

REFUSALS = (
    offers.UnknownOffer,
    offers.UnknownCurrency,
    previews.ChangeRefused,
    previews.ConfirmationStale,
    create.AlreadySubscribed,
    create.ConfirmationNeeded,
    create.PurchaseKeyReused,
    create.PriceChanged,
    lifecycle.PlanClosed,
)


@require_safe
@account_page
def plans(request: AccountRequest) -> HttpResponse:
    """Every plan that can be entered, and one's own, with the present one marked."""
    present = selectors.subscription_of(request.account.pk)
    currency = _currency(request)
    interval = "year" if request.GET.get("interval") == "year" else "month"
    shown = [
        plan
        for plan in Plan.objects.order_by("rank", "position")
        if plan.open_to_new_members or (present and plan.key == present.plan)
    ]
    context = {
        "plans": [_column(plan, interval, currency, present) for plan in shown],
        "subscription": present,
        "interval": interval,
        "yearly": any("year" in plan.prices for plan in shown),
        "currency": currency,
        "currencies": offers.currencies(),
        "may_buy": request.membership.may_buy,
    }
    return render(request, "billing/plans.html", context)


@require_http_methods(["GET", "POST"])
@account_page
@buyers_only
def change(request: AccountRequest, key: str) -> HttpResponse:
    """What changing to a plan costs and does; the confirmation does exactly that or is refused."""
    now = timezone.now()
    try:
        if request.method == "POST":
            return _confirm(request, key, now)
        shown = previews.preview(
            request.account,
            plan_key=key,
            interval=request.GET.get("interval", ""),
            currency=_currency(request),
            now=now,
        )
    except REFUSALS as refusal:
        messages.error(request, str(refusal))
        again = isinstance(refusal, previews.ConfirmationStale | create.PriceChanged)
        return redirect("plan_change", key) if again else redirect("plans")
    except stripe_gateway.CardDeclined as refusal:
        messages.error(
            request, _("Your card was declined: %(reason)s Your plan was not changed.") % {"reason": refusal}
        )
        return redirect("subscription")
    except stripe_gateway.StripeError:
        messages.error(request, UNREACHABLE)
        return redirect("plans")
    return render(request, "billing/plan_change.html", {"preview": shown, "key": uuid.uuid4()})


def _confirm(request: AccountRequest, key: str, now: datetime) -> HttpResponse:
    facts = previews.read_token(request.account, request.POST.get("token", ""))
    if facts["plan"] != key:
        raise previews.ConfirmationStale
    if facts["kind"] == "subscribe":
        order = create.plan_purchase(
            account=request.account,
            buyer=request.user,
            origin=Purchase.Origin.PAGE,
            plan_key=key,
            interval=facts["interval"],
            currency=facts["currency"],
            confirm=request.POST.get("understood") == "on",
            key=f"page:{form_key(request)}",
            now=now,
            shown=facts["amount"],
        )
        return go_and_pay(request, order)
    if facts["legacy"] and request.POST.get("understood") != "on":
        raise create.ConfirmationNeeded
    after = changes.confirm(request.account, request.POST.get("token", ""), now)
    if after.next_plan or after.cancel_at_period_end:
        messages.success(
            request,
            _("Plan change scheduled. Your current plan stays active until the end of the paid period."),
        )
    else:
        messages.success(request, _("Your plan was changed."))
    return redirect("subscription")


@require_safe
@account_page
def subscription(request: AccountRequest) -> HttpResponse:
    """The plan, its next payment, total balance and today's refresh."""
    now = timezone.now()
    present = selectors.subscription_of(request.account.pk)
    balance = ledger.balance(request.account.pk, now)
    plan = Plan.objects.filter(key=present.plan).first() if present else None
    context = {
        "subscription": present,
        "plan": plan,
        "next_plan": Plan.objects.filter(key=present.next_plan).first() if present else None,
        "balance": balance,
        "quotas": selectors.quota_usage(request.account.pk),
        "history": PlanChange.objects.filter(account=request.account).order_by("-created_at")[:20],
        "names": dict(Plan.objects.values_list("key", "name")),
        "may_buy": request.membership.may_buy,
        "now": now,
    }
    return render(request, "billing/subscription.html", context)


@require_POST
@account_page
@buyers_only
def cancel(request: AccountRequest) -> HttpResponse:
    """Cancel at the end of what is paid."""
    return _act(
        request,
        changes.cancel,
        _("Your plan ends at the end of the paid period. You keep the credits you bought."),
    )


@require_POST
@account_page
@buyers_only
def resume(request: AccountRequest) -> HttpResponse:
    """Take a cancellation or a coming downgrade back."""
    return _act(request, changes.resume, _("Your plan was resumed."))


def _act(request: AccountRequest, act: Any, done: str) -> HttpResponse:
    require_may_buy(request)
    try:
        act(request.account, timezone.now())
    except (previews.ChangeRefused, lifecycle.PlanClosed) as refusal:
        messages.error(request, str(refusal))
    except stripe_gateway.StripeError:
        messages.error(request, UNREACHABLE)
    else:
        messages.success(request, done)
    return redirect("subscription")


def _currency(request: AccountRequest) -> str:
    try:
        return offers.resolve_currency(request.GET.get("currency", "").lower())
    except offers.UnknownCurrency:
        return offers.resolve_currency(None)


def _column(plan: Plan, interval: str, currency: str, present: Any) -> dict[str, Any]:
    """One plan as it stands beside the others; a plan without a yearly price shows its monthly one."""
    shown = interval if interval in plan.prices else next(iter(plan.prices), "")
    current = present is not None and plan.key == present.plan
    return {
        "plan": plan,
        "interval": shown,
        "price": plan.prices.get(shown, {}).get(currency),
        "current": current,
        "same_interval": current and (not present.interval or shown == present.interval),
        "coming": present is not None and plan.key == present.next_plan,
        "allowances": plan.allowances,
    }
