"""/charges: charge uses, look at them, give them back, report them."""

from collections.abc import Callable
from functools import cache
from typing import Any
from uuid import UUID

from django.http import HttpResponse
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request

from accounts.authentication import account_of, actor_of, principal_of
from billing import ledger
from billing.models import Charge
from core import idempotency, json_body, problems
from core.endpoint import Endpoint, query_of
from core.pagination import page
from core.problems import Problem
from usage import charging, insufficient_credits, selectors
from usage.api import request_schemas, response_schemas, serializers
from usage.api.errors import NAMED, problem_of, refusals
from usage.api.use_parsing import use_of
from usage.charges import reports


class Charges(Endpoint):
    """Charge a use that has happened; list what was charged."""

    scopes = {"GET": "read", "POST": "spend"}
    takes_key = "required"

    @extend_schema(request=request_schemas.ChargeInput, responses={201: response_schemas.Charge})
    def post(self, request: Request) -> HttpResponse:
        key = idempotency.key_of(request)
        body = request_schemas.ChargeInput.checked(request.data)
        account_id = account_of(request, body.get("account"))
        fingerprint = idempotency.fingerprint(request.path, request.data)
        try:
            use = use_of(request, account_id, body)
            charged = charging.charge(use, key=key, fingerprint=fingerprint, now=self.now)
        except NAMED as error:
            kept = _first_answer(error, account_id, key, fingerprint)
            if kept is not None:
                return idempotency.replayed(
                    json_body.answer(serializers.charge(kept, first_answer=True), 201)
                )
            raise problem_of(error, account_id, self.now) from error
        response = json_body.answer(serializers.new_charge(use, charged), 201)
        return idempotency.replayed(response) if charged.replayed else response

    @extend_schema(
        parameters=[request_schemas.ChargeQuery], responses=response_schemas.list_of(response_schemas.Charge)
    )
    def get(self, request: Request) -> HttpResponse:
        query = query_of(request, request_schemas.ChargeQuery)
        rows = selectors.charges(account_of(request), query)
        return json_body.answer(page(rows, query, keys=("created_at", "id"), shape=serializers.charge))


class OneCharge(Endpoint):
    scopes = {"GET": "read"}

    @extend_schema(parameters=[request_schemas.AccountQuery], responses=response_schemas.Charge)
    def get(self, request: Request, charge: str) -> HttpResponse:
        query_of(request, request_schemas.AccountQuery)
        row = _charge(account_of(request), charge)
        return json_body.answer(serializers.charge(row) | {"report": reports.latest_as_json(row)})


class Batch(Endpoint):
    """Charge up to 1,000 uses, each accepted or refused on its own."""

    scopes = {"POST": "spend"}
    largest_body = 4 * 1024 * 1024

    @extend_schema(request=request_schemas.BatchInput, responses=response_schemas.BatchOutcome)
    def post(self, request: Request) -> HttpResponse:
        body = request_schemas.BatchInput.checked(request.data)
        ways = cache(lambda account_id: insufficient_credits.options(account_id, self.now))
        results: list[dict[str, Any]] = [{} for _item in body["data"]]
        orders = []
        for place, item in enumerate(body["data"]):
            try:
                orders.append((place, *self._order(request, item, body.get("account"))))
            except Exception as error:
                results[place] = self._refusal(error, None, ways)
        outcomes = charging.charge_batch([order for _place, _use, order in orders], self.now)
        for (place, use, _order), outcome in zip(orders, outcomes, strict=True):
            if isinstance(outcome, ledger.LedgerError):
                results[place] = self._refusal(outcome, use.account_id, ways)
            else:
                results[place] = {"status": 201, "charge": serializers.new_charge(use, outcome)}
                if outcome.replayed:
                    results[place]["replayed"] = True
        return json_body.answer({"data": results})

    def _order(
        self, request: Request, item: Any, account: str | None
    ) -> tuple[charging.Use, ledger.ChargeRequest]:
        """One item as an order of its own. Raises whatever is wrong with it."""
        if isinstance(item, dict) and "idempotency_key" not in item:
            raise idempotency.key_required("idempotency_key")
        body = request_schemas.BatchItem.checked(item)
        key = idempotency.checked_key(body["idempotency_key"], "idempotency_key")
        account_id = account_of(request, body.get("account") or account)
        # The same as of a single charge: a retry may change the door.
        told = {name: value for name, value in item.items() if name != "idempotency_key"}
        fingerprint = idempotency.fingerprint(request.path.removesuffix("/batch"), told)
        try:
            use = use_of(request, account_id, body)
            return use, charging.charge_request(use, key=key, fingerprint=fingerprint, now=self.now)
        except NAMED as error:
            kept = _first_answer(error, account_id, key, fingerprint)
            if kept is None:
                raise problem_of(error, account_id, self.now) from error
            raise _AnsweredBefore(kept) from error

    def _refusal(
        self, error: Exception, account_id: UUID | None, ways: Callable[[UUID], list[dict[str, Any]]]
    ) -> dict[str, Any]:
        if isinstance(error, _AnsweredBefore):
            return {
                "status": 201,
                "charge": serializers.charge(error.charge, first_answer=True),
                "replayed": True,
            }
        if account_id is not None:
            problem = problem_of(error, account_id, self.now, ways=ways)
        else:
            problem = problems.as_problem(error)
        if problem.status >= 500:
            raise error
        request_id = getattr(self.request._request, "request_id", "")
        return {"status": problem.status, "error": problem.document(request_id)}


