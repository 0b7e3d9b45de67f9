"""/holds: set credits aside, then settle or drop them."""

from datetime import timedelta
from uuid import UUID

from django.http import HttpResponse
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request

from accounts.authentication import account_of, principal_of
from billing import ledger
from billing.models import Hold
from core import idempotency, json_body, problems
from core.endpoint import Endpoint, query_of
from usage import charging, selectors
from usage.api import request_schemas, response_schemas, serializers
from usage.api.errors import NAMED, problem_of, refusals
from usage.api.use_parsing import use_of


class Holds(Endpoint):
    """Set credits aside for a use whose size is not yet known."""

    scopes = {"POST": "spend"}
    takes_key = "required"

    @extend_schema(request=request_schemas.HoldInput, responses={201: response_schemas.HoldAnswer})
    def post(self, request: Request) -> HttpResponse:
        key = idempotency.key_of(request)
        body = request_schemas.HoldInput.checked(request.data)
        account_id = account_of(request, body.get("account"))
        fingerprint = idempotency.fingerprint(request.path, request.data)
        try:
            use = use_of(request, account_id, body)
            held = charging.hold(
                use,
                credits=body.get("credits"),
                expires_in=timedelta(seconds=body["expires_in"]),
                key=key,
                fingerprint=fingerprint,
                now=self.now,
            )
        except NAMED as error:
            kept = charging.hold_by_key(account_id, key)
            if kept is None or isinstance(error, ledger.LedgerError):
                raise problem_of(error, account_id, self.now) from error
            if bytes(kept.fingerprint) != fingerprint:
                raise idempotency.reused() from error
            return idempotency.replayed(json_body.answer(serializers.hold(kept, first_answer=True), 201))
        response = json_body.answer(serializers.new_hold(use, held), 201)
        return idempotency.replayed(response) if held.replayed else response


class OneHold(Endpoint):
    scopes = {"GET": "spend"}

    @extend_schema(parameters=[request_schemas.AccountQuery], responses=response_schemas.HoldAnswer)
    def get(self, request: Request, hold: str) -> HttpResponse:
        query_of(request, request_schemas.AccountQuery)
        account_id = account_of(request)
        ledger.settle([account_id], self.now)  # a hold whose time is over says so
        return json_body.answer(serializers.hold(_hold(account_id, hold)))


class Capture(Endpoint):
    """Settle a hold with what was really used; answers with the charge.

    A platform key captures holds made by a platform key; an account key or a session captures holds made by
    an account key or a session. Any other hold is 404.
    """

    scopes = {"POST": "spend"}
    takes_key = "required"

    @extend_schema(request=request_schemas.CaptureInput, responses={201: response_schemas.Charge})
    def post(self, request: Request, hold: str) -> HttpResponse:
        key = idempotency.key_of(request)
        body = request_schemas.CaptureInput.checked(request.data)
        account_id = account_of(request, body.get("account"))
        held = _hold_to_close(request, account_id, hold)
        with refusals(account_id, self.now):
            charged = charging.capture(
                held,
                usage=body.get("usage"),
                credits=body.get("credits"),
                options=body.get("options"),
                metadata=body.get("metadata"),
                key=key,
                fingerprint=idempotency.fingerprint(request.path, request.data),
                now=self.now,
            )
        response = json_body.answer(serializers.new_charge(held, charged), 201)
        return idempotency.replayed(response) if charged.replayed else response


class Release(Endpoint):
    """Drop a hold: its credits come back.

    A platform key releases holds made by a platform key; an account key or a session releases holds made by
    an account key or a session. Any other hold is 404.
    """

    scopes = {"POST": "spend"}
    takes_key = "required"

    @extend_schema(request=request_schemas.AccountNamed, responses=response_schemas.HoldAnswer)
    def post(self, request: Request, hold: str) -> HttpResponse:
        key = idempotency.key_of(request)
        body = request_schemas.AccountNamed.checked(request.data)
        account_id = account_of(request, body.get("account"))
        held = _hold_to_close(request, account_id, hold)

        def release() -> tuple[int, dict[str, object]]:
            with refusals(account_id, self.now):
                ledger.release(account_id=account_id, hold_id=held.pk, now=self.now)
            return 200, serializers.hold(_hold(account_id, hold))

        return idempotency.once(request, owner=account_id, key=key, now=self.now, act=release)


def _hold(account_id: UUID, public_id: str) -> Hold:
    row = selectors.hold(account_id, public_id)
    if row is None:
        raise problems.not_found()
    return row


def _hold_to_close(request: Request, account_id: UUID, public_id: str) -> Hold:
    """The hold, if this kind of caller made it: a platform key, or a key or session of the account.

    Raises Problem (404)."""
    row = _hold(account_id, public_id)
    principal = principal_of(request)
    if row.api_key_id != principal.id and selectors.is_of_platform(row) != principal.is_platform:
        raise problems.not_found()
    return row
