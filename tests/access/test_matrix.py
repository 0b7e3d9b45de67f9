"""Every route is requested by users and keys without access to its data (Z1, Z2, Z4; see matrix.py)."""

import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import URLPattern, get_resolver

from accounts.models import Account, Membership, User
from core.endpoint import Endpoint
from tests.access import matrix, world
from tests.access.matrix import Line
from tests.billing.conftest import change_policies
from tests.billing.conftest import stripe_api as stripe_api
from tests.some import some

HTMX = {"HX-Request": "true"}
FRAGMENT = [{}, HTMX]
CHANGE = re.compile(
    r'(insert into|update|delete from) (?!"?(django_session|shared_cache|usersessions))', re.I
)


def routes() -> Iterator[tuple[str, URLPattern]]:
    """Every route of the URLconf with its pattern."""
    pending: list[tuple[str, Any]] = [("", pattern) for pattern in get_resolver().url_patterns]
    while pending:
        prefix, pattern = pending.pop(0)
        path = prefix + str(pattern.pattern)
        if isinstance(pattern, URLPattern):
            yield path, pattern
        else:
            pending += [(path, inner) for inner in pattern.url_patterns]


ALL = dict(routes())


def line_of(route: str) -> Line | None:
    for prefix, line in matrix.PREFIXES.items():
        if route.startswith(prefix):
            return line
    return matrix.ROUTES.get(route)


def routes_with(*access: str) -> list[str]:
    return some(route for route in ALL if (line := line_of(route)) is not None and line.access in access)


def path_of(route: str, object_ids: dict[str, str]) -> str:
    """The path of the route, with the id of Alice's object where it has one."""
    line = line_of(route)
    object_id = object_ids.get(line.object_name, "") if line and line.object_name else ""
    return "/" + re.sub("<[^>]*>", object_id or "1", route.replace("^", "").replace("$", ""))


@pytest.fixture
def alices_world(catalogue: None, alice: User, api_of: Any) -> world.World:
    account = Account.objects.get(person=alice)
    return world.create_objects(account, alice, api_of(alice))


def test_every_route_has_a_line() -> None:
    assert [route for route in ALL if line_of(route) is None] == []


def test_every_line_has_a_route() -> None:
    assert [route for route in matrix.ROUTES if route not in ALL] == []


def test_endpoints_of_the_api_are_listed_as_such() -> None:
    for route, pattern in some(ALL.items()):
        view = getattr(pattern.callback, "cls", None)
        is_endpoint = isinstance(view, type) and issubclass(view, Endpoint)
        assert is_endpoint == (route in routes_with("api", "api_ids")), route


def test_every_endpoint_has_the_scopes_of_its_line() -> None:
    for route in routes_with("api", "api_ids"):
        line, view = line_of(route), ALL[route].callback.cls  # type: ignore[attr-defined]
        assert line is not None
        assert (dict(view.scopes), view.platform_only) == (line.scopes, line.platform_only), route


def test_pages_with_an_id_are_listed_as_such() -> None:
    kinds = "public_id|charge|hold|project|provider_key|account|webhook_endpoint|webhook_delivery"
    named = re.compile(f"<str:({kinds})>")
    for route in some(ALL):
        if named.search(route):
            assert route in routes_with("ids", "api_ids"), route


@pytest.mark.fault("Z1", "Z2")
def test_pages_of_an_account_require_signing_in(alices_world: world.World) -> None:
    for route in routes_with("own", "ids"):
        for headers in FRAGMENT:
            for method in ("get", "post"):
                response = getattr(Client(), method)(path_of(route, alices_world.object_ids), headers=headers)
                # htmx requests are redirected by a header (W2)
                target = response.get("Location") or response.get("HX-Redirect") or ""
                if response.status_code != 405:
                    assert target.startswith("/accounts/login/"), (method, route, response.status_code)
                assert world.SECRET.encode() not in response.content


@pytest.mark.fault("Z1", "Z2")
def test_another_user_gets_404_for_an_id(
    alices_world: world.World, charlie: User, signed_in: Callable[[User], Client]
) -> None:
    browser = signed_in(charlie)
    for route in routes_with("ids"):
        for headers in FRAGMENT:
            statuses = {
                getattr(browser, method)(path_of(route, alices_world.object_ids), headers=headers).status_code
                for method in ("get", "post")
            }
            assert 404 in statuses and statuses <= {404, 405}, (route, statuses)


@pytest.mark.fault("Z1", "Z2")
def test_pages_of_another_user_contain_no_data_of_alice(
    alices_world: world.World, charlie: User, signed_in: Callable[[User], Client]
) -> None:
    browser = signed_in(charlie)
    object_ids = alices_world.object_ids
    query = {"account": object_ids["account"], "project": object_ids["project"], "by": "project"}
    for route in routes_with("own", "public"):
        for headers in FRAGMENT:
            response = browser.get(path_of(route, object_ids), query, headers=headers)
            content = b"".join(response) if response.streaming else response.content
            assert world.SECRET.encode() not in content, route


@pytest.mark.fault("Z1")
def test_a_key_of_another_account_gets_404_for_an_id(
    alices_world: world.World, charlie: User, api_of: Any
) -> None:
    api = api_of(charlie)
    for route in routes_with("api_ids"):
        line, view = line_of(route), ALL[route].callback.cls  # type: ignore[attr-defined]
        for method in view.scopes:
            response = _call(api, method, path_of(route, alices_world.object_ids), line.bodies.get(method))  # type: ignore[union-attr]
            assert response.status_code == (403 if view.platform_only else 404), (
                method,
                route,
                response.content,
            )


