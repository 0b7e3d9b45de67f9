"""Pages of promotion codes and invitations."""

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.http import require_http_methods, require_safe

from accounts import guesses
from accounts.access import account_page, buyers_only
from accounts.http import AccountRequest
from billing.models import Referral
from billing.promotions import codes, referrals
from billing.promotions.redemption import CodeRefused
from billing.signals import SESSION_KEY
from billing.views.forms import CodeForm
from core.templatetags.credits import credits, plural_number
from pricing.catalogue import cache as catalogue_cache


@require_http_methods(["GET", "POST"])
@account_page
@buyers_only
def redeem(request: AccountRequest) -> HttpResponse:
    """Redeem a promotion code or an invitation code."""
    form = CodeForm(request.POST or None, initial={"code": request.session.get(SESSION_KEY, "")})
    if request.method == "POST" and form.is_valid():
        guesses.count_promotion_code(
            account_id=request.account.pk, client=guesses.client_of(request), now=timezone.now()
        )
        try:
            given = codes.redeem(account=request.account, code=form.cleaned_data["code"], now=timezone.now())
        except CodeRefused as error:
            form.add_error("code", str(error))
        else:
            request.session.pop(SESSION_KEY, None)
            if given.credits:
                words = ngettext(
                    "%(credits)s credit added to your balance.",
                    "%(credits)s credits added to your balance.",
                    plural_number(given.credits),
                )
                messages.success(request, words % {"credits": credits(given.credits)})
            else:
                messages.success(
                    request, _("Invitation accepted. You get the credits when its conditions are met.")
                )
            return redirect("billing")
    return render(request, "billing/redeem.html", {"form": form}, status=422 if form.errors else 200)


@require_safe
@account_page
def invitations(request: AccountRequest) -> HttpResponse:
    """The account's invitation link, and the status of each invitation."""
    policy = catalogue_cache.current().policies.referral
    code = referrals.code_of(request.account) if policy else ""
    context = {
        "policy": policy,
        "code": code,
        "link": referrals.link_of(request.account) if policy else "",
        "rows": Referral.objects.filter(inviter=request.account)
        .select_related("invited")
        .order_by("-created_at")[:200],
    }
    return render(request, "billing/invitations.html", context)
