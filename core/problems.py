"""Errors of the REST API: RFC 9457 problem documents.

Invariant: every response under /api/ with a status of 400 or more is `application/problem+json` with
type, title, status, detail, code and request_id; a 400 names the invalid fields in `errors`. No input of a
client causes a 5xx; an unexpected error is logged with its request id, and the response has no internals.
"""

import json
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from http import HTTPStatus
from typing import Any, NotRequired, TypedDict, cast

from django.core import signals
from django.core.exceptions import PermissionDenied, SuspiciousOperation
from django.db import DataError, InterfaceError, InternalError, OperationalError
from django.http import Http404, HttpRequest, HttpResponse
from django.utils import timezone
from django.utils.translation import gettext as _
from drf_spectacular.utils import extend_schema_serializer
from rest_framework import exceptions

from core import counters, refusals
from core.errors import DomainError

MEDIA_TYPE = "application/problem+json"
_log = logging.getLogger("refill.api")


class FieldError(TypedDict):
    """An invalid field: its path in the body ("usage.tokens") or the parameter's name."""

    field: str
    code: str
    message: str


@extend_schema_serializer(component_name="Problem")
class ProblemDocument(TypedDict):
    """RFC 9457. Some codes have further members, such as `needed` and `available`."""

    type: str
    title: str
    status: int
    detail: str
    code: str
    request_id: str
    errors: NotRequired[list[FieldError]]


