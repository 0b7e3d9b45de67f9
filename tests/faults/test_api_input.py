"""Invalid input is answered with a 4xx that names the field (faults I1 to I4)."""

import json
from typing import Any

import pytest

from accounts.models import Account, User
from billing.models import Charge, Hold

BODY = {"service": "claude-sonnet-4", "usage": {"tokens": 100}}


@pytest.fixture
def api(catalogue: None, alice: User, api_of: Any) -> Any:
    return api_of(alice)


def send(api: Any, path: str, body: bytes | str) -> Any:
    return api.client.post(
        f"/api/v1/{path}", body, content_type="application/json", headers={"Idempotency-Key": "k1"}
    )


@pytest.mark.fault("I1")
@pytest.mark.parametrize(
    "number",
    [
        *("-1", "0", "NaN", "Infinity", "1e400", "-1e400", "1e9999999999999", "9223372036854775808", "null"),
        *("true", '"१०"', '"5"', "[]", "{}", "1.5", "0.1e-400"),
    ],
)
def test_an_invalid_quantity_names_the_field(api: Any, number: str) -> None:
    response = send(api, "charges", f'{{"service": "claude-sonnet-4", "usage": {{"tokens": {number}}}}}')
    problem = response.json()
    assert (response.status_code, response["Content-Type"]) == (400, "application/problem+json")
    assert problem["errors"][0]["field"] in {"usage.tokens", "usage"}
    assert Charge.objects.count() == 0


@pytest.mark.fault("I1")
@pytest.mark.parametrize(
    "amount",
    [
        *('"-1"', '"0"', '"NaN"', "NaN", '"1e400"', "1e400", '"9223372036854775808"', '"१०"', "null", "true"),
        *("5", '"1000000000.000001"', '"99999999999999.999999"'),
    ],
)
def test_an_invalid_amount_names_the_field(api: Any, amount: str) -> None:
    response = send(api, "holds", f'{{"service": "claude-sonnet-4", "credits": {amount}}}')
    assert response.status_code == 400
    assert response.json()["errors"][0]["field"] == "credits"
    assert Hold.objects.count() == 0


@pytest.mark.fault("I2")
@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"x" * 10_000_000, 413),
        (b'{"service": "' + b"x" * 10_000_000 + b'"}', 413),
        (b"[" * 10_000 + b"]" * 10_000, 400),
        (b'{"metadata":' * 10_000 + b"1" + b"}" * 10_000, 400),
        (b'{"service": "a\\u0000b", "usage": {"tokens": 1}}', 400),
        (b'{"service": "a\x00b"}', 400),
        (b'{"service": "claude-sonnet-4", "usage": {"tokens": 1}, "conversation": "\\ud800"}', 400),
        (b'{"service": "claude-sonnet-4", "usage": {"tokens": 1}, "metadata": {"\\udfff": 1}}', 400),
        (b'{"service": "\xff\xfe"}', 400),
        (b"", 400),
        (b"null", 400),
        (b"[]", 400),
        (b'"text"', 400),
        (b"7", 400),
        (b"{", 400),
    ],
)
def test_a_malformed_body_is_refused(api: Any, body: bytes, status: int) -> None:
    response = send(api, "charges", body)
    assert (response.status_code, response["Content-Type"]) == (status, "application/problem+json")


@pytest.mark.fault("I3")
@pytest.mark.parametrize(
    "field", ["balance", "is_staff", "owner", "credits", "account_id", "covered_by", "id"]
)
def test_an_unknown_field_is_refused(api: Any, field: str) -> None:
    response = send(api, "charges", json.dumps({**BODY, field: "1"}))
    assert response.status_code == 400
    assert response.json()["errors"] == [
        {"field": field, "code": "unknown_field", "message": "This field is not supported."}
    ]


