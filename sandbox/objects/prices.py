"""Products and prices, also those given in a request's `price_data`.

Invariant: a price's amount, currency and period never change; other terms need another price.
"""

from decimal import Decimal
from typing import Any

from sandbox import errors, store
from sandbox.calls import Call
from sandbox.objects import customers, events
from sandbox.store import Body


def create_product(call: Call) -> Body:
    body = new_product(call, **call.params)
    if price_data := call.params.get("default_price_data"):
        price = new_price(call, price_data | {"product": body["id"]})
        body["default_price"] = price["id"]
        store.save(body)
    return body


def new_product(call: Call, **given: Any) -> Body:
    body = {
        "id": given.get("id") or store.new_id("product"),
        "object": "product",
        "active": given.get("active", True),
        "created": call.now,
        "default_price": None,
        "description": given.get("description"),
        "images": given.get("images") or [],
        "livemode": False,
        "marketing_features": given.get("marketing_features") or [],
        "metadata": {},
        "name": given["name"],
        "package_dimensions": None,
        "shippable": None,
        "statement_descriptor": given.get("statement_descriptor"),
        "tax_code": given.get("tax_code"),
        "type": "service",
        "unit_label": given.get("unit_label"),
        "updated": call.now,
        "url": given.get("url"),
    }
    if store.find("product", body["id"]):
        raise errors.StripeError(
            f"Product already exists: {body['id']}", code="resource_already_exists", param="id"
        )
    customers.merge_metadata(body, given.get("metadata") or {})
    store.add(body)
    events.record("product.created", body, call)
    return body


def retrieve_product(call: Call) -> Body:
    return store.get("product", call.ids["id"])


def list_products(call: Call) -> Body:
    return store.listing("product", call, "/v1/products", active=call.params.get("active"))


def update_product(call: Call) -> Body:
    body = retrieve_product(call)
    for name in (
        "active",
        "name",
        "description",
        "images",
        "default_price",
        "unit_label",
        "statement_descriptor",
        "url",
    ):
        if name in call.params:
            body[name] = call.params[name]
    if "metadata" in call.params:
        customers.merge_metadata(body, call.params["metadata"])
    body["updated"] = call.now
    store.save(body)
    events.record("product.updated", body, call, {})
    return body


def create_price(call: Call) -> Body:
    return new_price(call, call.params)


def new_price(call: Call, given: dict[str, Any]) -> Body:
    """A price for `product`, or for a product described in `product_data`."""
    if "product_data" in given:
        product = new_product(call, **given["product_data"])["id"]
    elif "product" in given:
        product = store.get("product", given["product"], "product")["id"]
    else:
        raise errors.missing("product")
    recurring = given.get("recurring")
    lookup_key = given.get("lookup_key")
    _take_lookup_key(lookup_key, given.get("transfer_lookup_key", False))
    amount, text = _amount(given)
    body = {
        "id": store.new_id("price"),
        "object": "price",
        "active": given.get("active", True),
        "billing_scheme": "per_unit",
        "created": call.now,
        "currency": given["currency"].lower(),
        "custom_unit_amount": None,
        "livemode": False,
        "lookup_key": lookup_key,
        "metadata": {},
        "nickname": given.get("nickname"),
        "product": product,
        "recurring": _recurring(recurring) if recurring else None,
        "tax_behavior": given.get("tax_behavior", "unspecified"),
        "tiers_mode": None,
        "transform_quantity": None,
        "type": "recurring" if recurring else "one_time",
        "unit_amount": amount,
        "unit_amount_decimal": text,
    }
    customers.merge_metadata(body, given.get("metadata") or {})
    store.add(body)
    events.record("price.created", body, call)
    return body


def _recurring(given: dict[str, Any]) -> dict[str, Any]:
    return {
        "interval": given["interval"],
        "interval_count": given.get("interval_count", 1),
        "meter": None,
        "trial_period_days": given.get("trial_period_days"),
        "usage_type": "licensed",
    }


def _amount(given: dict[str, Any]) -> tuple[int, str]:
    if "unit_amount" in given:
        amount = given["unit_amount"]
        text = str(amount)
    elif "unit_amount_decimal" in given:
        number = Decimal(given["unit_amount_decimal"])
        if number != int(number):
            raise errors.StripeError("The sandbox knows whole minor units only.", param="unit_amount_decimal")
        amount, text = int(number), str(int(number))
    else:
        raise errors.missing("unit_amount")
    if amount < 0:
        raise errors.StripeError("This value must be greater than or equal to 0.", param="unit_amount")
    return amount, text


def _take_lookup_key(lookup_key: str | None, transfer: bool) -> None:
    for holder in store.where("price", lookup_key=lookup_key) if lookup_key else []:
        if not transfer:
            raise errors.StripeError(
                f"A price (`{holder['id']}`) already uses that lookup key.",
                code="resource_already_exists",
                param="lookup_key",
            )
        holder["lookup_key"] = None
        store.save(holder)


def retrieve_price(call: Call) -> Body:
    return store.get("price", call.ids["price"])


def list_prices(call: Call) -> Body:
    filters = {name: call.params.get(name) for name in ("active", "product", "currency", "type")}
    if keys := call.params.get("lookup_keys"):
        filters["lookup_key__in"] = keys
    return store.listing("price", call, "/v1/prices", **filters)


def update_price(call: Call) -> Body:
    body = retrieve_price(call)
    if "lookup_key" in call.params:
        _take_lookup_key(call.params["lookup_key"], call.params.get("transfer_lookup_key", False))
    for name in ("active", "nickname", "lookup_key", "tax_behavior"):
        if name in call.params:
            body[name] = call.params[name]
    if "metadata" in call.params:
        customers.merge_metadata(body, call.params["metadata"])
    store.save(body)
    events.record("price.updated", body, call, {})
    return body


def price_of(line: dict[str, Any], call: Call, param: str) -> Body:
    """The price of a line: by id, or made from its `price_data`."""
    if line.get("price"):
        price = store.get("price", line["price"], param)
        if not price["active"]:
            raise errors.StripeError(
                f"The price specified is inactive: {price['id']}", code="price_inactive", param=param
            )
        return price
    if line.get("price_data"):
        return new_price(call, line["price_data"])
    raise errors.missing(param)


def legacy_plan(price: Body) -> Body:
    """The price in the older form that subscription items still carry."""
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
