"""Errors of the client: one class for each refusal that a program handles differently.

A refusal of the API is an `ApiError` with `status`, `code`, `detail` and `request_id`; `problem` is the whole
problem document. After `OutcomeUnknown` the request may have taken effect: send it again with the same
`idempotency_key`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from refill_client._decoding import decode


class RefillError(Exception):
    """Base class of all errors of this package."""


class UnexpectedResponse(RefillError):
    """The response is not one of the API, such as a proxy's HTML page."""


class InvalidWebhook(RefillError):
    """The webhook was not signed with one of the secrets, is too old, or has no valid headers."""


class OutcomeUnknown(RefillError):
    """No answer, or one of 500 or more, after all attempts: the request may have taken effect.

    Send it again with `idempotency_key`: it takes effect once.
    """

    def __init__(self, message: str, *, idempotency_key: str | None, request_id: str = "") -> None:
        super().__init__(message)
        self.idempotency_key = idempotency_key
        self.request_id = request_id


@dataclass(frozen=True, slots=True)
class FieldError:
    """An invalid field of a request: its path, such as "usage.tokens"."""

    field: str
    code: str
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class WayOn:
    """What an account without credits can do: `upgrade` its plan, `wait` until a time, or `buy` a pack."""

    kind: str
    plan: str | None = None
    pack: str | None = None
    name: str | None = None
    label: str | None = None
    credits: Decimal | None = None
    until: datetime | None = None
    url: str | None = None


class ApiError(RefillError):
    """The API refused the request; nothing was changed."""

    def __init__(self, status: int, problem: Mapping[str, Any], *, retry_after: float | None = None) -> None:
        self.status = status
        self.problem = problem
        self.code = str(problem.get("code", ""))
        self.detail = str(problem.get("detail", ""))
        self.request_id = str(problem.get("request_id", ""))
        self.retry_after = retry_after
        super().__init__(f"{status} {self.code}: {self.detail}")

    def _credits(self, name: str) -> Decimal:
        return Decimal(self.problem.get(name) or 0)


class InvalidRequest(ApiError):
    """400: `errors` names the invalid fields."""

    @property
    def errors(self) -> list[FieldError]:
        errors: list[FieldError] = decode(list[FieldError], self.problem.get("errors", []))
        return errors


class Unauthenticated(ApiError):
    """401: the key is missing, wrong or revoked."""


class InsufficientCredits(ApiError):
    """402: the use costs more than the account can spend. `ways_on` lists what it can do."""

    @property
    def needed(self) -> Decimal:
        return self._credits("needed")

    @property
    def available(self) -> Decimal:
        return self._credits("available")

    @property
    def debt(self) -> Decimal:
        return self._credits("debt")

    @property
    def ways_on(self) -> list[WayOn]:
        ways: list[WayOn] = decode(list[WayOn], self.problem.get("ways_on", []))
        return ways


class PermissionDenied(ApiError):
    """403: the key lacks the scope, or is of the wrong kind."""


class BudgetExceeded(ApiError):
    """402 `budget_exceeded`: the parent hold has less left than its child asks for."""

    @property
    def needed(self) -> Decimal:
        return self._credits("needed")

    @property
    def remaining(self) -> Decimal:
        return self._credits("remaining")


class QuotaReached(ApiError):
    """403 `quota_reached`: a counted allowance of the plan, such as files, is used up."""

    @property
    def quota(self) -> str:
        return str(self.problem.get("quota", ""))

    @property
    def maximum(self) -> Decimal:
        return self._credits("maximum")

    @property
    def used(self) -> Decimal:
        return self._credits("used")


class NotFound(ApiError):
    """404: the object does not exist or belongs to another account. `code` tells which kind of object."""


class Conflict(ApiError):
    """409: the state of an object does not allow the request; `code` says why."""


class ServiceUnpriced(Conflict):
    """409 `service_unpriced`: the service cannot be charged until it has a rate."""


class HoldClosed(Conflict):
    """409 `hold_closed`: the hold has been captured, released, or has expired."""

    @property
    def hold_status(self) -> str:
        return str(self.problem.get("hold_status", ""))


class ChildrenOpen(Conflict):
    """409 `children_open`: the hold has open children, which have to be closed first."""

    @property
    def children(self) -> int:
        return int(self.problem.get("children") or 0)


class KeyReused(ApiError):
    """422: the idempotency key has been used for another request."""


class LimitReached(ApiError):
    """429 `limit_reached`: the limit of a project, member or key, until `resets_at`."""

    @property
    def limit(self) -> str:
        return str(self.problem.get("limit", ""))

    @property
    def maximum(self) -> Decimal:
        return self._credits("maximum")

    @property
    def used(self) -> Decimal:
        return self._credits("used")

    @property
    def resets_at(self) -> datetime | None:
        at: datetime | None = decode(datetime | None, self.problem.get("resets_at"))
        return at


class RateLimited(ApiError):
    """429 `rate_limited`: too many requests with this key, for `retry_after` seconds."""


_OF_CODE: dict[str, type[ApiError]] = {
    "budget_exceeded": BudgetExceeded,
    "children_open": ChildrenOpen,
    "quota_reached": QuotaReached,
    "service_unpriced": ServiceUnpriced,
    "hold_closed": HoldClosed,
    "limit_reached": LimitReached,
}
_OF_STATUS: dict[int, type[ApiError]] = {
    401: Unauthenticated,
    402: InsufficientCredits,
    403: PermissionDenied,
    404: NotFound,
    409: Conflict,
    422: KeyReused,
    429: RateLimited,
}


def of_problem(status: int, problem: Mapping[str, Any], *, retry_after: float | None = None) -> ApiError:
    """The error for a problem document (RFC 9457)."""
    kind = _OF_CODE.get(str(problem.get("code")), _OF_STATUS.get(status, InvalidRequest))
    return kind(status, problem, retry_after=retry_after)
