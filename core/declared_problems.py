"""Errors of the REST API as the OpenAPI document declares them.

**How an endpoint declares its errors.** It names the DomainErrors that a method raises in `Endpoint.raises`:

    raises = {"POST": (ledger.InsufficientCredits, projects.UnknownProject)}

Status, codes and description are those of the class; the fields are those of the TypedDict that its
`extra` returns. Errors with status 400 are `invalid_request` and need no line. What every endpoint can answer
follows from `scopes`, `platform_only`, `takes_key` and the path (`standard` below). The tests of the API
compare every response with the document: an error that is not declared fails them.

Invariant: one code has one status and one set of fields in the whole API.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypedDict, get_type_hints, is_typeddict

from core.errors import DomainError

RETRY_AFTER = "Retry-After"


@dataclass(frozen=True, slots=True)
class Declared:
    """One code. `fields`: a TypedDict of the members that only this code has."""

    status: int
    code: str
    description: str
    fields: Any = None
    headers: tuple[str, ...] = ()

    @property
    def component(self) -> str:
        """The name of its schema: "InsufficientCreditsProblem"."""
        return "".join(word.capitalize() for word in self.code.split("_")) + "Problem"


def of_class(error: type[DomainError]) -> Iterator[Declared]:
    """The codes of an error; none for an error with status 400, which is `invalid_request`."""
    if error.status == 400:
        return
    returned = get_type_hints(error.extra).get("return")
    fields = returned if is_typeddict(returned) else None
    headers = (RETRY_AFTER,) if error.headers is not DomainError.headers else ()
    description = " ".join((error.__doc__ or "").partition("\n\n")[0].split())
    for code in error.codes or (error.code,):
        yield Declared(error.status, code, description, fields, headers)


def of_classes(errors: Iterable[type[DomainError]]) -> list[Declared]:
    """The codes of several errors, each once."""
    return list({one.code: one for error in errors for one in of_class(error)}.values())


def standard(
    method: str, *, scopes: Mapping[str, str], platform_only: bool, takes_key: str, names_object: bool
) -> list[Declared]:
    """The errors that follow from what an endpoint declares about itself."""
    found = [INVALID_REQUEST, BAD_REQUEST, UNAUTHENTICATED, UNKNOWN_ACCOUNT, RATE_LIMITED]
    found += [UNAVAILABLE, OVERLOADED]
    if method in scopes:
        found.append(MISSING_SCOPE)
    if platform_only:
        found.append(PLATFORM_KEY_REQUIRED)
    if names_object:
        found.append(NOT_FOUND)
    if method != "GET":
        found += [CSRF_FAILED, OUT_OF_RANGE]
    if method in ("POST", "PUT", "PATCH"):
        found += BODY
    if method == "POST" and takes_key:
        found += KEY
        if takes_key == "required":
            found.append(KEY_REQUIRED)
    return found


INVALID_REQUEST = Declared(
    400, "invalid_request", "A parameter or a field of the body is not valid; `errors` names each one."
)
BAD_REQUEST = Declared(400, "bad_request", "The request is malformed, for example its Host header.")
OUT_OF_RANGE = Declared(400, "out_of_range", "A number is larger than can be stored.")
UNAUTHENTICATED = Declared(
    401, "unauthenticated", "There is no key, or it is not valid.", headers=("WWW-Authenticate",)
)
UNKNOWN_ACCOUNT = Declared(
    404, "unknown_account", "The account does not exist or this caller cannot access it."
)
NOT_FOUND = Declared(404, "not_found", "The object does not exist or this caller cannot access it.")
RATE_LIMITED = Declared(
    429, "rate_limited", "Too many requests: wait for the seconds in Retry-After.", headers=(RETRY_AFTER,)
)
UNAVAILABLE = Declared(
    503,
    "unavailable",
    "The outcome is unknown. Send the same request again, with the same Idempotency-Key.",
    headers=(RETRY_AFTER,),
)
OVERLOADED = Declared(
    503,
    "overloaded",
    "Too many requests are waiting. Nothing was done for this one: send it again.",
    headers=(RETRY_AFTER,),
)


class MissingScope(TypedDict):
    scope: str


MISSING_SCOPE = Declared(403, "missing_scope", "The key lacks the scope in `scope`.", MissingScope)
PLATFORM_KEY_REQUIRED = Declared(403, "platform_key_required", "Only a platform key can do this.")
CSRF_FAILED = Declared(403, "csrf_failed", "A browser session sent no valid CSRF token.")
BODY = (
    Declared(400, "malformed_json", "The body is not valid JSON."),
    Declared(408, "request_timeout", "The body did not arrive in time."),
    Declared(411, "length_required", "The request has no Content-Length."),
    Declared(413, "body_too_large", "The body is larger than this endpoint accepts."),
    Declared(415, "unsupported_media_type", "The Content-Type is not application/json."),
)
KEY_INVALID = Declared(
    400, "idempotency_key_invalid", "The Idempotency-Key is not 1 to 255 visible ASCII characters."
)
KEY_REUSED = Declared(422, "idempotency_key_reused", "The Idempotency-Key was used for another request.")
KEY = (
    KEY_INVALID,
    KEY_REUSED,
    Declared(
        409,
        "idempotency_key_in_progress",
        "The first request with this Idempotency-Key is in progress: send it again in a moment.",
        headers=(RETRY_AFTER,),
    ),
)
KEY_REQUIRED = Declared(400, "idempotency_key_required", "The request needs an Idempotency-Key.")
OF_BATCH_ITEM = (
    INVALID_REQUEST,
    OUT_OF_RANGE,
    UNKNOWN_ACCOUNT,
    MISSING_SCOPE,
    KEY_REQUIRED,
    KEY_INVALID,
    KEY_REUSED,
)
