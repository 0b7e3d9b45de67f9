"""Conditions of the pages of offers: packs, their confirmation, plans, and lists of purchases."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

from django.utils import timezone

from billing.models import Purchase
from pricing.catalogue import cache as catalogue_cache
from pricing.models import Catalogue, Pack, Plan, Sale
from tests.forms.world import World
from tests.pages.case import LATER, Case, both, paid_plan, policies, purchase, role, subscription, top_up
from tests.usage.spending import give

BUY, CONFIRM, PLANS, PLAN = "/billing/buy/", "/billing/buy/{pack}/", "/plans/", "/billing/subscription/"
PURCHASES, PURCHASE = "/billing/purchases/", "/billing/purchases/{purchase}/"
TOP_UP, SETTINGS = "/billing/auto-top-up/", "/billing/"
PENDING_CHANGE = {"pending_plan": "creator", "pending_until": LATER, "pending_url": "https://bank.example/"}


def pack(**fields: Any) -> Callable[[World], Any]:
    return lambda world: Pack.objects.filter(key="small").update(**fields)


def plan(name: str, **fields: Any) -> Callable[[World], Any]:
    return lambda world: Plan.objects.filter(key=name).update(**fields)


def only_dollars(world: World) -> None:
    Catalogue.objects.update(currencies=["usd"])
    catalogue_cache.changed()


def one_plan(world: World) -> None:
    Plan.objects.exclude(key="free-trial").update(retired_at=timezone.now())
    catalogue_cache.changed()


def sale(world: World) -> None:
    now = timezone.now()
    Sale.objects.create(
        key="winter",
        pack=Pack.objects.get(key="small"),
        label="Winter sale",
        prices={"usd": 432, "eur": 432},
        starts_at=now - timedelta(days=1),
        ends_at=now + timedelta(days=2, hours=1),
    )


def many_purchases(world: World) -> None:
    """With the one of the world a page and a purchase."""
    Purchase.objects.bulk_create(
        Purchase(
            account=world.account,
            kind=Purchase.Kind.PACK,
            origin=Purchase.Origin.PAGE,
            offer="small",
            label=f"Number {number}",
            amount=500,
            list_amount=500,
            currency="usd",
            status=Purchase.Status.CANCELLED,
            idempotency_key=f"many-{number}",
            created_at=timezone.now() - timedelta(days=number),
        )
        for number in range(1, 26)
    )


def allowance(credits: str, period: str, **more: Any) -> dict[str, Any]:
    return {"key": credits, "kind": "plan", "label": "Credits", "credits": credits, "period": period} | more


CASES = [
    # packs
    Case(
        "for paid plans",
        BUY,
        pack(paid_plans_only=True),
        ("You need a paid plan to buy packs.",),
        ("Buy Small pack", 'name="shown" value="500"'),
    ),
    Case("for paid plans, with one", BUY, both(pack(paid_plans_only=True), paid_plan())),
    Case(
        "sale",
        BUY,
        sale,
        (
            "Winter sale",
            "Ends <time",
            "in 2 days</time>",
            "<strong>$4.32</strong>",
            'aria-label="Regular price">$5.00</s>',
        ),
        ("<strong>$5.00</strong>",),
    ),
    Case("ending", BUY, pack(lasts="30 days"), ("Valid for 30 days",)),
    Case("summary", BUY, pack(summary="For a start"), ("For a start",)),
    Case(
        "no packs",
        BUY,
        lambda world: Pack.objects.update(retired_at=timezone.now()),
        ("No packs available in this currency",),
        ("You pay on Stripe's secure page.",),
    ),
    Case("one currency", BUY, only_dollars, hidden=('<select id="currency"',)),
    # the confirmation of a pack
    Case("sale", CONFIRM, sale, ("$4.32 <s", ">$5.00</s>", 'name="shown" value="432"')),
    Case(
        "tax",
        CONFIRM,
        policies(auto_top_up=None, tax={"behavior": "exclusive"}),
        ("<dt>Tax</dt>",),
    ),
    # plans
    Case(
        "not in this currency",
        PLANS,
        plan("creator", prices={"month": {"eur": 1990}}),
        ("Not available in this currency",),
        ('href="/plans/creator/',),
    ),
    Case(
        "legacy",
        PLANS,
        subscription(plan="plus"),
        (
            "Legacy plan. Your price does not change.",
            "700 credits per month",
            '<span class="figure">$5.00</span>',
        ),
    ),
    Case(
        "legacy, with the price that is paid",
        PLANS,
        paid_plan(plan="plus", amount=345),
        ("Legacy plan. Your price does not change.", '<span class="figure">$3.45</span>'),
        absent=('<span class="figure">$5.00</span>',),
    ),
    Case("legacy without a price", PLANS, subscription(plan="early-bird"), ("Legacy plan<",)),
    Case("legacy", PLAN, subscription(plan="plus"), ("<dd>$5.00 per month (unchanged)</dd>",)),
    Case("legacy without a price", PLAN, subscription(plan="early-bird"), ("<dd>Unchanged</dd>",)),
    Case("badge", PLANS, plan("creator", badge="Best value"), (">Best value<",)),
    Case("badge of the own plan", PLANS, plan("free-trial", badge="Best value"), absent=(">Best value<",)),
    Case("unlimited", PLANS, plan("creator", unlimited_services=["gpt-4o"]), ("Unlimited use of 1 model<",)),
    Case(
        "allowances",
        PLANS,
        plan(
            "creator",
            allowances=[
                allowance("31", "day"),
                allowance("32", "month"),
                allowance("33", "once", services=["gpt-4o"]),
            ],
        ),
        ("<li>31 credits per day</li>", "<li>32 credits per month</li>", "<li>33 credits once<br>"),
    ),
    Case(
        "no yearly price",
        f"{PLANS}?interval=year",
        plan("creator", prices={"month": {"usd": 1234}}),
        ('$12.34</span> <span class="soft">per month',),
        ('$199.00</span> <span class="soft">per year',),
    ),
    Case(
        "no yearly prices",
        PLANS,
        lambda world: Plan.objects.filter(legacy=False, free=False).update(prices={"month": {"usd": 990}}),
        hidden=('<select id="interval"',),
    ),
    Case("a change that waits for the bank", PLANS, paid_plan(**PENDING_CHANGE), ("https://bank.example/",)),
    Case(
        "a change that waits for the bank, for a member",
        PLANS,
        both(paid_plan(**PENDING_CHANGE), role("member")),
        absent=("https://bank.example/",),
    ),
    # the plan
    Case(
        "credits for some services",
        PLAN,
        lambda world: give(world.account, "7", timezone.now(), services=["tag:advanced"]),
        ("7 more credits are for selected services only.",),
    ),
    Case("badge", PLAN, plan("free-trial", badge="Best value"), (">Best value<",)),
    Case(
        "pause",
        PLAN,
        both(policies(pause={"most_months": 3}), paid_plan()),
        ("Pause plan", "<option>3</option>"),
        absent=("<option>4</option>", "End pause"),
    ),
    Case(
        "a plan whose payment takes days",
        PLAN,
        purchase(
            kind="plan", status="pending", offer="creator", label="Creator", payment_method="sepa_debit"
        ),
        ("is being processed. The plan starts", "5 business days"),
    ),
    # purchases
    Case("a second page", PURCHASES, many_purchases, ("Page 1 of 2", 'rel="next"'), absent=('rel="prev"',)),
    Case(
        "the second page",
        f"{PURCHASES}?page=2",
        many_purchases,
        ("Page 2 of 2", 'rel="prev"', "Number 25"),
        absent=('rel="next"', "Number 24"),
    ),
    Case("no credits", PURCHASES, purchase(credits=0), (">–</td>",)),
    # one purchase
    Case(
        "buyer", PURCHASE, lambda world: purchase(buyer=world.user)(world), ("<dt>Bought by</dt><dd>Alice",)
    ),
    Case("not paid", PURCHASE, purchase(paid_at=None, status="created"), hidden=("<dt>Paid</dt>",)),
    Case("no credits", PURCHASE, purchase(kind="plan", credits=0), hidden=("<dt>Credits</dt>",)),
    # automatic top-up
    Case(
        "a payment to confirm",
        TOP_UP,
        top_up(last_outcome="authenticate", payment_to_confirm="pi_1", suspended_card="pm_1"),
        ("Confirm the payment with your bank, or save a card.", ">Confirm payment</button>"),
        absent=("Save another card, or the same one again",),
    ),
    Case(
        "a suspended card",
        TOP_UP,
        top_up(last_outcome="suspended", suspended_card="pm_1"),
        ("Save another card, or the same one again, to resume",),
        absent=(">Confirm payment</button>",),
    ),
    Case(
        "when it was last tried",
        TOP_UP,
        top_up(last_outcome="pending", last_looked_at=timezone.now() - timedelta(hours=25, minutes=30)),
        ("25 h ago",),
    ),
    # what the product offers
    Case(
        "one plan",
        SETTINGS,
        one_plan,
        hidden=(">Compare plans<", ">Plans<", ">Plan</a>"),
    ),
    Case("no automatic top-up", SETTINGS, policies(auto_top_up=None), hidden=(">Automatic top-up</a>",)),
    Case("no invitations", SETTINGS, policies(referral=None), hidden=(">Invitations</a>",)),
]
