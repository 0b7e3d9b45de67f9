"""Random moves of one account in the portal and at Stripe, against the sandbox.

A move is made by the functions that pages, API and tasks call. A process may be killed between any request to
Stripe and what follows it; responses get lost; events come late, twice, in another order or never.
"""

import re
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import timedelta
from decimal import Decimal
from typing import Any

from django.utils import timezone

from accounts.models import Account, User
from billing import ledger
from billing.models import AutoTopUp, Purchase, Referral, Refund, Subscription
from billing.payments import cards
from billing.promotions import redemption, referrals
from billing.purchases import auto_top_up, checkout, create
from billing.refunds import requests
from billing.subscriptions import changes, pauses, plan_terms, previews
from billing.webhooks import events, handlers, reconciliation
from core.errors import DomainError
from sandbox import scheduled_actions, store, switches
from sandbox.models import Resource
from sandbox.switches import Fault
from tests.billing.histories import bank_and_buyer, invariants, terms, visits
from tests.billing.histories.choices import Choices
from tests.billing.histories.connection import Connection, Killed

PACKS = ("small", "medium", "large")
PLANS = ("starter", "creator", "studio")
INTERVALS = ("month", "month", "year")
IN_PORTAL = (
    "buy_pack buy_pack buy_plan buy_plan come_back close_page change change change cancel_plan resume_plan"
    " pause_plan end_pause"
    " two_plans"
    " save_card save_card top_up top_up declined_top_up spend spend ask_refund ask_refund redeem reconcile"
    " reward"
)
AT_STRIPE = (
    "pay_a_page pay_a_page pay_a_page pay_a_page pay_a_page settle_a_payment settle_a_payment"
    " refund_in_the_dashboard refund_fails transfer_a_part dispute_a_charge dispute_a_charge"
    " go_on_with_a_dispute go_on_with_a_dispute go_on_with_a_dispute go_on_with_a_dispute"
    " cards_fail credit_at_stripe"
)
TIME = "minutes hours days to_renewal to_renewal"
MOVES = f"{IN_PORTAL} {AT_STRIPE} {TIME}".split()
IDLE = re.compile(
    r"no |nothing|.*: (nothing_|no_card|cooling|already_|price_changed|cannot_|not_paused)"
    r"|top-up: $|change: subscribe"
)


