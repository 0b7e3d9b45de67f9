"""The page that shows how long the credits last."""

from django.http import HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.http import require_safe

from accounts.access import account_page
from accounts.http import AccountRequest
from billing.notifications import monthly_budgets
from usage.forecast import page


@require_safe
@account_page
def forecast(request: AccountRequest) -> HttpResponse:
    """The balance of the coming weeks, with what comes, expires and is bought."""
    now = timezone.now()
    shown = page.of(request.account, now)
    request.shown_balance = shown.balance  # type: ignore[attr-defined]  # for the page's header
    context = {"forecast": shown, "budget": monthly_budgets.get(request.account.pk, now)}
    return render(request, "usage/forecast.html", context)
