"""The lengths and bounds of every field of a request: the largest value is accepted, the next one refused."""

from decimal import Decimal
from typing import Any

from rest_framework import serializers

from billing.models import Entry, Grant
from core.fields import StrictSerializer
from core.pagination import PageQuery
from core.problems import flattened
from usage.api import aggregates, request_schemas, services

USE = {"service": "s", "usage": {"tokens": 1}}
ITEM = {**USE, "idempotency_key": "k"}
GRANT = {"credits": "1", "kind": "bonus"}
PROVIDER_KEY = {"provider": "p", "key": "12345678"}

# schema, the required fields, field, longest text
LENGTHS: list[tuple[type[StrictSerializer], dict[str, Any], str, int]] = [
    (request_schemas.ChargeInput, USE, "account", 255),
    (request_schemas.ChargeInput, USE, "service", 100),
    (request_schemas.ChargeInput, USE, "action", 100),
    (request_schemas.ChargeInput, USE, "project", 100),
    (request_schemas.ChargeInput, USE, "conversation", 200),
    (request_schemas.ChargeInput, USE, "member", 100),
    (request_schemas.ChargeInput, USE, "estimate", 1000),
    (request_schemas.EstimateInput, USE, "text", 200_000),
    (request_schemas.BatchItem, ITEM, "idempotency_key", 255),
    (request_schemas.HoldInput, USE, "conversation", 200),
    (request_schemas.ReversalInput, {}, "reason", 500),
    (request_schemas.ReportInput, {}, "reason", 2000),
    (request_schemas.GrantInput, GRANT, "label", 200),
    (request_schemas.GrantInput, GRANT, "reason", 500),
    (request_schemas.AccountInput, {}, "external_id", 255),
    (request_schemas.AccountInput, {}, "name", 200),
    (request_schemas.ProjectInput, {}, "name", 100),
    (request_schemas.ProjectChange, {}, "name", 100),
    (request_schemas.ProviderKeyInput, PROVIDER_KEY, "provider", 40),
    (request_schemas.ProviderKeyInput, PROVIDER_KEY, "key", 500),
    (request_schemas.ChargeQuery, {}, "service", 100),
    (request_schemas.ChargeQuery, {}, "action", 100),
    (request_schemas.ChargeQuery, {}, "project", 100),
    (request_schemas.ChargeQuery, {}, "conversation", 200),
    (request_schemas.ChargeQuery, {}, "member", 100),
    (request_schemas.TransactionQuery, {}, "grant", 100),
    (services.ServiceQuery, {}, "modality", 30),
    (services.ServiceQuery, {}, "tier", 30),
    (services.ServiceQuery, {}, "tag", 50),
    (PageQuery, {}, "cursor", 500),
    (PageQuery, {}, "account", 255),
    (aggregates.UsageQuery, {}, "timezone", 64),
]


def errors(schema: type[StrictSerializer], body: dict[str, Any]) -> list[tuple[str, str]]:
    """The fields and codes of the errors of a body; empty when it is accepted."""
    try:
        schema.checked(body)
    except serializers.ValidationError as error:
        return [(found["field"], found["code"]) for found in flattened(error.detail)]
    return []


def test_texts_have_their_largest_length() -> None:
    for schema, required, name, longest in LENGTHS:
        assert errors(schema, required | {name: "x" * longest}) == [], (schema, name)
        refused = errors(schema, required | {name: "x" * (longest + 1)})
        assert refused == [(name, "max_length")], (schema, name)