class WholeAccount:
    """The moves of one history; `visits` counts what they led to."""

    def __init__(self, account: Account, user: User, choices: Choices, clock: Any) -> None:
        self.account, self.user, self.random, self.clock = account, user, choices, clock
        self.currency = "usd"
        self.visits: Counter[str] = Counter()
        self.log: list[str] = []
        self.late: list[dict[str, Any]] = []
        self.seen = 0

    def _enable_top_up(self) -> None:
        AutoTopUp.objects.create(
            account=self.account,
            enabled=True,
            below=Decimal(400),
            pack="small",
            currency=self.currency,
            monthly_amount=10_000,
            monthly_count=4,
        )

    def begin(self) -> None:
        """Most histories begin with a saved card, a plan or a pack that is paid."""
        self.currency = self.random.choice(["usd", "usd", "eur"])
        if self.random.random() < 0.6:
            self._enable_top_up()
        for name, share in (("save_card", 0.5), ("buy_plan", 0.6), ("buy_pack", 0.5)):
            if self.random.random() < share:
                self.step(name)
                self.step("pay_a_page")

    def play(self, steps: Sequence[str]) -> None:
        """Make the steps of a situation. Each is a move and what it chooses, as `pay_a_page card=visa`."""
        for step in steps:
            name, *named = step.split()
            self.random.named = dict(word.split("=") for word in named)
            self.step(name)
        self.random.named = {}

    def step(self, name: str = "") -> None:
        """Make a move; by default a random one that is possible now."""
        for _attempt in range(1 if name else 6):
            chosen = name or self.random.choice(MOVES)
            outcome = self._make(chosen)
            if not IDLE.match(outcome):
                break
        self._record(chosen, outcome)

    def _record(self, name: str, outcome: str) -> None:
        self.log.append(f"{timezone.now():%m-%d %H:%M:%S} {name}: {outcome}")
        self.visits[outcome] += 1
        if name != "cards_fail":
            self._turn_all_off()
        self._deliver_events()
        invariants.after_each_step(self.account)

    def _turn_all_off(self) -> None:
        if Connection.switched:
            switches.turn_all_off()
            Connection.switched = False

    def _make(self, name: str) -> str:
        Connection.switched |= name == "cards_fail"
        if hasattr(bank_and_buyer, name):
            move: Callable[[Choices], str] = getattr(bank_and_buyer, name)
            return move(self.random)
        # with the switch of cards that fail on, all switches stay on while events are processed
        fate = 1 if self.random.named or name == "cards_fail" else self.random.random()
        if fate < 0.08:
            Connection.kill_after = self.random.randint(1, 3)
            self.visits["process killed"] += 1
        elif fate < 0.12:
            switches.turn(Fault.ANSWERS_LOST, remaining=1)
            Connection.switched = True
            self.visits["response lost"] += 1
        elif fate < 0.14:
            switches.turn(Fault.DOWN, remaining=2)
            Connection.switched = True
            self.visits["Stripe down"] += 1
        try:
            return str(getattr(self, f"_{name}")())
        except Killed:
            return f"{name}: killed"
        except DomainError as error:
            return f"{name}: {error.code}"
        finally:
            Connection.kill_after = 0
            plan_terms.forget_all()

    # in the portal

    def _key(self) -> str:
        return f"{self.random.getrandbits(64):x}"

    def _buy_pack(self) -> str:
        code = self.random.pick("code", ["", "", "", "HALF", "HALF", "ALL"])
        purchase = create.pack_purchase(
            account=self.account,
            buyer=self.user,
            origin="page",
            pack_key=self.random.pick("pack", PACKS),
            quantity=self.random.pick("quantity", [1, 1, 3]),
            currency=self.currency,
            promotion_code=code,
            key=self._key(),
            now=timezone.now(),
        )
        checkout.open_page(purchase, timezone.now())
        return "pack page with a code" if code else "pack page"

    def _buy_plan(self) -> str:
        purchase = create.plan_purchase(
            account=self.account,
            buyer=self.user,
            origin="page",
            plan_key=self.random.pick("plan", PLANS),
            interval=self.random.pick("interval", INTERVALS),
            currency=self.currency,
            confirm=True,
            key=self._key(),
            now=timezone.now(),
        )
        checkout.open_page(purchase, timezone.now())
        return "plan page"

    def _a_purchase(self, **fields: Any) -> Purchase | None:
        found = list(Purchase.objects.filter(account=self.account, **fields).order_by("created_at", "pk"))
        return self.random.choice(found) if found else None

    def _come_back(self) -> str:
        """The buyer returns from the page, or opens it again."""
        purchase = self._a_purchase(status__in=["created", "pending"])
        if purchase is None:
            return "no open purchase"
        if not purchase.stripe_session_id:
            checkout.open_page(purchase, timezone.now())
            return "page opened again"
        return f"returned: {checkout.refresh_from_stripe(purchase, timezone.now()).status}"

    def _close_page(self) -> str:
        purchase = self._a_purchase(status="created", origin="page")
        return f"page closed: {checkout.cancel(purchase, timezone.now()).status}" if purchase else "no page"

    def _change(self) -> str:
        current = Subscription.objects.get(account=self.account).interval or "month"
        interval = self.random.pick("interval", [current, current, *INTERVALS])
        preview = self._preview(self.random.pick("plan", PLANS), interval)
        self.clock.shift(timedelta(seconds=self.random.pick("after", [0, 5, 300])))
        if preview.kind == "subscribe":
            return "change: subscribe"
        changes.confirm(self.account, preview.token, timezone.now())
        if preview.interval != current and preview.kind != "keep":
            self.visits[f"change to {preview.interval}s"] += 1
        if preview.kind in previews.IMMEDIATE and not preview.due_now:
            self.visits["immediate change without a payment"] += 1
        if preview.amounts and preview.amounts.added_to_next_invoice:
            self.visits["upgrade below the smallest charge"] += 1
        return f"change: {preview.kind}"

    def _preview(self, plan: str, interval: str = "") -> previews.Preview:
        return previews.preview(
            self.account, plan_key=plan, interval=interval, currency=self.currency, now=timezone.now()
        )

    def _cancel_plan(self) -> str:
        changes.cancel(self.account, timezone.now())
        return "plan cancelled"

    def _resume_plan(self) -> str:
        changes.resume(self.account, timezone.now())
        return "plan resumed"

    def _pause_plan(self) -> str:
        pauses.pause(self.account, self.random.pick("months", [1, 2]), timezone.now())
        return "plan paused"

    def _end_pause(self) -> str:
        pauses.end(self.account, timezone.now())
        return "pause ended"

    def _turn_on(self) -> str:
        """Set the currency, automatic top-up or tax: what a history decides at its beginning."""
        self.currency = self.random.named.get("currency", self.currency)
        if "top_up" in self.random.named:
            self._enable_top_up()
        if behavior := self.random.named.get("tax"):
            terms.collect_tax(behavior)
        return "turned on"

    def _accept_invitation(self) -> str:
        terms.accept_invitation(self.account, timezone.now())
        return "invitation accepted"

    def _reward(self) -> str:
        """The task that rewards invitations and follows their purchases."""
        before = Referral.objects.filter(invited=self.account).values_list("state", flat=True).first()
        referrals.reward_all_due(timezone.now())
        after = Referral.objects.filter(invited=self.account).values_list("state", flat=True).first()
        return "nothing to reward" if before == after else f"referral: {before} to {after}"

    def _almost_pay_an_upgrade(self) -> str:
        """The customer's credit at Stripe leaves less of an upgrade than Stripe's smallest charge."""
        preview = self._preview("creator")
        customer = store.where("customer")[0]
        customer["balance"] -= preview.due_now - 20
        store.save(customer)
        return "credit at Stripe"

    def _save_card(self) -> str:
        url = cards.setup_page_url(self.account, key=self._key())
        session = store.get("checkout.session", url.rsplit("/", 1)[-1])
        bank_and_buyer.pay_a_page(self.random)
        session = store.get("checkout.session", session["id"])
        saved = cards.save_card_from_session(self.account, session["id"], timezone.now())
        return "card saved" if saved else "card not saved"

    def _top_up(self) -> str:
        return f"top-up: {auto_top_up.buy_if_low(self.account.pk, timezone.now())}"

    def _declined_top_up(self) -> str:
        switches.turn(Fault.CARDS_FAIL, remaining=1)
        Connection.switched = True
        return self._top_up()

    def _two_plans(self) -> str:
        """Two pages of plans are open, and the buyer pays both."""
        self._buy_plan()
        self._buy_plan()
        for _ in range(2):
            bank_and_buyer.pay_a_page(self.random)
        return "two plan pages"

    def _spend(self) -> str:
        available = ledger.balance(self.account.pk, timezone.now()).available
        credits = (available * self.random.randint(1, 10) / 10).quantize(Decimal("0.01"))
        if credits <= 0:
            return "nothing to spend"
        ledger.charge(
            ledger.ChargeRequest(
                account_id=self.account.pk, credits=credits, key=self._key(), service="claude-sonnet-4"
            ),
            timezone.now(),
        )
        return "spent"

    def _ask_refund(self) -> str:
        refund = Refund.objects.filter(account=self.account, status="requested").first()
        if refund is None:
            purchase = self._a_purchase(status="paid", kind="pack")
            if purchase is None:
                return "nothing to refund"
            refund = requests.create(purchase=purchase, user=self.user, message="", now=timezone.now())
        if self.random.pick("approve", [True, True, True, True, False]) is False:
            requests.refuse(refund, actor="staff", reason="no", now=timezone.now())
            return "refund refused"
        refund = requests.approve(refund, actor="staff", reason="", now=timezone.now())
        return f"refund approved: {refund.status}"

    def _redeem(self) -> str:
        redemption.redeem(account=self.account, code="GIFT", now=timezone.now())
        return "code redeemed"

    # time

    def _pass(self, **span: float) -> None:
        self.clock.shift(timedelta(**span))
        scheduled_actions.run_due(timezone.now())

    def _minutes(self) -> str:
        self._pass(minutes=self.random.randint(1, 59))
        return "minutes"

    def _hours(self) -> str:
        self._pass(hours=self.random.pick("hours", [1, 2, 25]))
        return "hours"

    def _days(self) -> str:
        self._pass(days=self.random.pick("days", [1, 3, 4, 8]))
        return "days"

    def _to_renewal(self) -> str:
        end = Subscription.objects.get(account=self.account).period_end
        if end is None or end <= timezone.now():
            return "no renewal"
        minutes = self.random.pick("minutes", [1, 59, 61, 200])
        self.clock.move_to(end + timedelta(minutes=minutes))
        scheduled_actions.run_due(timezone.now())
        return "renewal" if minutes > 60 else "renewal in its draft hour"

    # events

    def _new_events(self) -> list[dict[str, Any]]:
        rows = Resource.objects.filter(kind="event", position__gt=self.seen).order_by("position")
        found = [(row.position, row.body) for row in rows]
        self.seen = found[-1][0] if found else self.seen
        return [body for _position, body in found if handlers.handler_of(body["type"]) is not None]

    def _deliver_events(self) -> None:
        """Most events arrive at once; some later, twice, in another order or never."""
        for event in self._new_events():
            fate = self.random.random()
            if fate < 0.12:
                self.late.append(event)
                self.visits["event late"] += 1
            elif fate < 0.18:
                self.visits["event lost"] += 1
            else:
                self.process(event, times=2 if fate < 0.26 else 1)
        if self.late and self.random.random() < 0.3:
            self.process(self.late.pop(self.random.randrange(len(self.late))))

    def process(self, event: dict[str, Any], times: int = 1) -> None:
        self.visits[f"event {event['type']}"] += 1
        for _ in range(times):
            stored = events.store(event, timezone.now(), source="webhook")
            stored = events.process(stored.pk, timezone.now())
            invariants.event_is_understood(stored)

    def _reconcile(self) -> str:
        reconciliation.run(timezone.now())
        return "reconciled"

    def end(self) -> None:
        """Late events arrive, what waits is retried, and reconciliation runs: then everything agrees."""
        self._turn_all_off()
        self.random.shuffle(self.late)
        for event in self.late:
            self.process(event)
        for _ in range(2):
            self._pass(hours=5)
            auto_top_up.buy_if_low(self.account.pk, timezone.now())
            for event in self._new_events():
                self.process(event)
            events.process_waiting(timezone.now())
            self.visits[self._reward()] += 1
            report = reconciliation.run(timezone.now())
        invariants.at_the_end(self.account, report, timezone.now())
        self.visits += visits.of_states(self.account)
