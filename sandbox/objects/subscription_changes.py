"""Changes of a subscription: other price or quantity now, end at the period's end, end now.

Invariant: what a change costs comes from sandbox.objects.prorations; a change that must be paid first
(`pending_if_incomplete`) takes effect when its invoice is paid, never before.
"""

import copy
from typing import Any

from sandbox import errors, store
from sandbox.calls import Call
from sandbox.objects import (
    clocks,
    customers,
    invoice_items,
    invoices,
    payment_methods,
    payments,
    prorations,
    subscription_states,
)
from sandbox.store import Body

PENDING_FOR = 23 * 3600


def update(call: Call) -> Body:
    """Raises payments.Declined (plain, all taken back) with `payment_behavior=error_if_incomplete`."""
    body = store.get("subscription", call.ids["subscription_exposed_id"])
    call = clocks.of_customer(call, body["customer"])
    if body["status"] in subscription_states.OVER:
        raise errors.StripeError(
            "A canceled subscription can only update its cancellation_details and metadata.",
            code="resource_missing",
        )
    fields = _plain_fields(body, call)
    if fields:
        subscription_states.change(body, call, **fields)
    given = call.params
    if given.get("items") or prorations.anchored_now(given) or given.get("trial_end") == "now":
        _change_items(body, call)
    return store.get("subscription", body["id"])


def _plain_fields(body: Body, call: Call) -> dict[str, Any]:
    given = call.params
    fields: dict[str, Any] = {}
    if "cancel_at_period_end" in given:
        wanted = given["cancel_at_period_end"]
        end = min(item["current_period_end"] for item in body["items"]["data"])
        fields |= {"cancel_at_period_end": wanted, "cancel_at": end if wanted else None}
        fields["canceled_at"] = call.now if wanted else None
        reason = "cancellation_requested" if wanted else None
        fields["cancellation_details"] = {"comment": None, "feedback": None, "reason": reason}
    if "cancel_at" in given:
        fields |= {
            "cancel_at": given["cancel_at"] or None,
            "canceled_at": call.now if given["cancel_at"] else None,
        }
    if isinstance(given.get("trial_end"), int):
        raise errors.StripeError(
            "The sandbox ends trials now, or not at all.", param="trial_end", code="sandbox_gap"
        )
    if details := given.get("cancellation_details"):
        fields["cancellation_details"] = (
            fields.get("cancellation_details") or body["cancellation_details"]
        ) | details
    if method := given.get("default_payment_method"):
        payment_methods.attach(payment_methods.usable(method, call), body["customer"], call)
        fields["default_payment_method"] = method
    if "description" in given:
        fields["description"] = given["description"] or None
    if "metadata" in given:
        copied = copy.deepcopy(body)
        customers.merge_metadata(copied, given["metadata"])
        fields["metadata"] = copied["metadata"]
    return fields


def _change_items(body: Body, call: Call) -> None:
    given = call.params
    behaviour = given.get("proration_behavior", "create_prorations")
    at = given.get("proration_date", call.now)
    starts_now = prorations.anchored_now(given) or given.get("trial_end") == "now"
    if starts_now and body["status"] == "trialing":
        body |= {"trial_end": call.now, "status": "active"}
    change = prorations.change(
        body, given.get("items") or [], call, at=at, behaviour=behaviour, anchor_now=starts_now
    )
    fields: dict[str, Any] = {"items": body["items"] | {"data": change.items}}
    if change.restarts:
        fields["billing_cycle_anchor"] = call.now
    if behaviour == "create_prorations" and not change.restarts:
        subscription_states.change(body, call, **fields)
        invoice_items.hold(body, change.lines, call)
        return
    if not change.lines:
        subscription_states.change(body, call, **fields)
        return
    _bill(body, change.lines, fields, call)


def _bill(body: Body, lines: list[Body], fields: dict[str, Any], call: Call) -> None:
    payment_behaviour = call.params.get("payment_behavior", "allow_incomplete")
    customer = store.get("customer", body["customer"])
    waits = payment_behaviour == "pending_if_incomplete"
    if not waits:
        subscription_states.change(body, call, **fields)
    invoice = invoices.draft(
        call,
        customer,
        lines=lines,
        currency=body["currency"],
        reason="subscription_update",
        subscription=body,
    )
    if waits:
        pending = {
            "billing_cycle_anchor": fields.get("billing_cycle_anchor"),
            "expires_at": call.now + PENDING_FOR,
            "subscription_items": fields["items"]["data"],
            "trial_end": None,
            "trial_from_plan": None,
        }
        body |= {"pending_update": pending, "_pending": {"invoice": invoice["id"], "fields": fields}}
    body["latest_invoice"] = invoice["id"]
    store.save(body)
    invoices.finalize(invoice, call)
    if invoice["status"] == "open" and payment_behaviour != "default_incomplete":
        try:
            invoices.collect(invoice, call)
        except payments.Declined as declined:
            if payment_behaviour == "error_if_incomplete":
                raise errors.refusal_of(declined) from declined
            if not waits:
                subscription_states.unpaid(store.get("subscription", body["id"]), call)


def cancel(call: Call) -> Body:
    """End it at once; with `prorate`, the unused time becomes the customer's credit."""
    body = store.get("subscription", call.ids["subscription_exposed_id"])
    call = clocks.of_customer(call, body["customer"])
    if body["status"] in subscription_states.OVER:
        raise errors.unknown_object("subscription", body["id"])
    if details := call.params.get("cancellation_details"):
        body["cancellation_details"] |= details
    if call.params.get("prorate"):
        lines = prorations.unused(body, call.now)
        if call.params.get("invoice_now"):
            customer = store.get("customer", body["customer"])
            invoice = invoices.draft(
                call,
                customer,
                lines=lines,
                currency=body["currency"],
                reason="subscription_update",
                subscription=body,
            )
            invoices.finalize(invoice, call)
        else:
            invoice_items.hold(body, lines, call)
    return subscription_states.end(body, call, reason="cancellation_requested")
