"""Disputes: opened for a charge by the cardholder's bank, and decided by it.

Invariant: `balance_transactions` shows how the money moved: the last one is negative while it is withdrawn.
A chargeback withdraws the amount when it opens, an inquiry only when it becomes a chargeback; a won dispute
reinstates it. A decision is not always the last: a bank can take a won dispute back, and a lost one can be
appealed (https://docs.stripe.com/disputes/how-disputes-work, https://docs.stripe.com/disputes/arbitration).
A dispute that is `prevented` was either blocked before money moved (case type `block`) or resolved by
returning the amount (case type `resolution`):
https://docs.stripe.com/changelog/basil/2025-08-27/add-preventions-to-dispute and
https://docs.stripe.com/disputes/get-started/prevention.
"""

from typing import Any

from sandbox import errors, store
from sandbox.calls import Call
from sandbox.objects import events
from sandbox.store import Body

# What a submitted response leads to; no other status takes one.
REVIEWED = {
    "warning_needs_response": "warning_under_review",
    "needs_response": "under_review",
    "appeal_needs_response": "appeal_under_review",
}
INQUIRY = ("warning_needs_response", "warning_under_review")
OPEN = ("needs_response", "under_review", "appeal_needs_response", "appeal_under_review")
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


def open_dispute(charge: Body, call: Call, *, reason: str = "fraudulent", amount: int | None = None) -> Body:
    """A chargeback of a charge, in full or in part: the money is withdrawn at once.

    By default it is about what was neither refunded nor disputed, or about the whole amount where nothing of
    it is left; refunded money is not withdrawn again. Raises StripeError if the charge cannot be disputed.
    """
    body = _new(charge, call, reason=reason, amount=amount, status="needs_response", case="chargeback")
    events.record("charge.dispute.created", body, call)
    _withdraw(body, call)
    return body


def open_inquiry(charge: Body, call: Call) -> Body:
    """The bank asks before a chargeback: no money moves and the charge can be refunded.

    https://docs.stripe.com/disputes/how-disputes-work#inquiries
    """
    body = _new(charge, call, reason="general", status="warning_needs_response", case="inquiry")
    events.record("charge.dispute.created", body, call)
    return body


def prevent(charge: Body, call: Call, *, blocked: bool) -> Body:
    """A dispute that was prevented: blocked before money moved, or resolved by returning the amount."""
    case = "block" if blocked else "resolution"
    body = _new(charge, call, reason="fraudulent", status="prevented", case=case)
    events.record("charge.dispute.created", body, call)
    if not blocked:
        _withdraw(body, call)
    events.record("charge.dispute.closed", body, call)
    return body


def _new(charge: Body, call: Call, *, reason: str, status: str, case: str, amount: int | None = None) -> Body:
    disputed = disputed_amount(charge)
    if not charge["paid"] or disputed >= charge["amount"]:
        raise errors.StripeError(f"The charge {charge['id']} cannot be disputed.", code="charge_disputed")
    left = charge["amount"] - charge["amount_refunded"] - disputed
    body: Body = {
        "id": store.new_id("dispute"),
        "object": "dispute",
        "amount": amount or (left if left > 0 else charge["amount"] - disputed),
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
        "is_charge_refundable": case in ("inquiry", "block"),
        "livemode": False,
        "metadata": {},
        "network_reason_code": "10.4",
        "payment_intent": charge["payment_intent"],
        "payment_method_details": _method_details(charge, case),
        "reason": reason,
        "status": status,
    }
    store.add(body)
    charge["disputed"] = True
    store.save(charge)
    return body


def _method_details(charge: Body, case: str) -> Body | None:
    details = charge["payment_method_details"]
    if details["type"] != "card":
        return None
    brand = details["card"]["brand"]
    return {
        "type": "card",
        "card": {"brand": brand, "case_type": case, "network": brand, "network_reason_code": "10.4"},
    }


def disputed_amount(charge: Body) -> int:
    """What disputes of the charge are about, without those that ended before a chargeback."""
    return sum(
        body["amount"]
        for body in store.where("dispute", charge=charge["id"])
        if body["status"] != "warning_closed"
        and not (body["status"] == "prevented" and not body["balance_transactions"])
    )


def money_is_withdrawn(body: Body) -> bool:
    transactions = body["balance_transactions"]
    return bool(transactions) and transactions[-1]["amount"] < 0


