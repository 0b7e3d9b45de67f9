"""The page that shows how long the credits last."""

from django.http import HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.http import require_safe

from accounts.access import account_page
from accounts.http import AccountRequest
from usage.forecast import page


@require_safe
@account_page
def forecast(request: AccountRequest) -> HttpResponse:
    """The balance of the coming weeks, with what comes, expires and is bought."""
    shown = page.of(request.account, timezone.now())
    request.shown_balance = shown.balance  # type: ignore[attr-defined]  # for the page's header
    return render(request, "usage/forecast.html", {"forecast": shown})
