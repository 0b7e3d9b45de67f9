"""The API's doors to invoices: read, list, change, finalise, pay, void; and the payments of invoices."""

from sandbox import errors, store
from sandbox.calls import Call
from sandbox.models import Resource
from sandbox.objects import clocks, customers, events, invoice_items, invoices, payments
from sandbox.store import Body


def create(call: Call) -> Body:
    """An empty draft by hand; pending invoice items come with it."""
    given = call.params
    customer = store.get("customer", given["customer"], "customer")
    call = clocks.of_customer(call, customer)
    invoice_id = store.new_id("invoice")
    lines = invoice_items.take_pending(customer["id"], invoice_id)
    currency = lines[0]["currency"] if lines else given.get("currency", "usd")
    body = invoices.draft(
        call, customer, lines=lines, currency=currency, reason="manual", invoice_id=invoice_id
    )
    body["description"] = given.get("description")
    customers.merge_metadata(body, given.get("metadata") or {})
    return store.save(body)


def retrieve(call: Call) -> Body:
    return store.get("invoice", call.ids["invoice"])


def list_invoices(call: Call) -> Body:
    given = call.params
    filters = {name: given.get(name) for name in ("customer", "status", "collection_method")}
    filters["parent__subscription_details__subscription"] = given.get("subscription")
    return store.listing("invoice", call, "/v1/invoices", **filters)


def list_lines(call: Call) -> Body:
    lines: Body = retrieve(call)["lines"]
    return lines


def update(call: Call) -> Body:
    body = retrieve(call)
    if body["status"] not in ("draft", "open"):
        raise errors.StripeError(f"This invoice is {body['status']}.", code="invoice_not_editable")
    for name in ("description", "auto_advance", "default_payment_method"):
        if name in call.params:
            body[name] = call.params[name]
    if "metadata" in call.params:
        customers.merge_metadata(body, call.params["metadata"])
    store.save(body)
    events.record("invoice.updated", body, call, {})
    return body


def finalize(call: Call) -> Body:
    body = retrieve(call)
    return invoices.finalize(body, clocks.of_customer(call, body["customer"]))


def pay(call: Call) -> Body:
    """Charge the invoice now. Raises payments.Declined."""
    body = retrieve(call)
    call = clocks.of_customer(call, body["customer"])
    if body["status"] == "draft":
        invoices.finalize(body, call)
    if body["status"] != "open":
        raise errors.StripeError(
            f"Invoice is already {body['status']}", code="invoice_payment_intent_requires_action"
        )
    method = invoices.usable_method(call, body)
    paid = invoices.collect(body, call, method=method, off_session=bool(call.params.get("off_session", True)))
    if paid["status"] != "paid":
        raise payments.Declined(
            "The invoice needs its customer's action.",
            status=402,
            type="card_error",
            code="invoice_payment_intent_requires_action",
        )
    return paid


def void(call: Call) -> Body:
    body = retrieve(call)
    if body["status"] != "open":
        raise errors.StripeError("You can only void open invoices.", code="invoice_not_editable")
    return invoices.void_open(body, clocks.of_customer(call, body["customer"]))


def list_payments(call: Call) -> Body:
    """Payments of invoices, also the other way round: which invoice does this payment intent pay?"""
    given = call.params
    rows = Resource.objects.filter(kind="invoice_payment")
    for name in ("invoice", "status"):
        if given.get(name):
            rows = rows.filter(**{f"body__{name}": given[name]})
    if intent := (given.get("payment") or {}).get("payment_intent"):
        rows = rows.filter(body__payment__payment_intent=intent)
    return store.page(store.within(rows, given.get("created")), call, "/v1/invoice_payments")


def retrieve_payment(call: Call) -> Body:
    return store.get("invoice_payment", call.ids["invoice_payment"])
