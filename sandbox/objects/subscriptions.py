"""Subscriptions: created by a checkout session or the API, changed, cancelled.

Invariant: a subscription is active once its first invoice is paid, or its payment by bank debit has begun.
The cost of a change is computed by sandbox.objects.subscription_items. https://docs.stripe.com/api/subscriptions
"""

import contextlib
import copy
from typing import Any

from sandbox import errors, store
from sandbox.calls import Call
from sandbox.objects import (
    clocks,
    defaults,
    events,
    invoice_lines,
    invoices,
    pauses,
    payment_intents,
    payment_methods,
    pending_updates,
    subscription_items,
    subscription_states,
)
from sandbox.store import Body

PAYMENT_BEHAVIOURS = ("allow_incomplete", "error_if_incomplete", "pending_if_incomplete")


def create(call: Call) -> Body:
    params = call.params
    customer = store.get("customer", params["customer"], "customer")
    lines = [
        {"price": subscription_items.recurring_price(item, index, call), "quantity": item.get("quantity", 1)}
        for index, item in enumerate(params.get("items") or [])
    ]
    if not lines:
        raise errors.missing("items")
    return start(
        clocks.of_customer(call, customer),
        customer=customer,
        lines=lines,
        default_payment_method=params.get("default_payment_method"),
        metadata=params.get("metadata") or {},
        automatic_tax=bool((params.get("automatic_tax") or {}).get("enabled")),
        payment_behaviour=_payment_behaviour(call),
        billing_mode=params.get("billing_mode"),
    )


def _payment_behaviour(call: Call) -> str:
    behaviour: str = call.params.get("payment_behavior", "allow_incomplete")
    if behaviour not in PAYMENT_BEHAVIOURS:
        raise errors.unsupported(
            f"The sandbox supports {', '.join(PAYMENT_BEHAVIOURS)} only.", param="payment_behavior"
        )
    return behaviour


def start(
    call: Call,
    *,
    customer: Body,
    lines: list[dict[str, Any]],
    default_payment_method: str | None,
    metadata: dict[str, str],
    automatic_tax: bool = False,
    paid_by: Body | None = None,
    payment_behaviour: str = "allow_incomplete",
    billing_mode: dict[str, Any] | None = None,
) -> Body:
    """A subscription and its first invoice, paid by the succeeded or pending intent `paid_by` or charged now.

    `lines` are {"price": …, "quantity": …}; those without a recurring price are billed once. With
    error_if_incomplete a decline is raised as StripeError, which rolls back the subscription. The billing
    mode is flexible unless classic is named
    (https://docs.stripe.com/changelog/clover/2025-09-30/billing-mode-default-flexible).
    """
    recurring = [line for line in lines if line["price"]["recurring"]]
    one_time = [line for line in lines if not line["price"]["recurring"]]
    body = _new(call, customer, recurring)
    body |= {"default_payment_method": default_payment_method, "metadata": metadata}
    if billing_mode and billing_mode["type"] == "classic":
        body["billing_mode"] = {"flexible": None, "type": "classic"}
    if automatic_tax:
        body["automatic_tax"] |= {"enabled": True, "liability": {"type": "self"}}
    store.add(body)
    events.record("customer.subscription.created", body, call)
    invoice = invoices.draft(
        call,
        customer,
        lines=[invoice_lines.of_period(item) for item in body["items"]["data"]]
        + [invoice_lines.of_one_time_price(line["price"], line["quantity"], call.now) for line in one_time],
        reason="subscription_create",
        subscription=body,
    )
    body["latest_invoice"] = invoice["id"]
    store.save(body)
    invoices.finalize(invoice, call, intent=paid_by)
    if invoice["status"] == "open" and paid_by is None:
        try:
            invoices.collect(invoice, call)
        except payment_intents.Declined as declined:
            if payment_behaviour == "error_if_incomplete":
                raise errors.rolled_back(declined) from declined
    return store.get("subscription", body["id"])


def _new(call: Call, customer: Body, lines: list[dict[str, Any]]) -> Body:
    """An incomplete subscription with an item for each line."""
    body: Body = copy.deepcopy(defaults.SUBSCRIPTION) | {
        "id": store.new_id("subscription"),
        "billing_cycle_anchor": call.now,
        "cancel_at_period_end": False,
        "created": call.now,
        "currency": lines[0]["price"]["currency"],
        "customer": customer["id"],
        "default_payment_method": None,
        "description": None,
        "payment_settings": {
            "payment_method_options": None,
            "payment_method_types": None,
            "save_default_payment_method": "off",
        },
        "start_date": call.now,
        "status": "incomplete",
        "test_clock": customer["test_clock"],
        "trial_end": None,
        "trial_start": None,
    }
    body["items"] = {
        "object": "list",
        "url": f"/v1/subscription_items?subscription={body['id']}",
        "has_more": False,
        "data": [subscription_items.new(line["price"], line["quantity"], body, call) for line in lines],
    }
    return body


def retrieve(call: Call) -> Body:
    return store.get("subscription", call.ids["subscription_exposed_id"])


