"""Conditions of the pages of billing: overview, plan, plans, automatic top-up."""

from datetime import timedelta

from django.utils import timezone

from accounts.models import Membership
from billing.models import BillingProfile, Purchase
from tests.pages.case import (
    LATER,
    Case,
    alert,
    both,
    debt,
    paid_plan,
    policies,
    profile,
    purchase,
    role,
    subscription,
    top_up,
)

BILLING, PLAN, PLANS = "/billing/", "/billing/subscription/", "/plans/"
TOP_UP = "/billing/auto-top-up/"
OUTCOMES = {
    "pending": "The payment of the last top-up is pending.",
    "declined": "Your card was declined.",
    "authenticate": "Your bank requires you to confirm the payment.",
    "no_card": "Save a card to resume automatic top-up.",
    "ceiling_money": "The monthly spending limit is reached.",
    "ceiling_count": "The maximum number of top-ups per month is reached.",
    "cooling": "The next top-up is delayed after the last attempt.",
    "offer_gone": "The pack is no longer available. Choose another pack.",
    "suspended": "Automatic top-up is paused after failed payments.",
    "unreachable": "Stripe could not be reached. We will try again.",
}

CASES = [
    # the overview of billing
    Case(
        "paid plan", BILLING, paid_plan(), ("$9.90", "Renews "), (">Free<",), ("Ends ", "Paid until", "then ")
    ),
    Case("ending plan", BILLING, paid_plan(cancel_at_period_end=True), ("Ends ",), absent=("Renews ",)),
    Case(
        "overdue plan",
        BILLING,
        paid_plan(state="past_due"),
        ("Paid until", "The last payment for your plan failed."),
        absent=("Renews ",),
    ),
    Case(
        "overdue, invoice",
        BILLING,
        paid_plan(state="past_due", recovery_url="https://inv.example/", unpaid_credits=12),
        ('href="https://inv.example/"', "You used 12 credits of the unpaid period."),
    ),
    Case(
        "overdue, card",
        BILLING,
        both(paid_plan(state="past_due"), profile(plan_card_brand="visa", plan_card_last4="4242")),
        ("Pay now with Visa ···· 4242",),
    ),
    Case(
        "overdue, for a member",
        BILLING,
        both(paid_plan(state="past_due"), profile(plan_card_last4="4242"), role("member")),
        ("The last payment",),
        absent=("Pay now",),
    ),
    Case("downgrade", BILLING, paid_plan(next_plan="creator", next_amount=1990), ("then Creator",)),
    Case("legacy plan", BILLING, subscription(plan="plus"), ("Legacy plan",), ("Free</p>",)),
    Case(
        "for a member",
        BILLING,
        role("member"),
        hidden=("Card and invoices", "Alerts and top-up", "Codes and invitations"),
    ),
    Case("alert", BILLING, alert(enabled=True), ("Alert below 40 credits.",), absent=("Alerts are off.",)),
    Case("no alert", BILLING, alert(enabled=False), ("Alerts are off.",), absent=("Alert below 40",)),
    Case("top-up", BILLING, top_up(), ("Automatic top-up below 40 credits.",), ("Automatic top-up is off.",)),
    Case("top-up off", BILLING, top_up(enabled=False), absent=("Automatic top-up below",)),
    Case("no top-up here", BILLING, policies(auto_top_up=None), hidden=("Automatic top-up is off.",)),
    Case(
        "no card",
        BILLING,
        profile(card_id=""),
        ("No card saved", "Save card"),
        ("Replace card", "Remove card"),
    ),
    Case(
        "card of the plan",
        BILLING,
        lambda world: profile(plan_card_id=BillingProfile.objects.get(account=world.account).card_id)(world),
        ("Pays your plan and automatic top-ups",),
        ("Remove card",),
    ),
    Case(
        "another card of the plan",
        BILLING,
        profile(plan_card_id="pm_2", plan_card_brand="sepa_debit", plan_card_last4="3000"),
        ("SEPA Direct Debit ···· 3000", "Pays your plan<"),
        absent=("Pays your plan and",),
    ),
    Case("never at Stripe", BILLING, profile(stripe_customer_id=None), hidden=("Manage in Stripe",)),
    Case(
        "no purchases",
        BILLING,
        lambda world: Purchase.objects.filter(account=world.account).update(
            account=Membership.objects.exclude(account=world.account).filter(user=world.user)[0].account
        ),
        ("No purchases yet",),
    ),
    Case("bought automatically", BILLING, purchase(origin="auto_top_up"), ('cell-note">Automatic top-up',)),
    Case("credits of an unpaid pack", BILLING, purchase(status="failed"), (">–</td>",)),
    # the plan
    Case(
        "paid",
        PLAN,
        paid_plan(),
        ("Cancel plan", "Manage in Stripe", "$9.90"),
        absent=("Keep Starter</button>",),
    ),
    Case("ending", PLAN, paid_plan(cancel_at_period_end=True), ("Keep Starter</button>",)),
    Case(
        "downgrade",
        PLAN,
        paid_plan(next_plan="creator", next_amount=1990),
        ("Creator · $19.90", "Keep Starter</button>"),
    ),
    Case(
        "for a member",
        PLAN,
        both(paid_plan(), role("member")),
        ("$9.90",),
        absent=("Cancel plan", "Manage in Stripe"),
    ),
    Case(
        "unpaid credits",
        PLAN,
        paid_plan(unpaid_credits=12),
        ("You used 12 credits of a period that was not paid.",),
    ),
    Case(
        "overdue, unpaid credits",
        PLAN,
        paid_plan(state="past_due", unpaid_credits=12),
        ("You used 12 credits of the unpaid period.",),
        absent=("of a period that was not paid",),
    ),
    Case(
        "paused",
        PLAN,
        paid_plan(pause_behavior="void"),
        ("Payment is paused.", "End pause"),
        absent=("Pause plan",),
    ),
    Case(
        "paused for a time",
        PLAN,
        paid_plan(pause_behavior="void", paused_until=LATER),
        ("Payment is paused until",),
    ),
    Case(
        "legacy",
        PLAN,
        subscription(plan="plus"),
        ("This plan is no longer offered.", "(unchanged)"),
        absent=("Cancel plan",),
    ),
    Case("debt", PLAN, debt, ("credits owed. New credits repay this debt first.",)),
    Case(
        "a change that waits for the bank",
        PLAN,
        paid_plan(pending_plan="creator", pending_until=LATER, pending_url="https://bank.example/"),
        ("Confirm payment", 'href="https://bank.example/"', "otherwise nothing changes"),
    ),
    Case(
        "a change that waited too long",
        PLAN,
        paid_plan(
            pending_plan="creator",
            pending_until=timezone.now() - timedelta(days=900),
            pending_url="https://b/",
        ),
        absent=("Confirm payment",),
    ),
    # plans
    Case("current", PLANS, paid_plan(), (), ('<select id="currency"',), ("Pay yearly",)),
    Case("monthly", f"{PLANS}?interval=year", paid_plan(), ("Pay yearly",), absent=("Pay monthly",)),
    Case(
        "yearly", f"{PLANS}?interval=year", paid_plan(interval="year"), absent=("Pay yearly", "Pay monthly")
    ),
    Case(
        "yearly",
        f"{PLANS}?interval=month",
        paid_plan(interval="year"),
        ("Pay monthly",),
        absent=("Pay yearly",),
    ),
    Case(
        "overdue",
        PLANS,
        paid_plan(state="past_due"),
        ("disabled>Change to Creator", 'href="/plans/free-trial/"'),
        ('href="/plans/creator/',),
    ),
    Case(
        "for a member",
        PLANS,
        role("member"),
        ("Only owners and billing members can change the plan.",),
        ("Change to Creator",),
    ),
    Case(
        "pending",
        PLANS,
        purchase(kind="plan", status="pending", offer="creator", label="Creator"),
        ("Payment pending", "is being processed. The plan starts"),
        ('href="/plans/creator/',),
    ),
    Case(
        "scheduled",
        PLANS,
        paid_plan(plan="creator", next_plan="starter"),
        ("View change", "Next plan"),
        ('href="/plans/starter/',),
    ),
    Case("ending", PLANS, paid_plan(cancel_at_period_end=True), ("View change", "Next plan")),
    # automatic top-up
    *(
        Case(f"outcome {name}", TOP_UP, top_up(last_outcome=name), (words,))
        for name, words in OUTCOMES.items()
    ),
    *(
        Case(
            f"outcome {name}, switched off", TOP_UP, top_up(last_outcome=name, enabled=False), absent=(words,)
        )
        for name, words in list(OUTCOMES.items())[:2]
    ),
    Case("paid", TOP_UP, top_up(last_outcome="paid", last_tried_at=timezone.now()), ("Last top-up:",)),
    Case("on", TOP_UP, top_up(), ("is charged $5.00 (USD) for Small pack: at most 2 times and $10.00",)),
    Case("once", TOP_UP, top_up(monthly_count=1), ("at most 1 time and $5.00",)),
    Case("off", TOP_UP, top_up(enabled=False), absent=("is charged $5.00",)),
]
