"""The moves of money: how each is prepared, and how it is made. `subject` is what the move is about."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal

from django.utils import timezone

from billing.models import AutoTopUp
from billing.promotions import referrals
from billing.purchases import checkout
from billing.refunds import requests
from billing.subscriptions import changes
from billing.webhooks import reconciliation
from sandbox import scheduled_actions, store
from sandbox.objects import payment_methods
from tests.billing import stripe_sandbox
from tests.moves.money.world import PACK_PRICE, START, World
from tests.sandbox.conftest import IBAN, Buyer
from tests.sandbox.test_delayed_methods import transfer

HALF = {"usd": 500, "eur": 500, "jpy": 750, "kwd": 1530}  # KWD: multiples of 10 only
HALF_TIME = START + timedelta(days=15)


@dataclass(frozen=True)
class Move:
    """`subject`: pack, plan or top-up. Events are delivered after `make`.

    Moves whose `prepare` begins with the same steps are prepared together.
    """

    subject: str
    prepare: tuple[Callable[[World], object], ...]
    make: Callable[[World], object]
    follows: str = ""  # the move before it, in the same circumstance


def nothing(world: World) -> None:
    pass


# Packs


def open_page(world: World) -> None:
    world.pack = world.open_pack()


def pay_page(world: World) -> None:
    world.pay(world.pack)


def order_by_transfer(world: World) -> None:
    world.pay(world.pack, method="customer_balance")
    world.deliver()


def transfer_half(world: World) -> None:
    session = world.api.checkout.sessions.retrieve(world.pack.stripe_session_id)
    transfer(str(session.payment_intent), HALF[world.currency])


def buy_pack(world: World) -> None:
    pay_page(world)
    world.deliver()
    world.pack.refresh_from_db()


def request_and_approve(world: World) -> None:
    try:
        refund = requests.create(purchase=world.pack, user=world.alice, message="Please", now=timezone.now())
        requests.approve(refund, actor="staff", reason="Yes", now=timezone.now())
    except requests.RefundRefused as error:
        world.refusal = error.code


def bank_loses_refund(world: World) -> None:
    world.act(store.where("refund")[0]["id"], "fail")


def decide(how: str) -> Callable[[World], object]:
    return lambda world: world.decide(how)


# Plans


def subscribe(world: World) -> None:
    world.plan = world.subscribe_by_debit() if world.by_debit else world.subscribe()


def subscribe_to_creator(world: World) -> None:
    world.plan = world.subscribe_by_debit("creator") if world.by_debit else world.subscribe("creator")


def half_a_month(world: World) -> None:
    world.move_to(HALF_TIME)


def order_downgrade(world: World) -> None:
    downgrade(world)
    world.deliver()


def order_cancellation(world: World) -> None:
    cancel(world)
    world.deliver()


def renew(world: World, **after: int) -> None:
    """Time passes until after the end of the paid period: 62 minutes, when its invoice is charged."""
    end = world.subscription.paid_until
    assert end is not None
    world.clock.move_to(max(timezone.now(), end + timedelta(**after or {"minutes": 62})))
    world.run_stripe()


def pay_renewal(world: World) -> None:
    """The renewal is charged; an open debit arrives; an overdue invoice is paid on its page."""
    page = world.overdue_page
    if page:
        Buyer().pay(page)
    elif scheduled_actions.pending():
        world.settle()
    else:
        renew(world)


def refuse_renewal(world: World) -> None:
    if scheduled_actions.pending():
        world.settle(succeeded=False)
    else:
        world.use_card("chargeCustomerFail")
        renew(world)


def begin_renewal(world: World) -> None:
    renew(world, minutes=10)


def wait_for_grace(world: World) -> None:
    """Stripe reports nothing about the renewal until the grace period of 96 hours is over."""
    begin_renewal(world)
    world.deliver()
    end = world.subscription.paid_until
    assert end is not None
    world.clock.move_to(end + timedelta(hours=96))
    reconciliation.run(timezone.now())


def upgrade(world: World) -> None:
    world.try_change("creator")


def downgrade(world: World) -> None:
    world.try_change("starter")


def change_interval(world: World) -> None:
    world.try_change("starter", "year")


def cancel(world: World) -> None:
    world.refused(lambda: changes.cancel(world.account, timezone.now()))


def resume(world: World) -> None:
    world.refused(lambda: changes.resume(world.account, timezone.now()))


def open_two_plans(world: World) -> None:
    """Two pages of plans are open; one is paid, and the account returns to it before any event arrives."""
    world.currency = "eur" if world.by_debit else world.currency
    world.second, world.plan = world.open_plan("creator", "year"), world.open_plan()
    world.pay(world.plan, **({"method": "sepa_debit", "iban": IBAN} if world.by_debit else {}))
    checkout.refresh_from_stripe(world.plan, timezone.now())
    referrals.reward_all_due(timezone.now())


def pay_second(world: World) -> None:
    world.pay(world.second)


# Automatic top-up


def enable(world: World, card: str = "visa") -> None:
    stripe_sandbox.save_card(world.account, card)
    AutoTopUp.objects.create(
        account=world.account,
        enabled=True,
        below=Decimal(800),
        pack="small",
        currency=world.currency,
        monthly_amount=3 * PACK_PRICE[world.currency],
        monthly_count=3,
        set_by=world.alice,
    )


def enable_with_poor_card(world: World) -> None:
    enable(world)
    payment_methods.refuse_from_now(store.where("payment_method")[0], "insufficient_funds")


def enable_with_careful_card(world: World) -> None:
    enable(world, "authenticationRequired")


TRANSFER, BOUGHT = (open_page, order_by_transfer), (open_page, buy_pack)
HALF_OF_STARTER = (subscribe, half_a_month)
HALF_OF_CREATOR = (subscribe_to_creator, half_a_month)

MOVES: dict[str, Move] = {
    "pack paid": Move("pack", (open_page,), pay_page),
    "pack paid by transfer": Move("pack", TRANSFER, lambda world: world.settle()),
    "transfer for a pack fails": Move("pack", TRANSFER, lambda world: world.settle(succeeded=False)),
    "half of a transfer arrives": Move("pack", TRANSFER, transfer_half),
    "refund on request": Move("pack", BOUGHT, request_and_approve),
    "refund of a pack": Move("pack", BOUGHT, lambda world: world.refund(world.pack)),
    "refund of half a pack": Move(
        "pack", BOUGHT, lambda world: world.refund(world.pack, HALF[world.currency])
    ),
    "refund of a plan": Move("plan", (subscribe,), lambda world: world.refund(world.plan)),
    "refund of half a plan": Move(
        "plan", (subscribe,), lambda world: world.refund(world.plan, HALF[world.currency])
    ),
    "refund of the second plan": Move("plan", (open_two_plans,), pay_second),
    "dispute of a pack": Move("pack", BOUGHT, lambda world: world.dispute(world.pack)),
    "dispute of a pack won": Move("pack", BOUGHT, decide("win"), "dispute of a pack"),
    "dispute of a pack lost": Move("pack", BOUGHT, decide("lose"), "dispute of a pack"),
    "dispute of a plan": Move("plan", (subscribe,), lambda world: world.dispute(world.plan)),
    "dispute of a plan won": Move("plan", (subscribe,), decide("win"), "dispute of a plan"),
    "dispute of a plan lost": Move("plan", (subscribe,), decide("lose"), "dispute of a plan"),
    "renewal begins": Move("plan", (subscribe,), begin_renewal),
    "renewal paid": Move("plan", (subscribe,), pay_renewal),
    "renewal refused": Move("plan", (subscribe,), refuse_renewal),
    "renewal without an answer": Move("plan", (subscribe,), wait_for_grace),
    "upgrade": Move("plan", HALF_OF_STARTER, upgrade),
    "change to yearly": Move("plan", HALF_OF_STARTER, change_interval),
    "downgrade": Move("plan", HALF_OF_CREATOR, downgrade),
    "downgrade takes effect": Move("plan", (*HALF_OF_CREATOR, order_downgrade), pay_renewal),
    "cancellation": Move("plan", HALF_OF_STARTER, cancel),
    "cancelled plan ends": Move("plan", (*HALF_OF_STARTER, order_cancellation), renew),
    "cancellation withdrawn": Move("plan", (*HALF_OF_STARTER, order_cancellation), resume),
    "top-up paid": Move("top-up", (enable,), lambda world: world.top_up()),
    "top-up declined": Move("top-up", (enable_with_poor_card,), lambda world: world.top_up()),
    "top-up not authenticated": Move("top-up", (enable_with_careful_card,), lambda world: world.top_up()),
}
