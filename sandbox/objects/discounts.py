"""Coupons and promotion codes: what is taken off an amount.

Invariant: a coupon or code that is spent, expired or inactive is refused, and a discount is never more than
the amount.
"""

from decimal import ROUND_HALF_UP, Decimal
from typing import Any

from sandbox import errors, store
from sandbox.calls import Call
from sandbox.objects import customers, events
from sandbox.store import Body


def create_coupon(call: Call) -> Body:
    given = call.params
    percent, amount = given.get("percent_off"), given.get("amount_off")
    if (percent is None) == (amount is None):
        raise errors.StripeError(
            "You must pass either percent_off or amount_off, and not both.", code="parameter_missing"
        )
    if amount is not None and "currency" not in given:
        raise errors.missing("currency")
    body = {
        "id": given.get("id") or store.random_text(8),
        "object": "coupon",
        "amount_off": amount,
        "created": call.now,
        "currency": given.get("currency"),
        "duration": given.get("duration", "once"),
        "duration_in_months": given.get("duration_in_months"),
        "livemode": False,
        "max_redemptions": given.get("max_redemptions"),
        "metadata": {},
        "name": given.get("name"),
        "percent_off": None if percent is None else _json_number(percent),
        "redeem_by": given.get("redeem_by"),
        "times_redeemed": 0,
        "valid": True,
    }
    if store.find("coupon", body["id"]):
        raise errors.StripeError("Coupon already exists.", code="resource_already_exists", param="id")
    customers.merge_metadata(body, given.get("metadata") or {})
    store.add(body)
    events.record("coupon.created", body, call)
    return body


def _json_number(value: Decimal) -> int | float:
    """JSON knows no decimals; it is read back through its text, so nothing is lost."""
    return int(value) if value == int(value) else float(value)


def retrieve_coupon(call: Call) -> Body:
    return store.get("coupon", call.ids["coupon"])


def list_coupons(call: Call) -> Body:
    return store.listing("coupon", call, "/v1/coupons")


def delete_coupon(call: Call) -> Body:
    body = retrieve_coupon(call)
    events.record("coupon.deleted", body, call)
    return store.save({"id": body["id"], "object": "coupon", "deleted": True})


def create_code(call: Call) -> Body:
    given = call.params
    promotion = given["promotion"]
    coupon = store.get("coupon", promotion.get("coupon", ""), "promotion[coupon]")
    body = {
        "id": store.new_id("promotion_code"),
        "object": "promotion_code",
        "active": given.get("active", True),
        "code": given.get("code") or store.random_text(8).upper(),
        "created": call.now,
        "customer": given.get("customer"),
        "customer_account": None,
        "expires_at": given.get("expires_at"),
        "livemode": False,
        "max_redemptions": given.get("max_redemptions"),
        "metadata": {},
        "promotion": {"coupon": coupon["id"], "type": "coupon"},
        "restrictions": {
            "first_time_transaction": False,
            "minimum_amount": None,
            "minimum_amount_currency": None,
        }
        | (given.get("restrictions") or {}),
        "times_redeemed": 0,
    }
    if any(
        other["code"].upper() == body["code"].upper() for other in store.where("promotion_code", active=True)
    ):
        raise errors.StripeError(
            "An active promotion code with this code already exists.",
            code="resource_already_exists",
            param="code",
        )
    customers.merge_metadata(body, given.get("metadata") or {})
    store.add(body)
    events.record("promotion_code.created", body, call)
    return body


def retrieve_code(call: Call) -> Body:
    return store.get("promotion_code", call.ids["promotion_code"])


def list_codes(call: Call) -> Body:
    filters = {name: call.params.get(name) for name in ("code", "active", "customer")}
    if coupon := call.params.get("coupon"):
        filters["promotion__coupon"] = coupon
    return store.listing("promotion_code", call, "/v1/promotion_codes", **filters)


def update_code(call: Call) -> Body:
    body = retrieve_code(call)
    if "active" in call.params:
        body["active"] = call.params["active"]
    if "metadata" in call.params:
        customers.merge_metadata(body, call.params["metadata"])
    store.save(body)
    events.record("promotion_code.updated", body, call, {})
    return body


