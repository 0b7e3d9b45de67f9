"""Refunds of a charge, in part or in full.

Invariant: the refunds of a charge that have not failed never exceed its amount; a failed refund reduces
`amount_refunded` again. https://docs.stripe.com/refunds
"""

import secrets
from datetime import timedelta

from sandbox import errors, store
from sandbox.calls import Call
from sandbox.models import Due
from sandbox.objects import amounts, charges, disputes, events
from sandbox.store import Body

COMPLETES_AFTER = timedelta(seconds=5)


def create(call: Call) -> Body:
    """Refund a charge, or the charge of a payment intent. Raises StripeError if less than that is left."""
    charge = _charge(call)
    left = charge["amount"] - charge["amount_refunded"]
    amount = call.params.get("amount", left)
    if disputes.blocks_refunds(charge):
        raise errors.StripeError("This charge has been charged back.", code="charge_disputed")
    if left == 0:
        raise errors.StripeError(
            f"Charge {charge['id']} has already been refunded.", code="charge_already_refunded"
        )
    if amount <= 0:
        raise errors.StripeError("Invalid positive integer", code="parameter_invalid_integer", param="amount")
    amounts.check_step(amount, charge["currency"])
    if amount > left:
        requested, remaining = (amounts.format_amount(value, charge["currency"]) for value in (amount, left))
        raise errors.StripeError(
            f"Refund amount ({requested}) is greater than unrefunded amount on charge ({remaining})",
            param="amount",
        )
    return _refund(charge, amount, call)


def _charge(call: Call) -> Body:
    if charge_id := call.params.get("charge"):
        charge = store.get("charge", charge_id, "charge")
    elif intent_id := call.params.get("payment_intent"):
        intent = store.get("payment_intent", intent_id, "payment_intent")
        found = store.find("charge", intent["latest_charge"])
        if found is None or intent["status"] != "succeeded":
            raise errors.StripeError(
                f"This PaymentIntent ({intent_id}) does not have a successful charge to refund.",
                param="payment_intent",
            )
        charge = found
    else:
        raise errors.StripeError(
            "One of charge or payment_intent is required.", code="parameter_missing", param="charge"
        )
    if charge["status"] != "succeeded":
        raise errors.StripeError(f"Charge {charge['id']} was not successful.", code="charge_not_refundable")
    return charge


def _refund(charge: Body, amount: int, call: Call) -> Body:
    kind = charge["payment_method_details"]["type"]
    behaviour = charges.test_card_of(charge).after_payment
    waits = kind == "customer_balance" or behaviour == "refund_waits"
    body: Body = {
        "id": store.new_id("refund"),
        "object": "refund",
        "amount": amount,
        "balance_transaction": None,
        "charge": charge["id"],
        "created": call.now,
        "currency": charge["currency"],
        "customer": charge["customer"],
        "customer_account": None,
        "destination_details": _destination(kind),
        "failure_balance_transaction": None,
        "metadata": {},
        "payment_intent": charge["payment_intent"],
        "payment_method": charge["payment_method"],
        "pending_reason": "processing" if waits else None,
        "reason": call.params.get("reason"),
        "receipt_number": None,
        "source_transfer_reversal": None,
        "status": "pending" if waits else "succeeded",
        "transfer_reversal": None,
    }
    store.merge_metadata(body, call.params.get("metadata") or {})
    store.add(body)
    before = charge["amount_refunded"]
    charge["amount_refunded"] = before + amount
    charge["refunded"] = charge["amount_refunded"] == charge["amount"]
    store.save(charge)
    events.record("refund.created", body, call)
    events.record("charge.refunded", charge, call, {"amount_refunded": before, "refunded": False})
    if waits or behaviour == "refund_fails":
        action = "fail_refund" if behaviour == "refund_fails" else "settle_refund"
        Due.objects.create(stripe_id=body["id"], action=action, due_at=call.moment + COMPLETES_AFTER)
    return body


def _destination(kind: str) -> Body:
    """The acquirer reference number of a card's refund is known days later (https://docs.stripe.com/refunds#tracing-refunds)."""
    if kind != "card":
        return {"type": kind}
    card = {"reference_status": "pending", "reference_type": "acquirer_reference_number", "type": "refund"}
    return {"card": card, "type": "card"}


def has_no_reference(body: Body) -> bool:
    card = body["destination_details"].get("card") or {}
    return body["status"] == "succeeded" and card.get("reference_status") == "pending"


def set_reference(body: Body, call: Call) -> Body:
    """The card network reported the reference number with which a bank finds the refund."""
    card = body["destination_details"]["card"]
    card |= {
        "reference": "".join(secrets.choice("0123456789") for _ in range(23)),
        "reference_status": "available",
    }
    store.save(body)
    _record_updated(body, call)
    return body


def settle(body: Body, call: Call) -> Body:
    """Complete a pending refund."""
    if body["status"] == "pending":
        body |= {"status": "succeeded", "pending_reason": None}
        store.save(body)
        _record_updated(body, call)
    return body


def fail(body: Body, call: Call, *, reason: str = "lost_or_stolen_card") -> Body:
    """The bank returned the amount: the refund failed, even if it had succeeded before."""
    if body["status"] not in ("pending", "succeeded", "requires_action"):
        raise errors.StripeError(
            f"The refund {body['id']} is {body['status']} already.", code="refund_unexpected_state"
        )
    body |= {
        "status": "failed",
        "failure_reason": reason,
        "pending_reason": None,
    }
    store.save(body)
    charge = store.get("charge", body["charge"])
    charge["amount_refunded"] -= body["amount"]
    charge["refunded"] = False
    store.save(charge)
    _record_updated(body, call)
    events.record("refund.failed", body, call)
    return body


def _record_updated(body: Body, call: Call) -> None:
    for name in ("refund.updated", "charge.refund.updated"):
        events.record(name, body, call)


def retrieve(call: Call) -> Body:
    return store.get("refund", call.ids["refund"])


def list_refunds(call: Call) -> Body:
    return store.listing(
        "refund",
        call,
        "/v1/refunds",
        charge=call.params.get("charge"),
        payment_intent=call.params.get("payment_intent"),
    )
