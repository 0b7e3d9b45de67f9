"""The circumstances of a move: what happens before it is prepared (`first`) and before it is made (`then`).

A circumstance is about the move's own objects: the invoice is the one that the move's payment paid or will
pay, the plan is the one of its subscription.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from django.utils import timezone

from accounts.models import Account
from billing import ledger
from billing.models import AutoTopUp, Promotion, Purchase
from billing.promotions import referrals
from billing.subscriptions import prices
from pricing.models import Pack, Plan
from sandbox import store
from sandbox.objects import payment_methods
from tests.billing.conftest import change_policies
from tests.conftest import person
from tests.moves.money.moves import HALF_TIME, renew, subscribe
from tests.moves.money.world import MONTH_PRICE, PACK_PRICE, PERIOD_END, START, World, allowance

OTHER = UUID(int=7)  # a purchase of which only the credits exist


def nothing(world: World) -> None:
    pass


@dataclass(frozen=True)
class Circumstance:
    """`beside`: `first` is about a plan beside the move's own object, which is no plan then.

    `delivery` of Stripe's events: once, twice, late (after two days) or reversed.
    """

    first: Callable[[World], object] = nothing
    then: Callable[[World], object] = nothing
    delivery: str = "once"
    beside: bool = False

    def beginning(self, subject: str) -> Callable[[World], object]:
        """What happens before a move of this subject is prepared."""
        return nothing if self.beside and subject == "plan" else self.first


def give(world: World, credits: int, *, kind: str = "top_up", **terms: Any) -> None:
    """Credits of another purchase than the move's."""
    world.key += 1
    ledger.grant(
        account_id=world.account.pk,
        credits=Decimal(credits),
        kind=kind,
        label="Other",
        key=f"other-{world.key}",
        purchase_id=OTHER,
        now=timezone.now(),
        **terms,
    )


# Credits


def leave_all(world: World) -> None:
    if world.subject == "top-up":
        give(world, 1000)


def spend_some(world: World) -> None:
    if not world.balance().total:
        give(world, 1000)
    world.spend(300)


def spend_all(world: World) -> None:
    if not world.balance().total:
        give(world, 1000)
    world.spend(world.balance().total)


def spend_another_purchase(world: World) -> None:
    give(world, 400)
    world.spend(400)


def claim_another_purchase(world: World) -> None:
    """The other purchase is refunded when its 400 credits are spent: they are owed."""
    ledger.claw_back(
        account_id=world.account.pk,
        purchase_id=OTHER,
        key="other",
        reason="another purchase was refunded",
        now=timezone.now(),
    )


def limit_credits(world: World) -> None:
    """Plans give credits for some services only; beside a pack there are such credits of a promotion."""
    if world.subject == "plan":
        for key, times in (("starter", 1), ("creator", 3)):
            month = allowance("month", 1000 * times, services=["tag:advanced"])
            Plan.objects.filter(key=key).update(allowances=[month])
    else:
        give(world, 150, kind="promotion", services=["tag:advanced"])


def several_grants(world: World) -> None:
    """A plan has two allowances; before a pack there are 1,000 credits of another one. 300 are spent."""
    if world.subject == "plan":
        for key, times in (("starter", 1), ("creator", 3)):
            two = [allowance("month", 600 * times), allowance("extra", 400 * times)]
            Plan.objects.filter(key=key).update(allowances=two)
    else:
        give(world, 1000)
        world.clock.move_to(timezone.now() + timedelta(minutes=1))  # older credits are spent first


def let_expire(world: World) -> None:
    if world.subject == "plan":
        renew(world, minutes=62)
        world.advance(minutes=1)
        return
    if world.subject == "top-up":
        give(world, 1000, expires_at=timezone.now() + timedelta(days=10))
    world.advance(days=10)


# People, prices, promotions


def invite(world: World) -> None:
    """Bob has invited alice: 100 credits for her and 200 for him with her first purchase."""
    change_policies(
        referral={"inviter_credits": "200", "invited_credits": "100", "qualifies": "first_purchase"}
    )
    inviter = Account.objects.get(person=person("bob"))
    referrals.accept(account=world.account, code=referrals.code_of(inviter), now=timezone.now())


def use_code(world: World) -> None:
    """A code takes a fifth off a pack."""
    Promotion.objects.create(
        code="SAVE20", label="A fifth", gives="discount", percent_off=20, starts_at=START, ends_at=PERIOD_END
    )
    world.code = "SAVE20"


def raise_prices(world: World) -> None:
    offers: list[Any] = [
        *Pack.objects.filter(key="small"),
        *Plan.objects.filter(key__in=["starter", "creator"]),
    ]
    for offer in offers:
        prices = offer.prices if isinstance(offer, Plan) else {"once": offer.prices}
        dearer = {key: {code: 2 * sum_ for code, sum_ in each.items()} for key, each in prices.items()}
        type(offer).objects.filter(pk=offer.pk).update(
            prices=dearer if isinstance(offer, Plan) else dearer["once"]
        )


def deactivate(world: World) -> None:
    type(world.alice).objects.filter(pk=world.alice.pk).update(is_active=False)


# Plans


def in_currency(currency: str) -> Callable[[World], None]:
    def choose(world: World) -> None:
        world.currency = currency

    return choose


def spend_some_of_pack(world: World) -> None:
    """The money of 700 credits is not a whole number of units."""
    if world.subject == "pack":
        spend_some(world)


def plan_beside(world: World) -> None:
    """A pack is bought by an account with a plan."""
    subscribe(world)


