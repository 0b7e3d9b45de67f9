"""A portal in memory, for the tests of programs that use this client.

    portal = FakePortal({"gpt-5": {"input_tokens": "0.002", "output_tokens": "0.01"}})
    portal.give("alice", "100")
    client = portal.client(account="alice")

It holds balances, prices uses by its own prices, and refuses as Refill does: too few credits (402), a limit
(429), an unknown service (404), one without a price or a closed hold (409), a reused key (422). Requests go
through the real client, so retries, keys and errors are the real ones. Not in it: plans, purchases, options.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal
from itertools import count
from typing import Any
from urllib.parse import unquote

import httpx

from refill_client._decoding import Amount, amount
from refill_client._exchange import Retries
from refill_client.client import AsyncClient, Client

JSON = dict[str, Any]
Prices = Mapping[str, Mapping[str, Amount] | None]
_SMALLEST = Decimal("0.000001")
_DEEPEST = 4  # holds from the root of a tree to its deepest child
_NO_WAIT = Retries(chance=lambda: 0.0)


class _Refused(Exception):
    def __init__(self, status: int, code: str, detail: str, **fields: Any) -> None:
        super().__init__(detail)
        self.status = status
        self.problem = {
            "type": f"urn:refill:problem:{code}",
            "title": code.replace("_", " ").capitalize(),
            "status": status,
            "detail": detail,
            "code": code,
            "request_id": "test",
            **fields,
        }


class FakePortal:
    """Accounts, prices, charges and holds in memory.

    `services`: credits for one of each meter; None for a service without a price.
    """

    def __init__(self, services: Prices, *, now: datetime | None = None) -> None:
        self.services = services
        self.now = now or datetime.now(UTC)
        """The time of the portal; set it to let holds expire."""
        self.charges: list[JSON] = []
        self.holds: dict[str, JSON] = {}
        self.requests: list[httpx.Request] = []
        self._balances: dict[str, Decimal] = {}
        self._limits: dict[str, Decimal] = {}
        self._answers: dict[tuple[str, str], tuple[bytes, int, JSON]] = {}
        self._failures: list[int] = []
        self._numbers = count(1)

    def client(self, account: str | None = None) -> Client:
        """A client of this portal; it does not wait between attempts."""
        transport = httpx.MockTransport(self._handle)
        return Client("http://portal.test", "key", account=account, retries=_NO_WAIT, transport=transport)

    def async_client(self, account: str | None = None) -> AsyncClient:
        """A client of this portal for asyncio; it does not wait between attempts."""
        transport = httpx.MockTransport(self._handle)
        return AsyncClient(
            "http://portal.test", "key", account=account, retries=_NO_WAIT, transport=transport
        )

    def give(self, account: str, credits: Amount) -> None:
        """Give credits to an account; a new one is opened."""
        self._balances[account] = self._balances.get(account, Decimal(0)) + Decimal(credits)

    def limit(self, account: str, credits: Amount) -> None:
        """Refuse uses of the account beyond this sum with LimitReached."""
        self._limits[account] = Decimal(credits)

    def available(self, account: str) -> Decimal:
        """What the account can spend now."""
        self._expire_holds()
        return self._balances[account] - self._held(account)

    def fail_next(self, *statuses: int) -> None:
        """Answer the next requests with these statuses, such as 503, without doing anything; 0: no answer."""
        self._failures += statuses

    def _handle(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        self._expire_holds()
        try:
            if self._failures:
                self._fail(self._failures.pop(0), request)
            body = json.loads(request.content) if request.content else {}
            return self._once(request, body)
        except _Refused as refused:
            headers = {"Content-Type": "application/problem+json"}
            return httpx.Response(refused.status, json=refused.problem, headers=headers)

    def _fail(self, status: int, request: httpx.Request) -> None:
        if status == 0:
            raise httpx.ReadError("the connection was closed", request=request)
        raise _Refused(status, "unavailable" if status >= 500 else "rate_limited", "Asked for by the test.")

    def _once(self, request: httpx.Request, body: JSON) -> httpx.Response:
        """Answer a request; one with a key that has succeeded gets its first answer again."""
        key = request.headers.get("Idempotency-Key")
        known = self._answers.get((request.url.path, key)) if key else None
        if known is not None:
            content, status, answer = known
            if content != request.content:
                raise _Refused(422, "idempotency_key_reused", "The key has been used for another request.")
            return httpx.Response(status, json=answer, headers={"Idempotent-Replayed": "true"})
        status, answer = self._route(request, body)
        if key:
            self._answers[request.url.path, key] = (request.content, status, answer)
        return httpx.Response(status, json=answer)

    def _route(self, request: httpx.Request, body: JSON) -> tuple[int, JSON]:  # noqa: C901 - one case each
        parts = [unquote(part) for part in request.url.raw_path.decode().split("?")[0].split("/")[3:]]
        account = body.get("account") or request.url.params.get("account") or ""
        match request.method, parts:
            case "POST", ["accounts"]:
                return 201, self._open(body)
            case "POST", ["accounts", name, "grants"]:
                return 201, self._grant(name, body)
            case "GET", ["balance"]:
                return 200, self._balance(self._known(account))
            case "POST", ["estimates"]:
                return 200, self._estimate(self._known(account), body)
            case "POST", ["charges"]:
                return 201, self._charge(self._known(account), body, self._price(body))
            case "POST", ["charges", "batch"]:
                return 200, {"data": [self._item(account, item) for item in body["data"]]}
            case "GET", ["charges"]:
                found = [one for one in reversed(self.charges) if one["account"] == account]
                return 200, {"data": found, "has_more": False, "next_cursor": None}
            case "GET", ["charges", charge]:
                return 200, self._found(charge)
            case "POST", ["charges", charge, "reversals"]:
                return 201, self._reverse(self._found(charge), body)
            case "POST", ["holds"]:
                return 201, self._hold(self._known(account), body)
            case "GET", ["holds", hold]:
                return 200, self._shown(self._held_one(hold))
            case "PUT", ["holds", hold, "usage"]:
                return 200, self._report(self._open_hold(hold), body)
            case "POST", ["holds", hold, "capture"]:
                return 201, self._capture(self._open_hold(hold), body)
            case "POST", ["holds", hold, "release"]:
                return 200, self._close(self._open_hold(hold), "released")
        raise _Refused(404, "not_found", f"FakePortal has no {request.method} {request.url.path}.")

    def _known(self, account: str) -> str:
        if account not in self._balances:
            raise _Refused(404, "unknown_account", f"There is no account {account!r}.")
        return account

    def _open(self, body: JSON) -> JSON:
        name = body.get("external_id") or self._id("acct")
        if name in self._balances:
            raise _Refused(409, "external_id_taken", "An account has this external id.")
        self.give(name, 0)
        account: JSON = {"id": name, "external_id": body.get("external_id"), "name": body.get("name", name)}
        return account | {"kind": "personal", "zone": "UTC", "created_at": self._at(), "plan": None}

    def _grant(self, account: str, body: JSON) -> JSON:
        self.give(self._known(account), body["credits"])
        grant: JSON = {"id": self._id("grant"), "kind": body["kind"], "label": body.get("label", "")}
        grant |= {"granted": body["credits"], "remaining": body["credits"], "held": "0"}
        grant |= {"expires_at": None, "services": None, "reason": body.get("reason", "")}
        return grant | {"created_at": self._at()}

    def _balance(self, account: str) -> JSON:
        balance: JSON = {"account": account, "available": amount(self.available(account)), "debt": "0"}
        balance |= {"held": amount(self._held(account)), "as_of": self._at(), "grants": [], "daily": None}
        return balance | {"unlimited_services": [], "low": False}

    def _price(self, body: JSON, *, usage: JSON | None = None) -> Decimal:
        service = body["service"]
        if service not in self.services:
            raise _Refused(404, "unknown_service", f"There is no service {service!r}.")
        prices = self.services[service]
        if prices is None:
            raise _Refused(409, "service_unpriced", f"{service} has no price.")
        counted = body.get("usage", {}) if usage is None else usage
        for meter in counted.keys() - prices.keys():
            error = {"field": f"usage.{meter}", "code": "unknown_meter", "message": f"not priced by {meter}"}
            raise _Refused(400, "invalid_request", error["message"], errors=[error])
        total = sum(Decimal(prices[meter]) * Decimal(str(number)) for meter, number in counted.items())
        return Decimal(total).quantize(_SMALLEST, ROUND_HALF_UP)

    def _estimate(self, account: str, body: JSON) -> JSON:
        credits = self._price(body)
        available = self.available(account)
        estimate: JSON = {"id": self._id("est"), "credits": amount(credits), "maximum": amount(credits)}
        estimate |= {"lines": [], "rate": self._rate(), "available": amount(available), "covered_by": None}
        estimate |= {"sufficient": credits <= available, "approximate": "text" in body}
        return estimate | {"valid_until": self._at(minutes=10)}

    def _afford(self, account: str, credits: Decimal) -> None:
        limit = self._limits.get(account)
        used = sum((Decimal(one["credits"]) for one in self.charges if one["account"] == account), Decimal(0))
        if limit is not None and used + self._held(account) + credits > limit:
            fields = {"limit": "member", "maximum": amount(limit), "used": amount(used)}
            resets_at = self._at(minutes=1440)
            raise _Refused(429, "limit_reached", "The limit is reached.", resets_at=resets_at, **fields)
        available = self.available(account)
        if credits > available:
            detail = f"{credits} credits are needed, {available} are available."
            ways_on = [{"kind": "buy", "pack": "small", "name": "Small", "url": "http://portal.test/buy/"}]
            figures = {"needed": amount(credits), "available": amount(available)}
            raise _Refused(402, "insufficient_credits", detail, ways_on=ways_on, **figures)

    def _charge(
        self,
        account: str,
        body: JSON,
        credits: Decimal,
        *,
        hold: JSON | None = None,
        most: Decimal | None = None,
    ) -> JSON:
        if hold is None:
            self._afford(account, credits)
        before = self._balances[account]
        collected = min(credits, self.available(account) if most is None else most)
        self._balances[account] = before - collected
        use = self._use(account, body)
        charge: JSON = {"id": self._id("chg"), "status": "charged", "credits": amount(collected), **use}
        charge |= {"covered_by": None, "uncollected": amount(credits - collected), "returned": "0"}
        charge |= {"balance_before": amount(before), "balance_after": amount(before - collected)}
        charge |= {"hold": hold and hold["id"], "api_key": None, "report": None}
        self.charges.append(charge)
        return charge

    def _item(self, account: str, item: JSON) -> JSON:
        account = item.get("account") or account
        known = self._answers.get(("item", item["idempotency_key"]))
        if known is not None:
            return {"status": 201, "charge": known[2], "replayed": True}
        try:
            charge = self._charge(self._known(account), item, self._price(item))
        except _Refused as refused:
            return {"status": refused.status, "error": refused.problem}
        self._answers["item", item["idempotency_key"]] = (b"", 201, charge)
        return {"status": 201, "charge": charge}

    def _found(self, charge: str) -> JSON:
        for one in self.charges:
            if one["id"] == charge:
                return one
        raise _Refused(404, "not_found", "There is no such charge.")

    def _reverse(self, charge: JSON, body: JSON) -> JSON:
        left = Decimal(charge["credits"]) - Decimal(charge["returned"])
        credits = Decimal(body.get("credits") or left)
        if not 0 < credits <= left:
            raise _Refused(409, "not_reversible", "That much cannot be reversed.", left=amount(left))
        charge["returned"] = amount(Decimal(charge["returned"]) + credits)
        charge["status"] = "reversed" if credits == left else "partly_reversed"
        self.give(charge["account"], credits)
        reversal: JSON = {"id": self._id("rev"), "charge": charge["id"], "credits": amount(credits)}
        reversal |= {"returned_to": [], "reason": body.get("reason", ""), "created_at": self._at()}
        return reversal | {"balance_after": amount(self._balances[charge["account"]])}

    def _hold(self, account: str, body: JSON) -> JSON:
        price = self._price(body)
        credits = Decimal(body["credits"]) if "credits" in body else price
        ends = self.now + timedelta(seconds=body.get("expires_in", 900))
        parent = self._open_hold(body["parent"]) if body.get("parent") else None
        if parent is None:
            self._afford(account, credits)
        else:
            self._take(parent, credits)
            ends = min(ends, datetime.fromisoformat(parent["expires_at"]))
        hold: JSON = {"id": self._id("hold"), "status": "held", "credits": amount(credits)}
        hold |= self._use(account, body) | {"closed_at": None, "charge": None, "expires_at": ends.isoformat()}
        hold |= {"parent": body.get("parent"), "spent": "0", "remaining": amount(credits), "reported": None}
        hold["at_expiry"] = "release"
        self.holds[hold["id"]] = hold
        return self._shown(hold)

    def _take(self, parent: JSON, credits: Decimal) -> None:
        """Reserve credits of a parent for a child."""
        remaining = Decimal(parent["remaining"])
        if credits > remaining:
            figures = {"needed": amount(credits), "remaining": amount(remaining)}
            raise _Refused(402, "budget_exceeded", f"Only {remaining} credits remain.", **figures)
        if len(self._above(parent)) == _DEEPEST:
            raise _Refused(409, "tree_too_deep", "A tree of holds is at most 4 deep.", most=_DEEPEST)
        parent["remaining"] = amount(remaining - credits)

    def _above(self, hold: JSON) -> list[JSON]:
        """The hold, its parent, and so on up to the root."""
        return [hold, *(self._above(self.holds[hold["parent"]]) if hold["parent"] else [])]

    def _children(self, hold: JSON) -> list[JSON]:
        return [one for one in self.holds.values() if one["parent"] == hold["id"]]

    def _reserved(self, hold: JSON) -> Decimal:
        """What the open children of a hold reserve, with everything below them."""
        open_ = [one for one in self._children(hold) if one["status"] == "held"]
        return sum((Decimal(one["remaining"]) + self._reserved(one) for one in open_), Decimal(0))

    def _shown(self, hold: JSON) -> JSON:
        """The hold as the API shows it."""
        names = ("id", "status", "service", "action", "credits", "spent", "remaining")
        children = [
            {name: one[name] for name in names} | {"reserved": amount(self._reserved(one))}
            for one in reversed(self._children(hold))
        ]
        return {**hold, "reserved": amount(self._reserved(hold)), "children": children}

    def _report(self, hold: JSON, body: JSON) -> JSON:
        hold["reported"] = {"usage": body["usage"], "credits": amount(self._price(hold, usage=body["usage"]))}
        return self._shown(hold)

    def _held_one(self, hold: str) -> JSON:
        if hold not in self.holds:
            raise _Refused(404, "not_found", "There is no such hold.")
        return self.holds[hold]

    def _open_hold(self, hold: str) -> JSON:
        found = self._held_one(hold)
        if found["status"] != "held":
            status = found["status"]
            raise _Refused(409, "hold_closed", f"The hold is {status}.", hold_status=status)
        return found

    def _capture(self, hold: JSON, body: JSON) -> JSON:
        credits = Decimal(body["credits"]) if "credits" in body else self._price(hold, usage=body["usage"])
        in_tree, above = bool(hold["parent"] or self._children(hold)), self._above(hold)
        self._refuse_open_children(hold)
        most = sum((Decimal(one["remaining"]) for one in above), Decimal(0)) if in_tree else None
        left = credits
        for one in above:
            part = min(left, Decimal(one["remaining"]))
            one["remaining"], left = amount(Decimal(one["remaining"]) - part), left - part
        self._close(hold, "captured")
        charge = self._charge(hold["account"], {**hold, **body}, credits, hold=hold, most=most)
        for one in above:
            one["spent"] = amount(Decimal(one["spent"]) + Decimal(charge["credits"]))
        hold["charge"] = charge["id"]
        return charge

    def _refuse_open_children(self, hold: JSON) -> None:
        open_ = sum(one["status"] == "held" for one in self._children(hold))
        if open_:
            raise _Refused(409, "children_open", f"{open_} children are open.", children=open_)

    def _close(self, hold: JSON, status: str) -> JSON:
        self._refuse_open_children(hold)
        if hold["parent"]:
            parent = self.holds[hold["parent"]]
            parent["remaining"] = amount(Decimal(parent["remaining"]) + Decimal(hold["remaining"]))
        hold |= {"status": status, "closed_at": self._at(), "remaining": "0"}
        return self._shown(hold)

    def _held(self, account: str) -> Decimal:
        return sum(
            (
                Decimal(hold["remaining"])
                for hold in self.holds.values()
                if hold["account"] == account and hold["status"] == "held"
            ),
            Decimal(0),
        )

    def _expire_holds(self) -> None:
        for hold in sorted(self.holds.values(), key=lambda one: -len(self._above(one))):
            if hold["status"] == "held" and datetime.fromisoformat(hold["expires_at"]) <= self.now:
                self._close(hold, "expired")

    def _use(self, account: str, body: JSON) -> JSON:
        use: JSON = {
            name: body.get(name) for name in ("service", "action", "project", "conversation", "member")
        }
        use |= {name: body.get(name) or {} for name in ("usage", "options", "metadata")}
        use |= {"account": account, "created_at": self._at(), "rate": self._rate()}
        return use | {"lines": [], "drawn": []}

    def _rate(self) -> JSON:
        return {"version": "test", "effective_at": self._at()}

    def _at(self, minutes: int = 0) -> str:
        return (self.now + timedelta(minutes=minutes)).isoformat()

    def _id(self, kind: str) -> str:
        return f"{kind}_{next(self._numbers)}"
