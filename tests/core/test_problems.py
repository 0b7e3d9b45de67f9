"""Problem documents of domain errors."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from billing import ledger
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
