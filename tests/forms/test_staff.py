"""Every field of every form in the admin, and the permission that each form and action needs."""

import html
import re
from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import Permission
from django.test import Client

from accounts.models import Account, User
from core.models import StaffAct
from tests.billing.conftest import stripe_api as stripe_api
from tests.conftest import person
from tests.forms import world as worlds
from tests.forms.rows import ABSENT, Row
from tests.forms.staff_form import StaffForm
from tests.forms.staff_table import FORMS
from tests.forms.test_pages import undone
from tests.forms.world import World
from tests.some import some

pytestmark = pytest.mark.django_db


@pytest.fixture
def world(stripe_api: Any, team: Account, alice: User, charlie: User) -> World:
    return worlds.create(team, alice)


def send(browser: Client, form: StaffForm, world: World, counts: dict[str, str], **given: Any) -> Any:
    data: dict[str, Any] = {**counts, **form.valid}
    for name, value in given.items():
        data[f"{name}_0" if f"{name}_0" in form.valid else name] = value
    data = {name: value for name, value in data.items() if value is not ABSENT}
    return browser.post(form.path(world), data)


def inline_counts(browser: Client, path: str) -> dict[str, str]:
    """The counters of the tables of related rows, which browsers send with a page of the admin."""
    page = browser.get(path).content.decode()
    names = re.findall(r'name="([\w-]+)-TOTAL_FORMS"', page)
    return {f"{name}-{count}": "0" for name in names for count in ("TOTAL_FORMS", "INITIAL_FORMS")}


@pytest.mark.parametrize("form", FORMS, ids=lambda form: form.name)
def test_every_value_is_stored_or_refused_beside_its_field(
    form: StaffForm, world: World, staff: User, signed_in: Callable[[User], Client]
) -> None:
    form.world(world)
    browser = signed_in(staff)
    counts = inline_counts(browser, form.path(world))
    assert set(form.rows) == set(_form_of(browser.get(form.path(world))).fields)
    for name, rows in some(form.rows.items()):
        for row in some(rows):
            with undone():
                before = form.stored(world)
                response = send(browser, form, world, counts, **{name: row.given})
                if row.error:
                    _is_refused(response, name, row)
                    assert form.stored(world) == before, (name, row)
                else:
                    assert response.status_code == form.accepted, (name, row, _errors(response))
                    stored = form.stored(world)
                    assert stored[name] == row.stored, (name, row)
                    for other, usual in _usual(form).items():
                        assert other == name or stored[other] == usual, (name, row, other)


@pytest.mark.fault("Z6")
@pytest.mark.parametrize("form", FORMS, ids=lambda form: form.name)
def test_a_form_of_the_admin_needs_exactly_its_permission(
    form: StaffForm, world: World, bob: User, signed_in: Callable[[User], Client]
) -> None:
    form.world(world)
    app, _, codename = form.needs.partition(".")
    model = codename.partition("_")[2]
    helper = person("helper", is_staff=True)
    counts: dict[str, str] = {}
    every = {f"{verb}_{model}" for verb in ("view", "add", "change", "delete")}
    trials = {
        "needed": (helper, [f"view_{model}", codename], True),
        "all others": (helper, every - {codename}, False),
        "none": (helper, [], False),
        "not staff": (bob, [f"view_{model}", codename], False),
    }
    for name, (user, permissions, taken) in trials.items():
        with undone():
            user.user_permissions.set(
                Permission.objects.filter(
                    content_type__app_label=app, codename__in={*permissions, *form.also}
                )
            )
            browser = signed_in(user)
            counts = counts or inline_counts(browser, form.path(world))
            before = form.stored(world)
            response = send(browser, form, world, counts)
            changed = form.stored(world) != before
            assert changed == taken, (name, response.status_code, _errors(response))
            acts = StaffAct.objects.filter(actor_id=user.pk)
            assert acts.count() == taken, (name, list(acts.values_list("act", "before", "after")))
            if not taken:
                assert response.status_code in {302, 403}, name


def _usual(form: StaffForm) -> dict[str, Any]:
    """What is stored of the valid values."""
    return {
        name: row.stored
        for name, rows in form.rows.items()
        for row in rows
        if not row.error and row.given == form.valid.get(name, form.valid.get(f"{name}_0", ABSENT))
    }


def _is_refused(response: Any, name: str, row: Row) -> None:
    assert response.status_code == 200, (name, row, response.status_code)
    text = " ".join(html.unescape(response.content.decode()).split())
    assert row.error in text, (name, row, _errors(response))
    if row.field != "banner":
        assert (row.field or name) in _errors(response), (name, row)


def _form_of(response: Any) -> Any:
    context = response.context or {}
    return context["adminform"].form if "adminform" in context else context.get("form")


def _errors(response: Any) -> dict[str, Any]:
    form = _form_of(response)
    return dict(form.errors) if form is not None else {}
