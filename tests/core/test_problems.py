"""Problem documents of domain errors."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from django.core.exceptions import PermissionDenied, SuspiciousOperation
from django.db import DataError, IntegrityError, InterfaceError, InternalError, OperationalError
from django.http import Http404
from rest_framework import exceptions

from billing import ledger
from core import problems
from core.errors import DomainError, Refusal
from core.problems import as_problem

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)


class Full(Refusal):
    code, status = "full", 409

    def extra(self) -> dict[str, Any]:
        return {"most": 3}

    def headers(self, now: datetime) -> dict[str, str]:
        return {"Retry-After": "7"}


class Invalid(Refusal):
    code, status, field = "too_long", 400, "name"


class Missing(DomainError):
    code, status = "unknown_thing", 404


def every_subclass(base: type[DomainError]) -> set[type[DomainError]]:
    return {base}.union(*(every_subclass(kind) for kind in base.__subclasses__()))


def test_a_refusal_states_its_code_status_members_and_headers() -> None:
    problem = as_problem(Full("All places are taken."), NOW)
    document: Any = problem.document("r1")
    assert (problem.status, document["code"], document["detail"]) == (409, "full", "All places are taken.")
    assert document["most"] == 3 and problem.headers == {"Retry-After": "7"}


def test_an_invalid_input_is_listed_in_errors() -> None:
    document: Any = as_problem(Invalid("Use at most 20 characters."), NOW).document("r1")
    assert document["code"] == "invalid_request"
    assert document["errors"] == [
        {"field": "name", "code": "too_long", "message": "Use at most 20 characters."}
    ]


def test_a_missing_object_without_a_text_gets_the_standard_text() -> None:
    problem = as_problem(Missing(), NOW)
    assert (problem.status, problem.code) == (404, "unknown_thing")
    assert problem.detail == "The object does not exist or this key cannot access it."


def test_a_limit_has_a_retry_after_header() -> None:
    resets_at = datetime(2026, 11, 20, 12, 0, 30, tzinfo=UTC)
    error = ledger.LimitReached(
        limit="project", subject="p", maximum=Decimal(10), used=Decimal(9), resets_at=resets_at
    )
    assert as_problem(error, NOW).headers == {"Retry-After": "30"}


def test_every_error_of_the_ledger_states_its_code() -> None:
    kinds = every_subclass(ledger.LedgerError) - {ledger.LedgerError}
    assert kinds and all(kind.code != DomainError.code for kind in kinds)


@pytest.mark.parametrize(
    ("error", "status", "code", "headers"),
    [
        (Http404(), 404, "not_found", {}),
        (PermissionDenied(), 403, "forbidden", {}),
        (SuspiciousOperation(), 400, "bad_request", {}),
        (DataError(), 400, "out_of_range", {}),
        (OperationalError(), 503, "unavailable", {"Retry-After": "5"}),
        (InterfaceError(), 503, "unavailable", {"Retry-After": "5"}),
        (InternalError(), 503, "unavailable", {"Retry-After": "5"}),
        (IntegrityError(), 500, "internal_error", {}),
        (ValueError("secret"), 500, "internal_error", {}),
        (exceptions.MethodNotAllowed("PUT"), 405, "method_not_allowed", {}),
        (exceptions.UnsupportedMediaType("text/plain"), 415, "unsupported_media_type", {}),
        (exceptions.PermissionDenied(), 403, "csrf_failed", {}),
        (exceptions.Throttled(), 429, "throttled", {}),
        (problems.not_found("Gone.", code="unknown_thing"), 404, "unknown_thing", {}),
        (problems.unauthenticated(), 401, "unauthenticated", {"WWW-Authenticate": "Bearer"}),
    ],
)
def test_each_error_has_its_status_code_and_headers(
    error: Exception, status: int, code: str, headers: dict[str, str]
) -> None:
    problem = as_problem(error, NOW)
    document: Any = problem.document("r1")
    assert (problem.status, problem.code, problem.headers) == (status, code, headers)
    assert document["type"] == f"urn:refill:problem:{code}"
    assert document["title"] == code.replace("_", " ").capitalize()
    assert (document["status"], document["code"], document["request_id"]) == (status, code, "r1")
    assert document["detail"] and "secret" not in document["detail"]
    assert ("errors" in document) == (status == 400)


def test_a_503_says_that_the_outcome_is_unknown_and_that_the_same_key_is_sent_again() -> None:
    for error in (OperationalError(), InterfaceError(), InternalError()):
        detail = as_problem(error, NOW).detail
        assert "its outcome is unknown" in detail and "with the same Idempotency-Key" in detail
        assert "changed" not in detail


def test_a_validation_error_is_summarized_by_its_first_field() -> None:
    problem = as_problem(exceptions.ValidationError({"name": ["Too long."], "kind": ["Unknown."]}), NOW)
    assert (problem.status, problem.detail) == (400, "name: Too long.")
    assert [(error["field"], error["message"]) for error in problem.errors] == [
        ("name", "Too long."),
        ("kind", "Unknown."),
    ]
    assert as_problem(exceptions.ValidationError(["Nothing."]), NOW).detail == "Nothing."
