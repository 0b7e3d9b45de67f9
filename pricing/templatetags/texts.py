"""The template filter `translated`: a text of the catalogue or of a row in the reader's language."""

from django import template

from pricing.catalogue import texts

register = template.Library()


@register.filter
def translated(text: str | None) -> str:
    return texts.translated(text) if text else ""
