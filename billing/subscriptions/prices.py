"""Stripe Prices of plans.

Invariant: each plan, interval, currency and amount has one Price. A changed amount gets a new one, and
subscribers at the old amount keep theirs.
"""

from typing import Any

from billing import stripe_gateway
from billing.models import StripePrice
from pricing.models import Plan


def ensure_price(*, plan_key: str, interval: str, currency: str, amount: int) -> str:
    """The id of the Price for an amount of a plan, created on first use. Raises stripe_gateway's errors."""
    fields = {"plan_key": plan_key, "interval": interval, "currency": currency, "amount": amount}
    price = StripePrice.objects.filter(**fields).first()
    if price is not None:
        return str(price.stripe_price_id)
    terms: dict[str, Any] = {"currency": currency, "amount": amount, "interval": interval, "plan": plan_key}
    # An earlier call may have created it and died, longer ago than Stripe keeps the idempotency key.
    stripe_price_id = stripe_gateway.find_price(**terms) or stripe_gateway.create_price(
        key=f"price:{plan_key}:{interval}:{currency}:{amount}",
        name=Plan.objects.get(key=plan_key).name,
        **terms,
    )
    price, _created = StripePrice.objects.get_or_create(
        **fields, defaults={"stripe_price_id": stripe_price_id}
    )
    return str(price.stripe_price_id)


def find_price(stripe_price_id: str) -> StripePrice | None:
    """Our record of a Price; None when it belongs to no plan."""
    return StripePrice.objects.filter(stripe_price_id=stripe_price_id).first()
