"""Pages of plans: comparison, preview and confirmation of a change, and the account's subscription."""

import uuid
from collections.abc import Callable, Mapping
from datetime import datetime
from functools import partial
from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from accounts.access import account_page, buyers_only
from accounts.http import AccountRequest
from billing import ledger, offers, selectors, stripe_gateway
from billing.ledger.balances import RunningAllowance
from billing.models import PlanChange, Purchase, Subscription
from billing.purchases import create
from billing.subscriptions import changes, grace, pauses, pending_payments, previews
from billing.views import plan_columns, public_offers
from billing.views.buy import redirect_to_payment, submitted_key, unavailable_message
from core.errors import Refusal
from pricing.catalogue import texts
from pricing.models import Plan


@require_safe
def plans(request: HttpRequest) -> HttpResponseBase:
    """The plans on offer; for visitors, plans and packs."""
    return _compare(request) if request.user.is_authenticated else public_offers.plans_and_packs(request)


@account_page
def _compare(request: AccountRequest) -> HttpResponseBase:
    """Compare the plans on offer and the account's own, which may be a legacy plan."""
    current = selectors.subscription_of(request.account.pk)
    now = timezone.now()
    paid = current is not None and current.paid
    pending_plan = selectors.pending_plan(request.account.pk)
    currency = current.currency if current and paid else _currency(request, pending_plan)
    interval = request.GET.get("interval") or (current.interval if current and paid else "")
    interval = "year" if interval == "year" else "month"
    shown = [
        plan
        for plan in Plan.objects.order_by("rank", "position")
        if plan.open_to_new_members or (current and plan.key == current.plan)
    ]
    context = {
        "plans": [plan_columns.column_of(plan, interval, currency, current) for plan in shown],
        "subscription": current,
        "plan": Plan.objects.filter(key=current.plan).first() if current else None,
        "profile": selectors.profile_of(request.account.pk),
        "pending": pending_payments.sentence(current) if current and current.pending_until else "",
        "now": now,
        "interval": interval,
        "yearly": any("year" in plan.prices for plan in shown),
        "currency": currency,
        "currencies": offers.currencies(),
        "pending_plan": pending_plan,
    }
    return render(request, "billing/plans.html", context)


@require_http_methods(["GET", "POST"])
@account_page
@buyers_only
def change(request: AccountRequest, key: str) -> HttpResponse:
    """Preview a change of plan (GET) and confirm it (POST)."""
    now = timezone.now()
    try:
        if request.method == "POST":
            return _confirm(request, key, now)
        preview = previews.preview(
            request.account,
            plan_key=key,
            interval=request.GET.get("interval", ""),
            currency=_currency(request),
            now=now,
        )
        if preview.kind == "subscribe" and selectors.pending_plan(request.account.pk):
            raise create.PlanPaymentPending
    except Refusal as error:
        messages.error(request, str(error))
        show_again = isinstance(error, previews.ConfirmationStale | create.PriceChanged)
        return redirect("plan_change", key) if show_again else redirect("plans")
    except stripe_gateway.CardDeclined as error:
        messages.error(
            request, _("%(reason)s Your plan was not changed.") % {"reason": texts.translated(error.message)}
        )
        return redirect("subscription")
    except stripe_gateway.StripeError as error:
        messages.error(request, unavailable_message(error))
        return redirect("plans")
    return render(request, "billing/plan_change.html", {"preview": preview, "key": uuid.uuid4()})


