"""The table of Stripe objects: add, find, save, list in pages.

Invariant: code that changes objects holds the sandbox's only lock until commit (`lock`), so that every
change sees all earlier changes.
"""

import contextlib
import json
import secrets
import string
from collections.abc import Iterator
from contextvars import ContextVar
from typing import Any, NamedTuple

from django.conf import settings
from django.db import connection

from sandbox import errors
from sandbox.calls import Call
from sandbox.models import Resource

Body = dict[str, Any]
LOCK = 0x5A4DB0  # no other code takes an advisory lock with this number
PREFIXES = {
    "billing_portal.session": "bps_",
    "charge": "ch_",
    "checkout.session": "cs_test_",
    "customer": "cus_",
    "customer_balance_transaction": "cbtxn_",
    "dispute": "du_",
    "event": "evt_",
    "invoice": "in_",
    "invoice_payment": "inpay_",
    "invoiceitem": "ii_",
    "line_item": "il_",
    "item": "li_",
    "payment_intent": "pi_",
    "payment_method": "pm_",
    "price": "price_",
    "product": "prod_",
    "refund": "re_",
    "setup_intent": "seti_",
    "subscription": "sub_",
    "subscription_item": "si_",
    "test_helpers.test_clock": "clock_",
}
_environment: ContextVar[str] = ContextVar("stripe_environment", default="")
LETTERS = string.ascii_letters + string.digits


class _Row(NamedTuple):
    position: int
    body: Body


def lock() -> None:
    """Block other writers until this transaction ends."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [LOCK])


def environment() -> str:
    """The Stripe account and mode that objects are read from and added to: "acct_sandbox/test".

    Outside a request to the API, those of the product's secret key.
    """
    if _environment.get():
        return _environment.get()
    number = settings.STRIPE_SECRET_KEY.partition("_sandbox")[2].partition("_")[0]
    return f"acct_sandbox{number}/{'live' if '_live_' in settings.STRIPE_SECRET_KEY else 'test'}"


@contextlib.contextmanager
def in_environment(name: str) -> Iterator[None]:
    """Read and add the objects of this account and mode."""
    token = _environment.set(name)
    try:
        yield
    finally:
        _environment.reset(token)


def new_id(kind: str) -> str:
    """An id of Stripe's form: `pi_` and 24 letters and digits (58 for a Checkout Session)."""
    length = 58 if kind == "checkout.session" else 24
    return PREFIXES.get(kind, "obj_") + random_text(length)


def random_text(length: int) -> str:
    return "".join(secrets.choice(LETTERS) for _ in range(length))


def add(body: Body) -> Body:
    """Store a new object; its id, kind and time of creation are in its body."""
    add_row(body)
    return body


def add_row(body: Body) -> int:
    """Store a new object and return its position."""
    place = environment()
    if "livemode" in body:
        body["livemode"] = place.endswith("/live")
    values = [body["id"], body["object"], place, body.get("created", 0), json.dumps(body)]
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO sandbox_resource (stripe_id, kind, environment, created, body)"
            " VALUES (%s, %s, %s, %s, %s::jsonb) RETURNING position",
            values,
        )
        return int(cursor.fetchone()[0])


def save(body: Body) -> Body:
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE sandbox_resource SET body = %s::jsonb WHERE stripe_id = %s",
            [json.dumps(body), body["id"]],
        )
        if cursor.rowcount != 1:
            raise errors.unknown_object(body["object"], body["id"])
    return body


def delete(body: Body) -> None:
    """Remove an object, so that its id is unknown."""
    Resource.objects.filter(stripe_id=body["id"]).delete()


def replace(stripe_id: str, kind: str, body: Body) -> Body:
    """Replace an object by what Stripe answers after its deletion, under another kind."""
    Resource.objects.filter(stripe_id=stripe_id).update(kind=kind, body=body)
    return body


def find(kind: str, stripe_id: str | None) -> Body | None:
    found = _rows(kind, {}, ("stripe_id = %s", stripe_id or ""))
    return found[0].body if found else None


