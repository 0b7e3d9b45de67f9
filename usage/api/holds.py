"""/holds: reserve credits for a use, then capture or release them; a hold may reserve from another one."""

from datetime import timedelta
from decimal import Decimal
from typing import Any, TypedDict

from django.http import HttpResponse
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request

from accounts.authentication import account_of, principal_of
from accounts.models import Account, Project, User
from billing import ledger
from billing.models import Charge, Hold
from core import idempotency, json_body, problems
from core.amounts import plain
from core.endpoint import Endpoint, query_of
from core.errors import Refusal
from core.fields import AccountNamed, AccountQuery, instant, instant_or_none
from core.pagination import Page, PageQuery, page
from pricing import lookup
from pricing.lookup import ServiceUnpriced
from usage import charging, selectors
from usage.api import errors, request_schemas, response_schemas
from usage.api.charges import charge_of_key, drawn, new_charge, replay
from usage.api.errors import insufficient
from usage.api.moves import move_of, reload
from usage.api.request_schemas import use_of
from usage.charges.stored_detail import restored
from usage.charging import Use


class Holds(Endpoint):
    """Open holds of the account, and reserving credits for a use whose amount is not yet known."""

    scopes = {"GET": "spend", "POST": "spend"}
    raises = {
        "POST": (
            *errors.OF_USE,
            ledger.TooManyHolds,
            ledger.UnknownHold,
            ledger.HoldClosed,
            ledger.BudgetExceeded,
            ledger.TreeTooDeep,
        )
    }
    takes_key = "required"

    @extend_schema(parameters=[PageQuery], responses=Page[response_schemas.OpenHold])
    def get(self, request: Request) -> HttpResponse:
        """The account's open holds, newest first; those of a tree name their parent."""
        query = query_of(request, PageQuery)
        account_id = account_of(request, query.get("account"))
        ledger.settle_for_read(account_id, self.now)  # which closes those that have expired
        rows = Hold.objects.filter(account_id=account_id, status=Hold.Status.HELD)
        return json_body.answer(page(rows, query, keys=("created_at", "id"), build=_open_hold))

    @extend_schema(request=request_schemas.HoldInput, responses={201: response_schemas.HoldAnswer})
    def post(self, request: Request) -> HttpResponse:
        """Reserve credits for a use whose amount is not yet known."""
        key = idempotency.key_of(request)
        body = request_schemas.HoldInput.checked(request.data)
        account_id = account_of(request, body.get("account"))
        fingerprint = idempotency.fingerprint(request.path, request.data)
        parent = _parent(request, body)
        try:
            use = use_of(request, account_id, body)
            self.use = use = charging.within(use, parent) if parent else use
            held = charging.hold(
                use,
                credits=body.get("credits"),
                expires_in=timedelta(seconds=body["expires_in"]),
                key=key,
                fingerprint=fingerprint,
                now=self.now,
                parent=parent.pk if parent else None,
            )
        except ledger.InsufficientCredits as error:
            raise insufficient(error, account_id, self.now) from error
        except Refusal as error:
            # As of a charge: a repeated request that is refused before the ledger looks for the key.
            kept = charging.hold_by_key(account_id, key)
            if kept is None:
                raise
            if bytes(kept.fingerprint) != fingerprint:
                raise idempotency.reused() from error
            return _replay(kept)
        if held.replayed:  # the first request may have come with another API key
            return _replay(Hold.objects.get(account_id=account_id, pk=held.hold_id))
        return json_body.answer(_new_hold(use, held, parent), 201)


class OneHold(Endpoint):
    """One hold."""

    scopes = {"GET": "spend"}
    path_ids = {"hold": Hold}

    @extend_schema(parameters=[AccountQuery], responses=response_schemas.HoldAnswer)
    def get(self, request: Request, hold: str) -> HttpResponse:
        query_of(request, AccountQuery)
        found = move_of(request, Hold, hold)
        ledger.settle_for_read(found.account_id, self.now)  # so that an expired hold has that status
        reload(found)
        return json_body.answer(_stored_hold(found))


