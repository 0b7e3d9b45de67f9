"""Check Stripe with the configured test key and print what differs from what Refill relies on.

Customers and subscriptions are on a Stripe test clock, which is deleted at the end; their prices remain. No
account of this installation is affected. A live key is refused. Exit code 1 when anything differs.
"""

import time
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from billing import offers, stripe_gateway
from billing.stripe_smoke import checks
from billing.stripe_smoke.objects import TestObjects


class Command(BaseCommand):
    help = "Check payments, plans, refunds and disputes with a Stripe test key."

    def handle(self, **options: Any) -> None:
        if not settings.STRIPE_SECRET_KEY.startswith(("sk_test_", "rk_test_")):
            raise CommandError("STRIPE_SECRET_KEY is not a test key. Use one that begins with sk_test_.")
        currency = offers.resolve_currency(None)
        self.stdout.write(f"Stripe at {settings.STRIPE_API_BASE}, currency {currency.upper()}")
        self.stdout.write(
            "Payment pages are opened and closed; without a browser, the payments behind them are made"
            " through the API with test cards."
        )
        is_sandbox = "/sandbox/" in settings.STRIPE_API_BASE
        try:
            objects = TestObjects(now=int(time.time()), **({"poll_seconds": 0} if is_sandbox else {}))
        except stripe_gateway.StripeError as error:
            raise CommandError(f"No test clock: {type(error).__name__}: {error}") from error
        try:
            differences = sum(not self._print(fact) for fact in checks.run(objects, currency))
        finally:
            self._remove(objects)
        if differences:
            raise CommandError(f"{differences} differ from what Refill relies on.")
        self.stdout.write(self.style.SUCCESS("Stripe does what Refill relies on. Webhooks: docs/stripe.md."))

    def _print(self, fact: checks.Fact) -> bool:
        if fact.holds:
            self.stdout.write(f"  ok      {fact.step}: {fact.what}: {fact.actual}")
        else:
            self.stdout.write(self.style.ERROR(f"  DIFFERS {fact.step}: {fact.what}"))
            self.stdout.write(f"            expected {fact.expected}")
            self.stdout.write(f"            actual   {fact.actual}")
        return fact.holds

    def _remove(self, objects: TestObjects) -> None:
        try:
            objects.remove()
        except stripe_gateway.StripeError as error:
            self.stderr.write(f"The test clock {objects.clock} was not deleted: {error}")