def get(kind: str, stripe_id: str, param: str | None = None) -> Body:
    """The object. Raises StripeError "No such …": 404 for an id in the path, 400 for one in `param`."""
    body = find(kind, stripe_id)
    if body is None:
        raise errors.unknown_object(kind, stripe_id, param, other_mode=_exists_in_other_mode(kind, stripe_id))
    return body


def _rows(
    kind: str, fields: dict[str, Any], *conditions: tuple[str, Any], order: str = "position DESC"
) -> list[_Row]:
    """Objects that meet the conditions and whose `fields` have these values; `a__b` is the field b in a.

    In SQL: the ORM takes five times as long, and every request makes this query several times.
    """
    parts = ["kind = %s", "environment = %s"]
    values: list[Any] = [kind, environment()]
    for name, value in fields.items():
        parts.append("body #> %s::text[] = %s::jsonb")
        values += [name.split("__"), json.dumps(value)]
    for condition, value in conditions:
        parts.append(condition)
        values.append(value)
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT position, body FROM sandbox_resource WHERE {' AND '.join(parts)} ORDER BY {order}",
            values,
        )
        return [_Row(position, json.loads(body)) for position, body in cursor.fetchall()]


def _exists_in_other_mode(kind: str, stripe_id: str) -> str:
    """ "test" or "live" when the same Stripe account has the object in that other mode."""
    account, mode = environment().split("/")
    other = "test" if mode == "live" else "live"
    rows = Resource.objects.filter(kind=kind, stripe_id=stripe_id, environment=f"{account}/{other}")
    return other if rows.exists() else ""


def where(kind: str, **fields: Any) -> list[Body]:
    """All objects of a kind whose fields have these values, newest first."""
    return [row.body for row in _rows(kind, fields)]


def listing(kind: str, call: Call, url: str, **fields: Any) -> Body:
    """One page of objects, newest first, filtered by `fields`; a filter of None is ignored.

    https://docs.stripe.com/api/pagination
    """
    limit = call.params.get("limit", 10)
    if not 1 <= limit <= 100:
        raise errors.StripeError("Invalid integer: limit must be between 1 and 100.", param="limit")
    wanted = {name: value for name, value in fields.items() if value is not None}
    conditions = _created_within(call.params.get("created"))
    before, after = call.params.get("ending_before"), call.params.get("starting_after")
    if before:
        conditions.append(("position > %s", _position(before, "ending_before")))
    elif after:
        conditions.append(("position < %s", _position(after, "starting_after")))
    order = f"position {'ASC' if before else 'DESC'} LIMIT {limit + 1:d}"
    found = _rows(kind, wanted, *conditions, order=order)
    data = found[:limit][:: -1 if before else 1]
    return {"object": "list", "url": url, "has_more": len(found) > limit, "data": [row.body for row in data]}


def _position(stripe_id: str, param: str) -> int:
    row = Resource.objects.filter(stripe_id=stripe_id).only("position").first()
    if row is None:
        raise errors.unknown_object("object", stripe_id, param)
    return row.position


_BOUNDS = {"gt": ">", "gte": ">=", "lt": "<", "lte": "<="}


def _created_within(created: Any) -> list[tuple[str, Any]]:
    """Conditions of a Unix second, or of the bounds {"gte": …, "lt": …}."""
    if created is None:
        return []
    if isinstance(created, int):
        return [("created = %s", created)]
    return [(f"created {_BOUNDS[bound]} %s", instant) for bound, instant in created.items()]


def public(body: Any) -> Any:
    """The object without the sandbox's own fields (names that begin with an underscore), at every depth."""
    if isinstance(body, dict):
        return {name: public(value) for name, value in body.items() if not name.startswith("_")}
    return [public(item) for item in body] if isinstance(body, list) else body


def merge_metadata(body: Body, metadata: Any) -> None:
    """Merge keys; an empty value removes its key, an empty string removes all keys.

    https://docs.stripe.com/api/metadata
    """
    if not isinstance(metadata, dict):
        body["metadata"] = {}
        return
    merged = (body.get("metadata") or {}) | metadata
    body["metadata"] = {key: value for key, value in merged.items() if value != ""}
