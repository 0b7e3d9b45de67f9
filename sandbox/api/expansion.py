"""The `expand[]` parameter: replaces references by the objects they name, and adds an invoice's payments.

Invariant: expanding changes the response, never the stored object; a path that cannot be expanded is an
error. https://docs.stripe.com/api/expanding_objects
"""

import copy
from typing import Any

from sandbox import errors, store
from sandbox.store import Body

MOST_LEVELS = 4
KINDS_BY_PREFIX = sorted(
    ((prefix, kind) for kind, prefix in store.PREFIXES.items()), key=lambda pair: -len(pair[0])
)


def expand(body: Body, paths: list[str]) -> Body:
    """A copy of the response with these paths expanded. Raises StripeError for an unknown path."""
    result = copy.deepcopy(body)
    if body.get("deleted"):
        return result  # a deleted object has no other fields
    for path in paths:
        steps = path.split(".")
        if len(steps) > MOST_LEVELS + (steps[0] == "data"):
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
    if value.get("object") == "invoice" and name == "payments":  # absent unless expanded
        value[name] = value.get(name) or _payments_of(value)
    elif name not in value:
        raise _not_expandable(path)
    elif isinstance(value[name], str):
        value[name] = _object(value[name], path)
    elif value[name] is not None and not rest and not isinstance(value[name], dict):
        raise _not_expandable(path)
    _expand(value[name], rest, path)


def _payments_of(invoice: Body) -> Body:
    payments = copy.deepcopy(store.where("invoice_payment", invoice=invoice["id"]))
    return {
        "object": "list",
        "url": f"/v1/invoices/{invoice['id']}/payments",
        "has_more": False,
        "data": payments,
    }


def _object(stripe_id: str, path: str) -> Body:
    for prefix, kind in KINDS_BY_PREFIX:
        if stripe_id.startswith(prefix) and (found := store.find(kind, stripe_id)):
            return copy.deepcopy(found)
    raise _not_expandable(path)


def _not_expandable(path: str) -> errors.StripeError:
    return errors.StripeError(f"This property cannot be expanded ({path}).", param="expand")