@pytest.mark.fault("I1")
@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("service", 5),
        ("service", ""),
        ("service", None),
        ("service", "x" * 101),
        ("action", 5),
        ("project", ["x"]),
        ("conversation", "x" * 201),
        ("conversation", {"a": 1}),
        ("metadata", "text"),
        ("metadata", {"note": "x" * 5000}),
        ("own_key", "yes"),
        ("own_key", 1),
        ("options", []),
        ("options", {"quality": "best"}),
        ("options", {"quality": {"a": 1}}),
        ("usage", {"tokens": 1, "\ud83d\ude00" * 200: 1}),
        ("usage", {f"m{n}": 1 for n in range(21)}),
        ("account", 5),
        ("account", "x" * 256),
    ],
)
def test_a_value_of_the_wrong_type_names_its_field(api: Any, field: str, value: Any) -> None:
    response = send(api, "charges", json.dumps({**BODY, field: value}))
    assert response.status_code == 400
    [error] = response.json()["errors"]
    assert error["field"].startswith(field)
    assert error["message"]


@pytest.mark.fault("I1")
def test_metadata_cannot_contain_numbers_that_are_not_finite(api: Any) -> None:
    for number in ("NaN", "1e400", "-Infinity"):
        body = f'{{"service": "claude-sonnet-4", "usage": {{"tokens": 1}}, "metadata": {{"n": {number}}}}}'
        assert send(api, "charges", body).json()["errors"][0]["field"] == "metadata"


@pytest.mark.fault("I4")
@pytest.mark.parametrize(
    ("query", "field"),
    [
        ({"limit": "1000000000"}, "limit"),
        ({"limit": "0"}, "limit"),
        ({"limit": "-1"}, "limit"),
        ({"limit": "x"}, "limit"),
        ({"limit": "9" * 5000}, "limit"),
        ({"limit": ""}, "limit"),
        ({"cursor": "tampered"}, "cursor"),
        ({"cursor": "x" * 501}, "cursor"),
        ({"cursor": "\0"}, "cursor"),
        ({"from": "0000-01-01T00:00:00Z"}, "from"),
        ({"from": "0001-01-01T00:00:00Z"}, "from"),
        ({"to": "9999-12-31T23:59:59-14:00"}, "to"),
        ({"from": "2026-11-20"}, "from"),
        ({"from": "2026-02-30T00:00:00Z"}, "from"),
        ({"from": "2026-11-21T00:00:00Z", "to": "2026-11-20T00:00:00Z"}, "to"),
        ({"kind": "everything"}, "kind"),
        ({"offset": "10"}, "offset"),
        ({"limit": ["1", "2"]}, "limit"),
    ],
)
def test_an_invalid_query_parameter_is_named(api: Any, query: dict[str, Any], field: str) -> None:
    response = api.get("transactions", **query)
    assert (response.status_code, response["Content-Type"]) == (400, "application/problem+json")
    assert [error["field"] for error in response.json()["errors"]] == [field]


@pytest.mark.fault("I4")
def test_a_cursor_is_valid_only_for_its_own_list(api: Any) -> None:
    for number in range(3):
        api.post("charges", BODY, key=f"k{number}")
    cursor = api.get("charges", limit="1").json()["next_cursor"]
    assert api.get("charges", cursor=cursor).status_code == 200
    for path in ("transactions", "grants", "projects"):
        assert api.get(path, cursor=cursor).status_code == 400


@pytest.mark.fault("I2")
@pytest.mark.parametrize(
    "name", ["%00", "chg_%F0%9F%98%80", "x" * 2000, "chg_" + "g" * 32, "..", "%2e%2e%2f"]
)
def test_a_malformed_id_is_404(api: Any, name: str) -> None:
    for path in ("charges", "holds"):
        assert api.get(f"{path}/{name}").status_code == 404
    assert api.get(f"services/{name}").status_code == 404
    assert api.delete(f"provider-keys/{name}").status_code == 404
    assert api.patch(f"projects/{name}", {"name": "x"}).status_code == 404


@pytest.mark.fault("I6")
def test_a_use_reported_twice_counts_once(api: Any, alice: User) -> None:
    for _ in range(3):
        api.post("charges", BODY, key="late-report")
    assert api.get("usage").json()["total"] == {"credits": "0.22", "charges": 1}
    assert Charge.objects.filter(account=Account.objects.get(person=alice)).count() == 1