@pytest.mark.fault("Z1")
def test_an_account_key_cannot_select_another_account(
    alices_world: world.World, charlie: User, api_of: Any
) -> None:
    api = api_of(charlie)
    for route in routes_with("api", "api_ids"):
        view = ALL[route].callback.cls  # type: ignore[attr-defined]
        if view.platform_only or "GET" not in view.scopes:
            continue
        for name in (alices_world.object_ids["account"], "acct_" + "0" * 32):
            response = api.get(path_of(route, alices_world.object_ids), account=name)
            assert (response.status_code, response.json()["code"]) == (404, "unknown_account"), route


@pytest.mark.fault("Z5")
def test_every_endpoint_requires_a_key_with_its_scope(
    alices_world: world.World, alice: User, api_of: Any, anonymous_api: Any
) -> None:
    keys = {scope: api_of(alice, scopes=[scope]) for scope in ("read", "spend", "manage")}
    for route in routes_with("api", "api_ids"):
        line, view = line_of(route), ALL[route].callback.cls  # type: ignore[attr-defined]
        for method, needed in view.scopes.items():
            path, body = path_of(route, alices_world.object_ids), line.bodies.get(method)  # type: ignore[union-attr]
            assert _call(anonymous_api, method, path, body).status_code == 401, (method, route)
            for scope, api in keys.items():
                if scope != needed:
                    assert _call(api, method, path, body).status_code == 403, (method, route, scope)


def test_an_endpoint_refuses_parameters_of_the_query_that_it_does_not_take(
    alices_world: world.World, alice: User, api_of: Any, platform_api: Any
) -> None:
    own = api_of(alice)
    for route in routes_with("api", "api_ids"):
        line, view = line_of(route), ALL[route].callback.cls  # type: ignore[attr-defined]
        for method in view.scopes:
            api, body = platform_api if view.platform_only else own, line.bodies.get(method)  # type: ignore[union-attr]
            # a body names the account itself
            account = f"account={alices_world.object_ids['account']}"
            for query in ("colour=red", *([account] if method in {"POST", "PUT", "PATCH"} else [])):
                response = _call(api, method, f"{path_of(route, alices_world.object_ids)}?{query}", body)
                errors = [(error["field"], error["code"]) for error in response.json().get("errors", [])]
                assert errors == [(query.partition("=")[0], "unknown_field")], (
                    method,
                    route,
                    response.content,
                )


@pytest.mark.fault("Z4")
@pytest.mark.parametrize("role", ["billing", "member"])
def test_a_page_is_refused_to_exactly_the_roles_that_its_line_names(
    team: Account,
    alice: User,
    bob: User,
    api_of: Any,
    signed_in: Callable[[User], Client],
    stripe_api: Any,
    role: str,
) -> None:
    change_policies(providers=[{"key": "openai", "name": "OpenAI"}])
    teams_world = world.create_objects(team, alice, api_of(alice, account=team))
    Membership.objects.filter(account=team, user=bob).update(role=role)
    browser = signed_in(bob)
    browser.post(f"/switch/{team.public_id}/")
    for route in routes_with("own", "ids"):
        line = line_of(route)
        assert line is not None
        for method in ("GET", "POST"):
            response = browser.generic(method, path_of(route, teams_world.object_ids))
            if response.status_code != 405:
                refused = role == "member" and method in line.buyers
                assert (response.status_code == 403) == refused, (method, route, response.status_code)


@pytest.mark.fault("Z2")
def test_no_cache_stores_a_page_of_a_signed_in_user(
    alices_world: world.World, alice: User, signed_in: Callable[[User], Client], stripe_api: Any
) -> None:
    browser = signed_in(alice)
    for route in routes_with("own", "ids", "sign_in", "public"):
        response = browser.get(path_of(route, alices_world.object_ids))
        if response.streaming:
            assert b"".join(response)  # the test client closes what has been read
        kept = response.get("Cache-Control", "")
        same_for_all = route in routes_with("public") and "public" in kept
        assert "no-store" in kept or same_for_all, (route, response.status_code)
        if route.startswith("accounts/logout"):
            browser = signed_in(alice)


def test_the_admin_requires_staff(
    alices_world: world.World, alice: User, signed_in: Callable[[User], Client]
) -> None:
    for browser in (Client(), signed_in(alice)):
        for route in routes_with("staff"):
            if "login" in route or "jsi18n" in route:
                continue
            path = path_of(route, alices_world.object_ids)
            response = browser.get(path)
            assert response.status_code in {302, 403, 404, 405}, (route, response.status_code)
            assert world.SECRET.encode() not in response.content


def test_a_get_in_the_admin_neither_fails_nor_acts(
    staff: User, signed_in: Callable[[User], Client], stripe_api: Any
) -> None:
    """A path with an id has a malformed one."""
    browser, pages = signed_in(staff), 0
    for route in routes_with("staff"):
        path = path_of(route, {})
        with CaptureQueriesContext(connection) as queries:
            response = browser.get(path)
        assert response.status_code < 500, path
        assert [query["sql"] for query in queries if CHANGE.match(query["sql"])] == [], path
        pages += response.status_code == 200
    assert pages > 30


def _call(api: Any, method: str, path: str, body: Any) -> Any:
    if method == "GET":
        return api.get(path)
    if method == "DELETE":
        return api.delete(path)
    return getattr(api, method.lower())(path, body, key="matrix")
