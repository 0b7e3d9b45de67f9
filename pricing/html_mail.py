"""E-mails in HTML beside their text: the same words, in the brand's colours.

Invariants: the HTML says what the text says; only addresses of this installation become links, so that a text
of a user in an e-mail of ours cannot lead elsewhere.
"""

import re
import unicodedata
from typing import Literal, TypedDict

from django.conf import settings
from django.core.mail import EmailMessage, EmailMultiAlternatives
from django.template.loader import render_to_string
from django.utils import translation

from core import colour
from pricing.catalogue import cache as catalogue_cache

LONGEST_LABEL = 60  # Latin letters wide: a longer text before an address is a sentence of its own
_LINK = re.compile(r"(?P<label>.*?)\s*[:：]?\s*(?P<url>https?://\S+)")
_DEFAULT_ACCENT = "#17795e"


class Part(TypedDict):
    """A line of text, a link of this site with its label, or a code to be copied."""

    kind: Literal["text", "link", "code"]
    text: str
    url: str


def with_html(message: EmailMessage) -> EmailMultiAlternatives:
    """The same message with an HTML version of its text, in the active language."""
    brand = catalogue_cache.current().brand
    accent = colour.accent_for(brand.accent if brand else _DEFAULT_ACCENT, dark=False)
    paragraphs = parts_of(str(message.body))
    html = render_to_string(
        "email.html",
        {
            "brand_name": catalogue_cache.brand_name(),
            "accent": accent,
            "subject": message.subject,
            "paragraphs": paragraphs,
            "button": next((part for parts in paragraphs for part in parts if _is_named_link(part)), None),
            "language": translation.get_language(),
        },
    )
    shown = EmailMultiAlternatives(
        subject=message.subject,
        body=message.body,
        from_email=message.from_email,
        to=message.to,
        headers=message.extra_headers,
    )
    shown.attach_alternative(html, "text/html")
    return shown


def parts_of(body: str) -> list[list[Part]]:
    """The parts of each paragraph; paragraphs are separated by an empty line."""
    paragraphs = (paragraph.strip("\n") for paragraph in re.split(r"\n\s*\n", body))
    return [
        [part for line in paragraph.split("\n") for part in _parts_of_line(line)]
        for paragraph in paragraphs
        if paragraph.strip()
    ]


def _parts_of_line(line: str) -> list[Part]:
    text = line.strip()
    if line.startswith("    "):
        return [{"kind": "code", "text": text, "url": ""}]
    found = _LINK.fullmatch(text)
    if found is None or not _is_ours(found["url"]):
        return [{"kind": "text", "text": text, "url": ""}]
    label, url = found["label"], found["url"]
    if _width(label) > LONGEST_LABEL:
        return [{"kind": "text", "text": label, "url": ""}, {"kind": "link", "text": url, "url": url}]
    return [{"kind": "link", "text": label or url, "url": url}]


def _width(text: str) -> int:
    """The width in Latin letters; a Chinese character is as wide as two."""
    return sum(2 if unicodedata.east_asian_width(letter) in "WF" else 1 for letter in text)


def _is_named_link(part: Part) -> bool:
    return part["kind"] == "link" and part["text"] != part["url"]


def _is_ours(url: str) -> bool:
    return url == settings.SITE_URL or url.startswith(f"{settings.SITE_URL}/")
