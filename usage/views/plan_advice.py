"""The page that compares what the account's use would have cost on each plan."""

from django.http import HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.http import require_safe

from accounts.access import account_page
from accounts.http import AccountRequest
from usage.repricing import plan_advice


@require_safe
@account_page
def compare(request: AccountRequest) -> HttpResponse:
    """The last days on each plan, the cheapest first."""
    return render(
        request, "usage/plan_advice.html", {"advice": plan_advice.of(request.account, timezone.now())}
    )
