"""The Python client has a method for every endpoint of the OpenAPI document, with its fields and filters."""

import inspect
import re
from datetime import UTC, datetime
from typing import Any, get_type_hints

from refill_client import ChargeFields, UseFields
from refill_client._calls import Call
from refill_client._operations import Operations, listing, operation, streaming

from tests.openapi import document

VALUES: dict[str, Any] = {
    "credits": "5",
    "maximum": "5",
    "below": "5",
    "also_below": ["5"],
    "daily_limit": "5",
    "monthly_limit": "5",
    "scopes": ["read"],
    "enabled": True,
    "uses": [{"service": "m", "usage": {"uses": 1}}],
    "usage": {"uses": 1},
    "from_": datetime(2026, 11, 20, tzinfo=UTC),
    "to": datetime(2026, 11, 21, tzinfo=UTC),
    "expires_at": datetime(2026, 11, 21, tzinfo=UTC),
}
USE = get_type_hints(UseFields).keys()
CHARGE = get_type_hints(ChargeFields).keys()


def calls() -> dict[str, Call[Any]]:
    """Every operation with all its arguments."""
    built = {}
    for name, member in vars(Operations).items():
        if isinstance(member, operation | listing):
            parameters = inspect.signature(member.call_of).parameters
            fields = {one for one in parameters if one not in ("use", "text")}
            if "use" in parameters:
                fields |= CHARGE if "ChargeFields" in str(parameters["use"].annotation) else USE
            built[name] = member.call_of(**{one: VALUES.get(one, "x") for one in fields})
        elif isinstance(member, streaming):
            built[name] = member.stream_of(account="x").call
    return built


def endpoint_of(call: Call[Any]) -> tuple[str, str]:
    """The method and the path with its ids as in the document."""
    for path, methods in document()["paths"].items():
        pattern = re.sub(r"\{\w+\}", "x", path)
        if pattern == f"/api/v1{call.path}" and call.method.lower() in methods:
            return call.method.lower(), path
    raise AssertionError(f"{call.method} {call.path} is not in the document")


def test_every_endpoint_has_a_method() -> None:
    documented = {
        (method, path)
        for path, methods in document()["paths"].items()
        for method in methods
        if method in ("get", "post", "put", "patch", "delete")
    }
    assert {endpoint_of(call) for call in calls().values()} == documented


def test_every_query_parameter_and_member_of_a_body_is_one_of_the_document() -> None:
    schemas = document()["components"]["schemas"]
    for name, call in calls().items():
        method, path = endpoint_of(call)
        described = document()["paths"][path][method]
        parameters = {one["name"]: one["in"] for one in described.get("parameters", [])}
        assert set(call.query) <= {one for one in parameters if parameters[one] == "query"}, name
        assert (call.key is not None) == ("Idempotency-Key" in parameters), name
        if call.body is not None:
            schema = described["requestBody"]["content"]["application/json"]["schema"]
            properties = schemas[schema["$ref"].split("/")[-1]]["properties"]
            assert set(call.body) <= set(properties), name


def test_every_filter_of_a_list_is_an_argument() -> None:
    for name, call in calls().items():
        method, path = endpoint_of(call)
        parameters = document()["paths"][path][method].get("parameters", [])
        asked = {one["name"] for one in parameters if one["in"] == "query"} - {"cursor", "limit"}
        if method == "get":
            assert asked <= set(call.query), name
