"""What every endpoint checks before its method runs: identity, rate, length, kind of key, scope; in order."""

from typing import Any

import pytest

from accounts.models import Account, User

USE = {"service": "claude-sonnet-4", "usage": {"tokens": 500}}


def code_of(response: Any) -> tuple[int, str]:
    return response.status_code, response.json()["code"]


def test_head_is_answered_like_get_with_its_scope(api_of: Any, alice: User) -> None:
    reader, spender = api_of(alice, scopes=["read"]), api_of(alice, scopes=["spend"])
    answer = reader.client.head("/api/v1/balance")
    assert (answer.status_code, answer.content) == (200, b"")
    assert spender.client.head("/api/v1/balance").status_code == 403


def test_a_parameter_is_sent_once(api_of: Any, alice: User, account_of: Any) -> None:
    name = account_of(alice).public_id
    path = f"/api/v1/balance?account={name}&account={name}"
    problem = api_of(alice).client.get(path).json()
    assert [(error["field"], error["code"]) for error in problem["errors"]] == [("account", "repeated")]


def test_a_body_in_chunks_needs_its_length(api_of: Any, alice: User) -> None:
    client = api_of(alice).client
    chunked = {"HTTP_TRANSFER_ENCODING": "chunked"}
    refused = client.generic("POST", "/api/v1/estimates", "", "application/json", **chunked)
    assert code_of(refused) == (411, "length_required")
    assert client.get("/api/v1/balance", CONTENT_LENGTH="2", **chunked).status_code == 200


def test_identity_comes_before_rate_and_rate_before_kind_of_key_and_scope(
    api_of: Any, anonymous_api: Any, alice: User, settings: Any
) -> None:
    settings.API_RATE = "2/3600"
    api = api_of(alice, scopes=["read"])
    assert code_of(api.post("accounts", {})) == (403, "platform_key_required")
    refused = api.post("charges", USE, key="k")
    assert (code_of(refused), refused.json()["scope"]) == ((403, "missing_scope"), "spend")
    for response in (api.post("accounts", {}), api.get("balance"), api.delete("balance")):
        assert code_of(response) == (429, "rate_limited")
        assert int(response["Retry-After"]) > 0
        assert response["RateLimit-Policy"] == '"default";q=2;w=3600'
    unknown = anonymous_api.get("balance")
    assert code_of(unknown) == (401, "unauthenticated")
    assert "RateLimit" not in unknown and unknown["Cache-Control"] == "no-store"


def test_a_method_without_a_scope_is_not_allowed_and_names_those_that_are(api_of: Any, alice: User) -> None:
    response = api_of(alice).put("projects", {})
    assert (code_of(response), response["Allow"]) == ((405, "method_not_allowed"), "GET, HEAD, POST")
    batch = api_of(alice).get("charges/batch")
    assert (batch.status_code, batch["Allow"]) == (405, "POST")


def test_the_accept_header_changes_nothing(api_of: Any, alice: User) -> None:
    response = api_of(alice).client.get("/api/v1/balance", headers={"Accept": "text/html"})
    assert (response.status_code, response["Content-Type"]) == (200, "application/json")


@pytest.mark.parametrize("kind", ["application/json", "Application/JSON; charset=utf-8"])
def test_the_content_type_may_have_parameters_and_capitals(api_of: Any, alice: User, kind: str) -> None:
    response = api_of(alice).client.post("/api/v1/estimates", '{"service": "gpt-4o"}', content_type=kind)
    assert code_of(response) == (400, "invalid_request")


def test_a_batch_may_be_larger_than_other_bodies(api_of: Any, alice: User) -> None:
    api = api_of(alice)
    padding = " " * (300 * 1024)
    body = '{"data": [{"idempotency_key": "k"}]}' + padding
    answer = api.client.post("/api/v1/charges/batch", body, content_type="application/json")
    assert answer.json()["data"][0]["error"]["errors"][0]["field"] == "service"
    assert code_of(api.client.post("/api/v1/charges", padding, content_type="application/json")) == (
        400,
        "idempotency_key_required",
    )
    headers = {"Idempotency-Key": "k"}
    too_large = api.client.post("/api/v1/charges", padding, content_type="application/json", headers=headers)
    assert code_of(too_large) == (413, "body_too_large")
    assert too_large["RateLimit"].startswith('"default";r=')


def test_an_object_of_an_erased_account_is_not_found(
    api_of: Any, alice: User, platform_api: Any, account_of: Any
) -> None:
    charge = api_of(alice).post("charges", USE, key="k").json()["id"]
    assert platform_api.get(f"charges/{charge}").status_code == 200
    account = account_of(alice)
    other = Account.objects.create(name="Other", external_id="u-2", created_at=account.created_at)
    assert platform_api.get(f"charges/{charge}", account=account.public_id).status_code == 200
    assert code_of(platform_api.get(f"charges/{charge}", account=other.public_id)) == (404, "not_found")
    Account.objects.filter(pk=account.pk).update(erased_at=account.created_at)
    assert code_of(platform_api.get(f"charges/{charge}")) == (404, "not_found")
