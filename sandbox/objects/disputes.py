"""Disputes: opened for a charge by the cardholder's bank, and decided by it.

Invariant: a charge has at most one dispute, and a dispute is decided once.
https://docs.stripe.com/disputes/how-disputes-work
"""

from sandbox import errors, store
from sandbox.calls import Call
from sandbox.objects import events
from sandbox.store import Body

OPEN = ("needs_response", "under_review")
EVIDENCE_FIELDS = [
    "access_activity_log",
    "billing_address",
    "cancellation_policy",
    "cancellation_policy_disclosure",
    "cancellation_rebuttal",
    "customer_communication",
    "customer_email_address",
    "customer_name",
    "customer_purchase_ip",
    "customer_signature",
    "duplicate_charge_documentation",
    "duplicate_charge_explanation",
    "duplicate_charge_id",
    "product_description",
    "receipt",
    "refund_policy",
    "refund_policy_disclosure",
    "refund_refusal_explanation",
    "service_date",
    "service_documentation",
    "shipping_address",
    "shipping_carrier",
    "shipping_date",
    "shipping_documentation",
    "shipping_tracking_number",
    "uncategorized_file",
    "uncategorized_text",
]


def open_dispute(charge: Body, call: Call, *, reason: str = "fraudulent") -> Body:
    """Dispute the amount of a charge that was not refunded. Raises StripeError if it cannot be disputed."""
    if charge["disputed"] or not charge["paid"]:
        raise errors.StripeError(f"The charge {charge['id']} cannot be disputed.", code="charge_disputed")
    body: Body = {
        "id": store.new_id("dispute"),
        "object": "dispute",
        "amount": charge["amount"] - charge["amount_refunded"],
        "balance_transactions": [],
        "charge": charge["id"],
        "created": call.now,
        "currency": charge["currency"],
        "enhanced_eligibility_types": [],
        "evidence": dict.fromkeys(EVIDENCE_FIELDS) | {"enhanced_evidence": {}},
        "evidence_details": {
            "due_by": call.now + 9 * 86400,
            "enhanced_eligibility": {},
            "has_evidence": False,
            "past_due": False,
            "submission_count": 0,
            "submission_method": "not_submitted",
        },
        "is_charge_refundable": False,
        "livemode": False,
        "metadata": {},
        "network_reason_code": "10.4",
        "payment_intent": charge["payment_intent"],
        "payment_method_details": _method_details(charge),
        "reason": reason,
        "status": "needs_response",
    }
    store.add(body)
    charge["disputed"] = True
    store.save(charge)
    events.record("charge.dispute.created", body, call)
    events.record("charge.dispute.funds_withdrawn", body, call)
    return body


def _method_details(charge: Body) -> Body | None:
    details = charge["payment_method_details"]
    if details["type"] != "card":
        return None
    brand = details["card"]["brand"]
    return {
        "type": "card",
        "card": {"brand": brand, "case_type": "chargeback", "network": brand, "network_reason_code": "10.4"},
    }


def decide(body: Body, call: Call, *, won: bool) -> Body:
    """Record the bank's decision. Raises StripeError if the dispute is closed."""
    if body["status"] not in OPEN:
        raise errors.StripeError(
            f"This dispute is already closed: it is {body['status']}.", code="dispute_closed"
        )
    body["status"] = "won" if won else "lost"
    store.save(body)
    if won:
        events.record("charge.dispute.funds_reinstated", body, call)
    events.record("charge.dispute.closed", body, call)
    return body


def retrieve(call: Call) -> Body:
    return store.get("dispute", call.ids["dispute"])


def list_disputes(call: Call) -> Body:
    return store.listing(
        "dispute",
        call,
        "/v1/disputes",
        charge=call.params.get("charge"),
        payment_intent=call.params.get("payment_intent"),
    )
