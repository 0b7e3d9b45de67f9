"""The card that pays a customer's invoices and subscriptions.

Invariant: the default card is one that is attached to the customer.
"""

from sandbox import store
from sandbox.calls import Call
from sandbox.objects import events, subscription_states
from sandbox.store import Body


def choose(customer_id: str, method_id: str, call: Call) -> Body:
    """Make a saved card the default, for the customer and for each running subscription."""
    customer = store.get("customer", customer_id)
    method = store.get("payment_method", method_id)
    former = dict(customer["invoice_settings"])
    if method["customer"] == customer_id and former["default_payment_method"] != method_id:
        customer["invoice_settings"]["default_payment_method"] = method_id
        store.save(customer)
        events.record("customer.updated", customer, call, {"invoice_settings": former})
    for subscription in store.where("subscription", customer=customer_id):
        if subscription["status"] not in subscription_states.OVER:
            subscription_states.change(subscription, call, default_payment_method=method_id)
    return customer
