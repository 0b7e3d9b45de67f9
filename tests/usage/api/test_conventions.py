"""Rules of every endpoint: authentication, scopes, problem documents, headers."""

from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from accounts import api_keys, memberships
from accounts.models import Account, ApiKey, Membership, User
from tests.usage.api.conftest import use

MEMBERS = {"type", "title", "status", "detail", "code", "request_id"}


def check_problem(response: Any, status: int, code: str) -> dict[str, Any]:
    """Assert that the response is a complete problem document; return it."""
    assert response.status_code == status
    assert response["Content-Type"] == "application/problem+json"
    problem: dict[str, Any] = response.json()
    assert set(problem) >= MEMBERS | ({"errors"} if status == 400 else set())
    assert (problem["status"], problem["code"]) == (status, code)
    assert problem["request_id"] == response["X-Request-Id"]
    assert problem["title"] and problem["detail"]
    return problem


def test_a_request_without_a_key_is_401(anonymous_api: Any, catalogue: None) -> None:
    response = anonymous_api.get("balance")
    check_problem(response, 401, "unauthenticated")
    assert response["WWW-Authenticate"] == "Bearer"


@pytest.mark.fault("W6")
@pytest.mark.parametrize("header", ["Bearer", "Bearer x", "Bearer rk_account_" + "0" * 49, "Basic eDp5", "é"])
def test_a_malformed_key_is_refused_without_a_database_query(
    header: str, django_assert_num_queries: Any, catalogue: None
) -> None:
    with django_assert_num_queries(0):
        response = Client().get("/api/v1/balance", headers={"Authorization": header})
    check_problem(response, 401, "unauthenticated")


@pytest.mark.fault("Z5")
def test_a_revoked_key_stops_working_at_once(account: Account, alice: User, api_of: Any) -> None:
    api = api_of(alice)
    assert api.get("balance").status_code == 200
    api_keys.revoke(ApiKey.objects.get(account=account), timezone.now())
    check_problem(api.get("balance"), 401, "unauthenticated")


@pytest.mark.fault("Z5")
def test_the_key_of_a_removed_member_stops_working_at_once(
    team: Account, bob: User, api_of: Any, catalogue: None
) -> None:
    api = api_of(bob, account=team)
    assert api.get("balance").status_code == 200
    memberships.remove(Membership.objects.get(account=team, user=bob), timezone.now())
    check_problem(api.get("balance"), 401, "unauthenticated")


@pytest.mark.fault("Z5")
@pytest.mark.parametrize(
    ("scope", "allowed"), [("read", {"read"}), ("spend", {"spend"}), ("manage", {"manage"})]
)
def test_a_key_can_do_only_what_its_scopes_allow(
    account: Account, alice: User, api_of: Any, scope: str, allowed: set[str]
) -> None:
    api = api_of(alice, scopes=[scope])
    responses = {
        "read": api.get("balance"),
        "spend": api.post("charges", use(), key="k1"),
        "manage": api.get("projects"),
    }
    for needed, response in responses.items():
        if needed in allowed:
            assert response.status_code < 300
        else:
            assert check_problem(response, 403, "missing_scope")["scope"] == needed


def test_an_account_key_can_name_only_its_own_account(api: Any, account: Account, charlie: User) -> None:
    Account.objects.filter(pk=account.pk).update(external_id="alice-81")
    for name in (account.public_id, "alice-81"):
        assert api.get("balance", account=name).status_code == 200
    other_account = Account.objects.get(person=charlie).public_id
    for name in (other_account, "unknown", "acct_" + "f" * 32):
        check_problem(api.get("balance", account=name), 404, "unknown_account")
        check_problem(api.post("charges", use(account=name), key="k1"), 404, "unknown_account")


@pytest.mark.fault("I7")
def test_an_unsupported_method_or_content_type_is_refused(api: Any) -> None:
    check_problem(api.delete("balance"), 405, "method_not_allowed")
    check_problem(api.put("charges", {}), 405, "method_not_allowed")
    check_problem(api.client.options("/api/v1/balance"), 405, "method_not_allowed")
    assert api.delete("charges")["Allow"] == "GET, HEAD, POST"
    for kind in ("text/plain", "application/x-www-form-urlencoded", "application/xml", ""):
        response = api.client.post(
            "/api/v1/charges", "a=b", content_type=kind, headers={"Idempotency-Key": "k"}
        )
        check_problem(response, 415, "unsupported_media_type")
    charset = "application/json; charset=utf-8"
    response = api.client.post("/api/v1/estimates", "{}", content_type=charset)
    check_problem(response, 400, "invalid_request")


