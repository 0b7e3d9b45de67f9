"""POST /charges without REST framework: plain requests, many at once.

Invariant: only a charge that is made now for the first time is answered here. For every other request, one
that names a project, is refused, replayed, or not valid, the functions return None, and the endpoint in
`usage.api.charges` answers it; nothing has changed then, or the same key finds what has.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from rest_framework.exceptions import ValidationError

from accounts import authentication
from accounts.api_keys import Principal
from billing import ledger
from billing.subscriptions import plan_terms
from core import idempotency, json_body
from core.problems import Problem
from usage import charging
from usage.api.charges import fingerprint_of, new_charge
from usage.api.request_schemas import SmallObject
from usage.charging import Use

_LONGEST = {"account": 255, "service": 100, "action": 100, "conversation": 200}
_OBJECTS = ("options", "metadata")
_SMALL = SmallObject()


@dataclass(frozen=True, slots=True)
class PlainCharge:
    """A request that may be charged here. `named`: the account that its body names."""

    principal: Principal
    named: str | None
    key: str
    fingerprint: bytes
    body: Mapping[str, Any]
    now: datetime


def plain_charge(*, principal: Principal, key: str, content: bytes, now: datetime) -> PlainCharge | None:
    """The request, or None if it is not plain: its endpoint then says what is wrong, or handles it."""
    if not principal.may("spend"):
        return None
    try:
        body = json_body.loads(content)
        if not _is_plain(body):
            return None
        idempotency.checked_key(key, idempotency.HEADER)
    except (Problem, ValidationError):
        return None
    return PlainCharge(principal, body.get("account"), key, fingerprint_of(body), body, now)


def _is_plain(body: Any) -> bool:
    """Whether the body has only texts, whole quantities and small objects, within their bounds."""
    if not isinstance(body, dict) or "service" not in body or "usage" not in body:
        return False
    for name, value in body.items():
        if name in _LONGEST:
            if not isinstance(value, str) or not 0 < len(value) <= _LONGEST[name]:
                return False
        elif name == "usage":
            if not isinstance(value, dict) or not 0 < len(value) <= 20:
                return False
            if any(type(quantity) is not int for quantity in value.values()):
                return False
        elif name in _OBJECTS:
            _SMALL.to_internal_value(value)
        else:
            return False
    return True


@dataclass(frozen=True, slots=True)
class Prepared:
    """A charge with its account and price."""

    use: Use
    request: ledger.ChargeRequest
    now: datetime

    @property
    def account_id(self) -> UUID:
        return self.request.account_id


def prepare_all(charges: Sequence[PlainCharge | None]) -> list[Prepared | None]:
    """The charges whose account and service are known, priced; None where the endpoint answers."""
    plain = [(place, one) for place, one in enumerate(charges) if one is not None]
    owners = authentication.accounts_of([(one.principal, one.named) for _place, one in plain])
    plan_terms.load({owner for owner in owners if owner is not None})
    prepared: list[Prepared | None] = [None] * len(charges)
    for (place, one), owner in zip(plain, owners, strict=True):
        prepared[place] = None if owner is None else _prepared(one, owner)
    return prepared


def charge_all(charges: Sequence[Prepared]) -> list[bytes | ledger.WalletBusy | None]:
    """Charge them in one call of the ledger that waits for no wallet.

    Returns each answer's body, WalletBusy where `charge_account` has to charge, None for the endpoint.
    """
    outcomes = ledger.charge_at_once([(one.request, one.now) for one in charges])
    return [
        outcome if isinstance(outcome, ledger.WalletBusy) else _answer(one, outcome)
        for one, outcome in zip(charges, outcomes, strict=True)
    ]


def charge_account(charges: Sequence[Prepared]) -> list[bytes | None]:
    """Charge uses of one account in one call that waits for its wallet. Raises Django's database errors."""
    outcomes = ledger.charge_account([(one.request, one.now) for one in charges])
    return [_answer(one, outcome) for one, outcome in zip(charges, outcomes, strict=True)]


def _answer(one: Prepared, outcome: ledger.Charged | ledger.LedgerError | None) -> bytes | None:
    """The body for a new charge; None for a replay or an error."""
    if not isinstance(outcome, ledger.Charged) or outcome.replayed:
        return None
    return json_body.dumps(new_charge(one.use, outcome)).encode()


def _prepared(one: PlainCharge, account_id: UUID) -> Prepared | None:
    body = one.body
    use = Use(
        account_id=account_id,
        service=body["service"],
        action=body.get("action", ""),
        usage=body["usage"],
        options=_object(body, "options"),
        member_id=one.principal.member_id,
        api_key_id=one.principal.id,
        conversation=body.get("conversation", ""),
        metadata=_object(body, "metadata"),
    )
    try:
        request = charging.charge_request(use, key=one.key, fingerprint=one.fingerprint, now=one.now)
    except Exception:  # the endpoint makes the request again and answers with the error
        return None
    return Prepared(use, request, one.now)


def _object(body: Mapping[str, Any], name: str) -> Any:
    return json_body.without_decimals(body[name]) if name in body else {}
