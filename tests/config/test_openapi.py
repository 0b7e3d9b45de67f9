"""Components of the OpenAPI document that are derived from TypedDicts."""

from typing import Any

from tests import openapi


def component(name: str) -> Any:
    return openapi.document()["components"]["schemas"][name]


def test_keys_that_may_be_missing_are_not_required() -> None:
    assert "report" in component("Charge")["properties"]
    assert "report" not in component("Charge")["required"]


def test_nested_objects_are_components_and_null_is_allowed_where_declared() -> None:
    properties = component("Balance")["properties"]
    assert properties["grants"]["items"] == {"$ref": "#/components/schemas/BalanceGrant"}
    assert properties["daily"] == {"oneOf": [{"$ref": "#/components/schemas/Daily"}, {"type": "null"}]}


def test_an_enumeration_that_may_be_null_lists_null() -> None:
    assert component("Charge")["properties"]["covered_by"]["oneOf"] == [
        {"$ref": "#/components/schemas/CoveredByEnum"},
        {"$ref": "#/components/schemas/NullEnum"},
    ]
    assert component("GrantKind")["enum"][0] == "daily"


def test_a_page_of_objects_is_a_list_component() -> None:
    data = component("ChargeList")["properties"]["data"]
    assert data == {"type": "array", "items": {"$ref": "#/components/schemas/Charge"}}


def test_metadata_gives_the_description_and_the_documented_type() -> None:
    properties = component("Transaction")["properties"]
    assert properties["credits"]["description"].startswith("Credits into the grant")
    assert properties["created_at"] == {"type": "string", "format": "date-time"}