def _confirm(request: AccountRequest, key: str, now: datetime) -> HttpResponse:
    preview = previews.read_token(request.account, request.POST.get("token", ""))
    if preview["plan"] != key:
        raise previews.ConfirmationStale
    if preview["kind"] == "subscribe":
        purchase = create.plan_purchase(
            account=request.account,
            buyer=request.user,
            origin=Purchase.Origin.PAGE,
            plan_key=key,
            interval=preview["interval"],
            currency=preview["currency"],
            confirm=request.POST.get("understood") == "on",
            key=f"page:{submitted_key(request)}",
            now=now,
            shown=preview["amount"],
        )
        return redirect_to_payment(request, purchase)
    if preview["legacy"] and request.POST.get("understood") != "on":
        raise create.ConfirmationNeeded
    changed = changes.confirm(request.account, request.POST.get("token", ""), now)
    if changed.pending_plan:
        return redirect("subscription")  # which says how to confirm the payment
    if changed.next_plan or changed.cancel_at_period_end:
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
    """The plan, its next payment, the balance and the history of plans."""
    now = timezone.now()
    current = selectors.subscription_of(request.account.pk)
    balance = ledger.balance(request.account.pk, now)
    plan = Plan.objects.filter(key=current.plan).first() if current else None
    currency = _currency(request)
    names = dict(Plan.objects.values_list("key", "name"))
    context = {
        "subscription": current,
        "plan": plan,
        "profile": selectors.profile_of(request.account.pk),
        "next_plan": Plan.objects.filter(key=current.following_plan).first() if current else None,
        "balance": balance,
        "allowances": [(one, _other_plan(one, current, names)) for one in balance.allowances],
        "pending_plan": selectors.pending_plan(request.account.pk),
        # the clock of a test subscription at Stripe may be ahead of ours
        "renewal_pending": current is not None and grace.is_pending(current, max(now, current.period_start)),
        "quotas": selectors.quota_usage(request.account.pk),
        "history": PlanChange.objects.filter(account=request.account).order_by("-created_at")[:20],
        "pending": pending_payments.sentence(current) if current and current.pending_until else "",
        "pause_months": range(1, pauses.most_months(current) + 1),
        "feedback": Subscription.Feedback.choices,
        "legacy_price": plan.prices.get("month", {}).get(currency) if plan and plan.legacy else None,
        "legacy_currency": currency,
        "names": names,
        "now": now,
    }
    return render(request, "billing/subscription.html", context)


def _other_plan(allowance: RunningAllowance, current: Subscription | None, names: Mapping[str, str]) -> str:
    """The name of the plan that an allowance is of, if that is not the present plan."""
    key = allowance.key.partition(":")[0]
    return names.get(key, "") if current is not None and key != current.plan else ""


@require_POST
@account_page
@buyers_only
def cancel(request: AccountRequest) -> HttpResponse:
    """Cancel the plan at the end of the paid period, with an optional reason."""
    feedback = request.POST.get("feedback", "")
    act = partial(
        changes.cancel,
        feedback=feedback if feedback in Subscription.Feedback else "",
        comment=request.POST.get("comment", "").replace("\0", "")[:500],
    )
    return _change(
        request,
        act,
        _("Your plan ends at the end of the paid period. You keep the credits you bought."),
    )


@require_POST
@account_page
@buyers_only
def resume(request: AccountRequest) -> HttpResponse:
    """Withdraw a cancellation, a downgrade or a change that waits for its payment."""
    return _change(request, changes.resume, _("Your plan stays as it is."))


@require_POST
@account_page
@buyers_only
def pause(request: AccountRequest) -> HttpResponse:
    """Skip the payments and the credits of the next months."""
    months = request.POST.get("months", "")
    number = int(months) if months.isascii() and months.isdigit() and len(months) <= 2 else 0
    return _change(
        request,
        lambda account, now: pauses.pause(account, number, now),
        _("Your plan will be paused after the paid month, and goes on by itself."),
    )


@require_POST
@account_page
@buyers_only
def end_pause(request: AccountRequest) -> HttpResponse:
    """End the pause: the plan goes on with the next month."""
    return _change(request, pauses.end, _("The pause has ended. Your plan goes on with the next month."))


def _change(request: AccountRequest, change: Callable[..., Any], done: str) -> HttpResponse:
    try:
        change(request.account, timezone.now())
    except Refusal as error:
        messages.error(request, str(error))
    except stripe_gateway.StripeError as error:
        messages.error(request, unavailable_message(error))
    else:
        messages.success(request, done)
    return redirect("subscription")


def _currency(request: AccountRequest, pending_plan: Purchase | None = None) -> str:
    """The currency that the page names, else that of a pending plan, else the default one."""
    named = request.GET.get("currency", "").lower() or (pending_plan.currency if pending_plan else "")
    try:
        return offers.resolve_currency(named)
    except offers.UnknownCurrency:
        return offers.resolve_currency(None)
