"""/charges: charge uses, list and reverse charges."""

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from decimal import Decimal
from functools import cache
from typing import Any
from uuid import UUID

from django.http import HttpResponse
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request

from accounts import authentication
from accounts.api_keys import Principal
from accounts.authentication import account_of, actor_of, principal_of
from accounts.models import Account, ApiKey, Project, User
from billing import ledger
from billing.models import Charge, Correction, Grant, Hold
from billing.subscriptions import plan_terms
from core import idempotency, json_body, problems, refusals
from core.amounts import plain
from core.endpoint import Endpoint, query_of
from core.errors import Refusal
from core.fields import AccountQuery, instant
from core.pagination import Page, page
from usage import charging, insufficient_credits, selectors
from usage.api import charge_reports, errors, request_schemas, response_schemas
from usage.api.errors import insufficient
from usage.api.moves import move_of
from usage.api.request_schemas import use_of
from usage.charges import reports
from usage.charges.stored_detail import restored
from usage.charging import Use
from usage.insufficient_credits import WayOn

PATH = "/api/v1/charges"


class Charges(Endpoint):
    """Charge a use that has happened, and list charges."""

    scopes = {"GET": "read", "POST": "spend"}
    raises = {"POST": errors.OF_USE}
    takes_key = "required"

    @extend_schema(request=request_schemas.ChargeInput, responses={201: response_schemas.Charge})
    def post(self, request: Request) -> HttpResponse:
        """Charge a use that has happened.

        A refused charge (402, 403, 429) changes nothing and does not use up its idempotency key.
        """
        key = idempotency.key_of(request)
        body = request_schemas.ChargeInput.checked(request.data)
        account_id = account_of(request, body.get("account"))
        fingerprint = fingerprint_of(request.data)
        try:
            self.use = use = use_of(request, account_id, body)
            charged = charging.charge(use, key=key, fingerprint=fingerprint, now=self.now)
        except ledger.InsufficientCredits as error:
            raise insufficient(error, account_id, self.now) from error
        except (Refusal, ledger.KeyReused):
            kept = charge_of_key(account_id, key, fingerprint, _earlier_fingerprint_of(request.data))
            if kept is None:
                raise
            return replay(kept)
        if charged.replayed:  # the first request may have come with another API key
            return replay(Charge.objects.get(account_id=account_id, pk=charged.charge_id))
        return json_body.answer(new_charge(use, charged), 201)

    @extend_schema(parameters=[request_schemas.ChargeQuery], responses=Page[response_schemas.Charge])
    def get(self, request: Request) -> HttpResponse:
        """The account's charges, newest first."""
        query = query_of(request, request_schemas.ChargeQuery)
        rows = selectors.charges(account_of(request), query)
        return json_body.answer(page(rows, query, keys=("created_at", "id"), build=stored_charge))


class OneCharge(Endpoint):
    """One charge, with its latest report."""

    scopes = {"GET": "read"}
    path_ids = {"charge": Charge}

    @extend_schema(parameters=[AccountQuery], responses=response_schemas.Charge)
    def get(self, request: Request, charge: str) -> HttpResponse:
        query_of(request, AccountQuery)
        found = move_of(request, Charge, charge)
        newest = reports.newest(found)
        answer = stored_charge(found)
        answer["report"] = None if newest is None else charge_reports.answer_of(newest)
        return json_body.answer(answer)


