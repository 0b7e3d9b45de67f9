"""Check that the configured Stripe test key can do everything that this installation needs.

It creates a customer, a price, a payment page and a small payment with a test card, and refunds it. No
account of this installation is affected. A live key is refused.
"""

from collections.abc import Callable
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from billing import offers, stripe_gateway
from billing.purchases import checkout
from core.ids import new_id
from pricing.catalogue import payment_methods


class Command(BaseCommand):
    help = "Check the configured Stripe test key: customer, price, payment page, payment, refund and events."

    def handle(self, **options: Any) -> None:
        if settings.STRIPE_SECRET_KEY.startswith(("sk_live_", "rk_live_")):
            raise CommandError("STRIPE_SECRET_KEY is a live key. Use a test key (sk_test_…) for this.")
        self.key = f"smoke:{new_id().hex}"
        self.currency = offers.resolve_currency(None)
        self.stdout.write(f"Stripe at {settings.STRIPE_API_BASE}, currency {self.currency.upper()}")
        customer = self.step("a customer", self.customer)
        self.step("a price for a plan", self.price)
        self.step("a payment page with this catalogue's methods", lambda: self.page(customer))
        payment = self.step("a payment with a test card", lambda: self.payment(customer))
        self.step("its refund", lambda: self.refund(payment))
        self.step(
            "reading events",
            lambda: next(iter(stripe_gateway.list_recent_events(1)), {}).get("id", "none yet"),
        )
        self.stdout.write(self.style.SUCCESS("Everything works. Webhooks: see docs/stripe.md."))

    def step(self, name: str, act: Callable[[], str]) -> str:
        try:
            done = act()
        except stripe_gateway.StripeError as error:
            raise CommandError(f"{name}: {type(error).__name__}: {error}") from error
        self.stdout.write(f"  ok  {name}: {done}")
        return done

    def customer(self) -> str:
        return stripe_gateway.create_customer(
            key=f"{self.key}:customer", email="smoke@example.org", name="Smoke test", account="none"
        )

    def price(self) -> str:
        return stripe_gateway.create_price(
            key=f"{self.key}:price",
            name="Smoke test",
            currency=self.currency,
            amount=1000,
            interval="month",
            plan="smoke-test",
        )

    def page(self, customer: str) -> str:
        data = {"currency": self.currency, "unit_amount": 1000, "product_data": {"name": "Smoke test"}}
        params = {
            "mode": "payment",
            "customer": customer,
            "line_items": [{"price_data": data, "quantity": 1}],
            "success_url": settings.SITE_URL,
            "cancel_url": settings.SITE_URL,
            **checkout.payment_method_params(payment_methods.of_packs(self.currency), self.currency),
        }
        return str(stripe_gateway.create_checkout_session(key=f"{self.key}:page", params=params)["id"])

    def payment(self, customer: str) -> str:
        params = {
            "amount": 1000,
            "currency": self.currency,
            "customer": customer,
            "payment_method": "pm_card_visa",
            "allowed_payment_method_types": ["card"],
        }
        return str(stripe_gateway.create_off_session_payment(key=f"{self.key}:payment", params=params)["id"])

    def newest_event(self) -> str:
        events = stripe_gateway.list_recent_events(1)
        return str(events[0]["id"]) if events else "none yet"

    def refund(self, payment: str) -> str:
        return str(
            stripe_gateway.create_refund(
                key=f"{self.key}:refund", payment_id=payment, amount=1000, refund="none"
            )["id"]
        )