class Problem(Exception):
    """An error response. `fields` are additional members of the document."""

    def __init__(
        self,
        status: int,
        code: str,
        detail: str,
        *,
        errors: Sequence[FieldError] = (),
        headers: Mapping[str, str] | None = None,
        **fields: Any,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.code = code
        self.detail = detail
        self.errors = errors
        self.headers = headers or {}
        self.fields = fields

    def document(self, request_id: str) -> ProblemDocument:
        """The problem document, with the code's further members. It counts as a refusal."""
        counters.REFUSALS.labels(self.code).inc()
        document: ProblemDocument = {
            "type": f"urn:refill:problem:{self.code}",
            "title": self.code.replace("_", " ").capitalize(),
            "status": self.status,
            "detail": self.detail,
            "code": self.code,
            "request_id": request_id,
        }
        if self.status == HTTPStatus.BAD_REQUEST:
            document["errors"] = list(self.errors)
        return cast(ProblemDocument, {**document, **self.fields})


def field_problem(field: str, code: str, message: str) -> Problem:
    """A 400 for one field. `field` is its path in the body ("usage.tokens") or the parameter's name."""
    return Problem(
        400, "invalid_request", message, errors=[{"field": field, "code": code, "message": message}]
    )


def not_found(detail: str = "", code: str = "not_found") -> Problem:
    return Problem(404, code, detail or _("The object does not exist or this key cannot access it."))


def unauthenticated(detail: str = "") -> Problem:
    return Problem(
        401,
        "unauthenticated",
        detail
        or _("Send an API key as “Authorization: Bearer <key>”. Create keys under API keys in the portal."),
        headers={"WWW-Authenticate": "Bearer"},
    )


def outcome_unknown() -> Problem:
    return Problem(
        503,
        "unavailable",
        _(
            "The database did not complete this request, so its outcome is unknown. Send the same request"
            " again with the same Idempotency-Key."
        ),
        headers={"Retry-After": "5"},
    )


def answer(problem: Problem, request: Any) -> HttpResponse:
    """The HTTP response of a problem."""
    content = json.dumps(problem.document(getattr(request, "request_id", "")), ensure_ascii=False)
    response = HttpResponse(content, content_type=MEDIA_TYPE, status=problem.status)
    for name, value in problem.headers.items():
        response[name] = value
    # Django would log each of these as a warning. A client's error is not an event; `handle` logs our own.
    response._has_been_logged = True  # type: ignore[attr-defined]
    return response


def handle(error: Exception, context: Mapping[str, Any]) -> HttpResponse:
    """The exception handler of REST framework: turns any exception of an endpoint into a problem document."""
    request = context["request"]
    view = context.get("view")
    problem = as_problem(error, getattr(view, "now", None) or timezone.now())
    if problem.status == HTTPStatus.METHOD_NOT_ALLOWED:
        problem.headers = {"Allow": ", ".join(context["view"].allowed_methods)}
    if problem.status >= 500:
        _log.error("%s: %s", problem.code, type(error).__name__, exc_info=error)
        # Reported as Django does, for Sentry and for the test client.
        sender = type(view)
        signals.got_request_exception.send(sender=sender, request=getattr(request, "_request", request))
    refused = getattr(view, "refused", None)
    if refused is not None and problem.status in refusals.STATUSES:
        refused(error, problem)
    return answer(problem, getattr(request, "_request", request))


def as_problem(error: Exception, now: datetime) -> Problem:
    """The problem for an exception that an endpoint raised at `now`."""
    if isinstance(error, Problem):
        return error
    if isinstance(error, DomainError):
        return _of_domain_error(error, now)
    if isinstance(error, exceptions.ValidationError):
        errors = list(flattened(error.detail))
        return Problem(400, "invalid_request", _summary(errors), errors=errors)
    if isinstance(error, exceptions.APIException):
        return _of_framework(error)
    if isinstance(error, Http404):
        return not_found()
    if isinstance(error, PermissionDenied):
        return Problem(403, "forbidden", _("This key does not have permission for this request."))
    if isinstance(error, SuspiciousOperation):
        return Problem(400, "bad_request", _("The request is malformed."))
    if isinstance(error, DataError):
        return Problem(400, "out_of_range", _("An amount is too large."))
    if isinstance(error, OperationalError | InterfaceError | InternalError):
        return outcome_unknown()
    return Problem(
        500, "internal_error", _("An internal error occurred. Contact support with the request id.")
    )


def _of_domain_error(error: DomainError, now: datetime) -> Problem:
    if error.status == HTTPStatus.BAD_REQUEST:
        return field_problem(error.field, error.code, error.detail())
    if error.status == HTTPStatus.NOT_FOUND:
        return not_found(error.detail(), code=error.code)
    return Problem(
        error.status, error.code, error.detail(), headers=error.headers(now), **dict[str, Any](error.extra())
    )


def _of_framework(error: exceptions.APIException) -> Problem:
    if isinstance(error, exceptions.MethodNotAllowed):
        return Problem(405, "method_not_allowed", _("This endpoint does not support this method."))
    if isinstance(error, exceptions.UnsupportedMediaType):
        return Problem(415, "unsupported_media_type", _("Send JSON with “Content-Type: application/json”."))
    if isinstance(error, exceptions.PermissionDenied):
        # Only the CSRF check of session authentication raises this.
        return Problem(403, "csrf_failed", _("Requests from a browser must include the CSRF token."))
    return Problem(error.status_code, str(error.default_code), str(error.detail))


def flattened(detail: Any, path: str = "") -> Iterator[FieldError]:
    """A nested validation error as a flat list of {field, code, message}: "usage.tokens", "data[3]"."""
    if isinstance(detail, dict):
        for name, inner in detail.items():
            own = path if name == "non_field_errors" else f"{path}.{name}".lstrip(".")
            yield from flattened(inner, own)
    elif isinstance(detail, list):
        for number, inner in enumerate(detail):
            if isinstance(inner, dict | list):
                if inner:
                    yield from flattened(inner, f"{path}[{number}]")
            else:
                yield from flattened(inner, path)
    else:
        yield {"field": path, "code": str(getattr(detail, "code", "invalid")), "message": str(detail)}


def _summary(errors: list[FieldError]) -> str:
    first = errors[0]
    return f"{first['field']}: {first['message']}" if first["field"] else first["message"]


def nothing_here(request: HttpRequest, nothing: str) -> HttpResponse:
    """The view for unknown URLs of the API."""
    return answer(
        not_found(_("This endpoint does not exist. See /api/v1/schema/ for all endpoints.")), request
    )


class ProblemsUnderApi:
    """Middleware: errors under /api/ outside an endpoint become problem documents too.

    Such as an invalid host, an unknown URL, or an error in another middleware.
    """

    CODES = {400: "bad_request", 403: "forbidden", 404: "not_found", 405: "method_not_allowed"}

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        response = self.get_response(request)
        if response.status_code < 400 or not request.path_info.startswith("/api/"):
            return response
        if response.get("Content-Type") == MEDIA_TYPE:
            return response
        status = response.status_code
        code = self.CODES.get(status, "internal_error" if status >= 500 else "bad_request")
        return answer(
            Problem(status, code, HTTPStatus(status).description or HTTPStatus(status).phrase), request
        )