OTHERS: list[tuple[type[StrictSerializer], dict[str, Any], list[tuple[str, str]]]] = [
    (request_schemas.HoldInput, USE | {"expires_in": 60}, []),
    (request_schemas.HoldInput, USE | {"expires_in": 59}, [("expires_in", "min_value")]),
    (request_schemas.HoldInput, USE | {"expires_in": 86_400}, []),
    (request_schemas.HoldInput, USE | {"expires_in": 86_401}, [("expires_in", "max_value")]),
    (request_schemas.HoldInput, {"service": "s", "credits": "0"}, [("credits", "not_positive")]),
    (request_schemas.HoldInput, {"service": "s"}, [("usage", "one_of")]),
    (request_schemas.HoldInput, USE | {"credits": "1"}, [("usage", "one_of")]),
    (request_schemas.CaptureInput, {"credits": "0"}, []),
    (request_schemas.CaptureInput, {"usage": {}}, []),
    (request_schemas.CaptureInput, {}, [("usage", "one_of")]),
    (request_schemas.CaptureInput, {"usage": {}, "credits": "1"}, [("usage", "one_of")]),
    (request_schemas.ReversalInput, {"credits": "0"}, [("credits", "not_positive")]),
    (request_schemas.ChargeInput, USE | {"usage": {f"m{n}": 1 for n in range(20)}}, []),
    (request_schemas.ChargeInput, USE | {"usage": {f"m{n}": 1 for n in range(21)}}, [("usage", "too_many")]),
    (request_schemas.ChargeInput, USE | {"usage": []}, [("usage", "invalid")]),
    (request_schemas.ChargeInput, USE | {"options": []}, [("options", "invalid")]),
    (request_schemas.ChargeInput, USE | {"metadata": {"a": Decimal("NaN")}}, [("metadata", "not_finite")]),
    (request_schemas.ChargeInput, USE | {"own_key": "yes"}, [("own_key", "invalid")]),
    (request_schemas.ChargeInput, {"usage": {}}, [("service", "required")]),
    (request_schemas.BatchInput, {"data": []}, [("data", "min_length")]),
    (request_schemas.BatchInput, {"data": [None] * 1000}, []),
    (request_schemas.BatchInput, {"data": [None] * 1001}, [("data", "max_length")]),
    (request_schemas.BatchItem, USE, [("idempotency_key", "required")]),
    (request_schemas.ReportInput, {}, [("reason", "required")]),
    (request_schemas.GrantInput, GRANT | {"services": ["x"] * 100}, []),
    (request_schemas.GrantInput, GRANT | {"services": ["x"] * 101}, [("services", "max_length")]),
    (request_schemas.GrantInput, GRANT | {"services": []}, [("services", "min_length")]),
    (request_schemas.GrantInput, GRANT | {"services": ["x" * 101]}, [("services.0", "max_length")]),
    (request_schemas.GrantInput, GRANT | {"kind": "gift"}, [("kind", "invalid_choice")]),
    (request_schemas.GrantInput, GRANT | {"services": None, "expires_at": None}, []),
    (request_schemas.AccountInput, {"zone": "Europe/Berlin"}, []),
    (request_schemas.AccountInput, {"zone": "Berlin"}, [("zone", "unknown")]),
    (request_schemas.ProjectInput, {"name": "x", "daily_limit": None}, []),
    (request_schemas.ProjectInput, {"name": "x", "daily_limit": "0"}, [("daily_limit", "not_positive")]),
    (request_schemas.ProjectChange, {"archived": 1}, [("archived", "invalid")]),
    (request_schemas.ProviderKeyInput, PROVIDER_KEY | {"key": "1234567"}, [("key", "min_length")]),
    (request_schemas.ChargeQuery, {"status": "open"}, [("status", "invalid_choice")]),
    (services.ServiceQuery, {"kind": "tool"}, [("kind", "invalid_choice")]),
    (PageQuery, {"limit": "100"}, []),
    (PageQuery, {"limit": "101"}, [("limit", "max_value")]),
    (PageQuery, {"limit": "0"}, [("limit", "min_value")]),
]


def test_other_values_are_accepted_or_refused_with_field_and_code() -> None:
    for schema, body, expected in OTHERS:
        assert errors(schema, body) == expected, (schema, body)
    for kind in Grant.Kind.values:
        assert errors(request_schemas.GrantInput, GRANT | {"kind": kind}) == []
    for kind in Entry.Kind.values:
        assert errors(request_schemas.TransactionQuery, {"kind": kind}) == []
    assert request_schemas.HoldInput.checked(USE)["expires_in"] == 900
    assert PageQuery.checked({})["limit"] == 25


def test_metadata_is_measured_in_bytes() -> None:
    for text, expected in (("字" * 1362, []), ("字" * 1363, [("metadata", "too_large")])):
        assert errors(request_schemas.ChargeInput, USE | {"metadata": {"n": text}}) == expected


def test_fields_that_may_be_null_are_those_of_the_contract() -> None:
    nullable = ("account", "action", "project", "conversation", "member", "options", "metadata", "estimate")
    assert errors(request_schemas.ChargeInput, USE | dict.fromkeys(nullable)) == []
    for name in ("service", "usage", "own_key"):
        assert errors(request_schemas.ChargeInput, USE | {name: None}) == [(name, "null")]
