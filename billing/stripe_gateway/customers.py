"""Customers and their saved payment methods."""

from collections.abc import Iterator

from billing.stripe_gateway.client import InvalidRequest, ResourceMissing, StripeObject, call
from billing.stripe_gateway.lists import paginate


def create_customer(*, key: str, email: str, name: str, account: str) -> str:
    """Create the customer of an account and return its id. `account` is the account's public id.

    Stripe refuses an empty address or name (https://docs.stripe.com/error-codes#parameter-invalid-empty).
    """
    params: StripeObject = {name: text for name, text in (("email", email), ("name", name)) if text}
    params["metadata"] = {"account": account}
    return str(call(lambda v1: v1.customers.create(params, {"idempotency_key": key}))["id"])


def find_customer(account: str) -> str | None:
    """The id of the newest customer whose metadata name an account's public id; None when there is none.

    A new customer can be found after about a minute; until then the idempotency key prevents a second one
    (https://docs.stripe.com/search#data-freshness). Stripe accounts in India have no search.
    """
    query = {"query": f"metadata['account']:'{account}'", "limit": 1}
    try:
        found = call(lambda v1: v1.customers.search(query))["data"]
    except InvalidRequest:
        return None
    return str(found[0]["id"]) if found else None


def retrieve_customer(customer: str) -> StripeObject | None:
    """A customer; None when it was deleted or never existed in this Stripe account and mode."""
    try:
        found = call(lambda v1: v1.customers.retrieve(customer))
    except ResourceMissing:
        return None
    return None if found.get("deleted") else found


def retrieve_payment_method(payment_method_id: str) -> StripeObject:
    return call(lambda v1: v1.payment_methods.retrieve(payment_method_id))


def retrieve_setup_intent(setup_intent_id: str) -> StripeObject:
    return call(lambda v1: v1.setup_intents.retrieve(setup_intent_id))


def list_payment_methods(customer: str) -> Iterator[StripeObject]:
    """All saved methods of a customer, of any type; none when the customer was deleted.

    https://docs.stripe.com/api/payment_methods/list
    """
    try:
        yield from paginate(lambda v1, params: v1.payment_methods.list(params), {"customer": customer})
    except ResourceMissing:
        return


def detach_payment_method(payment_method_id: str) -> None:
    """Remove a saved method for good. Raises InvalidRequest when it is not attached any more."""
    key = f"detach:{payment_method_id}"  # happens at most once to a method
    call(lambda v1: v1.payment_methods.detach(payment_method_id, {}, {"idempotency_key": key}))


def set_default_payment_method(*, key: str, customer: str, card: str) -> None:
    """Use a saved card for invoices. A card saved on a subscription takes precedence for its invoices."""
    params = {"invoice_settings": {"default_payment_method": card}}
    call(lambda v1: v1.customers.update(customer, params, {"idempotency_key": key}))


def set_subscription_payment_method(*, key: str, subscription_id: str, card: str) -> None:
    """Charge a saved card for a subscription's invoices, whatever the customer's default is."""
    params = {"default_payment_method": card}
    call(lambda v1: v1.subscriptions.update(subscription_id, params, {"idempotency_key": key}))


def retrieve_default_payment_method(customer: str) -> StripeObject | None:
    """The customer's default payment method, or None, also when the customer was deleted."""
    expand = {"expand": ["invoice_settings.default_payment_method"]}
    try:
        found = call(lambda v1: v1.customers.retrieve(customer, expand))
    except ResourceMissing:
        return None
    return (found.get("invoice_settings") or {}).get("default_payment_method")


def retrieve_subscription_with_card(subscription_id: str) -> StripeObject:
    """A Subscription, expanded with its own default payment method."""
    expand = {"expand": ["default_payment_method"]}
    return call(lambda v1: v1.subscriptions.retrieve(subscription_id, expand))


def create_portal_session(*, customer: str, return_url: str, locale: str = "auto") -> str:
    """The short-lived URL of a customer portal session (https://docs.stripe.com/customer-management)."""
    params = {"customer": customer, "return_url": return_url, "locale": locale}
    return str(call(lambda v1: v1.billing_portal.sessions.create(params))["url"])


def list_balance_transactions(customer: str) -> Iterator[StripeObject]:
    """Changes of a customer's credit balance, newest first. Raises ResourceMissing for a deleted customer."""
    return paginate(lambda v1, params: v1.customers.balance_transactions.list(customer, params), {})


def change_balance(
    *, key: str, customer: str, amount: int, currency: str, description: str, metadata: dict[str, str]
) -> StripeObject:
    """Add to a customer's balance: a negative amount is a credit for the next invoices, others are a debit.

    https://docs.stripe.com/api/customer_balance_transactions/create
    """
    params = {"amount": amount, "currency": currency, "description": description, "metadata": metadata}
    options = {"idempotency_key": key}
    return call(lambda v1: v1.customers.balance_transactions.create(customer, params, options))