def test_an_unknown_url_is_a_problem_document(api: Any) -> None:
    for path in ("/api/v1/nothing", "/api/v2/balance", "/api/v1/charges/x/y/z", "/api/"):
        check_problem(api.client.get(path), 404, "not_found")


def test_a_forged_host_is_a_problem_document(api: Any) -> None:
    check_problem(api.client.get("/api/v1/balance", headers={"Host": "evil.example"}), 400, "bad_request")


def test_an_unexpected_error_discloses_nothing(api: Any, monkeypatch: Any) -> None:
    from usage.api import balance

    def fail(*_: Any) -> None:
        raise RuntimeError("postgres://secret@host")

    monkeypatch.setattr(balance.ledger, "balance", fail)
    api.client.raise_request_exception = False
    response = api.get("balance")
    check_problem(response, 500, "internal_error")
    assert b"secret" not in response.content


@pytest.mark.fault("O3", "I9")
def test_a_read_only_database_is_503_with_an_unknown_outcome(api: Any, monkeypatch: Any) -> None:
    from django.db import InternalError

    from usage.api import charges

    def read_only(*_: Any, **__: Any) -> None:
        raise InternalError("cannot execute INSERT in a read-only transaction")

    monkeypatch.setattr(charges.charging, "charge", read_only)
    api.client.raise_request_exception = False
    response = api.post("charges", use(), key="k1")
    check_problem(response, 503, "unavailable")
    assert response["Retry-After"] == "5"
    detail = response.json()["detail"]
    assert "outcome is unknown" in detail and "same Idempotency-Key" in detail
    assert "othing was changed" not in detail


def test_the_callers_request_id_is_returned(api: Any) -> None:
    response = api.client.get("/api/v1/balance", headers={"X-Request-Id": "trace-81"})
    assert response["X-Request-Id"] == "trace-81"
    assert api.client.get("/api/v1/nothing", headers={"X-Request-Id": "t-2"}).json()["request_id"] == "t-2"


def test_responses_are_not_cached(api: Any) -> None:
    assert api.get("balance")["Cache-Control"] == "no-store"


@pytest.mark.fault("W1")
def test_writes_of_a_browser_session_require_the_csrf_token(
    account: Account, alice: User, catalogue: None
) -> None:
    browser = Client(enforce_csrf_checks=True)
    browser.force_login(alice, backend="allauth.account.auth_backends.AuthenticationBackend")
    assert browser.get("/api/v1/balance").status_code == 200
    response = browser.post("/api/v1/estimates", use(), content_type="application/json")
    check_problem(response, 403, "csrf_failed")
    token = "a" * 32
    browser.cookies[_csrf_cookie()] = token
    response = browser.post(
        "/api/v1/estimates", use(), content_type="application/json", headers={"X-CSRFToken": token}
    )
    assert response.status_code == 200


def _csrf_cookie() -> str:
    from django.conf import settings

    return str(settings.CSRF_COOKIE_NAME)


@pytest.mark.fault("Z1")
def test_a_browser_session_reaches_only_the_members_accounts(
    team: Account, alice: User, bob: User, charlie: User, signed_in: Any, catalogue: None
) -> None:
    own = Account.objects.get(person=bob).public_id
    browser = signed_in(bob)
    assert browser.get("/api/v1/balance").json()["account"] == own
    assert browser.get("/api/v1/balance", {"account": team.public_id}).json()["account"] == team.public_id
    for user in (alice, charlie):
        name = Account.objects.get(person=user).public_id
        check_problem(browser.get("/api/v1/balance", {"account": name}), 404, "unknown_account")


@pytest.mark.fault("Z4")
def test_a_member_cannot_manage_projects_from_a_browser(
    team: Account, bob: User, signed_in: Any, catalogue: None
) -> None:
    path = f"/api/v1/projects?account={team.public_id}"
    response = signed_in(bob).post(path, {"name": "x"}, content_type="application/json")
    check_problem(response, 403, "missing_scope")


def test_a_deactivated_user_is_401(account: Account, alice: User, signed_in: Any) -> None:
    browser = signed_in(alice)
    User.objects.filter(pk=alice.pk).update(is_active=False)
    check_problem(browser.get("/api/v1/balance"), 401, "unauthenticated")
