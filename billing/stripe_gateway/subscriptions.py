"""Prices, subscriptions and their invoices."""

from billing.stripe_gateway.client import StripeObject, call


def create_price(*, key: str, name: str, currency: str, amount: int, interval: str, plan: str) -> str:
    """Create the Price of a plan for an interval and currency and return its id."""
    params = {
        "currency": currency,
        "unit_amount": amount,
        "recurring": {"interval": interval},
        "product_data": {"name": name, "metadata": {"plan": plan}},
        "metadata": {"plan": plan},
    }
    return str(call(lambda v1: v1.prices.create(params, {"idempotency_key": key}))["id"])


def retrieve_subscription(subscription_id: str) -> StripeObject:
    """A Subscription, expanded with its latest invoice."""
    expand = {"expand": ["latest_invoice"]}
    return call(lambda v1: v1.subscriptions.retrieve(subscription_id, expand))


def update_subscription(*, key: str, subscription_id: str, params: StripeObject) -> StripeObject:
    """Update a subscription. Raises CardDeclined when an immediate payment for the change fails."""
    details = {**params, "expand": ["latest_invoice"]}
    return call(lambda v1: v1.subscriptions.update(subscription_id, details, {"idempotency_key": key}))


def create_invoice_preview(
    *, customer: str, subscription_id: str, item: str, price: str, at: int
) -> StripeObject:
    """The invoice of a new period at another price, with the old price credited from the second `at`.

    Stripe prorates to the second: the update has to carry the same `proration_date` to cost the same
    (https://docs.stripe.com/billing/subscriptions/prorations).
    """
    details = {
        "items": [{"id": item, "price": price}],
        "billing_cycle_anchor": {"type": "now"},
        "proration_behavior": "always_invoice",
        "proration_date": at,
    }
    params = {"customer": customer, "subscription": subscription_id, "subscription_details": details}
    return call(lambda v1: v1.invoices.create_preview(params))


def retrieve_invoice(invoice_id: str) -> StripeObject:
    """An Invoice, expanded with its payments."""
    expand = {"expand": ["payments"]}
    return call(lambda v1: v1.invoices.retrieve(invoice_id, expand))