def code_by_name(code: str, call: Call) -> Body | None:
    """The usable promotion code a buyer typed, or None."""
    for body in store.where("promotion_code", active=True):
        if body["code"].upper() == code.strip().upper() and usable_code(body, call):
            return body
    return None


def usable_code(code: Body, call: Call) -> bool:
    spent = code["max_redemptions"] is not None and code["times_redeemed"] >= code["max_redemptions"]
    lapsed = code["expires_at"] is not None and code["expires_at"] <= call.now
    return bool(code["active"]) and not spent and not lapsed


def coupon_of(given: dict[str, Any], call: Call) -> Body:
    """The coupon behind `{"coupon": id}` or `{"promotion_code": id}`. Raises StripeError when unusable."""
    if code_id := given.get("promotion_code"):
        code = store.get("promotion_code", code_id, "discounts[0][promotion_code]")
        if not usable_code(code, call):
            raise errors.StripeError(
                "This promotion code cannot be redeemed.", code="promotion_code_inactive", param="discounts"
            )
        return store.get("coupon", code["promotion"]["coupon"])
    coupon = store.get("coupon", given.get("coupon", ""), "discounts[0][coupon]")
    lapsed = coupon["redeem_by"] is not None and coupon["redeem_by"] <= call.now
    spent = coupon["max_redemptions"] is not None and coupon["times_redeemed"] >= coupon["max_redemptions"]
    if lapsed or spent:
        raise errors.StripeError(f"Coupon expired: {coupon['id']}", code="coupon_expired", param="discounts")
    return coupon


def coupon_behind(given: dict[str, Any]) -> Body:
    """The coupon of a discount that was accepted before (a checkout that is being paid)."""
    if code_id := given.get("promotion_code"):
        return store.get("coupon", store.get("promotion_code", code_id)["promotion"]["coupon"])
    return store.get("coupon", given["coupon"])


def attach(given: dict[str, Any], coupon: Body, call: Call, *, customer: str, subscription: str) -> Body:
    """The discount object that ties a coupon to a subscription."""
    months = coupon["duration_in_months"]
    return store.add(
        {
            "id": store.new_id("discount"),
            "object": "discount",
            "checkout_session": None,
            "customer": customer,
            "customer_account": None,
            "end": call.now + months * 2_629_800 if months else None,
            "invoice": None,
            "invoice_item": None,
            "promotion_code": given.get("promotion_code"),
            "source": {"coupon": coupon["id"], "type": "coupon"},
            "start": call.now,
            "subscription": subscription,
            "subscription_item": None,
        }
    )


def continuing(subscription: Body, amount: int, call: Call) -> list[tuple[str, int]]:
    """(discount id, minor units off) for a renewal of the subscription."""
    taken = []
    for discount_id in subscription["discounts"]:
        discount = store.get("discount", discount_id)
        if discount["end"] is None or discount["end"] > call.now:
            coupon = store.get("coupon", discount["source"]["coupon"])
            taken.append((discount_id, taken_off(amount, coupon, subscription["currency"])))
    return taken


def taken_off(amount: int, coupon: Body, currency: str) -> int:
    """Minor units that the coupon takes off this amount (percentages half up)."""
    if coupon["amount_off"] is not None:
        if coupon["currency"] != currency:
            raise errors.StripeError(
                f"The coupon is in {coupon['currency']}, the amount in {currency}.", param="discounts"
            )
        return min(amount, int(coupon["amount_off"]))
    share = Decimal(amount) * Decimal(str(coupon["percent_off"])) / 100
    return int(share.quantize(Decimal(1), rounding=ROUND_HALF_UP))


def redeemed(given: dict[str, Any]) -> None:
    """Count a use of the coupon and of the code."""
    coupon_id = given.get("coupon")
    if code_id := given.get("promotion_code"):
        code = store.get("promotion_code", code_id)
        code["times_redeemed"] += 1
        store.save(code)
        coupon_id = code["promotion"]["coupon"]
    if coupon_id:
        coupon = store.get("coupon", coupon_id)
        coupon["times_redeemed"] += 1
        store.save(coupon)
