"""The page of an account's own keys at model providers. A stored key is never shown again."""

from django.contrib import messages
from django.http import Http404, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods

from accounts import access, provider_keys, selectors
from accounts.access import account_page
from accounts.forms import ProviderKeyForm
from accounts.http import AccountRequest
from accounts.models import ProviderKey
from pricing.catalogue import cache as catalogue_cache


@sensitive_post_parameters("secret")
@require_http_methods(["GET", "POST"])
@account_page
def provider_keys_page(request: AccountRequest) -> HttpResponse:
    """List the account's own provider keys; add or replace one. 404 if the catalogue has no providers."""
    providers = [(provider.key, provider.name) for provider in catalogue_cache.current().policies.providers]
    if not providers:
        raise Http404
    form = ProviderKeyForm(request.POST or None, providers=providers)
    if request.method == "POST":
        access.require_may_buy(request)
        if form.is_valid():
            provider_keys.store(account=request.account, now=timezone.now(), **form.cleaned_data)
            messages.success(request, _("The key was saved. Calls that use it cost no credits."))
            return redirect("provider_keys")
    names = dict(providers)
    rows = [
        (names.get(key.provider, key.provider), key) for key in selectors.provider_keys_of(request.account)
    ]
    return render(
        request,
        "accounts/provider_keys.html",
        {"rows": rows, "form": form},
        status=422 if form.errors else 200,
    )


@require_http_methods(["GET", "POST"])
@account_page
@access.buyers_only
def forget_provider_key(request: AccountRequest, public_id: str) -> HttpResponse:
    """Confirm, then delete."""
    key = ProviderKey.with_public_id(public_id)
    if key is None or key.account_id != request.account.pk:
        raise Http404
    if request.method == "GET":
        return render(request, "accounts/delete_provider_key.html", {"key": key})
    provider_keys.forget(key)
    messages.success(request, _("The key was deleted. Calls to this provider cost credits again."))
    return redirect("provider_keys")