class Capture(Endpoint):
    """Settle a hold with the actual use. Returns the charge.

    A platform key captures holds made by a platform key; an account key or a session captures holds made by
    an account key or a session. Any other hold is 404.
    """

    scopes = {"POST": "spend"}
    raises = {"POST": (*errors.OF_USE, ledger.HoldClosed, ledger.ChildrenOpen)}
    path_ids = {"hold": Hold}
    takes_key = "required"

    @extend_schema(request=request_schemas.CaptureInput, responses={201: response_schemas.Charge})
    def post(self, request: Request, hold: str) -> HttpResponse:
        key = idempotency.key_of(request)
        body = request_schemas.CaptureInput.checked(request.data)
        self.use = found = _hold_to_close(request, hold, body.get("account"))
        fingerprint = idempotency.fingerprint(request.path, request.data)
        try:
            charged = charging.capture(
                found,
                usage=body.get("usage"),
                credits=body.get("credits"),
                options=body.get("options"),
                metadata=body.get("metadata"),
                key=key,
                fingerprint=fingerprint,
                now=self.now,
            )
        except ledger.InsufficientCredits as error:
            raise insufficient(error, found.account_id, self.now) from error
        except Refusal:
            kept = charge_of_key(found.account_id, key, fingerprint)
            if kept is None:
                raise
            return replay(kept)
        response = json_body.answer(new_charge(found, charged), 201)
        return idempotency.replayed(response) if charged.replayed else response


class Release(Endpoint):
    """Release a hold: its credits become available again, those of a child for its parent.

    A platform key releases holds made by a platform key; an account key or a session releases holds made by
    an account key or a session. Any other hold is 404.
    """

    scopes = {"POST": "spend"}
    raises = {"POST": (ledger.HoldClosed, ledger.ChildrenOpen)}
    path_ids = {"hold": Hold}
    takes_key = "required"

    @extend_schema(request=AccountNamed, responses=response_schemas.HoldAnswer)
    def post(self, request: Request, hold: str) -> HttpResponse:
        key = idempotency.key_of(request)
        body = AccountNamed.checked(request.data)
        found = _hold_to_close(request, hold, body.get("account"))

        def release() -> tuple[int, response_schemas.HoldAnswer]:
            ledger.release(account_id=found.account_id, hold_id=found.pk, now=self.now)
            reload(found)
            return 200, _stored_hold(found)

        return idempotency.once(request, owner=found.account_id, key=key, now=self.now, act=release)


class ReportedUsage(Endpoint):
    """Report what a hold has used so far. The last report replaces those before.

    It is charged at the end of the hold if nobody captures or releases it and `at_expiry` of the hold is
    `capture_reported`. Callers are the same as for a capture.
    """

    scopes = {"PUT": "spend"}
    raises = {"PUT": (ServiceUnpriced, ledger.HoldClosed)}
    path_ids = {"hold": Hold}

    @extend_schema(request=request_schemas.HoldUsageInput, responses=response_schemas.HoldAnswer)
    def put(self, request: Request, hold: str) -> HttpResponse:
        body = request_schemas.HoldUsageInput.checked(request.data)
        found = _hold_to_close(request, hold, body.get("account"))
        charging.report_usage(
            found,
            usage=body["usage"],
            options=body.get("options"),
            metadata=body.get("metadata"),
            now=self.now,
        )
        reload(found)
        return json_body.answer(_stored_hold(found))


def _parent(request: Request, body: dict[str, Any]) -> Hold | None:
    """The parent of this account that the body names, if the caller may use it. Raises Problem (404)."""
    if not body.get("parent"):
        return None
    return _hold_to_close(request, body["parent"], body.get("account"))


def _hold_to_close(request: Request, public_id: str, named: str | None) -> Hold:
    """The hold, if this kind of caller made it: a platform key, or a key or session of the account.

    Raises Problem (404).
    """
    hold = move_of(request, Hold, public_id, named)
    if not selectors.may_close_holds_of(principal_of(request), hold.api_key_id):
        raise problems.not_found()
    return hold


def _replay(hold: Hold) -> HttpResponse:
    """The first answer of the request that made the hold, marked as a replay."""
    return idempotency.replayed(json_body.answer(_stored_hold(hold, first_answer=True), 201))


