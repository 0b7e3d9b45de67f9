"""The view of the API: authenticates, decodes parameters, applies idempotency, runs the handler.

Invariant: a handler that writes runs in one transaction under the sandbox's lock. A card error commits what
the handler wrote (the failed charge); any other error rolls it back. Either is stored under the key.
"""

import base64
import binascii
import hashlib
import json
import threading
from typing import Any

from django.db import transaction
from django.http import HttpRequest, HttpResponse, JsonResponse, QueryDict
from django.utils import timezone
from django.views.decorators.csrf import csrf_exempt

from sandbox import errors, store, switches
from sandbox.api import expansion, forms, idempotency, keys, routes, sdk_types
from sandbox.api.routes import Route
from sandbox.calls import Call
from sandbox.objects import payment_intents
from sandbox.switches import Fault


@csrf_exempt
def api(request: HttpRequest, path: str) -> HttpResponse:
    """POST, GET, DELETE /sandbox/stripe/v1/…, in place of https://api.stripe.com/v1/…"""
    request_id = f"req_{store.random_text(14)}"
    try:
        key = _authenticate(request)
        faults = switches.switched_on()
        if Fault.DOWN in faults and switches.occurs(Fault.DOWN):
            raise errors.StripeError("An unknown error occurred", status=500, type="api_error")
        keys.require_permission(key, (request.method or "").lower(), f"/v1/{path}")
        with store.in_environment(key.environment):
            status, body, replayed = _respond(request, f"/v1/{path}", request_id, faults)
    except errors.StripeError as error:
        status, body, replayed = error.status, {"error": error.error}, False
    response = JsonResponse(body, status=status, json_dumps_params={"indent": 2})
    response["Request-Id"] = request_id
    if replayed:
        response["Idempotent-Replayed"] = "true"
    return response


def _authenticate(request: HttpRequest) -> keys.Key:
    """https://docs.stripe.com/api/authentication"""
    scheme, _, rest = request.headers.get("Authorization", "").partition(" ")
    key = rest.strip()
    if scheme.lower() == "basic":
        try:
            key = base64.b64decode(rest).decode().partition(":")[0]
        except (binascii.Error, UnicodeDecodeError):
            key = ""
    return keys.authenticate(key)


def _respond(request: HttpRequest, path: str, request_id: str, faults: set[str]) -> tuple[int, Any, bool]:
    """(status, body, whether it is a replay); `faults` are the simulated faults that are switched on."""
    method = (request.method or "").lower()
    matched = routes.match(method, path)
    if matched is None:
        raise errors.StripeError(
            f"Unrecognized request URL ({request.method}: {path}), or not implemented by the sandbox.",
            status=404,
        )
    route, ids = matched
    form = _form(request) if method == "post" else request.GET
    key = request.headers.get("Idempotency-Key") if method == "post" else None
    call = Call(
        now=int(timezone.now().timestamp()),
        params=_params(route, form),
        ids=ids,
        request_id=request_id,
        idempotency_key=key,
    )
    if not key:
        return *_run(route, call, None), False
    fingerprint = hashlib.sha256(json.dumps([path, forms.nested(form)], sort_keys=True).encode()).hexdigest()
    record, stored = idempotency.claim(key, fingerprint, request_id, timezone.now())
    if stored is not None:
        _lose_response(faults)
        return *stored, True
    try:
        if Fault.FAILS in faults and switches.occurs(Fault.FAILS):
            raise errors.StripeError("An unknown error occurred", status=500, type="api_error")
        status, body = _run(route, call, record)
    except BaseException as error:  # everything was rolled back
        if isinstance(error, errors.StripeError) and idempotency.is_stored(error):
            idempotency.store_response(record, error.status, {"error": error.error})
        else:
            idempotency.release(record)
        raise
    _lose_response(faults)
    return status, body, False


def _form(request: HttpRequest) -> QueryDict:
    if request.content_type not in ("application/x-www-form-urlencoded", "", "text/plain"):
        raise errors.StripeError("Request bodies must be form-encoded.", status=400)
    return QueryDict(request.body, encoding="utf-8")


def _params(route: Route, form: QueryDict) -> dict[str, Any]:
    params = forms.decode(form, sdk_types.endpoints()[route.method, route.path].params_type())
    for name in params:
        if name not in route.supported:
            raise errors.unsupported(
                f"Stripe accepts {name} here; the sandbox does not (sandbox/api/routes.py).", param=name
            )
    return params


def _run(route: Route, call: Call, record: int | None) -> tuple[int, Any]:
    """Run the handler and store its response under the idempotency record, in one transaction."""
    writes = route.method != "get" or route.path == "/v1/checkout/sessions/{session}"  # reading may expire it
    if not writes:
        return 200, store.public(expansion.expand(route.handler(call), call.params.get("expand", [])))
    with transaction.atomic():
        store.lock()
        status, response = 200, None
        try:
            body = expansion.expand(route.handler(call), call.params.get("expand", []))
            response = store.public(body)
        except payment_intents.Declined as declined:  # what the handler wrote is committed
            status, response = declined.status, {"error": declined.error}
        if record is not None:
            idempotency.store_response(record, status, response)
    return status, response


def _lose_response(faults: set[str]) -> None:
    """Fail after the request was processed, when Fault.ANSWERS_LOST is on (fault P17)."""
    if Fault.ANSWERS_LOST in faults and (fault := switches.occurs(Fault.ANSWERS_LOST)):
        threading.Event().wait(fault.seconds)
        raise errors.StripeError("The connection to Stripe timed out.", status=504, type="api_error")
