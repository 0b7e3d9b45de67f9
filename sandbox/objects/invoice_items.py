"""Invoice items: amounts that wait for the customer's next invoice (prorations, things added by hand).

Invariant: an item lands on exactly one invoice.
"""

from sandbox import errors, store
from sandbox.calls import Call
from sandbox.objects import clocks, customers, events, invoice_lines
from sandbox.store import Body


def hold(subscription: Body, lines: list[Body], call: Call) -> None:
    """Keep lines for the next invoice of a subscription."""
    for line in lines:
        _add(line, subscription["customer"], subscription["id"], call)


def _add(line: Body, customer: str, subscription: str | None, call: Call) -> Body:
    parent = None
    if subscription:
        parent = {
            "subscription_details": {"subscription": subscription, "subscription_item": None},
            "type": "subscription_details",
        }
    body = {
        "id": store.new_id("invoiceitem"),
        "object": "invoiceitem",
        "_line": line,
        "_subscription": subscription,
        "amount": line["amount"],
        "currency": line["currency"],
        "customer": customer,
        "customer_account": None,
        "date": call.now,
        "description": line["description"],
        "discountable": line["discountable"],
        "discounts": [],
        "invoice": None,
        "livemode": False,
        "metadata": {},
        "net_amount": line["amount"],
        "parent": parent,
        "period": line["period"],
        "pricing": line["pricing"],
        "proration": ((line["parent"] or {}).get("subscription_item_details") or {}).get("proration", False),
        "quantity": line["quantity"],
        "quantity_decimal": line["quantity_decimal"],
        "tax_rates": [],
        "test_clock": None,
    }
    store.add(body)
    events.record("invoiceitem.created", body, call)
    return body


def take_pending(customer: str, invoice_id: str, subscription: str | None = None) -> list[Body]:
    """The lines that waited for this invoice, which the caller drafts now."""
    found = reversed(store.where("invoiceitem", customer=customer, invoice=None))
    taken = [item for item in found if item["_subscription"] in (None, subscription)]
    for item in taken:
        item["invoice"] = invoice_id
        store.save(item)
    return [item["_line"] for item in taken]


def waiting(customer: str, subscription: str | None) -> list[Body]:
    """The same lines, only looked at (for previews)."""
    found = reversed(store.where("invoiceitem", customer=customer, invoice=None))
    return [item["_line"] for item in found if item["_subscription"] in (None, subscription)]


def create(call: Call) -> Body:
    given = call.params
    customer = store.get("customer", given["customer"], "customer")
    call = clocks.of_customer(call, customer)
    if "amount" not in given or "currency" not in given:
        raise errors.missing("amount")
    line = invoice_lines.line(
        amount=given["amount"],
        currency=given["currency"].lower(),
        description=given.get("description", ""),
        period=(call.now, call.now),
        invoice_item=store.new_id("invoiceitem"),
    )
    body = _add(line, customer["id"], given.get("subscription"), call)
    customers.merge_metadata(body, given.get("metadata") or {})
    return store.save(body)


def retrieve(call: Call) -> Body:
    return store.get("invoiceitem", call.ids["invoiceitem"])


def list_items(call: Call) -> Body:
    return store.listing(
        "invoiceitem",
        call,
        "/v1/invoiceitems",
        customer=call.params.get("customer"),
        invoice=call.params.get("invoice"),
    )
