"""Every route against everybody who must not see what is behind it (faults Z1, Z2, Z4; see matrix.py)."""

import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.test import Client
from django.urls import URLPattern, get_resolver

from accounts.models import Account, User
from core.endpoint import Endpoint
from tests.access import matrix, world
from tests.access.matrix import Line

HTMX = {"HX-Request": "true"}
FRAGMENT = [{}, HTMX]


def routes() -> Iterator[tuple[str, URLPattern]]:
    """Every address of the URLconf with its pattern."""
    pending: list[tuple[str, Any]] = [("", one) for one in get_resolver().url_patterns]
    while pending:
        before, one = pending.pop(0)
        path = before + str(one.pattern)
        if isinstance(one, URLPattern):
            yield path, one
        else:
            pending += [(path, inner) for inner in one.url_patterns]


ALL = dict(routes())


def line_of(route: str) -> Line | None:
    for beginning, line in matrix.BEGINNINGS.items():
        if route.startswith(beginning):
            return line
    return matrix.ROUTES.get(route)


def those(*who: str) -> list[str]:
    return [route for route in ALL if (line := line_of(route)) is not None and line.who in who]


def path_of(route: str, things: dict[str, str]) -> str:
    """The route as an address, with Alice's id where it names one."""
    line = line_of(route)
    thing = things.get(line.thing, "") if line and line.thing else ""
    return "/" + re.sub("<[^>]*>", thing or "1", route.replace("^", "").replace("$", ""))


@pytest.fixture
def stage(catalogue: None, alice: User, api_of: Any) -> world.World:
    account = Account.objects.get(person=alice)
    return world.furnish(account, alice, api_of(alice))


def test_every_route_says_who_may_call_it() -> None:
    assert [route for route in ALL if line_of(route) is None] == []


def test_the_table_names_no_route_that_is_gone() -> None:
    assert [route for route in matrix.ROUTES if route not in ALL] == []


def test_an_endpoint_of_the_api_stands_in_the_table_as_one() -> None:
    for route, pattern in ALL.items():
        view = getattr(pattern.callback, "cls", None)
        is_endpoint = isinstance(view, type) and issubclass(view, Endpoint)
        assert is_endpoint == (route in those("api", "api_ids")), route


def test_a_page_that_names_an_id_stands_in_the_table_as_one() -> None:
    named = re.compile("<str:(public_id|charge|hold|project|provider_key|account)>")
    for route in ALL:
        if named.search(route):
            assert route in those("ids", "api_ids"), route


@pytest.mark.fault("Z1", "Z2")
def test_nobody_reaches_a_page_of_an_account_without_signing_in(stage: world.World) -> None:
    for route in those("own", "ids"):
        for headers in FRAGMENT:
            for method in ("get", "post"):
                answer = getattr(Client(), method)(path_of(route, stage.things), headers=headers)
                # htmx is sent to the whole page by a header (W2)
                goes_to = answer.get("Location") or answer.get("HX-Redirect") or ""
                if answer.status_code != 405:
                    assert goes_to.startswith("/accounts/login/"), (method, route, answer.status_code)
                assert world.SECRET.encode() not in answer.content


@pytest.mark.fault("Z1", "Z2")
def test_somebody_else_finds_nothing_under_an_id(
    stage: world.World, charlie: User, signed_in: Callable[[User], Client]
) -> None:
    browser = signed_in(charlie)
    for route in those("ids"):
        for headers in FRAGMENT:
            statuses = {
                getattr(browser, method)(path_of(route, stage.things), headers=headers).status_code
                for method in ("get", "post")
            }
            assert 404 in statuses and statuses <= {404, 405}, (route, statuses)


@pytest.mark.fault("Z1", "Z2")
def test_somebody_elses_own_pages_show_nothing_of_alice(
    stage: world.World, charlie: User, signed_in: Callable[[User], Client]
) -> None:
    browser = signed_in(charlie)
    things = stage.things
    told = {"account": things["account"], "project": things["project"], "by": "project"}
    for route in those("own", "public"):
        for headers in FRAGMENT:
            answer = browser.get(path_of(route, things), told, headers=headers)
            content = b"".join(answer) if answer.streaming else answer.content
            assert world.SECRET.encode() not in content, route


@pytest.mark.fault("Z1")
def test_another_accounts_key_finds_nothing_under_an_id(
    stage: world.World, charlie: User, api_of: Any
) -> None:
    api = api_of(charlie)
    for route in those("api_ids"):
        line, view = line_of(route), ALL[route].callback.cls  # type: ignore[attr-defined]
        for method in view.scopes:
            answer = _call(api, method, path_of(route, stage.things), line.bodies.get(method))  # type: ignore[union-attr]
            assert answer.status_code == (403 if view.platform_only else 404), (method, route, answer.content)


@pytest.mark.fault("Z1")
def test_an_accounts_key_can_name_no_other_account(stage: world.World, charlie: User, api_of: Any) -> None:
    api = api_of(charlie)
    for route in those("api", "api_ids"):
        view = ALL[route].callback.cls  # type: ignore[attr-defined]
        if view.platform_only or "GET" not in view.scopes:
            continue
        for name in (stage.things["account"], "acct_" + "0" * 32):
            answer = api.get(path_of(route, stage.things), account=name)
            assert (answer.status_code, answer.json()["code"]) == (404, "unknown_account"), route


@pytest.mark.fault("Z5")
def test_no_endpoint_answers_without_a_key_or_without_its_scope(
    stage: world.World, alice: User, api_of: Any, anonymous_api: Any
) -> None:
    keys = {scope: api_of(alice, scopes=[scope]) for scope in ("read", "spend", "manage")}
    for route in those("api", "api_ids"):
        line, view = line_of(route), ALL[route].callback.cls  # type: ignore[attr-defined]
        for method, needed in view.scopes.items():
            path, body = path_of(route, stage.things), line.bodies.get(method)  # type: ignore[union-attr]
            assert _call(anonymous_api, method, path, body).status_code == 401, (method, route)
            for scope, api in keys.items():
                if scope != needed:
                    assert _call(api, method, path, body).status_code == 403, (method, route, scope)


@pytest.mark.fault("Z4")
def test_a_plain_member_neither_buys_nor_refunds_nor_makes_keys(
    team: Account, alice: User, bob: User, api_of: Any, signed_in: Callable[[User], Client], catalogue: None
) -> None:
    stage = world.furnish(team, alice, api_of(alice, account=team))
    browser = signed_in(bob)
    browser.post(f"/switch/{team.public_id}/")
    for route in those("own", "ids"):
        line = line_of(route)
        if line is not None and line.buyers:
            answer = browser.post(path_of(route, stage.things))
            assert answer.status_code in {403, 405}, (route, answer.status_code)
            if answer.status_code == 405:
                assert browser.get(path_of(route, stage.things)).status_code == 403, route


def test_the_admin_opens_for_staff_only(
    stage: world.World, alice: User, signed_in: Callable[[User], Client]
) -> None:
    for browser in (Client(), signed_in(alice)):
        for route in those("staff"):
            if "login" in route or "jsi18n" in route:
                continue
            path = path_of(route, stage.things)
            answer = browser.get(path)
            assert answer.status_code in {302, 403, 404, 405}, (route, answer.status_code)
            assert world.SECRET.encode() not in answer.content


def _call(api: Any, method: str, path: str, body: Any) -> Any:
    if method == "GET":
        return api.get(path)
    if method == "DELETE":
        return api.delete(path)
    return getattr(api, method.lower())(path, body, key="matrix")
