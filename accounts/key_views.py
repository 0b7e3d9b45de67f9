"""The API keys page. A secret is shown only in the response to the creation of its key."""

import uuid

from django.contrib import messages
from django.http import Http404, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.debug import sensitive_variables
from django.views.decorators.http import require_http_methods

from accounts import access, api_keys, selectors
from accounts.access import account_page
from accounts.forms import KeyForm
from accounts.http import AccountRequest
from accounts.models import ApiKey

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
    return render(request, "accounts/keys.html", context, status=422 if form.errors else 200)


def _issue(request: AccountRequest, form: KeyForm) -> api_keys.Issued | None:
    """The new key, or None with the error on the form."""
    try:
        issued = api_keys.issue(
            kind=ApiKey.Kind.ACCOUNT,
            name=form.cleaned_data["name"],
            scopes=form.cleaned_data["scopes"],
            account=request.account,
            created_by=request.user,
            now=timezone.now(),
        )
    except api_keys.TooManyKeys as error:
        form.add_error(None, str(error))
        return None
    request.session[MADE] = form.cleaned_data["once"]
    return issued


@require_http_methods(["GET", "POST"])
@account_page
@access.buyers_only
def revoke_key(request: AccountRequest, public_id: str) -> HttpResponse:
    """Confirm (without JavaScript there is no dialog), then revoke."""
    key = ApiKey.with_public_id(public_id)
    if key is None or key.account_id != request.account.pk:
        raise Http404
    if request.method == "GET":
        return render(request, "accounts/revoke_key.html", {"key": key})
    api_keys.revoke(key, timezone.now())
    messages.success(
        request, _("“%(name)s” was revoked. Requests with this key are rejected.") % {"name": key.name}
    )
    return redirect("api_keys")
