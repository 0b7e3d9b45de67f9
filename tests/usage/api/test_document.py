"""The OpenAPI document lists every endpoint, among them every endpoint of the contract.

conftest validates every response of this folder's tests against the document.
"""

import re
from typing import Any

import pytest
from django.test import Client
from django.urls import URLPattern, get_resolver
from drf_spectacular.generators import SchemaGenerator

from core.endpoint import Endpoint
from tests import openapi

CONTRACT = """
    GET /balance | read
    GET /grants | read
    GET /transactions | read
    GET /services | read
    GET /services/{} | read
    POST /estimates | read
    POST /charges | spend
    POST /charges/batch | spend
    GET /charges | read
    GET /charges/{} | read
    POST /charges/{}/reversals | manage
    POST /charges/{}/reports | read
    POST /holds | spend
    GET /holds/{} | spend
    POST /holds/{}/capture | spend
    POST /holds/{}/release | spend
    GET /usage | read
    GET /events | read
    GET /projects | manage
    POST /projects | manage
    PATCH /projects/{} | manage
    GET /provider-keys | manage
    POST /provider-keys | manage
    DELETE /provider-keys/{} | manage
    GET /members | manage
    POST /members | manage
    PATCH /members/{} | manage
    DELETE /members/{} | manage
    GET /invitations | manage
    POST /invitations | manage
    DELETE /invitations/{} | manage
    GET /keys | manage
    POST /keys | manage
    PATCH /keys/{} | manage
    DELETE /keys/{} | manage
    POST /accounts | manage
    GET /accounts/{} | manage
    POST /accounts/{}/grants | manage
    GET /plans | read
    GET /packs | read
    POST /checkouts | manage
    GET /purchases | read
    GET /purchases/{} | read
    POST /purchases/{}/refund-requests | manage
    GET /subscription | read
    POST /subscription/change | manage
    POST /subscription/cancel | manage
    POST /redemptions | manage
    GET /alerts | manage
    PUT /alerts | manage
    GET /auto-top-up | manage
    PUT /auto-top-up | manage
"""


def endpoints() -> dict[tuple[str, str], Any]:
    """Every method of every endpoint in the URLconf."""
    found = {}
    [api] = [root for root in get_resolver().url_patterns if str(root.pattern) == "api/v1/"]
    pending = list(api.url_patterns)
    while pending:
        pattern = pending.pop()
        if not isinstance(pattern, URLPattern):
            pending += pattern.url_patterns
            continue
        view = getattr(pattern.callback, "cls", None)
        if isinstance(view, type) and issubclass(view, Endpoint):
            path = "/" + re.sub("<[^>]*>", "{}", str(pattern.pattern))
            for method in view.scopes:
                found[method, path] = view
    return found


def test_the_document_lists_exactly_the_endpoints_of_the_urlconf() -> None:
    documented = {
        (method.upper(), re.sub("{[^}]*}", "{}", path).removeprefix("/api/v1"))
        for path, methods in openapi.document()["paths"].items()
        for method in methods
    }
    assert documented == set(endpoints())


@pytest.mark.parametrize("line", CONTRACT.strip().splitlines())
def test_every_endpoint_of_the_contract_exists_with_its_scope(line: str) -> None:
    address, _bar, scope = line.strip().partition(" | ")
    method, path = address.split()
    assert endpoints()[method, path].scopes[method] == scope


def test_endpoints_for_platform_keys_are_declared() -> None:
    only = {address for address, view in endpoints().items() if view.platform_only}
    assert only == {
        ("POST", "/charges/{}/reversals"),
        ("POST", "/accounts"),
        ("GET", "/accounts/{}"),
        ("POST", "/accounts/{}/grants"),
    }


def test_endpoints_that_move_credits_or_money_require_an_idempotency_key(platform_api: Any) -> None:
    takers = {
        path
        for (method, path), view in endpoints().items()
        if method == "POST" and view.takes_key == "required"
    }
    assert takers == {
        "/charges",
        "/charges/{}/reversals",
        "/holds",
        "/holds/{}/capture",
        "/holds/{}/release",
        "/accounts/{}/grants",
        "/checkouts",
        "/purchases/{}/refund-requests",
        "/subscription/change",
        "/subscription/cancel",
        "/subscription/pay",
        "/auto-top-up/confirm",
        "/redemptions",
    }
    for path in takers:
        problem = platform_api.post(path.removeprefix("/").replace("{}", "x"), {}).json()
        assert (problem["status"], problem["code"]) == (400, "idempotency_key_required"), path
    operation = openapi.document()["paths"]["/api/v1/charges"]["post"]
    [header] = [parameter for parameter in operation["parameters"] if parameter["in"] == "header"]
    assert (header["name"], header["required"]) == ("Idempotency-Key", True)


def test_the_document_is_public(db: None) -> None:
    response = Client().get("/api/v1/schema/", headers={"Accept": "application/json"})
    assert response.status_code == 200
    assert response.json()["openapi"].startswith("3.1")
    assert set(response.json()["components"]["securitySchemes"]) == {"key", "session"}


def test_the_document_is_generated_once_in_a_process(db: None, monkeypatch: pytest.MonkeyPatch) -> None:
    def received(accept: str) -> tuple[int, str, bytes]:
        response = Client().get("/api/v1/schema/", headers={"Accept": accept})
        return response.status_code, response["Content-Type"], response.content

    kinds = ["application/json", "application/vnd.oai.openapi+json", "application/vnd.oai.openapi"]
    first = [received(kind) for kind in kinds]
    monkeypatch.delattr(SchemaGenerator, "get_schema")
    assert [received(kind) for kind in kinds] == first
    assert [(status, kind) for status, kind, _ in first] == [
        (200, "application/json"),
        (200, "application/vnd.oai.openapi+json"),
        (200, "application/vnd.oai.openapi; charset=utf-8"),
    ]


@pytest.mark.parametrize("authorization", ["x", "Bearer x", "Basic eDp5", ""])
@pytest.mark.parametrize("page", ["schema", "docs"])
def test_the_document_needs_no_valid_key(db: None, page: str, authorization: str) -> None:
    response = Client().get(f"/api/v1/{page}/", headers={"Authorization": authorization})
    assert response.status_code == 200 and response.content


def test_operation_ids_are_unique() -> None:
    names = [
        operation["operationId"]
        for path in openapi.document()["paths"].values()
        for operation in path.values()
    ]
    assert len(names) == len(set(names))


def test_the_documentation_page_loads_nothing_external_and_runs_no_inline_script(db: None) -> None:
    page = Client().get("/api/v1/docs/")
    html = page.content.decode()
    assert page.status_code == 200
    assert not re.findall(r"""(?:src|href)=["']https?://""", html)
    for script in re.findall(r"<script[^>]*>", html):
        assert "src=" in script
    policy = page["Content-Security-Policy"]
    assert "script-src 'self'" in policy
    assert "unsafe-inline" not in policy.partition("script-src")[2].partition(";")[0]
    start = Client().get("/api/v1/docs/?script=")
    assert start["Content-Type"].startswith("application/javascript")
    assert "/api/v1/schema/" in start.content.decode() or "../schema/" in start.content.decode()


@pytest.mark.parametrize("path", ["schema/", "docs/"])
def test_the_document_and_its_page_accept_a_request_with_any_authorization(path: str, db: None) -> None:
    response = Client(headers={"authorization": "x"}).get(f"/api/v1/{path}")
    assert response.status_code == 200
    assert response.content
