"""Prices, subscriptions and their invoices."""

from collections.abc import Iterator
from datetime import datetime

from billing.stripe_gateway.client import InvalidRequest, ResourceMissing, StripeObject, call
from billing.stripe_gateway.lists import paginate

# Set on every subscription that is created: docs/decisions/0065-flexible-billing-mode.md.
BILLING_MODE = {"type": "flexible"}


def create_price(
    *,
    key: str,
    name: str,
    currency: str,
    amount: int,
    interval: str,
    plan: str,
    tax_behavior: str = "",
    tax_code: str = "",
) -> str:
    """Create the Price of a plan for an interval and currency and return its id.

    `tax_behavior` and `tax_code` are for Stripe Tax: https://docs.stripe.com/tax/products-prices-tax-codes-tax-behavior
    """
    params: StripeObject = {
        "currency": currency,
        "unit_amount": amount,
        "recurring": {"interval": interval},
        "product_data": {"name": name, "metadata": {"plan": plan}},
        "metadata": {"plan": plan},
    }
    if tax_behavior:
        params["tax_behavior"] = tax_behavior
    if tax_code:
        params["product_data"]["tax_code"] = tax_code
    return str(call(lambda v1: v1.prices.create(params, {"idempotency_key": key}))["id"])


def find_price(*, currency: str, amount: int, interval: str, plan: str, tax_behavior: str = "") -> str | None:
    """The id of the active Price that `create_price` has created; None when there is none."""
    params: StripeObject = {
        "active": True,
        "currency": currency,
        "recurring": {"interval": interval},
    }
    for found in paginate(lambda v1, page: v1.prices.list(page), params):
        same_tax = (found["tax_behavior"] or "unspecified") == (tax_behavior or "unspecified")
        if found["unit_amount"] == amount and found["metadata"].get("plan") == plan and same_tax:
            return str(found["id"])
    return None


def retrieve_price(price_id: str) -> StripeObject | None:
    """A Price, expanded with its product; None when it does not exist in this Stripe account and mode."""
    try:
        return call(lambda v1: v1.prices.retrieve(price_id, {"expand": ["product"]}))
    except ResourceMissing:
        return None


def retrieve_subscription(subscription_id: str) -> StripeObject:
    """A Subscription, expanded with its latest invoice and the products of its prices."""
    expand = {"expand": ["latest_invoice", "items.data.price.product"]}
    return call(lambda v1: v1.subscriptions.retrieve(subscription_id, expand))


def update_subscription(*, key: str, subscription_id: str, params: StripeObject) -> StripeObject:
    """Update a subscription. Raises CardDeclined when an immediate payment for the change fails."""
    details = {**params, "expand": ["latest_invoice"]}
    return call(lambda v1: v1.subscriptions.update(subscription_id, details, {"idempotency_key": key}))


def ensure_flexible_billing(subscription_id: str) -> None:
    """Migrate a subscription in classic billing mode to the flexible one; without effect on a flexible one.

    https://docs.stripe.com/api/subscriptions/migrate
    """
    mode = (retrieve_subscription(subscription_id).get("billing_mode") or {}).get("type")
    if mode == "classic":
        options = {"idempotency_key": f"flexible:{subscription_id}"}
        call(lambda v1: v1.subscriptions.migrate(subscription_id, {"billing_mode": BILLING_MODE}, options))


def void_invoice(invoice_id: str) -> StripeObject:
    """Void an open invoice, which also discards the pending update that waits for it; return the invoice,
    which may have been paid or voided before.

    https://docs.stripe.com/api/invoices/void
    """
    options = {"idempotency_key": f"void:{invoice_id}"}
    try:
        return call(lambda v1: v1.invoices.void_invoice(invoice_id, {}, options))
    except InvalidRequest:
        return retrieve_invoice(invoice_id)


def cancel_subscription(subscription_id: str) -> StripeObject:
    """End a subscription now; no proration, no invoice. Raises ResourceMissing when it has ended already.

    https://docs.stripe.com/api/subscriptions/cancel
    """
    return call(lambda v1: v1.subscriptions.cancel(subscription_id))


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


def pay_invoice(*, key: str, invoice_id: str) -> StripeObject:
    """Charge an open invoice to its default payment method now. Raises CardDeclined, InvalidRequest.

    https://docs.stripe.com/api/invoices/pay
    """
    return call(lambda v1: v1.invoices.pay(invoice_id, {}, {"idempotency_key": key}))


def list_subscription_invoices(subscription_id: str) -> list[StripeObject]:
    """The newest invoices of a subscription, drafts included, newest first."""
    params = {"subscription": subscription_id, "limit": 24}
    return list(call(lambda v1: v1.invoices.list(params))["data"])


def list_open_invoices(customer: str) -> Iterator[StripeObject]:
    """A customer's invoices that can be paid; none without a customer, or when it was deleted."""
    params = {"customer": customer, "status": "open"}
    try:
        yield from paginate(lambda v1, page: v1.invoices.list(page), params) if customer else ()
    except ResourceMissing:
        return


def list_invoices_since(subscription_id: str, since: datetime) -> Iterator[StripeObject]:
    """A subscription's invoices that were created since a time, newest first."""
    params = {"subscription": subscription_id, "created": {"gte": int(since.timestamp())}}
    return paginate(lambda v1, page: v1.invoices.list(page), params)


def retrieve_invoice(invoice_id: str) -> StripeObject:
    """An Invoice, expanded with its payments and their PaymentIntents."""
    expand = {"expand": ["payments.data.payment.payment_intent"]}
    return call(lambda v1: v1.invoices.retrieve(invoice_id, expand))


def find_invoice_of_payment(payment_id: str) -> StripeObject | None:
    """The invoice that a PaymentIntent pays; None for other payments.

    https://docs.stripe.com/api/invoice-payment/list
    """
    params = {"payment": {"type": "payment_intent", "payment_intent": payment_id}, "limit": 1}
    found = call(lambda v1: v1.invoice_payments.list(params))["data"]
    return retrieve_invoice(str(found[0]["invoice"])) if found else None
