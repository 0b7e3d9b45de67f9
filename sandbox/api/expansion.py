"""`expand[]`: references replaced by the objects they name, and parts that are shown only when asked for.

Invariant: expanding changes the answer, never what is stored; an unknown path is refused as Stripe refuses
it.
"""

import copy
from collections.abc import Callable
from typing import Any

from sandbox import errors, store
from sandbox.objects import checkout_sessions
from sandbox.store import Body

DEEPEST = 4
KINDS = sorted(((prefix, kind) for kind, prefix in store.PREFIXES.items()), key=lambda pair: -len(pair[0]))


def _refunds_of(charge: Body) -> Body:
    return _list(store.where("refund", charge=charge["id"]), f"/v1/charges/{charge['id']}/refunds")


def _subscriptions_of(customer: Body) -> Body:
    found = [s for s in store.where("subscription", customer=customer["id"]) if s["status"] != "canceled"]
    return _list(found, f"/v1/customers/{customer['id']}/subscriptions")


def _payments_of(invoice: Body) -> Body:
    return _list(
        store.where("invoice_payment", invoice=invoice["id"]), f"/v1/invoices/{invoice['id']}/payments"
    )


def _secret_of(invoice: Body) -> Body | None:
    for payment in store.where("invoice_payment", invoice=invoice["id"]):
        if intent := store.find("payment_intent", payment["payment"].get("payment_intent")):
            return {"client_secret": intent["client_secret"], "type": "payment_intent"}
    return None


def _list(data: list[Body], url: str) -> Body:
    return {"object": "list", "url": url, "has_more": False, "data": data}


SHOWN_WHEN_ASKED: dict[tuple[str, str], Callable[[Body], Any]] = {
    ("checkout.session", "line_items"): checkout_sessions.line_items,
    ("charge", "refunds"): _refunds_of,
    ("customer", "subscriptions"): _subscriptions_of,
    ("customer", "tax_ids"): lambda customer: _list([], f"/v1/customers/{customer['id']}/tax_ids"),
    ("invoice", "payments"): _payments_of,
    ("invoice", "confirmation_secret"): _secret_of,
}


def expand(body: Body, paths: list[str]) -> Body:
    """A copy of the answer with these paths expanded. Raises StripeError for a path that leads nowhere."""
    result = copy.deepcopy(body)
    for path in paths:
        steps = path.split(".")
        if len(steps) > DEEPEST + (steps[0] == "data"):
            raise errors.StripeError("You cannot expand more than 4 levels of a property.", param="expand")
        _expand(result, steps, path)
    return result


def _expand(value: Any, steps: list[str], path: str) -> None:
    if not steps or value is None:
        return
    if isinstance(value, list):
        for item in value:
            _expand(item, steps, path)
        return
    if not isinstance(value, dict):
        raise _not_expandable(path)
    name, rest = steps[0], steps[1:]
    shown = SHOWN_WHEN_ASKED.get((value.get("object", ""), name))
    if shown is not None and not isinstance(value.get(name), dict):
        value[name] = copy.deepcopy(shown(value))
    elif name not in value:
        raise _not_expandable(path)
    elif isinstance(value[name], str):
        value[name] = _object(value[name], path)
    elif isinstance(value[name], list):
        value[name] = [_object(item, path) if isinstance(item, str) else item for item in value[name]]
    elif value[name] is not None and not rest and not isinstance(value[name], dict):
        raise _not_expandable(path)
    _expand(value[name], rest, path)


def _object(stripe_id: str, path: str) -> Body:
    for prefix, kind in KINDS:
        if stripe_id.startswith(prefix) and (found := store.find(kind, stripe_id)):
            return copy.deepcopy(found)
    if coupon := store.find("coupon", stripe_id):
        return coupon
    raise _not_expandable(path)


def _not_expandable(path: str) -> errors.StripeError:
    return errors.StripeError(f"This property cannot be expanded ({path}).", param="expand")
