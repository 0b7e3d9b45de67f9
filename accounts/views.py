"""The settings page, and switching between accounts."""

from django.conf import settings
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import translation
from django.utils.http import url_has_allowed_host_and_scheme
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_POST

from accounts import access, account_settings, language
from accounts.access import account_page
from accounts.forms import AccountForm, ProfileForm
from accounts.http import AccountRequest
from accounts.models import Account


@require_http_methods(["GET", "POST"])
@account_page
def settings_page(request: AccountRequest) -> HttpResponse:
    """Name and language of the user; name and zone of the account."""
    profile = ProfileForm(request.POST or None, instance=request.user)
    if request.method == "POST" and profile.is_valid():
        profile.save()
        response = redirect("settings")
        if "language" in profile.changed_data:
            language.remember(response, profile.instance.language)
            request.COOKIES.pop(settings.LANGUAGE_COOKIE_NAME, None)
        with translation.override(language.language_of(request)):
            messages.success(request, _("Profile saved."))
        return response
    return _settings(request, profile, AccountForm(instance=request.account))


@require_POST
@account_page
@access.buyers_only
def save_account(request: AccountRequest) -> HttpResponse:
    """Save the account's name and zone. The ledger applies a new zone at the next renewal."""
    form = AccountForm(request.POST, instance=Account.objects.get(pk=request.account.pk))
    if not form.is_valid():
        return _settings(request, ProfileForm(instance=request.user), form)
    account_settings.change(request.account.pk, **form.cleaned_data)
    messages.success(request, _("Account saved."))
    return redirect("settings")


@require_POST
@account_page
def switch_account(request: AccountRequest, public_id: str) -> HttpResponse:
    """Switch to another of the user's accounts."""
    membership = access.choose_account(request, Account.uuid_of(public_id))
    messages.success(request, _("Switched to “%(name)s”.") % {"name": membership.account.name})
    return redirect(_return_path(request))


def _settings(request: AccountRequest, profile: ProfileForm, account: AccountForm) -> HttpResponse:
    context = {"profile_form": profile, "account_form": account}
    status = 422 if profile.errors or account.errors else 200
    return render(request, "accounts/settings.html", context, status=status)


def _return_path(request: HttpRequest) -> str:
    target = request.POST.get("next", "")
    if url_has_allowed_host_and_scheme(target, allowed_hosts=None):
        return target
    return reverse("dashboard")
