"""The page on which users delete their account."""

from datetime import datetime
from decimal import Decimal
from typing import Any

from allauth.account.decorators import reauthentication_required
from django.contrib import messages
from django.contrib.auth import logout
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods

from accounts import erasure as account_erasure
from accounts.access import account_page
from accounts.http import AccountRequest
from accounts.models import User, personal_account_of
from billing import erasure, selectors, stripe_gateway
from billing.models import Refund
from billing.views.buy import unavailable_message
from billing.views.forms import ErasureForm
from core.errors import Refusal


@require_http_methods(["GET", "POST"])
@account_page
@reauthentication_required(allow_get=True)
def delete_account(request: AccountRequest) -> HttpResponse:
    """Say what is lost, and erase the user and the personal account when the address is typed."""
    now = timezone.now()
    form = ErasureForm(request.POST or None, email=request.user.email)
    if request.method == "POST" and form.is_valid():
        try:
            erasure.erase(request.user, now, shown=form.cleaned_data["credits"] or Decimal(0))
        except Refusal as error:
            form.add_error(None, str(error))
        except stripe_gateway.StripeError as error:
            form.add_error(None, unavailable_message(error))
        else:
            logout(request)
            messages.success(request, _("Your account was deleted."))
            return redirect("account_login")
    context = {"form": form} | _losses(request.user, now)
    return render(request, "billing/delete_account.html", context, status=422 if form.errors else 200)


def _losses(user: User, now: datetime) -> dict[str, Any]:
    """What the user loses; without the teams when one of them is in the way, which the form says."""
    try:
        accounts = account_erasure.accounts_to_close(user)
    except Refusal:
        accounts = [personal_account_of(user)]
    subscriptions = [selectors.subscription_of(account.pk) for account in accounts]
    requested = Refund.objects.filter(account__in=accounts, status=Refund.Status.REQUESTED)
    return {
        "teams": [account.name for account in accounts if account.person_id != user.pk],
        "lost": erasure.credits_of(accounts, now),
        "pays_plan": any(subscription and subscription.paid for subscription in subscriptions),
        "refund_requested": requested.exists(),
    }
