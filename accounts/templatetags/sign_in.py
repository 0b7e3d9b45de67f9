"""Which ways of signing in a page offers."""

from typing import Any

from django import template

from accounts import passkeys

register = template.Library()


@register.simple_tag(takes_context=True)
def passkeys_work(context: dict[str, Any]) -> bool:
    """Whether browsers can store passkeys for the host of this page."""
    return bool(passkeys.host_of(context["request"]))