class Batch(Endpoint):
    """Charge up to 1,000 uses, each accepted or refused on its own.

    The response has the outcome of each item, in the same order: a charge, or the error of that item.
    """

    scopes = {"POST": "spend"}
    largest_body = 4 * 1024 * 1024

    @extend_schema(request=request_schemas.BatchInput, responses=response_schemas.BatchOutcome)
    def post(self, request: Request) -> HttpResponse:
        body = request_schemas.BatchInput.checked(request.data)
        _load_accounts(principal_of(request), body)
        options = cache(insufficient_credits.options)
        results: dict[int, response_schemas.BatchItemOutcome] = {}
        requests = []
        for place, item in enumerate(body["data"]):
            try:
                requests.append((place, *self._charge_request(request, item, body.get("account"))))
            except Exception as error:
                results[place] = self._error(error, None, options)
        outcomes = charging.charge_batch(
            [charge_request for _place, _use, charge_request in requests], self.now
        )
        stored = _stored_charges(
            zip((use.account_id for _place, use, _request in requests), outcomes, strict=True)
        )
        for (place, use, _charge_request), outcome in zip(requests, outcomes, strict=True):
            if isinstance(outcome, ledger.LedgerError):
                earlier = _answered_by_earlier_version(outcome, use.account_id, body["data"][place])
                results[place] = self._error(earlier or outcome, use, options)
            elif outcome.replayed:
                answer = stored_charge(stored[outcome.charge_id], first_answer=True)
                results[place] = {"status": 201, "charge": answer, "replayed": True}
            else:
                results[place] = {"status": 201, "charge": new_charge(use, outcome)}
        outcome_list: response_schemas.BatchOutcome = {"data": [results[place] for place in sorted(results)]}
        return json_body.answer(outcome_list)

    def _charge_request(
        self, request: Request, item: Any, account: str | None
    ) -> tuple[charging.Use, ledger.ChargeRequest]:
        """The use and the ledger's request of one item. Raises the error of an invalid item."""
        if isinstance(item, dict):
            if "idempotency_key" not in item:
                raise idempotency.key_required("idempotency_key")
            idempotency.checked_key(item["idempotency_key"], "idempotency_key")
        body = request_schemas.BatchItem.checked(item)
        key = body["idempotency_key"]
        account_id = account_of(request, body.get("account") or account)
        fingerprint = fingerprint_of(item)
        try:
            use = use_of(request, account_id, body)
            return use, charging.charge_request(use, key=key, fingerprint=fingerprint, now=self.now)
        except Refusal as error:
            kept = charge_of_key(account_id, key, fingerprint, _earlier_fingerprint_of(item))
            if kept is None:
                raise
            raise _AnsweredBefore(kept) from error

    def _error(
        self,
        error: Exception,
        use: Use | None,
        options: Callable[[UUID, datetime], list[WayOn]],
    ) -> response_schemas.BatchItemOutcome:
        """The outcome of an item that raised `error`; of a use, if it came from the ledger."""
        if isinstance(error, _AnsweredBefore):
            answer = stored_charge(error.charge, first_answer=True)
            return {"status": 201, "charge": answer, "replayed": True}
        if use is not None and isinstance(error, ledger.InsufficientCredits):
            error = insufficient(error, use.account_id, self.now, options=options)
        problem = problems.as_problem(error, self.now)
        if problem.status >= 500 and not isinstance(error, ledger.WalletUnreachable):
            raise error
        if problem.status in refusals.STATUSES:
            self.refused(error, problem, use)
        request_id = getattr(self.request._request, "request_id", "")
        return {"status": problem.status, "error": problem.document(request_id)}


def _load_accounts(principal: Principal, body: Mapping[str, Any]) -> None:
    """Read the accounts of a batch and their plans in two queries: its items then find them in the caches."""
    items = [item for item in body["data"] if isinstance(item, dict)]
    named = [item.get("account") or body.get("account") for item in items]
    names = {name for name in named if name is None or isinstance(name, str)}
    accounts = authentication.accounts_of([(principal, name) for name in names])
    plan_terms.load({account_id for account_id in accounts if account_id is not None})


class _AnsweredBefore(Exception):
    """The item's idempotency key was already answered with this charge."""

    def __init__(self, charge: Charge) -> None:
        self.charge = charge


def _answered_by_earlier_version(
    error: ledger.LedgerError, account_id: UUID, item: Mapping[str, Any]
) -> _AnsweredBefore | None:
    """The item's charge, if an earlier version made it with the fingerprint that it had then."""
    if not isinstance(error, ledger.KeyReused):
        return None
    charge = charging.charge_by_key(account_id, error.key)
    if charge is None or bytes(charge.fingerprint) != _earlier_fingerprint_of(item):
        return None
    return _AnsweredBefore(charge)


class Reversals(Endpoint):
    """Return all or part of a charge's credits.

    Requires a platform key: only the product and staff reverse charges. Members report a charge instead
    (`POST /charges/{id}/reports`).
    """

    scopes = {"POST": "manage"}
    raises = {"POST": (ledger.NotReversible,)}
    path_ids = {"charge": Charge}
    platform_only = True
    takes_key = "required"

    @extend_schema(request=request_schemas.ReversalInput, responses={201: response_schemas.Reversal})
    def post(self, request: Request, charge: str) -> HttpResponse:
        key = idempotency.key_of(request)
        body = request_schemas.ReversalInput.checked(request.data)
        found = move_of(request, Charge, charge, body.get("account"))
        corrected = ledger.reverse(
            account_id=found.account_id,
            charge_id=found.pk,
            credits=body.get("credits"),
            key=f"api:{key}",
            reason=body.get("reason", ""),
            actor=actor_of(request),
            fingerprint=idempotency.fingerprint(request.path, request.data),
            now=self.now,
        )
        response = json_body.answer(_reversal(found, corrected, body.get("reason", "")), 201)
        return idempotency.replayed(response) if corrected.replayed else response


def fingerprint_of(body: Any) -> bytes:
    """The fingerprint of a charge, sent alone or as an item of a batch: a retry may use either endpoint.

    The account is left out. Its keys are its own, and a batch may name it once for all items.
    """
    single = {name: value for name, value in body.items() if name not in {"account", "idempotency_key"}}
    return idempotency.fingerprint(PATH, single)


