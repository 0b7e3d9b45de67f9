"""The table of Stripe objects: add, find, save, list in pages.

Invariant: code that changes objects holds the sandbox's only lock until commit (`lock`), so that every
change sees all earlier changes.
"""

import contextlib
import secrets
import string
from collections.abc import Iterator
from contextvars import ContextVar
from typing import Any

from django.conf import settings
from django.db import connection
from django.db.models import QuerySet

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


def add_row(body: Body) -> Resource:
    """Store a new object and return its database row."""
    place = environment()
    if "livemode" in body:
        body["livemode"] = place.endswith("/live")
    return Resource.objects.create(
        stripe_id=body["id"],
        kind=body["object"],
        environment=place,
        created=body.get("created", 0),
        body=body,
    )


def save(body: Body) -> Body:
    changed = Resource.objects.filter(stripe_id=body["id"]).update(body=body)
    if changed != 1:
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
    row = _rows(kind).filter(stripe_id=stripe_id or "").only("body").first()
    return None if row is None else row.body


def get(kind: str, stripe_id: str, param: str | None = None) -> Body:
    """The object. Raises StripeError "No such …": 404 for an id in the path, 400 for one in `param`."""
    body = find(kind, stripe_id)
    if body is None:
        raise errors.unknown_object(kind, stripe_id, param, other_mode=_exists_in_other_mode(kind, stripe_id))
    return body


def _rows(kind: str) -> QuerySet[Resource]:
    return Resource.objects.filter(kind=kind, environment=environment())


def _exists_in_other_mode(kind: str, stripe_id: str) -> str:
    """ "test" or "live" when the same Stripe account has the object in that other mode."""
    account, mode = environment().split("/")
    other = "test" if mode == "live" else "live"
    rows = Resource.objects.filter(kind=kind, stripe_id=stripe_id, environment=f"{account}/{other}")
    return other if rows.exists() else ""


def where(kind: str, **fields: Any) -> list[Body]:
    """All objects of a kind whose top-level fields have these values, newest first."""
    rows = _rows(kind).filter(**{f"body__{name}": value for name, value in fields.items()})
    return [row.body for row in rows.order_by("-position")]


def listing(kind: str, call: Call, url: str, **fields: Any) -> Body:
    """One page of objects, newest first, filtered by `fields`; a filter of None is ignored.

    https://docs.stripe.com/api/pagination
    """
    rows = _rows(kind)
    for name, value in fields.items():
        if value is not None:
            rows = rows.filter(**{f"body__{name}": value})
    rows = _created_within(rows, call.params.get("created"))
    limit = call.params.get("limit", 10)
    if not 1 <= limit <= 100:
        raise errors.StripeError("Invalid integer: limit must be between 1 and 100.", param="limit")
    if before := call.params.get("ending_before"):
        newer = rows.filter(position__gt=_position(before, "ending_before")).order_by("position")[: limit + 1]
        found = list(newer)
        data = list(reversed(found[:limit]))
    else:
        if after := call.params.get("starting_after"):
            rows = rows.filter(position__lt=_position(after, "starting_after"))
        found = list(rows.order_by("-position")[: limit + 1])
        data = found[:limit]
    return {"object": "list", "url": url, "has_more": len(found) > limit, "data": [row.body for row in data]}


def _position(stripe_id: str, param: str) -> int:
    row = Resource.objects.filter(stripe_id=stripe_id).only("position").first()
    if row is None:
        raise errors.unknown_object("object", stripe_id, param)
    return row.position


def _created_within(rows: QuerySet[Resource], created: Any) -> QuerySet[Resource]:
    """Rows created at a Unix second, or within the bounds {"gte": …, "lt": …}."""
    if created is None:
        return rows
    if isinstance(created, int):
        return rows.filter(created=created)
    return rows.filter(**{f"created__{bound}": instant for bound, instant in created.items()})


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
