"""The world in which a move of money is made: alice's account, two plans and a pack, and Stripe's sandbox.

Alice's account begins on 1 November 2026 at noon with a free plan that gives nothing, so that every credit
comes from a payment. A pack is 1,000 credits for 10.00. Starter is 1,000 credits a month for 10.00, Creator
3,000 for 30.00; a year costs ten months. Bob has invited alice where a test says so.
"""

import copy
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from django.db import transaction
from django.test import Client
from django.utils import timezone

from accounts.models import Account, User
from billing import ledger
from billing.models import Purchase, StripeEvent, Subscription
from billing.payments import fulfilment
from billing.promotions import referrals
from billing.purchases import auto_top_up, checkout, create, plan_conflicts
from billing.refunds import plan_payments
from billing.stripe_gateway import CardDeclined
from billing.subscriptions import changes, plan_terms, previews
from billing.webhooks import events as stripe_events
from billing.webhooks import handlers
from core.errors import Refusal
from pricing.catalogue import cache as catalogue_cache
from pricing.models import Pack, Plan
from sandbox import scheduled_actions, store
from sandbox.models import Resource
from tests.billing import stripe_sandbox
from tests.billing.conftest import change_policies
from tests.conftest import person
from tests.sandbox.conftest import CARD, IBAN, Buyer

START = datetime(2026, 11, 1, 12, tzinfo=UTC)
PERIOD_END = datetime(2026, 12, 1, 12, tzinfo=UTC)
PACK_PRICE = {"usd": 1000, "eur": 1000, "jpy": 1499, "kwd": 3070}
MONTH_PRICE = {"usd": 1000, "eur": 1000, "jpy": 1500, "kwd": 3080}


def allowance(key: str, credits: int, *, services: list[str] | None = None) -> dict[str, Any]:
    return {
        "key": key,
        "kind": "plan",
        "label": key.title(),
        "credits": str(credits),
        "period": "month",
        "lasts": "period",
        "services": services,
        "priority": None,
    }


def set_products() -> None:
    """The plans and the pack of the table; before any account is opened."""
    Plan.objects.filter(free=True).update(allowances=[], quotas=[])
    methods = {"eur": ["card", "sepa_debit"]}
    for key, times in (("starter", 1), ("creator", 3)):
        month = {currency: amount * times for currency, amount in MONTH_PRICE.items()}
        year = {currency: amount * 10 for currency, amount in month.items()}
        Plan.objects.filter(key=key).update(
            prices={"month": month, "year": year},
            allowances=[allowance("month", 1000 * times)],
            carry_over=True,
            payment_methods=methods,
        )
    Pack.objects.filter(key="small").update(
        credits=1000,
        prices=PACK_PRICE,
        payment_methods={"usd": ["card", "customer_balance"], "jpy": ["card", "customer_balance"]},
    )
    change_policies(refund_window_days=90, referral=None, promotions=[])
    catalogue_cache.changed()


