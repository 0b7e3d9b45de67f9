"""One answer for one Idempotency-Key, for good.

Invariants: of the requests with one key (of one owner, at one address) one takes effect; every other gets
that one's answer, byte for byte, with `Idempotent-Replayed: true`. Only an answer that says "done" is kept: a
refusal does not burn its key. While the first is at work the others get 409.

"At work" is an advisory lock of the database session: it ends with the process that holds it, so that a crash
leaves no key blocked. What ran before a crash is not known here; therefore `act` must itself be safe to
repeat (the ledger and Stripe take the same key).

Charges and holds do not pass through here: the ledger keeps their keys with the movement itself.
"""

import hashlib
import re
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import connection, transaction
from django.http import HttpResponse
from django.utils.translation import gettext as _
from rest_framework.request import Request

from core import json_body
from core.models import KeptAnswer
from core.problems import Problem

HEADER = "Idempotency-Key"
_FORM = re.compile(r"[\x21-\x7e]{1,255}", re.ASCII)


def key_of(request: Request) -> str:
    """The request's key. Raises Problem (400) when there is none, or none that can be kept."""
    key = request.META.get("HTTP_IDEMPOTENCY_KEY")
    if key is None:
        raise key_required(HEADER)
    return checked_key(key, HEADER)


def key_required(field: str) -> Problem:
    message = _(
        "This moves credits or money: name the attempt with a key of your own, the same for each retry."
    )
    return Problem(
        400,
        "idempotency_key_required",
        message,
        errors=[{"field": field, "code": "idempotency_key_required", "message": message}],
    )


def checked_key(key: object, field: str) -> str:
    """A key of 1 to 255 visible ASCII characters. Raises Problem (400)."""
    if not isinstance(key, str) or not _FORM.fullmatch(key):
        message = _("An idempotency key has 1 to 255 visible ASCII characters.")
        raise Problem(
            400,
            "idempotency_key_invalid",
            message,
            errors=[{"field": field, "code": "idempotency_key_invalid", "message": message}],
        )
    return key


def fingerprint(path: str, body: Any) -> bytes:
    """What tells "the same body" from another: SHA-256 of the address and the canonical JSON."""
    return hashlib.sha256(path.encode() + b"\n" + json_body.canonical(body)).digest()


def reused() -> Problem:
    return Problem(
        422,
        "idempotency_key_reused",
        _("This idempotency key has been used for another request. Use a new key for a new request."),
    )


def once(
    request: Request,
    *,
    owner: UUID,
    key: str,
    now: datetime,
    act: Callable[[], tuple[int, dict[str, Any]]],
    atomic: bool = True,
) -> HttpResponse:
    """Do `act` unless this key has done it. `owner` is the account, or the key where there is no account yet.

    `act` returns status and body, or raises. With `atomic` it shares one transaction with the keeping of its
    answer; what calls others over the network must pass False and be repeatable.
    Raises Problem: 422 the key came with another body, 409 it is still at work.
    """
    print_ = fingerprint(request.path, request.data)
    kept = _kept(owner, request.path, key)
    if kept is not None:
        return _replay(kept, print_)
    with _working(f"{owner} {request.path} {key}"):
        kept = _kept(owner, request.path, key)  # it may have been done while we came here
        if kept is not None:
            return _replay(kept, print_)
        frame: AbstractContextManager[Any] = transaction.atomic() if atomic else nullcontext()
        with frame:
            status, body = act()
            if status < 300:
                text = json_body.dumps(body)
                KeptAnswer.objects.create(
                    owner=owner,
                    endpoint=request.path,
                    key=key,
                    fingerprint=print_,
                    status=status,
                    body=text,
                    created_at=now,
                )
    return json_body.answer(body, status)


def _kept(owner: UUID, endpoint: str, key: str) -> KeptAnswer | None:
    return KeptAnswer.objects.filter(owner=owner, endpoint=endpoint, key=key).first()


def _replay(kept: KeptAnswer, print_: bytes) -> HttpResponse:
    if bytes(kept.fingerprint) != print_:
        raise reused()
    return replayed(HttpResponse(kept.body, content_type="application/json", status=kept.status))


def replayed(response: HttpResponse) -> HttpResponse:
    """The answer, marked as one given before."""
    response["Idempotent-Replayed"] = "true"
    return response


@contextmanager
def _working(name: str) -> Iterator[None]:
    """Hold the right to work on `name`. Raises Problem (409) while somebody else does."""
    number = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big", signed=True)
    with connection.cursor() as cursor:
        cursor.execute("select pg_try_advisory_lock(%s)", [number])
        if not cursor.fetchone()[0]:
            raise Problem(
                409,
                "idempotency_key_in_progress",
                _("A request with this idempotency key is still at work. Send it again in a moment."),
                headers={"Retry-After": "1"},
            )
    try:
        yield
    finally:
        if connection.connection is not None:  # lost with the connection: nothing to give back
            with connection.cursor() as cursor:
                cursor.execute("select pg_advisory_unlock(%s)", [number])