def _withdraw(body: Body, call: Call) -> None:
    """Withdraw the amount, except for what was refunded: https://docs.stripe.com/api/disputes/object"""
    charge = store.get("charge", body["charge"])
    amount = min(body["amount"], charge["amount"] - charge["amount_refunded"])
    body["is_charge_refundable"] = False
    if amount > 0:
        body["balance_transactions"].append(_balance_transaction(body, -amount, call))
    store.save(body)
    if amount > 0:
        events.record("charge.dispute.funds_withdrawn", body, call)


def _reinstate(body: Body, call: Call) -> None:
    withdrawn = -body["balance_transactions"][-1]["amount"]
    body["balance_transactions"].append(_balance_transaction(body, withdrawn, call))
    store.save(body)
    events.record("charge.dispute.funds_reinstated", body, call)


def _balance_transaction(body: Body, amount: int, call: Call) -> Body:
    """https://docs.stripe.com/reports/balance-transaction-types#adjustment"""
    withdrawn = amount < 0
    return {
        "id": f"txn_{store.random_text(24)}",
        "object": "balance_transaction",
        "amount": amount,
        "available_on": call.now,
        "balance_type": "payments",
        "created": call.now,
        "currency": body["currency"],
        "description": f"Chargeback {'withdrawal' if withdrawn else 'reversal'} for {body['charge']}",
        "exchange_rate": None,
        "fee": 0,
        "fee_details": [],
        "net": amount,
        "reporting_category": "dispute" if withdrawn else "dispute_reversal",
        "source": body["id"],
        "status": "available",
        "type": "adjustment",
    }


def _change(body: Body, call: Call, status: str, event: str = "charge.dispute.updated") -> Body:
    before = body["status"]
    body["status"] = status
    store.save(body)
    events.record(event, body, call, {"status": before} if event.endswith("updated") else None)
    return body


def _refuse_unless(possible: bool, body: Body) -> None:
    if not possible:
        raise errors.StripeError(
            f"This is not possible for the dispute {body['id']}: it is {body['status']}.",
            code="dispute_unexpected_state",
        )


def respond(body: Body, call: Call) -> Body:
    """Submit evidence: the bank reviews it."""
    _refuse_unless(body["status"] in REVIEWED, body)
    details = body["evidence_details"]
    details |= {
        "has_evidence": True,
        "submission_count": details["submission_count"] + 1,
        "submission_method": "manual",
    }
    return _change(body, call, REVIEWED[body["status"]])


def escalate(body: Body, call: Call) -> Body:
    """The inquiry becomes a chargeback, which withdraws the money."""
    _refuse_unless(body["status"] in INQUIRY, body)
    if body["payment_method_details"]:
        body["payment_method_details"]["card"]["case_type"] = "chargeback"
    _change(body, call, "needs_response")
    _withdraw(body, call)
    return body


def close_inquiry(body: Body, call: Call) -> Body:
    """The inquiry ended without a chargeback (by Stripe after 120 days)."""
    _refuse_unless(body["status"] in INQUIRY, body)
    return _change(body, call, "warning_closed", "charge.dispute.closed")


def decide(body: Body, call: Call, *, won: bool) -> Body:
    """Record the bank's decision of an open dispute or appeal. Raises StripeError without one."""
    _refuse_unless(body["status"] in OPEN, body)
    body["status"] = "won" if won else "lost"
    store.save(body)
    if won and money_is_withdrawn(body):
        _reinstate(body, call)
    events.record("charge.dispute.closed", body, call)
    return body


def reverse_decision(body: Body, call: Call) -> Body:
    """The bank changes its decision: a won dispute is lost and the money withdrawn again, or the reverse."""
    _refuse_unless(body["status"] in ("won", "lost"), body)
    _change(body, call, "lost" if body["status"] == "won" else "won")
    if body["status"] == "lost":
        _withdraw(body, call)
    elif money_is_withdrawn(body):
        _reinstate(body, call)
    events.record("charge.dispute.closed", body, call)
    return body


def open_appeal(body: Body, call: Call) -> Body:
    """The lost dispute can be appealed to the card network; the money stays withdrawn.

    https://docs.stripe.com/changelog/endive/2026-10-28/evidence-submission-appeal-dispute-decisions
    """
    _refuse_unless(body["status"] in ("under_review", "lost"), body)
    return _change(body, call, "appeal_needs_response")


def blocks_refunds(charge: Body) -> bool:
    """Whether a dispute of the charge excludes refunds (https://docs.stripe.com/api/disputes/object)."""
    disputes: list[dict[str, Any]] = store.where("dispute", charge=charge["id"])
    return any(body["status"] != "won" and not body["is_charge_refundable"] for body in disputes)


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