class World:
    """Alice's account and what she, staff, the bank and Stripe do. Purchases are kept in `pack`, `plan`."""

    def __init__(self, clock: Any) -> None:
        self.clock = clock
        self.api = stripe_sandbox.api()
        set_products()
        self.alice: User = person("alice")
        self.account = Account.objects.get(person=self.alice)
        self.currency = "usd"
        self.code = ""
        self.delivered: list[str] = []
        self.pack = self.plan = self.second = Purchase()
        self.subject = ""
        self.by_debit = False
        self.close_first = ""  # how the purchase is closed before its payment arrives
        self.overdue_page = ""
        self.refusal = ""
        self.strict = False
        self.key = 0

    # The past can be repeated with another circumstance

    def save(self) -> tuple[str, dict[str, Any]]:
        kept = {name: value for name, value in vars(self).items() if name not in {"clock", "api"}}
        return transaction.savepoint(), kept | self._copies() | {"at": timezone.now()}

    def _copies(self) -> dict[str, Any]:
        """Of what a move changes in place."""
        return {name: copy.copy(getattr(self, name)) for name in ("pack", "plan", "second", "delivered")}

    def restore(self, saved: tuple[str, dict[str, Any]]) -> None:
        savepoint, kept = saved
        transaction.savepoint_rollback(savepoint)
        at = kept["at"]
        vars(self).update({name: value for name, value in kept.items() if name != "at"})
        vars(self).update(self._copies())
        self.clock.move_to(at)
        catalogue_cache._checked.clear()  # the catalogue is kept for the rows that have its stamp
        plan_terms.forget_all()

    # Time and events

    def advance(self, **span: Any) -> None:
        """Let time pass, run what is due at Stripe, deliver its events and run the tasks."""
        self.move_to(timezone.now() + timedelta(**span))

    def move_to(self, moment: datetime) -> None:
        self.clock.move_to(moment)
        self.run_stripe()
        self.deliver()

    def run_stripe(self) -> None:
        scheduled_actions.run_due(timezone.now())
        plan_terms.forget_all()

    def new_events(self) -> list[dict[str, Any]]:
        """Stripe's events that were not delivered, oldest first."""
        rows = Resource.objects.filter(kind="event").exclude(stripe_id__in=self.delivered)
        return self._handled(row.body for row in rows.order_by("position"))

    def all_events(self) -> list[dict[str, Any]]:
        return self._handled(reversed(store.where("event")))

    def _handled(self, events: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
        return [event for event in events if handlers.handler_of(event["type"])]

    def deliver(self) -> None:
        """Deliver new events until there are none; then run the tasks.

        Of several events about an object that are handled alike, the last one is enough here: the others are
        delivered where the circumstance is about events.
        """
        while events := self.new_events():
            last = {
                (id(handlers.handler_of(event["type"])), event["data"]["object"]["id"]): event
                for event in events
            }
            self.delivered += [event["id"] for event in events]
            for event in events:
                if event in last.values():
                    self.receive(event)
        self.run_tasks()

    def receive(self, event: dict[str, Any], *, again: str = "") -> None:
        """Process one event; `again` makes it a second event about the same object."""
        self.delivered.append(event["id"])
        event = {**event, "id": event["id"] + again}
        stored = stripe_events.store(event, timezone.now(), source="webhook")
        stored = stripe_events.process(stored.pk, timezone.now())
        assert stored.state in {StripeEvent.State.DONE, StripeEvent.State.IGNORED}, (
            stored.type,
            stored.error,
        )

    def run_tasks(self) -> None:
        now = timezone.now()
        plan_conflicts.carry_out(now)
        plan_payments.bring_subscriptions_in_line(now)
        plan_payments.apply_claims_to_new_grants(now)
        referrals.reward_all_due(now)
        plan_terms.forget_all()
        if self.new_events():
            self.deliver()

    # Purchases

    def open_pack(self) -> Purchase:
        self.key += 1
        purchase = create.pack_purchase(
            account=self.account,
            buyer=self.alice,
            origin="page",
            pack_key="small",
            quantity=1,
            currency=self.currency,
            promotion_code=self.code,
            key=f"pack-{self.key}",
            now=timezone.now(),
        )
        checkout.open_page(purchase, timezone.now())
        return purchase

    def open_plan(self, plan: str = "starter", interval: str = "month") -> Purchase:
        self.key += 1
        purchase = create.plan_purchase(
            account=self.account,
            buyer=self.alice,
            origin="page",
            plan_key=plan,
            interval=interval,
            currency=self.currency,
            confirm=True,
            key=f"plan-{self.key}",
            now=timezone.now(),
        )
        checkout.open_page(purchase, timezone.now())
        return purchase

    def pay(self, purchase: Purchase, **fields: str) -> None:
        """Submit the payment page; by card unless `method` says otherwise."""
        buyer = Buyer()
        buyer.open(purchase.checkout_url)
        if self.close_first == "cancel":
            fulfilment.mark_cancelled(purchase.pk, timezone.now())
        elif self.close_first == "fail":
            fulfilment.mark_failed(purchase.pk, reason="", now=timezone.now(), notify=False)
        buyer.submit(purchase.checkout_url, **(fields or CARD))
        assert buyer.response.status_code in {302, 303}, buyer.text

    def buy_pack(self) -> Purchase:
        purchase = self.open_pack()
        self.pay(purchase)
        self.deliver()
        purchase.refresh_from_db()
        return purchase

    def subscribe(self, plan: str = "starter", interval: str = "month", **fields: str) -> Purchase:
        purchase = self.open_plan(plan, interval)
        self.pay(purchase, **fields)
        self.deliver()
        purchase.refresh_from_db()
        return purchase

    def subscribe_by_debit(self, plan: str = "starter") -> Purchase:
        """Subscribe in euros by SEPA debit, which has arrived."""
        self.currency = "eur"
        purchase = self.subscribe(plan, method="sepa_debit", iban=IBAN)
        self.settle()
        self.deliver()
        purchase.refresh_from_db()
        return purchase

    def settle(self, *, succeeded: bool = True) -> None:
        scheduled_actions.settle_pending(timezone.now(), succeeded=succeeded)

    # Credits

    def spend(self, credits: int | Decimal, service: str = "gpt-4o") -> None:
        self.key += 1
        request = ledger.ChargeRequest(
            account_id=self.account.pk, credits=Decimal(credits), key=f"use-{self.key}", service=service
        )
        ledger.charge(request, timezone.now())

    def balance(self) -> ledger.Balance:
        return ledger.balance(self.account.pk, timezone.now())

    # Cards, the bank, staff at Stripe

    @property
    def subscription(self) -> Subscription:
        return Subscription.objects.get(account=self.account)

    def use_card(self, card: str) -> None:
        """The subscription is charged to this test card from now on."""
        customer = self.api.subscriptions.retrieve(self.plan.stripe_subscription_id).customer
        method = self.api.payment_methods.attach(f"pm_card_{card}", {"customer": customer})
        self.api.customers.update(customer, {"invoice_settings": {"default_payment_method": method.id}})
        self.api.subscriptions.update(self.plan.stripe_subscription_id, {"default_payment_method": method.id})
        self.deliver()

    def act(self, stripe_id: str, action: str) -> None:
        response = Client().post(f"/sandbox/objects/{stripe_id}/act", {"action": action})
        assert "notice" not in response.headers["Location"], response.headers["Location"]

    def dispute(self, purchase: Purchase, action: str = "dispute") -> None:
        charge = self.api.payment_intents.retrieve(purchase.stripe_payment_id).latest_charge
        self.act(charge, action)

    def decide(self, action: str) -> None:
        self.act(store.where("dispute")[0]["id"], action)

    def refund(self, purchase: Purchase, amount: int | None = None) -> None:
        params: dict[str, Any] = {"payment_intent": purchase.stripe_payment_id}
        self.api.refunds.create(params | ({"amount": amount} if amount else {}))

    # Plans

    def change_plan(self, plan: str, interval: str = "") -> None:
        now = timezone.now()
        preview = previews.preview(
            self.account, plan_key=plan, interval=interval, currency=self.currency, now=now
        )
        changes.confirm(self.account, preview.token, now)

    def try_change(self, plan: str, interval: str = "") -> None:
        self.refused(lambda: self.change_plan(plan, interval))

    def refused(self, act: Callable[[], object]) -> None:
        """Make a change, or note why it is refused."""
        try:
            act()
        except Refusal as error:
            self.refusal = error.code
        except CardDeclined:
            self.refusal = "declined"

    def top_up(self) -> str:
        return auto_top_up.buy_if_low(self.account.pk, timezone.now())


Step = Callable[[World], object]