class _AnsweredBefore(Exception):
    def __init__(self, charge: Charge) -> None:
        self.charge = charge


class Reversals(Endpoint):
    """Return all or part of a charge's credits.

    Only a platform key may: what the product charged, the product or staff return. A member reports a charge
    instead (`POST /charges/{id}/reports`).
    """

    scopes = {"POST": "manage"}
    platform_only = True
    takes_key = "required"

    @extend_schema(request=request_schemas.ReversalInput, responses={201: response_schemas.Reversal})
    def post(self, request: Request, charge: str) -> HttpResponse:
        key = idempotency.key_of(request)
        body = request_schemas.ReversalInput.checked(request.data)
        account_id = account_of(request, body.get("account"))
        row = _charge(account_id, charge)
        with refusals(account_id, self.now):
            done = ledger.reverse(
                account_id=account_id,
                charge_id=row.pk,
                credits=body.get("credits"),
                key=f"api:{key}",
                reason=body.get("reason", ""),
                actor=actor_of(request),
                fingerprint=idempotency.fingerprint(request.path, request.data),
                now=self.now,
            )
        response = json_body.answer(serializers.reversal(row, done, body.get("reason", "")), 201)
        return idempotency.replayed(response) if done.replayed else response


class Reports(Endpoint):
    """Report a charge as abnormal; staff answer, and may return the credits."""

    scopes = {"POST": "read"}

    @extend_schema(request=request_schemas.ReportInput, responses={201: response_schemas.Report})
    def post(self, request: Request, charge: str) -> HttpResponse:
        body = request_schemas.ReportInput.checked(request.data)
        row = _charge(account_of(request, body.get("account")), charge)
        try:
            report = reports.open_report(
                row, reason=body["reason"], reporter_id=principal_of(request).member_id, now=self.now
            )
        except reports.AlreadyReported as error:
            raise Problem(409, error.code, str(error)) from error
        return json_body.answer(reports.as_json(report), 201)


def _charge(account_id: UUID, public_id: str) -> Charge:
    row = selectors.charge(account_id, public_id)
    if row is None:
        raise problems.not_found()
    return row


def _first_answer(error: Exception, account_id: UUID, key: str, fingerprint: bytes) -> Charge | None:
    """What this key was answered before: for a request that no longer passes what stands before the ledger,
    because the service, its price, the project or the estimate is gone since. Raises Problem (422)."""
    if isinstance(error, ledger.LedgerError):
        return None  # the ledger looked for the key itself
    kept = charging.charge_by_key(account_id, key)
    if kept is not None and bytes(kept.fingerprint) != fingerprint:
        raise idempotency.reused()
    return kept
