"""Icons: `{% icon "inbox" %}` draws one of the heroicons, hidden from screen readers."""

from functools import lru_cache

from django import template
from heroicons.templatetags.heroicons import heroicon_outline

register = template.Library()


@register.simple_tag
@lru_cache(maxsize=256)
def icon(name: str) -> str:
    looks = {"class": "icon", "aria-hidden": "true", "focusable": "false"}
    drawn: str = heroicon_outline(name, size=18, **looks)
    return drawn
