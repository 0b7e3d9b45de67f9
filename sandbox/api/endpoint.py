"""The one view of the API: authenticate, decode, keep idempotency, run the handler, answer in Stripe's
form.

Invariant: a handler runs in one transaction under the sandbox's lock; the answer to an Idempotency-Key is
stored with it and replayed for ever after; card errors keep what they wrote (the failed charge), other
refusals nothing.
"""

import base64
import binascii
import hashlib
import json
import threading
from typing import Any

from django.conf import settings
from django.db import transaction
from django.http import HttpRequest, HttpResponse, JsonResponse, QueryDict
from django.utils import timezone
from django.utils.crypto import constant_time_compare
from django.views.decorators.csrf import csrf_exempt

from sandbox import errors, store, switches
from sandbox.api import expansion, forms, idempotency, routes, sdk_types
from sandbox.api.route import Route
from sandbox.calls import Call
from sandbox.objects import payments
from sandbox.switches import Fault


@csrf_exempt
def api(request: HttpRequest, path: str) -> HttpResponse:
    """POST, GET, DELETE /sandbox/stripe/v1/… as https://api.stripe.com/v1/…"""
    request_id = f"req_{store.random_text(14)}"
    try:
        _authenticate(request)
        if switches.occurs(Fault.DOWN):
            raise errors.StripeError("An unknown error occurred", status=500, type="api_error")
        status, answer, replayed = _answer(request, f"/v1/{path}", request_id)
    except errors.StripeError as error:
        status, answer, replayed = error.status, {"error": error.error}, False
    response = JsonResponse(answer, status=status, json_dumps_params={"indent": 2})
    response["Request-Id"] = request_id
    if replayed:
        response["Idempotent-Replayed"] = "true"
    return response


def _authenticate(request: HttpRequest) -> None:
    scheme, _, rest = request.headers.get("Authorization", "").partition(" ")
    key = rest.strip()
    if scheme.lower() == "basic":
        try:
            key = base64.b64decode(rest).decode().partition(":")[0]
        except (binascii.Error, UnicodeDecodeError):
            key = ""
    if not constant_time_compare(key, settings.STRIPE_SECRET_KEY):
        message = f"Invalid API Key provided: {key[:8]}****" if key else "You did not provide an API key."
        raise errors.StripeError(message, status=401)


def _answer(request: HttpRequest, path: str, request_id: str) -> tuple[int, Any, bool]:
    method = (request.method or "").lower()
    matched = routes.match(method, path)
    if matched is None:
        raise errors.StripeError(
            f"Unrecognized request URL ({request.method}: {path}), or one the sandbox does not have yet.",
            status=404,
        )
    route, ids = matched
    form = _form(request) if method == "post" else request.GET
    params = forms.decode(form, sdk_types.endpoints()[route.method, route.path].params_type())
    for name in params:
        if name not in route.known:
            raise errors.StripeError(
                f"Stripe knows {name} here, Refill's sandbox does not yet (sandbox/routes.py).",
                param=name,
                code="sandbox_gap",
            )
    key = request.headers.get("Idempotency-Key") if method == "post" else None
    call = Call(
        now=int(timezone.now().timestamp()),
        params=params,
        ids=ids,
        request_id=request_id,
        idempotency_key=key,
    )
    if not key:
        return *_run(route, call, None), False
    fingerprint = hashlib.sha256(json.dumps([path, forms.nested(form)], sort_keys=True).encode()).hexdigest()
    record, stored = idempotency.claim(key, fingerprint, request_id, timezone.now())
    if stored is not None:
        _lose_answer()
        return *stored, True
    try:
        status, answer = _run(route, call, record)
    except BaseException:
        idempotency.give_up(record)  # nothing was written, so that the same key may try again
        raise
    _lose_answer()
    return status, answer, False


def _form(request: HttpRequest) -> QueryDict:
    if request.content_type not in ("application/x-www-form-urlencoded", "", "text/plain"):
        raise errors.StripeError("Request bodies are form-encoded here.", status=400)
    return QueryDict(request.body, encoding="utf-8")


def _run(route: Route, call: Call, record: int | None) -> tuple[int, Any]:
    with transaction.atomic():
        if route.method != "get" or route.path == "/v1/checkout/sessions/{session}":  # reading may expire it
            store.lock()
        status, answer = 200, None
        try:
            body = expansion.expand(route.handler(call), call.params.get("expand", []))
            answer = store.public(body)
        except payments.Declined as declined:  # what it wrote stays
            status, answer = declined.status, {"error": declined.error}
        if record is not None:
            idempotency.keep(record, status, answer)
    return status, answer


def _lose_answer() -> None:
    """The switch "Stripe does the work, its answer is lost" (fault P17)."""
    if lost := switches.occurs(Fault.ANSWERS_LOST):
        threading.Event().wait(lost.seconds)
        raise errors.StripeError("The connection to Stripe timed out.", status=504, type="api_error")
