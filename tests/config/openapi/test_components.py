"""Components of the OpenAPI document that are derived from TypedDicts."""

from typing import Any

import pytest

from core import declared_problems, json_types
from tests import openapi
from tests.usage.api.test_document import endpoints


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
    assert properties["created_at"] == {
        "type": "string",
        "format": "date-time",
        "pattern": json_types.TIME_PATTERN,
    }


def operations() -> list[tuple[str, Any]]:
    return [
        (f"{method.upper()} {path}", operation)
        for path, methods in openapi.document()["paths"].items()
        for method, operation in methods.items()
    ]


def codes(response: Any) -> set[str]:
    """The codes that a response can have."""
    schema = response["content"]["application/problem+json"]["schema"]
    references = schema.get("oneOf", [schema])
    names = {reference["$ref"].rpartition("/")[2] for reference in references}
    return {component(name)["properties"]["code"]["const"] for name in names}


@pytest.mark.parametrize("name, operation", operations(), ids=[name for name, _ in operations()])
def test_every_status_has_its_codes_and_headers(name: str, operation: Any) -> None:
    answers = operation["responses"]
    assert "default" not in answers
    assert {"401", "403", "404", "429", "503"} <= answers.keys()
    for status, answer in answers.items():
        assert "X-Request-Id" in answer["headers"], status
        assert ("RateLimit" in answer["headers"]) == (status not in {"401", "408"}), status
        if status >= "400":
            assert codes(answer), status
    assert "Retry-After" in answers["429"]["headers"] and "Retry-After" in answers["503"]["headers"]


def test_a_charge_that_cannot_be_paid_declares_the_ways_on() -> None:
    answers = dict(operations())["POST /api/v1/charges"]["responses"]
    assert codes(answers["402"]) == {"insufficient_credits"}
    assert codes(answers["429"]) == {"limit_reached", "rate_limited"}
    assert codes(answers["403"]) == {"csrf_failed", "missing_scope", "quota_reached"}
    ways_on = component("InsufficientCreditsProblem")["properties"]["ways_on"]["items"]["oneOf"]
    kinds = {component(way["$ref"].rpartition("/")[2])["properties"]["kind"]["const"] for way in ways_on}
    assert kinds == {"upgrade", "wait", "buy"}
    assert {"limit", "resets_at"} <= set(component("LimitReachedProblem")["required"])
    assert "errors" in component("InvalidRequestProblem")["required"]
    assert "errors" not in component("NotFoundProblem")["properties"]


def test_bodies_allow_no_other_field_and_say_which_fields_exclude_each_other() -> None:
    for _name, operation in operations():
        for content in operation.get("requestBody", {}).get("content", {}).values():
            body = component(content["schema"]["$ref"].rpartition("/")[2])
            assert body["additionalProperties"] is False
    hold, estimate = component("HoldInput"), component("EstimateInput")
    either = {"if": {"required": ["usage"]}, "then": {"not": {"required": ["credits"]}}}
    assert hold.items() >= (either | {"else": {"required": ["credits"]}}).items()
    some = {"if": {"not": {"required": ["usage"]}}, "then": {"required": ["text"]}}
    assert estimate.items() >= some.items()


def test_an_operation_names_its_scope_and_a_summary() -> None:
    answers = dict(operations())
    assert answers["POST /api/v1/charges"]["security"] == [{"key": ["spend"]}, {"session": ["spend"]}]
    assert answers["POST /api/v1/accounts"]["security"] == [{"key": ["manage"]}]
    summaries = {operation["summary"] for operation in answers.values()}
    assert "" not in summaries and len(summaries) == len(answers)


def test_every_tag_is_described() -> None:
    described = {tag["name"] for tag in openapi.document()["tags"]}
    assert {tag for _name, operation in operations() for tag in operation["tags"]} <= described


def test_a_code_has_one_status_and_one_set_of_fields_in_the_whole_api() -> None:
    found: dict[str, set[Any]] = {}
    for (method, _path), view in endpoints().items():
        for declared in declared_problems.of_classes(view.raises.get(method, ())):
            found.setdefault(declared.code, set()).add((declared.status, declared.fields))
    for one in (*declared_problems.BODY, *declared_problems.KEY, declared_problems.NOT_FOUND):
        found.setdefault(one.code, set()).add((one.status, one.fields))
    assert {code: kinds for code, kinds in found.items() if len(kinds) > 1} == {}


def test_ids_of_a_path_have_a_pattern() -> None:
    [parameter] = [
        parameter
        for parameter in dict(operations())["GET /api/v1/holds/{hold}"]["parameters"]
        if parameter["in"] == "path"
    ]
    assert (parameter["schema"]["pattern"], parameter["description"]) == (
        "^hold_[0-9a-f]{32}$",
        "Id of the hold.",
    )


def test_an_operation_takes_its_key_as_a_header_with_a_pattern() -> None:
    charges = dict(operations())["POST /api/v1/charges"]
    [key] = [parameter for parameter in charges["parameters"] if parameter["in"] == "header"]
    assert (key["name"], key["required"]) == ("Idempotency-Key", True)
    assert key["schema"]["pattern"] == "^[!-~]{1,255}$"
    assert "Idempotent-Replayed" in charges["responses"]["201"]["headers"]
