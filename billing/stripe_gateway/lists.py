"""Lists of objects, in pages: for reconciliation those created since a time, and those of a customer."""

from collections.abc import Callable, Iterator
from datetime import datetime
from functools import partial
from typing import Any

from billing.stripe_gateway import client, payments
from billing.stripe_gateway.checkout import retrieve_checkout_session
from billing.stripe_gateway.client import StripeObject, call, to_plain


def _paginate(fetch: Callable[[Any, StripeObject], Any], since: datetime) -> Iterator[StripeObject]:
    """All objects created since a time, newest first."""
    return paginate(fetch, {"created": {"gte": int(since.timestamp())}})


def paginate(fetch: Callable[[Any, StripeObject], Any], params: StripeObject) -> Iterator[StripeObject]:
    """All objects of a list, newest first (https://docs.stripe.com/api/pagination)."""
    params = {"limit": 100, **params}
    page = to_plain(client.request(partial(_fetch_page, fetch, params)))
    while True:
        yield from page["data"]
        if not page.get("has_more"):
            return
        params = {**params, "starting_after": page["data"][-1]["id"]}
        page = to_plain(client.request(partial(_fetch_page, fetch, params)))


def _fetch_page(fetch: Callable[[Any, StripeObject], Any], params: StripeObject, v1: Any) -> Any:
    return fetch(v1, params)


def list_events(since: datetime) -> Iterator[StripeObject]:
    """Events created since a time, newest first. Stripe keeps 30 days (https://docs.stripe.com/api/events)."""
    return _paginate(lambda v1, params: v1.events.list(params), since)


def list_recent_events(limit: int) -> list[StripeObject]:
    """The newest events, at most 100."""
    return list(call(lambda v1: v1.events.list({"limit": limit}))["data"])


def list_payment_intents(since: datetime, *, customer: str = "") -> Iterator[StripeObject]:
    """Payments created since a time; with `customer` only that customer's."""
    only = {"customer": customer} if customer else {}
    return _paginate(lambda v1, params: v1.payment_intents.list(params | only), since)


def list_checkout_sessions(since: datetime, *, customer: str = "") -> Iterator[StripeObject]:
    """Checkout Sessions created since a time; with `customer` only that customer's."""
    only = {"customer": customer} if customer else {}
    return _paginate(lambda v1, params: v1.checkout.sessions.list(params | only), since)


def list_refunds(since: datetime) -> Iterator[StripeObject]:
    return _paginate(lambda v1, params: v1.refunds.list(params), since)


def list_disputes(since: datetime) -> Iterator[StripeObject]:
    return _paginate(lambda v1, params: v1.disputes.list(params), since)


def retrieve_again(stripe_object: StripeObject) -> StripeObject:
    """The object of an event in the pinned API version, when the handlers read the event's own copy.

    Events are rendered in the API version of their creation, in lists too
    (https://docs.stripe.com/api/events/object#event_object-api_version).
    """
    retrieve = _RETRIEVE.get(str(stripe_object.get("object")))
    return stripe_object if retrieve is None else retrieve(str(stripe_object["id"]))


# Subscriptions, invoices and customers are not here: their handlers retrieve them in any case.
_RETRIEVE: dict[str, Callable[[str], StripeObject]] = {
    "charge": payments.retrieve_charge,
    "checkout.session": retrieve_checkout_session,
    "dispute": payments.retrieve_dispute,
    "payment_intent": payments.retrieve_payment_intent,
    "refund": payments.retrieve_refund,
}
