"""Stripe in memory: what truly happened to payments, the events that tell of it, its answers when asked.

The sandbox is the stand-in that knows Stripe's shapes; this one knows only what billing reads of them, so
that thousands of histories can be told in minutes.
"""

import copy
import datetime as dt
from typing import Any

from billing import stripe_gateway

Facts = dict[str, Any]
CURRENCY = "usd"


class Bank:
    """Each move changes the truth and leaves its events in `told`, oldest first."""

    def __init__(self) -> None:
        self.sessions: dict[str, Facts] = {}
        self.payments: dict[str, Facts] = {}
        self.refunds: dict[str, Facts] = {}
        self.disputes: dict[str, Facts] = {}
        self.told: list[Facts] = []
        self.now = dt.datetime(2026, 11, 20, 12, tzinfo=dt.UTC)

    def install(self, monkeypatch: Any) -> None:
        """Let the gateway ask this bank."""
        answers: dict[str, Any] = {
            "retrieve_checkout_session": self._found(self.sessions),
            "retrieve_payment_intent": self._found(self.payments),
            "retrieve_refund": self._found(self.refunds),
            "retrieve_dispute": self._found(self.disputes),
            "list_refunds_of_charge": lambda charge: copy.deepcopy(
                [one for one in self.refunds.values() if one["charge"] == charge]
            ),
            "create_refund": self.refund_by_name,
            "list_events": lambda _since: copy.deepcopy(self.told[::-1]),
            "list_checkout_sessions": lambda _since: copy.deepcopy([*self.sessions.values()]),
            "list_payment_intents": lambda _since: copy.deepcopy([*self.payments.values()]),
            "list_refunds": lambda _since: copy.deepcopy([*self.refunds.values()]),
            "list_disputes": lambda _since: copy.deepcopy([*self.disputes.values()]),
        }
        for name, answer in answers.items():
            monkeypatch.setattr(stripe_gateway, name, answer)

    def _found(self, things: dict[str, Facts]) -> Any:
        def find(thing_id: str) -> Facts:
            if thing_id not in things:
                raise stripe_gateway.ResourceMissing(thing_id)
            return copy.deepcopy(things[thing_id])

        return find

    def _tell(self, thing: Facts, *types: str) -> None:
        for kind in types:
            self.told.append(
                {
                    "id": f"evt_{len(self.told)}",
                    "type": kind,
                    "api_version": "2026-10-28",
                    "created": int(self.now.timestamp()),
                    "livemode": False,
                    "data": {"object": copy.deepcopy(thing)},
                }
            )

    # moves

    def open_page(self, session: str, amount: int, marks: dict[str, str]) -> None:
        self.sessions[session] = {
            "id": session,
            "mode": "payment",
            "status": "open",
            "payment_status": "unpaid",
            "amount_total": amount,
            "currency": CURRENCY,
            "client_reference_id": marks["purchase"],
            "payment_intent": None,
            "payment_method_types": ["card"],
            "metadata": marks,
        }

    def pay(self, session: Facts, *, later: bool) -> None:
        """The buyer pays; with `later` the money is only on its way."""
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
            self._tell(payment, "payment_intent.succeeded")
        self._tell(session, "checkout.session.completed")

    def settle(self, session: Facts, *, arrives: bool) -> None:
        """The money that was on its way arrives, or never will."""
        payment = self.payments[session["payment_intent"]]
        if arrives:
            payment |= {"status": "succeeded", "amount_received": payment["amount"]}
            session["payment_status"] = "paid"
            self._tell(payment, "payment_intent.succeeded")
            self._tell(session, "checkout.session.async_payment_succeeded")
        else:
            payment["status"] = "requires_payment_method"
            self._tell(payment, "payment_intent.payment_failed")
            self._tell(session, "checkout.session.async_payment_failed")

    def expire(self, session: Facts) -> None:
        session["status"] = "expired"
        self._tell(session, "checkout.session.expired")

    def disputed(self, payment: Facts) -> bool:
        pulled = [one for one in self.disputes.values() if one["payment_intent"] == payment["id"]]
        return any(one["status"] != "won" for one in pulled)

    def left_of(self, payment: Facts) -> int:
        """What can still be refunded; nothing while a bank has pulled the money back."""
        if payment["status"] != "succeeded" or self.disputed(payment):
            return 0
        given = (one for one in self.refunds.values() if one["payment_intent"] == payment["id"])
        return int(payment["amount"]) - sum(one["amount"] for one in given if one["status"] != "failed")

    def refund(self, payment: Facts, amount: int, *, named: str = "", waits: bool = False) -> Facts:
        refund = {
            "id": f"re_{len(self.refunds)}",
            "payment_intent": payment["id"],
            "charge": payment["latest_charge"],
            "amount": amount,
            "currency": CURRENCY,
            "status": "pending" if waits else "succeeded",
            "metadata": {"refund": named} if named else {},
        }
        self.refunds[refund["id"]] = refund
        given = (one for one in self.refunds.values() if one["payment_intent"] == payment["id"])
        total = sum(one["amount"] for one in given if one["status"] != "failed")
        charge = {"id": payment["latest_charge"], "payment_intent": payment["id"], "amount_refunded": total}
        self._tell(refund, "refund.created")
        self._tell(charge, "charge.refunded")
        return refund

    def refund_by_name(self, *, key: str, payment_id: str, amount: int, refund: str) -> Facts:
        """The refund that we ask for: once for its name."""
        for one in self.refunds.values():
            if one["metadata"].get("refund") == refund:
                return copy.deepcopy(one)
        if amount > self.left_of(self.payments[payment_id]):
            raise stripe_gateway.InvalidRequest("charge_already_refunded")
        return copy.deepcopy(self.refund(self.payments[payment_id], amount, named=refund))

    def end_refund(self, refund: Facts, *, fails: bool) -> None:
        refund["status"] = "failed" if fails else "succeeded"
        self._tell(refund, "refund.updated", *(["refund.failed"] if fails else []))

    def dispute(self, payment: Facts, *, whole: bool) -> None:
        """A bank pulls the money back: what is left of it, or (it did not know of the refund) all."""
        dispute = {
            "id": f"du_{len(self.disputes)}",
            "payment_intent": payment["id"],
            "amount": payment["amount"] if whole else self.left_of(payment),
            "currency": CURRENCY,
            "status": "needs_response",
            "reason": "fraudulent",
        }
        self.disputes[dispute["id"]] = dispute
        self._tell(dispute, "charge.dispute.created", "charge.dispute.funds_withdrawn")

    def decide(self, dispute: Facts, *, won: bool) -> None:
        dispute["status"] = "won" if won else "lost"
        self._tell(dispute, "charge.dispute.closed")
