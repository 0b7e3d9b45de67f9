"""Credit balances of customers: every change is a transaction.

Invariant: a customer's `balance` is the `ending_balance` of its newest transaction; zero without any.
https://docs.stripe.com/billing/customer/balance
"""

from typing import Any

from sandbox import errors, store
from sandbox.calls import Call
from sandbox.objects import clocks, events
from sandbox.store import Body


def record(
    customer: Body,
    amount: int,
    call: Call,
    *,
    currency: str,
    kind: str = "adjustment",
    invoice: str | None = None,
    params: dict[str, Any] | None = None,
) -> Body | None:
    """Change the balance of a customer, which the caller saves; None for a change by zero.

    `amount`: negative for a credit, positive for a debit.
    """
    if not amount:
        return None
    customer |= {"balance": customer["balance"] + amount, "currency": customer["currency"] or currency}
    body: Body = {
        "id": store.new_id("customer_balance_transaction"),
        "object": "customer_balance_transaction",
        "amount": amount,
        "checkout_session": None,
        "created": call.now,
        "credit_note": None,
        "currency": currency,
        "customer": customer["id"],
        "customer_account": None,
        "description": (params or {}).get("description"),
        "ending_balance": customer["balance"],
        "invoice": invoice,
        "livemode": False,
        "metadata": {},
        "type": kind,
    }
    store.merge_metadata(body, (params or {}).get("metadata") or {})
    return store.add(body)


def create(call: Call) -> Body:
    """https://docs.stripe.com/api/customer_balance_transactions/create"""
    customer = store.get("customer", call.ids["customer"])
    call = clocks.of_customer(call, customer)
    before = {"balance": customer["balance"]}
    currency = call.params["currency"].lower()
    if currency != (customer["currency"] or currency):
        raise errors.unsupported("The sandbox has balances in one currency only.", param="currency")
    body = record(customer, call.params["amount"], call, currency=currency, params=call.params)
    if body is None:
        raise errors.StripeError("The amount must not be zero.", param="amount")
    store.save(customer)
    events.record("customer.updated", customer, call, before)
    return body


def list_transactions(call: Call) -> Body:
    """https://docs.stripe.com/api/customer_balance_transactions/list"""
    customer = store.get("customer", call.ids["customer"])
    url = f"/v1/customers/{customer['id']}/balance_transactions"
    return store.listing("customer_balance_transaction", call, url, customer=customer["id"])
