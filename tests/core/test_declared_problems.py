"""Errors as the OpenAPI document declares them."""

from collections.abc import Mapping
from datetime import datetime
from typing import TypedDict

from core import declared_problems
from core.errors import DomainError, Refusal


class Figures(TypedDict):
    most: int


class Full(Refusal):
    """There is no more
    room.

    Not part of the description.
    """

    codes = ("full", "nearly_full")
    status = 429

    def extra(self) -> Figures:
        return {"most": 3}

    def headers(self, now: datetime) -> dict[str, str]:
        return {"Retry-After": "7"}


class Invalid(Refusal):
    code, status = "invalid", 400


class Gone(DomainError):
    code, status = "gone", 404

    def extra(self) -> Mapping[str, object]:
        return {}


def standard(method: str, **declared: object) -> dict[str, int]:
    facts: dict[str, object] = {"scopes": {}, "platform_only": False, "takes_key": "", "names_object": False}
    found = declared_problems.standard(method, **facts | declared)  # type: ignore[arg-type]
    return {one.code: one.status for one in found}


def test_a_class_declares_its_codes_fields_headers_and_description() -> None:
    full, nearly = declared_problems.of_class(Full)
    assert (full.status, full.code, full.fields, full.headers) == (429, "full", Figures, ("Retry-After",))
    assert full.description == "There is no more room."
    assert (nearly.code, nearly.component) == ("nearly_full", "NearlyFullProblem")
    [gone] = declared_problems.of_class(Gone)
    assert (gone.status, gone.code, gone.fields, gone.headers) == (404, "gone", None, ())


def test_an_invalid_input_is_declared_by_the_endpoint_itself() -> None:
    assert list(declared_problems.of_class(Invalid)) == []


def test_a_code_of_several_classes_is_declared_once() -> None:
    assert [one.code for one in declared_problems.of_classes([Gone, Full, Gone])] == [
        "gone",
        "full",
        "nearly_full",
    ]


def test_what_an_endpoint_declares_about_itself_gives_its_standard_errors() -> None:
    reading = standard("GET", scopes={"GET": "read"})
    assert reading == {
        "invalid_request": 400,
        "bad_request": 400,
        "unauthenticated": 401,
        "missing_scope": 403,
        "unknown_account": 404,
        "rate_limited": 429,
        "unavailable": 503,
        "overloaded": 503,
    }
    assert standard("GET", platform_only=True).items() >= {("platform_key_required", 403)}
    assert standard("GET", names_object=True).items() >= {("not_found", 404)}
    writing = standard("POST")
    body = {"malformed_json": 400, "length_required": 411, "body_too_large": 413}
    body |= {"unsupported_media_type": 415, "request_timeout": 408, "csrf_failed": 403, "out_of_range": 400}
    assert writing.items() >= body.items() and "idempotency_key_reused" not in writing
    assert not standard("DELETE").keys() & body.keys() - {"csrf_failed", "out_of_range"}
    keyed = {
        "idempotency_key_invalid": 400,
        "idempotency_key_in_progress": 409,
        "idempotency_key_reused": 422,
    }
    optional, required = standard("POST", takes_key="optional"), standard("POST", takes_key="required")
    assert optional.items() >= keyed.items() and "idempotency_key_required" not in optional
    assert required.items() >= (keyed | {"idempotency_key_required": 400}).items()
    assert "idempotency_key_invalid" not in standard("PUT", takes_key="required")
