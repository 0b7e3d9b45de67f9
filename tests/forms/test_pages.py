"""Every field of every form of the portal: what is stored and shown again, or which error names the field."""

import html
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from django.db import transaction
from django.test import Client

from accounts.models import Account, Membership, User
from tests.billing.conftest import stripe_api as stripe_api
from tests.forms import world as worlds
from tests.forms.page import Page
from tests.forms.rows import ABSENT, NOT_SHOWN, SAME, Row
from tests.forms.table import PAGES
from tests.forms.world import World
from tests.some import some

pytestmark = pytest.mark.django_db


@pytest.fixture
def world(stripe_api: Any, team: Account, alice: User) -> World:
    return worlds.create(team, alice)


@pytest.fixture
def member_of(team: Account, signed_in: Callable[[User], Client]) -> Callable[[User], Client]:
    """A client of a user who has selected the team."""

    def browser(user: User) -> Client:
        client = signed_in(user)
        client.post(f"/switch/{team.public_id}/")
        return client

    return browser


def send(browser: Client, page: Page, world: World, **given: Any) -> Any:
    data = {name: value for name, value in {**page.valid, **given}.items() if value is not ABSENT}
    return browser.post(world.path(page.target or page.path), {"csrfmiddlewaretoken": "-", **data})


@contextmanager
def undone(undo: bool = True) -> Iterator[None]:
    """Undo what the block stores. A nested `atomic` would refuse the view's durable transactions."""
    savepoint = transaction.savepoint()
    yield
    if undo:
        transaction.savepoint_rollback(savepoint)


def rows_of(page: Page) -> list[tuple[str, Row]]:
    return [(name, row) for name, rows in page.rows.items() for row in rows]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_value_is_stored_and_shown_again_or_refused_beside_its_field(
    page: Page, world: World, alice: User, member_of: Callable[[User], Client]
) -> None:
    browser = member_of(alice)
    for name, row in some(rows_of(page)):
        with undone(page.one_use):
            before = page.stored(world)
            response = send(browser, page, world, **{name: row.given})
            if row.error:
                _is_refused(response, page, name, row)
                assert page.stored(world) == before, (name, row)
            else:
                assert response.status_code == page.accepted, (name, row, _errors(response, page))
                _is_stored(page, world, name, row)
                if page.shows_again and row.shown is not NOT_SHOWN:
                    form = browser.get(world.path(page.path)).context[page.context]
                    assert form[name].value() == (row.given if row.shown is SAME else row.shown), (name, row)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
@pytest.mark.fault("Z4")
def test_a_form_is_taken_from_exactly_the_roles_that_may_send_it(
    page: Page,
    world: World,
    team: Account,
    bob: User,
    charlie: User,
    member_of: Callable[[User], Client],
) -> None:
    sender = World(**{**vars(world), "user": bob})
    browsers = {"anonymous": Client(), "stranger": member_of(charlie)}
    member = member_of(bob)
    for role in ("owner", "billing", "member", "stranger", "anonymous"):
        with undone():
            Membership.objects.filter(account=team, user=bob).update(role=role)
            before = page.stored(sender)
            response = send(browsers.get(role, member), page, sender)
            if role in page.roles:
                assert response.status_code == page.accepted, role
                assert page.stored(sender) != before, role
            else:
                refused = {"member": {403}, "anonymous": {302}}.get(role, {302, 303, 404, 422, page.accepted})
                assert response.status_code in refused, role
                assert page.stored(sender) == before, role


def _is_stored(page: Page, world: World, name: str, row: Row) -> None:
    stored = page.stored(world)
    assert stored[name] == row.stored, (name, row)
    for other, rows in page.rows.items():
        usual = next((usual for usual in rows if usual.given == page.valid[other] and not usual.error), None)
        if other != name and usual is not None:
            assert stored[other] == usual.stored, (name, row, other)


def _is_refused(response: Any, page: Page, name: str, row: Row) -> None:
    assert response.status_code == 422, (name, row, response.status_code)
    text = " ".join(html.unescape(response.content.decode()).split())
    if row.field == "banner":
        assert row.error in text, (name, row)
        return
    form = response.context[page.context]
    assert list(form.errors) == [name], (name, row)
    assert row.error in " ".join(form.errors[name]), (name, row)
    assert row.error in text or name in page.hidden, (name, row)


def _errors(response: Any, page: Page) -> Any:
    form = response.context[page.context] if response.context and page.context in response.context else None
    return form.errors if form is not None else response.status_code
