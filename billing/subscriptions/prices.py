"""Stripe Prices of plans.

Invariant: each plan, interval, currency, amount and tax behavior has one Price. A changed amount gets a new
one, and subscribers at the old amount keep theirs.
"""

from typing import Any

from billing import stripe_gateway
from billing.models import StripePrice
from billing.payments import taxes
from billing.stripe_gateway import StripeObject
from pricing.models import Plan


def ensure_price(
    *, plan_key: str, interval: str, currency: str, amount: int, tax_behavior: str | None = None
) -> str:
    """The id of the Price for an amount of a plan, created on first use. Raises stripe_gateway's errors.

    `tax_behavior`: inclusive, exclusive or empty; None: as the catalogue says now.
    """
    tax_behavior = taxes.behavior() if tax_behavior is None else tax_behavior
    fields = {
        "plan_key": plan_key,
        "interval": interval,
        "currency": currency,
        "amount": amount,
        "tax_behavior": tax_behavior,
    }
    price = StripePrice.objects.filter(**fields).first()
    if price is not None:
        return str(price.stripe_price_id)
    terms: dict[str, Any] = {"currency": currency, "amount": amount, "interval": interval, "plan": plan_key}
    terms["tax_behavior"] = tax_behavior
    # An earlier call may have created it and died, longer ago than Stripe keeps the idempotency key.
    stripe_price_id = stripe_gateway.find_price(**terms) or stripe_gateway.create_price(
        key=":".join(["price", plan_key, interval, currency, str(amount), *filter(None, [tax_behavior])]),
        name=Plan.objects.get(key=plan_key).name,
        tax_code=taxes.product_data().get("tax_code", ""),
        **terms,
    )
    price, _created = StripePrice.objects.get_or_create(
        **fields, defaults={"stripe_price_id": stripe_price_id}
    )
    return str(price.stripe_price_id)


def record_imported(price: StripeObject, plan_key: str) -> StripePrice:
    """The recorded Price of this plan and amount: this one if there was none."""
    tax_behavior = str(price.get("tax_behavior") or "")
    recorded = find_price(str(price["id"]))
    if recorded is None:
        recorded, _created = StripePrice.objects.get_or_create(
            plan_key=plan_key,
            interval=price["recurring"]["interval"],
            currency=str(price["currency"]),
            amount=price["unit_amount"],
            tax_behavior="" if tax_behavior == "unspecified" else tax_behavior,
            defaults={"stripe_price_id": str(price["id"])},
        )
    return recorded


def find_price(stripe_price_id: str) -> StripePrice | None:
    """Our record of a Price; None when it belongs to no plan."""
    return StripePrice.objects.filter(stripe_price_id=stripe_price_id).first()
