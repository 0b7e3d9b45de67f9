"""The course of one call over its attempts: which response is final, and how long to wait before the next.

Without input or output: both clients pass it what they received. Attempts repeat the same body and key.
Waiting times have full jitter (a random part of a bound that doubles), after a `Retry-After` if there is one.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import httpx

from refill_client._calls import Call
from refill_client.errors import OutcomeUnknown, RefillError, UnexpectedResponse, of_problem

T = TypeVar("T")
_IN_PROGRESS = (409, "idempotency_key_in_progress")
_TOO_MANY = (429, "rate_limited")


@dataclass(frozen=True, slots=True, kw_only=True)
class Retries:
    """How often and how long a call is repeated."""

    attempts: int = 5
    first_wait: float = 0.25
    """Seconds: the bound of the first random waiting time; it doubles with each attempt."""
    longest_wait: float = 20.0
    """Seconds: a `Retry-After` beyond this raises the error instead of waiting."""
    chance: Callable[[], float] = random.random
    """A random number from 0 to 1; tests replace it."""


class Exchange(Generic[T]):
    """Decides after each attempt whether and when there is another one; else `result` is final."""

    def __init__(self, call: Call[T], retries: Retries) -> None:
        self._call = call
        self._retries = retries
        self._attempt = 0
        self._unknown = False  # whether an attempt may have taken effect
        self.body = call.body
        self._response: httpx.Response | None = None

    def request(self, http: httpx.Client | httpx.AsyncClient) -> httpx.Request:
        """The request of the next attempt."""
        self._attempt += 1
        headers = {} if self._call.key is None else {"Idempotency-Key": self._call.key}
        if self._call.last_event_id is not None:
            headers["Last-Event-ID"] = self._call.last_event_id
        return http.build_request(
            self._call.method,
            self._call.path.lstrip("/"),
            params=dict(self._call.query),
            json=self.body,
            headers=headers,
        )

    def failed(self, error: httpx.TransportError) -> float:
        """Seconds until the next attempt after no answer. Raises OutcomeUnknown after the last."""
        was_sent = not isinstance(error, httpx.ConnectError | httpx.ConnectTimeout | httpx.PoolTimeout)
        self._unknown |= was_sent
        if self._attempt < self._retries.attempts and (self._call.repeatable or not was_sent):
            return self._jitter()
        raise OutcomeUnknown(
            f"no answer: {type(error).__name__}: {error}", idempotency_key=self._call.key
        ) from error

    def answered(self, response: httpx.Response) -> float | None:
        """Seconds until the next attempt, or None if this response is final."""
        self._response = response
        self._unknown |= response.status_code >= 500 or _refusal(response) == _IN_PROGRESS
        if response.status_code == 400 and self._uses_fallback(response):
            return 0
        if self._attempt >= self._retries.attempts or not self._may_repeat(response):
            return None
        asked = _retry_after(response)
        if asked is not None and asked > self._retries.longest_wait:
            return None
        return (asked or 0) + self._jitter()

    def result(self) -> T:
        """The decoded answer. Raises the error of a refusal."""
        assert self._response is not None
        response = self._response
        if not response.is_success:
            raise self._error(response)
        if self._call.binary:
            return self._call.returns(response.content)
        try:
            return self._call.returns(response.json() if response.content else None)
        except (ValueError, KeyError, TypeError, AttributeError, ArithmeticError) as error:
            raise UnexpectedResponse(f"{self._call.method} {self._call.path}: {error!r}") from error

    def _may_repeat(self, response: httpx.Response) -> bool:
        if response.status_code >= 500:
            return self._call.repeatable
        return _refusal(response) in (_IN_PROGRESS, _TOO_MANY)

    def _uses_fallback(self, response: httpx.Response) -> bool:
        """Whether the service does not price cached tokens: they are then sent as input tokens. A 400 does
        not use up the key, so the other body may have the same one."""
        if self._call.fallback is None or self.body is self._call.fallback:
            return False
        errors = _problem(response).get("errors", [])
        if not any(error["field"] == "usage.cached_input_tokens" for error in errors):
            return False
        self.body = self._call.fallback
        return True

    def _jitter(self) -> float:
        bound = min(self._retries.longest_wait, self._retries.first_wait * 2 ** (self._attempt - 1))
        return float(bound * self._retries.chance())

    def _error(self, response: httpx.Response) -> RefillError:
        """The error of the last response. After an attempt whose outcome is unknown, a response that does not
        tell it either, such as 429, is an OutcomeUnknown."""
        problem = _problem(response)
        status = response.status_code
        if self._unknown and (status >= 500 or _refusal(response) in (_IN_PROGRESS, _TOO_MANY)):
            return OutcomeUnknown(
                str(problem.get("detail") or f"the server answered {status}"),
                idempotency_key=self._call.key,
                request_id=response.headers.get("X-Request-Id", ""),
            )
        if not problem:
            return UnexpectedResponse(f"{self._call.method} {self._call.path}: {status} without a problem")
        return of_problem(status, problem, retry_after=_retry_after(response))


def _problem(response: httpx.Response) -> dict[str, Any]:
    """The problem document, or an empty one for a body of another form."""
    try:
        document = response.json()
    except (json.JSONDecodeError, UnicodeDecodeError):
        return {}
    return document if isinstance(document, dict) else {}


def _refusal(response: httpx.Response) -> tuple[int, Any]:
    return response.status_code, _problem(response).get("code")


def _retry_after(response: httpx.Response) -> float | None:
    try:
        return max(0.0, float(response.headers["Retry-After"]))
    except (KeyError, ValueError):
        return None
