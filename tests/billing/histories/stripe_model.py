"""A model of Stripe's payments in memory, behind the functions of the gateway.

Invariant: it holds only the fields that billing reads, so that thousands of histories run in minutes. The
sandbox is the full simulation of Stripe; every other test uses it.
"""

import copy
import datetime as dt
from typing import Any

from billing import stripe_gateway

StripeObject = dict[str, Any]
CURRENCY = "usd"


class StripeModel:
    """Each operation changes objects and appends its events to `events`, oldest first."""

    def __init__(self) -> None:
        self.sessions: dict[str, StripeObject] = {}
        self.payments: dict[str, StripeObject] = {}
        self.refunds: dict[str, StripeObject] = {}
        self.disputes: dict[str, StripeObject] = {}
        self.events: list[StripeObject] = []
        self.now = dt.datetime(2026, 11, 20, 12, tzinfo=dt.UTC)

    def install(self, monkeypatch: Any) -> None:
        """Replace the functions of the gateway by this model."""
        functions: dict[str, Any] = {
            "retrieve_checkout_session": self._retrieve(self.sessions),
            "retrieve_payment_intent": self._retrieve(self.payments),
            "retrieve_refund": self._retrieve(self.refunds),
            "retrieve_dispute": self._retrieve(self.disputes),
            "list_refunds_of_charge": lambda charge: copy.deepcopy(
                [refund for refund in self.refunds.values() if refund["charge"] == charge]
            ),
            "create_refund": self.create_refund,
            "list_events": lambda _since: copy.deepcopy(self.events[::-1]),
            "list_checkout_sessions": lambda _since: copy.deepcopy([*self.sessions.values()]),
            "list_payment_intents": lambda _since: copy.deepcopy([*self.payments.values()]),
            "list_refunds": lambda _since: copy.deepcopy([*self.refunds.values()]),
            "list_disputes": lambda _since: copy.deepcopy([*self.disputes.values()]),
        }
        for name, function in functions.items():
            monkeypatch.setattr(stripe_gateway, name, function)

    def _retrieve(self, objects: dict[str, StripeObject]) -> Any:
        def retrieve(object_id: str) -> StripeObject:
            if object_id not in objects:
                raise stripe_gateway.ResourceMissing(object_id)
            return copy.deepcopy(objects[object_id])

        return retrieve

    def _emit(self, stripe_object: StripeObject, *types: str) -> None:
        for type in types:
            self.events.append(
                {
                    "id": f"evt_{len(self.events)}",
                    "type": type,
                    "api_version": "2026-10-28",
                    "created": int(self.now.timestamp()),
                    "livemode": False,
                    "data": {"object": copy.deepcopy(stripe_object)},
                }
            )

    # operations

    def open_page(self, session: str, amount: int, metadata: dict[str, str]) -> None:
        self.sessions[session] = {
            "id": session,
            "mode": "payment",
            "status": "open",
            "payment_status": "unpaid",
            "amount_total": amount,
            "currency": CURRENCY,
            "client_reference_id": metadata["purchase"],
            "payment_intent": None,
            "payment_method_types": ["card"],
            "metadata": metadata,
        }

    def pay(self, session: StripeObject, *, later: bool) -> None:
        """The buyer pays; with `later` the payment is processing."""
        payment = {
            "id": f"pi_{session['id']}",
            "status": "processing" if later else "succeeded",
            "amount": session["amount_total"],
            "amount_received": 0 if later else session["amount_total"],
            "currency": CURRENCY,
            "latest_charge": f"ch_{session['id']}",
            "metadata": {name: session["metadata"][name] for name in ("purchase", "account")},
        }
        self.payments[payment["id"]] = payment
        session |= {"status": "complete", "payment_intent": payment["id"]}
        session["payment_status"] = "unpaid" if later else "paid"
        if not later:
            self._emit(payment, "payment_intent.succeeded")
        self._emit(session, "checkout.session.completed")

    def settle(self, session: StripeObject, *, succeeds: bool) -> None:
        """A processing payment succeeds or fails."""
        payment = self.payments[session["payment_intent"]]
        if succeeds:
            payment |= {"status": "succeeded", "amount_received": payment["amount"]}
            session["payment_status"] = "paid"
            self._emit(payment, "payment_intent.succeeded")
            self._emit(session, "checkout.session.async_payment_succeeded")
        else:
            payment["status"] = "requires_payment_method"
            self._emit(payment, "payment_intent.payment_failed")
            self._emit(session, "checkout.session.async_payment_failed")

    def expire(self, session: StripeObject) -> None:
        session["status"] = "expired"
        self._emit(session, "checkout.session.expired")

    def is_disputed(self, payment: StripeObject) -> bool:
        return any(
            dispute["status"] != "won"
            for dispute in self.disputes.values()
            if dispute["payment_intent"] == payment["id"]
        )

    def refundable(self, payment: StripeObject) -> int:
        """The amount that can still be refunded; 0 while the payment is disputed."""
        if payment["status"] != "succeeded" or self.is_disputed(payment):
            return 0
        return int(payment["amount"]) - self._refunded(payment)

    def _refunded(self, payment: StripeObject) -> int:
        return sum(
            int(refund["amount"])
            for refund in self.refunds.values()
            if refund["payment_intent"] == payment["id"] and refund["status"] != "failed"
        )

    def refund(
        self, payment: StripeObject, amount: int, *, named: str = "", pending: bool = False
    ) -> StripeObject:
        refund = {
            "id": f"re_{len(self.refunds)}",
            "payment_intent": payment["id"],
            "charge": payment["latest_charge"],
            "amount": amount,
            "currency": CURRENCY,
            "status": "pending" if pending else "succeeded",
            "metadata": {"refund": named} if named else {},
        }
        self.refunds[refund["id"]] = refund
        charge = {"id": payment["latest_charge"], "payment_intent": payment["id"]}
        charge["amount_refunded"] = self._refunded(payment)
        self._emit(refund, "refund.created")
        self._emit(charge, "charge.refunded")
        return refund

    def create_refund(self, *, key: str, payment_id: str, amount: int, refund: str) -> StripeObject:
        """Create the refund named in the metadata, once."""
        for existing in self.refunds.values():
            if existing["metadata"].get("refund") == refund:
                return copy.deepcopy(existing)
        if amount > self.refundable(self.payments[payment_id]):
            raise stripe_gateway.InvalidRequest("charge_already_refunded")
        return copy.deepcopy(self.refund(self.payments[payment_id], amount, named=refund))

    def end_refund(self, refund: StripeObject, *, fails: bool) -> None:
        refund["status"] = "failed" if fails else "succeeded"
        self._emit(refund, "refund.updated", *(["refund.failed"] if fails else []))

    def dispute(self, payment: StripeObject, *, whole: bool) -> None:
        """Dispute the rest of a payment, or `whole`: all of it, refunded money included."""
        dispute = {
            "id": f"du_{len(self.disputes)}",
            "payment_intent": payment["id"],
            "amount": payment["amount"] if whole else self.refundable(payment),
            "currency": CURRENCY,
            "status": "needs_response",
            "reason": "fraudulent",
        }
        self.disputes[dispute["id"]] = dispute
        self._emit(dispute, "charge.dispute.created", "charge.dispute.funds_withdrawn")

    def decide(self, dispute: StripeObject, *, won: bool) -> None:
        dispute["status"] = "won" if won else "lost"
        self._emit(dispute, "charge.dispute.closed")

    def reverse_decision(self, dispute: StripeObject) -> None:
        """The bank changes a decision, or an appeal does."""
        self.decide(dispute, won=dispute["status"] == "lost")
