"""Every page in Simplified Chinese: with the real translations, no English is left on it."""

import re
from collections.abc import Callable
from html.parser import HTMLParser
from typing import Any

import pytest
from django.test import Client
from django.urls import URLPattern, get_resolver

from accounts.models import Account, User
from pricing.models import Service
from tests.billing.conftest import stripe_api as stripe_api
from tests.forms import world as worlds
from tests.forms.table import PAGES as FORMS
from tests.pages.test_conditions import PAGES

pytestmark = pytest.mark.django_db

OTHER_ADDRESS = "你"  # Django's; ours is 您 (docs/design-system.md)
WITHOUT_TEXT = {"script", "style", "code", "pre", "kbd"}
ATTRIBUTES = {"aria-label", "placeholder", "title", "alt", "data-copied"}
_WORD = re.compile(r"(?<![\w@./-])[A-Za-z]{3,}(?![\w@./])")
# What stays in Latin letters: names of products, of plans, of things in the test's world, and codes.
NAMES = set(
    re.findall(
        r"\w+",
        "API CSV English Idempotency JSON JavaScript Key PIN POST PDF Paris Token URL UTC Webhook "
        "https token "
        "OpenAI OpenRouter Stripe Visa EUR USD Refly Starter Creator Studio Plus Pro Max "
        "Agent Alice Bot Small Taken Wonderland",
    )
)


class _Texts(HTMLParser):
    """The visible texts of a page, and those that screen readers read."""

    def __init__(self) -> None:
        super().__init__()
        self.texts: list[str] = []
        self._skipped: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in WITHOUT_TEXT:
            self._skipped.append(tag)
        self.texts += [value or "" for name, value in attrs if name in ATTRIBUTES]

    def handle_endtag(self, tag: str) -> None:
        if self._skipped and self._skipped[-1] == tag:
            self._skipped.pop()

    def handle_data(self, data: str) -> None:
        if not self._skipped:
            self.texts.append(data)


def english_in(page: str) -> list[str]:
    """The texts of a page that contain an English word, other than the names of services, or 你 for 您."""
    parser = _Texts()
    parser.feed(page)
    services = " ".join(Service.objects.values_list("name", flat=True))
    names = NAMES.union(_WORD.findall(services))
    texts = [" ".join(text.split()) for text in parser.texts]
    is_right = lambda text: names.issuperset(_WORD.findall(text)) and OTHER_ADDRESS not in text  # noqa: E731
    return [text for text in texts if not is_right(text)]


def plain_paths() -> list[str]:
    """The addresses without an argument."""
    routes = []

    def collect(patterns: list[Any], prefix: str) -> None:
        for pattern in patterns:
            route = prefix + str(pattern.pattern)
            if not isinstance(pattern, URLPattern):
                collect(pattern.url_patterns, route)
            elif "<" not in route and "^" not in route:
                routes.append("/" + route)

    collect(get_resolver().url_patterns, "")
    return [path for path in routes if not path.startswith(("/admin/", "/api/", "/sandbox/", "/clients/"))]


@pytest.fixture
def reader(team: Account, alice: User, signed_in: Callable[[User], Client]) -> Client:
    """alice in her team, who reads Chinese."""
    alice.language = "zh-hans"
    alice.save()
    browser = signed_in(alice)
    browser.post(f"/switch/{team.public_id}/")
    return browser


def english(browser: Client, paths: list[str]) -> dict[str, list[str]]:
    found = {}
    for path in paths:
        response = browser.get(path)
        if response.status_code == 200 and response["Content-Type"].startswith("text/html"):
            found[path] = english_in(response.content.decode())
    assert len(found) >= 10
    return {path: texts for path, texts in found.items() if texts}


def test_pages_of_a_member_are_in_chinese(
    stripe_api: Any, team: Account, alice: User, reader: Client
) -> None:
    world = worlds.create(team, alice)
    paths = [world.path(path) for path in [*PAGES, *(form.path for form in FORMS)]]
    assert english(reader, list(dict.fromkeys([*plain_paths(), *paths]))) == {}


def test_pages_of_a_visitor_are_in_chinese(catalogue: None) -> None:
    assert english(Client(headers={"accept-language": "zh-CN"}), plain_paths()) == {}
