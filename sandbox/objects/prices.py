"""Prices and their products, created by the API or from the `price_data` of a line.

Invariant: a price never changes after its creation. https://docs.stripe.com/api/prices
"""

from typing import Any

from sandbox import errors, store
from sandbox.calls import Call
from sandbox.objects import events
from sandbox.store import Body


def create(call: Call) -> Body:
    return _new(call, call.params)


def list_prices(call: Call) -> Body:
    params = call.params
    return store.listing(
        "price",
        call,
        "/v1/prices",
        active=params.get("active"),
        currency=params.get("currency"),
        recurring__interval=(params.get("recurring") or {}).get("interval"),
    )


def retrieve(call: Call) -> Body:
    return store.get("price", call.ids["price"])


def update(call: Call) -> Body:
    """Archive a price, or change its metadata; its amount never changes.

    An archived price takes no new purchases; existing subscriptions keep it
    (https://docs.stripe.com/products-prices/manage-prices#archive-price).
    """
    body = store.get("price", call.ids["price"])
    previous = dict(body)
    for name in ("active", "nickname"):
        if name in call.params:
            body[name] = call.params[name]
    if "metadata" in call.params:
        store.merge_metadata(body, call.params["metadata"])
    store.save(body)
    changed = {name: value for name, value in previous.items() if body[name] != value}
    if changed:
        events.record("price.updated", body, call, changed)
    return body


def price_of(line: dict[str, Any], call: Call, param: str) -> Body:
    """The price of a line: by its id, or created from its `price_data`."""
    if line.get("price"):
        price = store.get("price", line["price"], param)
        if not price["active"]:
            raise errors.StripeError(
                "The price specified is inactive. This field only accepts active prices.", param=param
            )
        return price
    if line.get("price_data"):
        return _new(call, line["price_data"])
    raise errors.missing(param)


def _new(call: Call, params: dict[str, Any]) -> Body:
    if "product_data" not in params and "product" not in params:
        raise errors.missing("product_data")
    if "unit_amount" not in params:
        raise errors.missing("unit_amount")
    if params["unit_amount"] < 0:
        raise errors.StripeError("This value must be greater than or equal to 0.", param="unit_amount")
    recurring = params.get("recurring")
    body = {
        "id": store.new_id("price"),
        "object": "price",
        "active": True,
        "billing_scheme": "per_unit",
        "created": call.now,
        "currency": params["currency"].lower(),
        "custom_unit_amount": None,
        "livemode": False,
        "lookup_key": None,
        "metadata": {},
        "nickname": None,
        "product": _product(call, params),
        "recurring": _recurring(recurring) if recurring else None,
        "tax_behavior": params.get("tax_behavior", "unspecified"),
        "tiers_mode": None,
        "transform_quantity": None,
        "type": "recurring" if recurring else "one_time",
        "unit_amount": params["unit_amount"],
        "unit_amount_decimal": str(params["unit_amount"]),
    }
    store.merge_metadata(body, params.get("metadata") or {})
    store.add(body)
    events.record("price.created", body, call)
    return body


def _product(call: Call, params: dict[str, Any]) -> str:
    if "product" in params:
        return str(store.get("product", params["product"], "product")["id"])
    return str(_new_product(call, params["product_data"])["id"])


def _recurring(params: dict[str, Any]) -> dict[str, Any]:
    return {
        "interval": params["interval"],
        "interval_count": params.get("interval_count", 1),
        "meter": None,
        "trial_period_days": None,
        "usage_type": "licensed",
    }


def _new_product(call: Call, params: dict[str, Any]) -> Body:
    body = {
        "id": store.new_id("product"),
        "object": "product",
        "active": True,
        "created": call.now,
        "default_price": None,
        "description": params.get("description"),
        "images": [],
        "livemode": False,
        "marketing_features": [],
        "metadata": {},
        "name": params["name"],
        "package_dimensions": None,
        "shippable": None,
        "statement_descriptor": None,
        "tax_code": params.get("tax_code"),
        "type": "service",
        "unit_label": None,
        "updated": call.now,
        "url": None,
    }
    store.merge_metadata(body, params.get("metadata") or {})
    store.add(body)
    events.record("product.created", body, call)
    return body


def name_of(price: Body) -> str:
    """The name of the price's product."""
    return str(store.get("product", price["product"])["name"])


def legacy_plan(price: Body) -> Body:
    """The deprecated `plan` of a subscription item. https://docs.stripe.com/api/plans"""
    recurring = price["recurring"] or {}
    return {
        "id": price["id"],
        "object": "plan",
        "active": price["active"],
        "amount": price["unit_amount"],
        "amount_decimal": price["unit_amount_decimal"],
        "billing_scheme": "per_unit",
        "created": price["created"],
        "currency": price["currency"],
        "interval": recurring.get("interval"),
        "interval_count": recurring.get("interval_count"),
        "livemode": False,
        "metadata": price["metadata"],
        "meter": None,
        "nickname": price["nickname"],
        "product": price["product"],
        "tiers_mode": None,
        "transform_usage": None,
        "trial_period_days": None,
        "usage_type": "licensed",
    }