def fall_overdue(world: World) -> None:
    world.use_card("chargeCustomerFail")
    renew(world)
    world.deliver()
    world.overdue_page = world.subscription.recovery_url


def overdue_beside(world: World) -> None:
    plan_beside(world)
    fall_overdue(world)


def overdue_plan(world: World) -> None:
    if world.subject == "plan":
        fall_overdue(world)


def draft(world: World) -> None:
    """The period has begun, and its invoice is a draft."""
    renew(world, minutes=10)
    world.deliver()
    if world.subject == "top-up":
        world.spend(900)


def by_debit(world: World) -> None:
    world.by_debit = True
    if world.subject != "plan":
        plan_beside(world)


def debit_under_way(world: World) -> None:
    """The renewal's invoice is open, because its debit takes days."""
    if world.subscription.paid:
        draft(world)
        renew(world, minutes=61)
        world.deliver()


def second_paid(world: World) -> None:
    """Another subscription of the customer is paid."""
    first = world.api.subscriptions.retrieve(world.plan.stripe_subscription_id)
    price = prices.ensure_price(
        plan_key="creator", interval="month", currency=world.currency, amount=3 * MONTH_PRICE[world.currency]
    )
    world.api.subscriptions.create(
        {
            "customer": first.customer,
            "items": [{"price": price}],
            "default_payment_method": first.default_payment_method,
        }
    )
    world.deliver()
    world.clock.shift(timedelta(seconds=1))  # later invoices are newer


def change_to_more(world: World) -> None:
    """The plan is changed to Creator at the middle of its month, or Creator to yearly payment."""
    if world.subject == "plan":
        world.move_to(max(HALF_TIME, timezone.now()))
    if world.subscription.plan == "creator":
        world.change_plan("creator", "year")
    else:
        world.change_plan("creator")
    world.deliver()
    if world.subject == "plan":
        world.advance(minutes=1)


def spend_at_the_boundary(world: World) -> None:
    """300 credits are used in the second in which the period ends; of a top-up the month ends."""
    if world.subject == "top-up":
        reach_ceiling(world)
        world.clock.move_to(PERIOD_END.replace(hour=0))
        return
    world.clock.move_to(PERIOD_END)
    try:
        world.spend(300)
    except ledger.InsufficientCredits:
        world.refusal = "insufficient credits"
    world.run_stripe()
    world.deliver()


def end_plan(world: World) -> None:
    """Staff end the plan at once at Stripe."""
    if world.subject == "plan":
        world.api.subscriptions.cancel(world.plan.stripe_subscription_id)
        world.deliver()


def closed_before_payment(how: str) -> Callable[[World], None]:
    """The purchase is cancelled or has failed when its page is paid."""

    def close(world: World) -> None:
        world.close_first = how

    return close


def fail_once(world: World) -> None:
    """The card was declined for a top-up an hour ago."""
    if world.subject != "top-up":
        return
    card = store.where("payment_method")[0]
    decline: Any = card.get("_decline")
    payment_methods.refuse_from_now(card, "insufficient_funds")
    world.top_up()
    world.deliver()
    payment_methods.refuse_from_now(store.where("payment_method")[0], decline)
    world.advance(hours=1)


def reach_ceiling(world: World) -> None:
    """Two of the three top-ups of the month were paid and the limit of money is two."""
    AutoTopUp.objects.update(monthly_amount=3 * PACK_PRICE[world.currency] - 1)
    for number in range(2):
        Purchase.objects.create(
            account=world.account,
            kind="pack",
            origin="auto_top_up",
            offer="small",
            label="Small",
            amount=PACK_PRICE[world.currency],
            list_amount=PACK_PRICE[world.currency],
            currency=world.currency,
            status="paid",
            idempotency_key=f"earlier-{number}",
            created_at=START - timedelta(minutes=number),
            paid_at=START,
        )


CIRCUMSTANCES: dict[str, Circumstance] = {
    "all left": Circumstance(then=leave_all),
    "partly spent": Circumstance(then=spend_some),
    "all spent": Circumstance(then=spend_all),
    "in debt": Circumstance(first=spend_another_purchase, then=claim_another_purchase),
    "reward beside": Circumstance(first=invite),
    "promotion code": Circumstance(first=use_code),
    "past due": Circumstance(first=overdue_beside, then=overdue_plan, beside=True),
    "invoice draft": Circumstance(first=plan_beside, then=draft, beside=True),
    "invoice open": Circumstance(first=by_debit, then=debit_under_way),
    "after cancellation": Circumstance(first=closed_before_payment("cancel"), then=end_plan),
    "after failure": Circumstance(first=closed_before_payment("fail"), then=fail_once),
    "second subscription": Circumstance(then=second_paid),
    "scoped grants": Circumstance(first=limit_credits),
    "several grants": Circumstance(first=several_grants, then=spend_some),
    "event twice": Circumstance(delivery="twice"),
    "event late": Circumstance(delivery="late"),
    "out of order": Circumstance(delivery="reversed"),
    "plan changed": Circumstance(first=plan_beside, then=change_to_more, beside=True),
    "JPY": Circumstance(first=in_currency("jpy"), then=spend_some_of_pack),
    "KWD": Circumstance(first=in_currency("kwd"), then=spend_some_of_pack),
    "price changed": Circumstance(then=raise_prices),
    "member deactivated": Circumstance(then=deactivate),
    "credits expired": Circumstance(
        first=lambda world: Pack.objects.filter(key="small").update(lasts="10 days"), then=let_expire
    ),
    "at the ceiling": Circumstance(then=reach_ceiling),
    "boundary": Circumstance(then=spend_at_the_boundary),
}
