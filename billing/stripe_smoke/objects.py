"""The test clock, customers and payment methods of one run, removed at its end.

Invariant: every customer is on a test clock, and deleting a clock deletes its customers and cancels their
subscriptions (https://docs.stripe.com/billing/testing/test-clocks). Prices remain in the test account. A
clock takes three customers.
"""

import time
from collections.abc import Callable
from typing import Any

from billing import stripe_gateway
from billing.stripe_gateway import StripeObject
from billing.stripe_gateway.client import call
from core.ids import new_id

WAIT_SECONDS = 180  # an advance of a month takes Stripe seconds, seldom minutes
POLL_SECONDS = 2


class TestObjects:
    """Objects that the steps share. `poll_seconds` is 0 against the sandbox, which needs no waiting."""

    def __init__(self, *, now: int, poll_seconds: float = POLL_SECONDS) -> None:
        self.poll_seconds = poll_seconds
        self.run = new_id().hex
        clock = call(
            lambda v1: v1.test_helpers.test_clocks.create(
                {"frozen_time": now, "name": f"Refill smoke {self.run}"}, self.key("clock")
            )
        )
        self.clock, self.now = str(clock["id"]), now

    def key(self, name: str) -> dict[str, Any]:
        """Request options with an idempotency key of this run."""
        return {"idempotency_key": f"smoke:{self.run}:{name}"}

    def remove(self) -> None:
        """Delete the clock with everything on it."""
        call(lambda v1: v1.test_helpers.test_clocks.delete(self.clock))

    def advance(self, to: int) -> None:
        """Advance the clock to a Unix second and wait until Stripe has done what is due."""
        call(lambda v1: v1.test_helpers.test_clocks.advance(self.clock, {"frozen_time": to}))
        self.wait(
            lambda: call(lambda v1: v1.test_helpers.test_clocks.retrieve(self.clock)),
            lambda clock: clock["status"] != "advancing",
        )
        self.now = to

    def wait(self, read: Callable[[], StripeObject], done: Callable[[StripeObject], bool]) -> StripeObject:
        """Read an object until it is as expected, at most for WAIT_SECONDS; the last one read."""
        end = time.monotonic() + (WAIT_SECONDS if self.poll_seconds else 0)
        while True:
            found = read()
            if done(found) or time.monotonic() >= end:
                return found
            time.sleep(self.poll_seconds)

    def customer(self, card: str = "visa") -> tuple[str, str]:
        """A customer on the clock with a saved default card; the ids of both."""
        params = {"email": "smoke@example.org", "name": "Smoke test", "test_clock": self.clock}
        options = self.key(f"customer {card} {new_id().hex}")
        customer = str(call(lambda v1: v1.customers.create(params, options))["id"])
        return customer, self.save_card(customer, card)

    def save_card(self, customer: str, card: str) -> str:
        """Attach a test card and make it the customer's default, as the gateway does."""
        params, options = {"customer": customer}, self.key(f"attach {customer} {card}")
        method = call(lambda v1: v1.payment_methods.attach(f"pm_card_{card}", params, options))
        stripe_gateway.set_default_payment_method(
            key=f"smoke:{self.run}:prefer {method['id']}", customer=customer, card=str(method["id"])
        )
        return str(method["id"])

    def save_bank_account(self, customer: str, iban: str) -> str:
        """Save a SEPA debit with its mandate, as a payment page does.

        https://docs.stripe.com/payments/sepa-debit/set-up-payment
        """
        details = {
            "type": "sepa_debit",
            "sepa_debit": {"iban": iban},
            "billing_details": {"name": "Smoke test", "email": "smoke@example.org"},
        }
        options = self.key("iban")
        method = str(call(lambda v1: v1.payment_methods.create(details, options))["id"])
        intent = {
            "customer": customer,
            "payment_method": method,
            "allowed_payment_method_types": ["sepa_debit"],
            "confirm": True,
            "usage": "off_session",
            "mandate_data": {"customer_acceptance": {"type": "offline"}},
        }
        options = self.key("mandate")
        call(lambda v1: v1.setup_intents.create(intent, options))
        return method

    def subscribe(self, customer: str, price: str, method: str, name: str) -> StripeObject:
        """A subscription as a payment page creates it, with its first invoice."""
        params = {
            "customer": customer,
            "items": [{"price": price}],
            "default_payment_method": method,
            "billing_mode": stripe_gateway.BILLING_MODE,
            "metadata": {"smoke": self.run},
            "expand": ["latest_invoice"],
        }
        options = self.key(f"subscription {name}")
        return call(lambda v1: v1.subscriptions.create(params, options))

    def pay(self, customer: str, method: str, amount: int, currency: str, name: str) -> StripeObject:
        """A payment with a saved card, by the gateway's own function."""
        params = {
            "amount": amount,
            "currency": currency,
            "customer": customer,
            "payment_method": method,
            "description": "Smoke test",
            "metadata": {"purchase": f"smoke {name}"},
        }
        key = f"smoke:{self.run}:pay {name}"
        return stripe_gateway.create_off_session_payment(key=key, params=params)

    def disputes_of(self, payment: str) -> StripeObject:
        params = {"payment_intent": payment}
        return call(lambda v1: v1.disputes.list(params))