def _earlier_fingerprint_of(body: Any) -> bytes:
    """The fingerprint that earlier versions stored: with the account, if it was sent."""
    single = {name: value for name, value in body.items() if name != "idempotency_key"}
    return idempotency.fingerprint(PATH, single)


def charge_of_key(account_id: UUID, key: str, *fingerprints: bytes) -> Charge | None:
    """The charge of an earlier request with this key, or None.

    For a repeated request that is refused before the ledger looks for the key, because the service, its
    price, the project or the estimate no longer exists.

    Raises Problem (422) for a key used with another body, which has none of the fingerprints.
    """
    kept = charging.charge_by_key(account_id, key)
    if kept is not None and bytes(kept.fingerprint) not in fingerprints:
        raise idempotency.reused()
    return kept


def replay(charge: Charge) -> HttpResponse:
    """The first answer of the request that made the charge, marked as a replay."""
    return idempotency.replayed(json_body.answer(stored_charge(charge, first_answer=True), 201))


def _stored_charges(
    outcomes: Iterable[tuple[UUID, ledger.Charged | ledger.LedgerError]],
) -> dict[UUID, Charge]:
    """The charges of replayed outcomes, by id: the first request may have come with another API key."""
    replayed = [
        (account_id, one.charge_id)
        for account_id, one in outcomes
        if isinstance(one, ledger.Charged) and one.replayed
    ]
    accounts = {account_id for account_id, _charge_id in replayed}
    ids = [charge_id for _account_id, charge_id in replayed]
    return Charge.objects.filter(account_id__in=accounts).in_bulk(ids) if ids else {}


def drawn(parts: Iterable[ledger.Drawn | Mapping[str, str]]) -> list[response_schemas.Drawn]:
    """The grants that paid, in order: results of the ledger, or the parts stored with a charge or hold."""
    return [
        _drawn_part(part.grant, part.kind, part.credits)
        if isinstance(part, ledger.Drawn)
        else _drawn_part(UUID(part["grant"]), part["kind"], Decimal(part["credits"]))
        for part in parts
    ]


def _drawn_part(grant_id: UUID, kind: str, credits: Decimal) -> response_schemas.Drawn:
    return {"grant": Grant.public_id_of(grant_id), "kind": kind, "credits": plain(credits)}


def new_charge(source: Use | Hold, charged: ledger.Charged) -> response_schemas.Charge:
    """The charge as its POST answers: at the time of charging, whatever has changed since.

    `source` is the use, or the hold that was captured.
    """
    return _charge_of(
        source,
        charged,
        id=Charge.public_id_of(charged.charge_id),
        status="charged",
        returned="0",
        hold=source.public_id if isinstance(source, Hold) else None,
    )


def stored_charge(charge: Charge, *, first_answer: bool = False) -> response_schemas.Charge:
    """The charge in its present state or, with `first_answer`, as its POST answered."""
    return _charge_of(
        charge,
        charge,
        id=charge.public_id,
        status="charged" if first_answer else charge.status,
        returned="0" if first_answer else plain(charge.returned),
        hold=Hold.public_id_of(charge.hold_id),
    )


def _charge_of(
    source: Use | Hold | Charge,
    charged: ledger.Charged | Charge,
    *,
    id: str,
    status: str,
    returned: str,
    hold: str | None,
) -> response_schemas.Charge:
    detail = restored(charged.detail)
    return {
        "id": id,
        "status": status,
        "account": Account.public_id_of(source.account_id),
        "service": source.service,
        "action": source.action or None,
        "credits": plain(charged.credits),
        "created_at": instant(charged.created_at),
        "covered_by": charged.covered_by,
        "uncollected": plain(charged.uncollected),
        "returned": returned,
        "drawn": drawn(charged.drawn),
        "balance_before": plain(charged.balance_before),
        "balance_after": plain(charged.balance_after),
        "hold": hold,
        "lines": detail["lines"],
        "rate": detail["rate"],
        "usage": detail["usage"],
        "options": detail["options"],
        "metadata": detail["metadata"],
        "project": Project.public_id_of(source.project_id),
        "conversation": source.conversation or None,
        "member": User.public_id_of(source.member_id),
        "api_key": ApiKey.public_id_of(source.api_key_id),
    }


def _reversal(charge: Charge, corrected: ledger.Corrected, reason: str) -> response_schemas.Reversal:
    return {
        "id": Correction.public_id_of(corrected.correction_id),
        "charge": charge.public_id,
        "credits": plain(corrected.credits),
        "returned_to": [
            {"grant": Grant.public_id_of(UUID(part["grant"])), "credits": plain(Decimal(part["credits"]))}
            for part in corrected.detail
        ],
        "reason": reason,
        "balance_after": plain(corrected.balance_after),
        "created_at": instant(corrected.created_at),
    }
