"""The price objects at Stripe that stand for the catalogue's plan figures.

Invariant: a figure has one price object; a changed figure gets a new one, and who subscribed at the old keeps
it; a price that is not ours names no plan.
"""

from billing import stripe_gateway
from billing.models import StripePrice
from pricing.models import Plan


def price_of(*, plan_key: str, interval: str, currency: str, amount: int) -> str:
    """The id of the price object for a figure, made at the first need. Raises stripe_gateway's errors."""
    figure = {"plan_key": plan_key, "interval": interval, "currency": currency, "amount": amount}
    known = StripePrice.objects.filter(**figure).first()
    if known is not None:
        return str(known.stripe_price_id)
    plan = Plan.objects.get(key=plan_key)
    made = stripe_gateway.create_price(
        key=f"price:{plan_key}:{interval}:{currency}:{amount}",
        name=plan.name,
        currency=currency,
        amount=amount,
        interval=interval,
        plan=plan_key,
    )
    price, _created = StripePrice.objects.get_or_create(**figure, defaults={"stripe_price_id": made})
    return str(price.stripe_price_id)


def figure_of(stripe_price_id: str) -> StripePrice | None:
    """The figure that a price object stands for, if it is one of ours."""
    return StripePrice.objects.filter(stripe_price_id=stripe_price_id).first()