def _open_hold(hold: Hold) -> response_schemas.OpenHold:
    return {
        "id": hold.public_id,
        "account": Account.public_id_of(hold.account_id),
        "service": hold.service,
        "action": hold.action or None,
        "credits": plain(hold.credits),
        "created_at": instant(hold.created_at),
        "expires_at": instant(hold.expires_at),
        "project": Project.public_id_of(hold.project_id),
        "conversation": hold.conversation or None,
        "member": User.public_id_of(hold.member_id),
        "parent": Hold.public_id_of(hold.parent_id),
    }


def _new_hold(use: Use, held: ledger.Held, parent: Hold | None) -> response_schemas.HoldAnswer:
    """The hold as its POST answers: open, whatever has changed since."""
    hold_id = Hold.public_id_of(held.hold_id)
    at_expiry = lookup.at_expiry_of(*lookup.facts_of(use.service, use.action))
    terms: dict[str, Any] = {"parent": parent and parent.public_id, "at_expiry": at_expiry}
    return _hold_of(use, held, id=hold_id, state=_as_new(held.credits), **terms)


def _stored_hold(hold: Hold, *, first_answer: bool = False) -> response_schemas.HoldAnswer:
    """The hold in its present state or, with `first_answer`, as its POST answered."""
    return _hold_of(
        hold,
        hold,
        id=hold.public_id,
        state=_as_new(hold.credits) if first_answer else _state_of(hold),
        parent=Hold.public_id_of(hold.parent_id),
        at_expiry=hold.at_expiry,
    )


class _State(TypedDict):
    """What changes of a hold."""

    status: str
    closed_at: str | None
    charge: str | None
    spent: str
    reserved: str
    remaining: str
    children: list[response_schemas.ChildHold]
    reported: response_schemas.ReportedUsage | None


def _as_new(credits: Decimal) -> _State:
    return {
        "status": Hold.Status.HELD,
        "closed_at": None,
        "charge": None,
        "spent": "0",
        "reserved": "0",
        "remaining": plain(credits),
        "children": [],
        "reported": None,
    }


def _state_of(hold: Hold) -> _State:
    sums = ledger.tree(hold.account_id, hold.pk)
    children = [child for child in selectors.children_of(hold) if child.pk in sums]
    return {
        "status": hold.status,
        "closed_at": instant_or_none(hold.closed_at),
        "charge": Charge.public_id_of(hold.charge_id),
        "spent": plain(sums[hold.pk].spent),
        "reserved": plain(sums[hold.pk].reserved),
        "remaining": plain(sums[hold.pk].remaining),
        "children": [_child(child, sums[child.pk]) for child in children],
        "reported": _reported(hold.reported) if hold.reported else None,
    }


def _reported(report: dict[str, Any]) -> response_schemas.ReportedUsage:
    return {"usage": restored(report["detail"])["usage"], "credits": plain(Decimal(report["credits"]))}


def _child(child: Hold, sums: ledger.BranchSums) -> response_schemas.ChildHold:
    return {
        "id": child.public_id,
        "status": child.status,
        "service": child.service,
        "action": child.action or None,
        "credits": plain(child.credits),
        "spent": plain(sums.spent),
        "reserved": plain(sums.reserved),
        "remaining": plain(sums.remaining),
    }


def _hold_of(
    source: Use | Hold,
    held: ledger.Held | Hold,
    *,
    id: str,
    state: _State,
    parent: str | None,
    at_expiry: str,
) -> response_schemas.HoldAnswer:
    detail = restored(held.detail)
    return {
        "id": id,
        "status": state["status"],
        "account": Account.public_id_of(source.account_id),
        "service": source.service,
        "action": source.action or None,
        "credits": plain(held.credits),
        "created_at": instant(held.created_at),
        "expires_at": instant(held.expires_at),
        "closed_at": state["closed_at"],
        "charge": state["charge"],
        "lines": detail["lines"],
        "rate": detail["rate"],
        "usage": detail["usage"],
        "options": detail["options"],
        "metadata": detail["metadata"],
        "drawn": drawn(held.drawn),
        "project": Project.public_id_of(source.project_id),
        "conversation": source.conversation or None,
        "member": User.public_id_of(source.member_id),
        "parent": parent,
        "spent": state["spent"],
        "reserved": state["reserved"],
        "remaining": state["remaining"],
        "children": state["children"],
        "at_expiry": at_expiry,
        "reported": state["reported"],
    }