def update(call: Call) -> Body:
    """Change prices, cancellation, card or metadata.

    With payment_behavior=error_if_incomplete a decline is raised as StripeError, which rolls back the change;
    with pending_if_incomplete the change waits until its invoice is paid (sandbox.objects.pending_updates).
    """
    body = retrieve(call)
    call = clocks.of_customer(call, body["customer"])
    params = call.params
    if body["status"] in subscription_states.ENDED:
        raise errors.StripeError(
            "A canceled subscription can only update its cancellation_details and metadata.",
            code="resource_missing",
        )
    _discard_conflicting_update(body, call)
    body = store.get("subscription", body["id"])
    if _payment_behaviour(call) == "pending_if_incomplete":
        pending_updates.check(params)
        _change_when_paid(body, call)
        return store.get("subscription", body["id"])
    if "cancel_at_period_end" in params:
        subscription_states.schedule_cancellation(body, call, cancel=params["cancel_at_period_end"])
    if method_id := params.get("default_payment_method"):
        payment_methods.attach(payment_methods.usable(method_id, call), body["customer"], call)
        subscription_states.change(body, call, default_payment_method=method_id)
    if "pause_collection" in params:
        pauses.change(body, params["pause_collection"], call)
    if "cancellation_details" in params:
        details = body["cancellation_details"] | _without_empty(params["cancellation_details"])
        subscription_states.change(body, call, cancellation_details=details)
    if "metadata" in params:
        changed = {"metadata": dict(body["metadata"])}
        store.merge_metadata(changed, params["metadata"])
        subscription_states.change(body, call, **changed)
    if "items" in params or "billing_cycle_anchor" in params:
        _change_prices(body, call)
    return store.get("subscription", body["id"])


def _without_empty(details: dict[str, str]) -> dict[str, str | None]:
    return {name: value or None for name, value in details.items()}


def _discard_conflicting_update(body: Body, call: Call) -> None:
    """Void the invoice of a pending update that another change replaces."""
    replacing = {"items", "billing_cycle_anchor", "cancel_at_period_end"}
    if body["pending_update"] and replacing & set(call.params):
        invoices.void(store.get("invoice", body["_pending_invoice"]), call)


def _change_when_paid(body: Body, call: Call) -> None:
    """Change prices if the invoice of the change can be paid now; otherwise the change is pending."""
    change = subscription_items.change(body, call.params, call)
    if not change.lines:
        raise errors.unsupported("The sandbox needs a change that is invoiced.", param="payment_behavior")
    invoice = invoices.draft(
        call,
        store.get("customer", body["customer"]),
        lines=change.lines,
        reason="subscription_update",
        subscription=body,
    )
    pending_updates.begin(body, call, items=change.items, restarts=change.restarts, invoice=invoice)
    invoices.finalize(invoice, call)
    if invoice["status"] == "open":
        with contextlib.suppress(payment_intents.Declined):  # recorded on the invoice
            invoices.collect(invoice, call, off_session=False)
    body = store.get("subscription", body["id"])
    if body["pending_update"]:
        pending_updates.record(body, call)


def _change_prices(body: Body, call: Call) -> None:
    payment_behaviour = _payment_behaviour(call)
    change = subscription_items.change(body, call.params, call)
    fields: dict[str, Any] = {"items": body["items"] | {"data": change.items}}
    if change.restarts:
        fields["billing_cycle_anchor"] = call.now
    subscription_states.change(body, call, **fields)
    if not change.lines:
        return
    customer = store.get("customer", body["customer"])
    invoice = invoices.draft(
        call, customer, lines=change.lines, reason="subscription_update", subscription=body
    )
    body["latest_invoice"] = invoice["id"]
    store.save(body)
    invoices.finalize(invoice, call)
    if invoice["status"] == "open":
        try:
            invoices.collect(invoice, call)
        except payment_intents.Declined as declined:
            if payment_behaviour == "error_if_incomplete":
                raise errors.rolled_back(declined) from declined
            subscription_states.invoice_unpaid(store.get("subscription", body["id"]), invoice, call)


def migrate(call: Call) -> Body:
    """Change the billing mode to flexible; what was invoiced before is not computed again.

    https://docs.stripe.com/api/subscriptions/migrate
    """
    body = store.get("subscription", call.ids["subscription"])
    if body["billing_mode"]["type"] == "flexible":
        raise errors.StripeError("The subscription is already on flexible billing mode.")
    mode = {"flexible": {"proration_discounts": "included"}, "type": "flexible", "updated_at": call.now}
    return subscription_states.change(body, call, billing_mode=mode)


def cancel(call: Call) -> Body:
    """End the subscription now, without a refund."""
    body = retrieve(call)
    if body["status"] in subscription_states.ENDED:
        raise errors.unknown_object("subscription", body["id"])
    call = clocks.of_customer(call, body["customer"])
    return subscription_states.end(body, call, reason="cancellation_requested")


def preview_change(call: Call) -> Body:
    """The invoice that a change of prices would create. Changes nothing.

    https://docs.stripe.com/api/invoices/create_preview
    """
    params = call.params
    if "subscription" not in params:
        raise errors.missing("subscription")
    subscription = store.get("subscription", params["subscription"], "subscription")
    customer = store.get("customer", subscription["customer"])
    call = clocks.of_customer(call, customer)
    details = params.get("subscription_details") or {}
    if not details.get("items"):
        raise errors.missing("subscription_details[items]")
    change = subscription_items.change(subscription, details, call)
    body = invoices.new(
        call,
        customer,
        lines=change.lines,
        reason="subscription_update",
        subscription=subscription,
        invoice_id=f"upcoming_in_{store.random_text(24)}",
    )
    body["parent"]["subscription_details"]["subscription_proration_date"] = details.get("proration_date")
    return body
