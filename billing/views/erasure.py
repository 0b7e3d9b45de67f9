"""The page on which users delete their account."""

from allauth.account.decorators import reauthentication_required
from django.contrib import messages
from django.contrib.auth import logout
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods

from accounts.access import account_page
from accounts.http import AccountRequest
from accounts.models import personal_account_of
from billing import erasure, ledger, selectors, stripe_gateway
from billing.views.buy import unavailable_message
from billing.views.forms import ErasureForm
from core.errors import Refusal


@require_http_methods(["GET", "POST"])
@account_page
@reauthentication_required(allow_get=True)
def delete_account(request: AccountRequest) -> HttpResponse:
    """Say what is lost, and erase the user and the personal account when the address is typed."""
    now = timezone.now()
    account = personal_account_of(request.user)
    form = ErasureForm(request.POST or None, email=request.user.email)
    if request.method == "POST" and form.is_valid():
        try:
            erasure.erase(request.user, now)
        except Refusal as error:
            form.add_error(None, str(error))
        except stripe_gateway.StripeError as error:
            form.add_error(None, unavailable_message(error))
        else:
            logout(request)
            messages.success(request, _("Your account was deleted."))
            return redirect("account_login")
    context = {
        "form": form,
        "balance": ledger.balance(account.pk, now),
        "subscription": selectors.subscription_of(account.pk),
    }
    return render(request, "billing/delete_account.html", context, status=422 if form.errors else 200)
