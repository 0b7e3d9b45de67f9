"""Idempotency keys of the REST API: one response for each key, without a time limit.

Invariants: of the requests with one key (of one owner, at one path) one takes effect; every other one gets
the same response, byte for byte, with `Idempotent-Replayed: true`. Only successful responses are stored, so a
refused request does not use up its key. While the first request is in progress the others get 409.

"In progress" is a lock of the transaction or, where `act` calls other services, a lease that ends by itself
(core.locks): a crash blocks such a key for `locks.LEASE` at most. Because a crash can come between the effect
and the storing of the response, `act` must be safe to repeat (the ledger and Stripe get the same key).

Charges and holds do not use this module: the ledger stores their keys with the movement itself.
"""

import hashlib
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import transaction
from django.http import HttpResponse
from django.utils.translation import gettext as _
from rest_framework.request import Request

from core import json_body, locks
from core.models import KeptAnswer
from core.problems import Problem

HEADER = "Idempotency-Key"
_FORM = re.compile(r"[\x21-\x7e]{1,255}", re.ASCII)


def key_of(request: Request) -> str:
    """The request's key. Raises Problem (400) when it is missing or invalid."""
    key = request.META.get("HTTP_IDEMPOTENCY_KEY")
    if key is None:
        raise key_required(HEADER)
    return checked_key(key, HEADER)


def optional_key_of(request: Request) -> str | None:
    """The key of a request that may come without one. Raises Problem (400) when it is invalid."""
    return key_of(request) if HEADER in request.headers else None


def key_required(field: str) -> Problem:
    message = _("This request moves credits or money. Send an Idempotency-Key, the same one with each retry.")
    return Problem(
        400,
        "idempotency_key_required",
        message,
        errors=[{"field": field, "code": "idempotency_key_required", "message": message}],
    )


def checked_key(key: object, field: str) -> str:
    """The key if it has 1 to 255 visible ASCII characters. Raises Problem (400)."""
    if not isinstance(key, str) or not _FORM.fullmatch(key):
        message = _("An idempotency key must have 1 to 255 visible ASCII characters.")
        raise Problem(
            400,
            "idempotency_key_invalid",
            message,
            errors=[{"field": field, "code": "idempotency_key_invalid", "message": message}],
        )
    return key


def fingerprint(path: str, body: Any) -> bytes:
    """SHA-256 of the path and the canonical JSON of the body: equal for equal requests."""
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
    key: str | None,
    now: datetime,
    act: Callable[[], tuple[int, Mapping[str, object]]],
    atomic: bool = True,
) -> HttpResponse:
    """Run `act` unless this key has run it; without a key, always.

    `owner`: the account, or the API key where there is none yet.
    `act` returns status and body, or raises. With `atomic` it shares one transaction with the storing of its
    response; an `act` that calls other services must pass False and be safe to repeat.
    Raises Problem: 422 for a key that came with another body, 409 while it is in progress.
    """
    if key is None:
        status, body = act()
        return json_body.answer(body, status)
    print_ = fingerprint(request.path, request.data)
    kept = _kept(owner, request.path, key)
    if kept is not None:
        return _replay(kept, print_)
    name = f"idempotency {owner} {request.path} {key}"
    with _in_progress(name, atomic=atomic):
        kept = _kept(owner, request.path, key)  # another request may have finished in between
        if kept is not None:
            return _replay(kept, print_)
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
    """The response, marked as a replay."""
    response["Idempotent-Replayed"] = "true"
    return response


@contextmanager
def _in_progress(name: str, *, atomic: bool) -> Iterator[None]:
    """Hold the lock on `name`, with `atomic` in a transaction around the block.

    Raises Problem (409) while another request holds it.
    """
    if atomic:
        with transaction.atomic():
            _refuse_unless(locks.try_lock_in_transaction(name))
            yield
    else:
        with locks.try_lock(name) as free:
            _refuse_unless(free)
            yield


def _refuse_unless(free: bool) -> None:
    if not free:
        raise Problem(
            409,
            "idempotency_key_in_progress",
            _("A request with this idempotency key is still in progress. Send it again in a moment."),
            headers={"Retry-After": "1"},
        )
