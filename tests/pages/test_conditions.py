"""Each condition of a page in both positions (tests/pages/case.py)."""

import html
from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client

from accounts.models import Account, User
from tests.billing.conftest import stripe_api as stripe_api
from tests.forms import world as worlds
from tests.forms.test_pages import undone
from tests.forms.world import World
from tests.pages import billing, credits, offers, others, purchases, teams
from tests.pages.case import Case, purchase

pytestmark = pytest.mark.django_db
CASES = [
    *(*purchases.CASES, *billing.CASES, *credits.CASES, *offers.CASES),
    *(*others.CASES, *teams.CASES),
]
PAGES = list(dict.fromkeys(case.page for case in CASES))


@pytest.fixture
def world(stripe_api: Any, team: Account, alice: User) -> World:
    return worlds.create(team, alice)


@pytest.mark.parametrize("page", PAGES)
def test_a_page_says_what_is_the_case_and_only_then(
    page: str, world: World, team: Account, alice: User, signed_in: Callable[[User], Client]
) -> None:
    browser = signed_in(alice)
    browser.post(f"/switch/{team.public_id}/")
    if page == purchases.INVOICE:
        purchase(invoice_number="R-1")(world)

    def text() -> str:
        response = browser.get(world.path(page))
        assert response.status_code == 200
        return " ".join(html.unescape(response.content.decode()).replace("\u00a0", " ").split())

    before, problems = text(), []
    for case in CASES:
        if case.page == page:
            with undone():
                case.change(world)
                problems += [f"{case.name}: {problem}" for problem in _problems(case, before, text())]
    assert problems == []


def _problems(case: Case, before: str, after: str) -> list[str]:
    found = [f"{words!r} is not shown" for words in case.shown if words not in after]
    found += [f"{words!r} was shown before" for words in case.shown if words in before]
    found += [f"{words!r} is not hidden" for words in case.hidden if words in after]
    found += [f"{words!r} was hidden before" for words in case.hidden if words not in before]
    return found + [f"{words!r} is not absent" for words in case.absent if words in after]
