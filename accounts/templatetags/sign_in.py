"""Which ways of signing in a page offers."""

from typing import Any

from allauth.socialaccount.adapter import get_adapter
from allauth.socialaccount.models import SocialAccount
from django import template
from django.conf import settings

from accounts import passkeys
from accounts.models import User

register = template.Library()


@register.simple_tag(takes_context=True)
def passkeys_work(context: dict[str, Any]) -> bool:
    """Whether browsers can store passkeys for the host of this page."""
    return bool(passkeys.host_of(context["request"]))


@register.simple_tag(takes_context=True)
def other_sites(context: dict[str, Any]) -> list[dict[str, str]]:
    """Name and address of each site whose accounts sign in here (SOCIAL_LOGIN)."""
    request = context["request"]
    found = [get_adapter().get_provider(request, name) for name in settings.SOCIAL_LOGIN]
    return [{"name": site.name, "url": site.get_login_url(request)} for site in found]


@register.simple_tag
def connected_accounts(user: User) -> list[dict[str, Any]]:
    """The user's accounts at other sites, with the name of the site and of the account there."""
    rows = SocialAccount.objects.filter(user=user, provider__in=settings.SOCIAL_LOGIN).order_by("date_joined")
    return [
        {"row": row, "site": row.get_provider().name, "name": str(row.get_provider_account())} for row in rows
    ]
