"""The API keys page. A secret is shown only in the response to the creation of its key."""

import uuid
from datetime import timedelta

from django.contrib import messages
from django.http import Http404, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.debug import sensitive_variables
from django.views.decorators.http import require_http_methods

from accounts import access, account_keys, api_keys, selectors
from accounts.access import account_page
from accounts.authentication import session_principal
from accounts.forms import KeyForm, KeyLimitsForm
from accounts.http import AccountRequest
from accounts.models import ApiKey
from core.amounts import plain
from core.errors import Refusal

MADE = "key_made"  # session key: the form that created the last key


@require_http_methods(["GET", "POST"])
@account_page
@sensitive_variables("issued")
def keys_page(request: AccountRequest) -> HttpResponse:
    """List the account's keys; create one. The response shows the secret, so there is no redirect."""
    form = KeyForm(request.POST or None, initial={"once": uuid.uuid4().hex})
    issued = None
    if request.method == "POST":
        access.require_may_buy(request)
        if form.is_valid():
            if form.cleaned_data["once"] and form.cleaned_data["once"] == request.session.get(MADE):
                return redirect("api_keys")  # the page with the secret was reloaded
            issued = _issue(request, form)
    context = {"keys": selectors.keys_of(request.account), "form": form, "issued": issued}
    context |= {"now": timezone.now()}
    return render(request, "accounts/keys.html", context, status=422 if form.errors else 200)


def _issue(request: AccountRequest, form: KeyForm) -> api_keys.Issued | None:
    """The new key, or None with the error on the form."""
    given, now = form.cleaned_data, timezone.now()
    try:
        issued = account_keys.create(
            account_id=request.account.pk,
            by=session_principal(request.membership),
            member_id=request.user.pk,
            name=given["name"],
            scopes=given["scopes"],
            daily_limit=given["daily_limit"],
            monthly_limit=given["monthly_limit"],
            expires_at=now + timedelta(days=given["days"]) if given["days"] else None,
            now=now,
        )
    except api_keys.TooManyKeys as error:
        form.add_error(None, str(error))
        return None
    request.session[MADE] = form.cleaned_data["once"]
    return issued


@require_http_methods(["GET", "POST"])
@account_page
@access.buyers_only
def change_key(request: AccountRequest, public_id: str) -> HttpResponse:
    """Change the name and the limits of a key."""
    key = _key_or_404(request, public_id)
    limits = {"daily_limit": key.daily_limit, "monthly_limit": key.monthly_limit}
    initial = {name: "" if limit is None else plain(limit) for name, limit in limits.items()}
    form = KeyLimitsForm(request.POST or None, initial={"name": key.name, **initial})
    if request.method == "POST" and form.is_valid():
        by = session_principal(request.membership)
        try:
            account_keys.change(key, by=by, now=timezone.now(), **form.cleaned_data)
        except Refusal as error:
            form.add_error(None, str(error))
        else:
            messages.success(request, _("Key saved."))
            return redirect("api_keys")
    context = {"key": key, "form": form}
    return render(request, "accounts/key.html", context, status=422 if form.errors else 200)


@require_http_methods(["GET", "POST"])
@account_page
@access.buyers_only
def revoke_key(request: AccountRequest, public_id: str) -> HttpResponse:
    """Confirm (without JavaScript there is no dialog), then revoke."""
    key = _key_or_404(request, public_id)
    if request.method == "GET":
        return render(request, "accounts/revoke_key.html", {"key": key})
    api_keys.revoke(key, timezone.now())
    messages.success(
        request, _("“%(name)s” was revoked. Requests with this key are rejected.") % {"name": key.name}
    )
    return redirect("api_keys")


def _key_or_404(request: AccountRequest, public_id: str) -> ApiKey:
    key = ApiKey.with_public_id(public_id)
    if key is None or key.account_id != request.account.pk:
        raise Http404
    return key
