"""The forms of staff about purchases, refunds, plans and prices at Stripe."""

from datetime import timedelta
from decimal import Decimal
from typing import Any

from django.utils import timezone

from accounts.models import StaffNote
from accounts.viewing import BEGIN
from billing.models import (
    AutoTopUp,
    CreditAdjustment,
    Purchase,
    Refund,
    StripePrice,
    Subscription,
)
from billing.staff import (
    adjustments,
    customer,
    purchases,
    stripe_prices,
    subscriptions,
)
from core.models import StaffAct
from tests.forms.rows import Row, fields, refused
from tests.forms.staff_form import TOKEN, StaffForm, at
from tests.forms.world import World


def quarantined(world: World) -> None:
    Purchase.objects.filter(pk=world.purchase.pk).update(status=Purchase.Status.QUARANTINED, paid_at=None)


def _adjusted(world: World) -> dict[str, Any]:
    return fields(
        CreditAdjustment.objects.filter(account=world.account).order_by("pk").last(),
        "reason",
        direction=lambda made: "give" if made.credits > 0 else "take",
        amount=lambda made: abs(made.credits),
        token=lambda made: str(made.token),
    )


def _requested_adjustment(world: World) -> CreditAdjustment:
    """A request of alice, as if she were staff."""
    now = timezone.now()
    terms = {"account": world.account, "credits": 5, "reason": "r", "needs_approval": True}
    times = {"created_at": now, "expires_at": now + timedelta(days=1)}
    found = CreditAdjustment.objects.filter(token=TOKEN).first()
    return found or CreditAdjustment.objects.create(token=TOKEN, requested_by=world.owner, **terms, **times)


def _decision(world: World) -> dict[str, Any]:
    return {"reason": _requested_adjustment(world).decision}


def _pause(world: World) -> None:
    AutoTopUp.objects.create(account=world.account, enabled=True, failures=2, last_outcome="declined")


def _top_up(world: World) -> AutoTopUp:
    return AutoTopUp.objects.get(pk=world.account.pk)


def _unpaid(world: World) -> None:
    Purchase.objects.filter(pk=world.purchase.pk).update(status=Purchase.Status.CREATED, paid_at=None)


def _released(world: World) -> dict[str, Any]:
    purchase = Purchase.objects.get(pk=world.purchase.pk)
    return {"reason": purchase.status}


def requested(world: World) -> None:
    Refund.objects.create(
        account=world.account,
        purchase=world.purchase,
        amount=500,
        currency="usd",
        credits=500,
        created_at=timezone.now(),
    )


def _refund(world: World) -> Refund:
    return Refund.objects.get(account=world.account)


def _decided(world: World) -> dict[str, Any]:
    return fields(_refund(world), "status decided_by", reason=lambda refund: refund.decision)


def _plan(world: World) -> dict[str, Any]:
    current = Subscription.objects.get(account=world.account)
    return {"plan": current.plan, "reason": current.plan}


def price_without_plan(world: World) -> None:
    StripePrice.objects.create(
        stripe_account="acct_1/test",
        stripe_price_id="price_81",
        interval="month",
        currency="usd",
        amount=990,
    )


FORMS = [
    StaffForm(
        purchases.ReasonForm,
        "billing.change_purchase",
        at("/admin/billing/purchase/{pk}/release/", lambda world: world.purchase),
        {"reason": "A cent of rounding"},
        _released,
        {
            "reason": [
                Row("A cent of rounding", Purchase.Status.PAID),
                Row("x" * 1000, Purchase.Status.PAID),
                refused("x" * 1001, "at most 1000 characters"),
                refused("", "required"),
                refused("  ", "required"),
            ]
        },
        world=quarantined,
        key="a quarantined payment",
    ),
    StaffForm(
        purchases.ReasonForm,
        "billing.change_refund",
        at("/admin/billing/refund/{pk}/decide/", _refund),
        {"reason": "Too late", "choice": "refuse"},
        _decided,
        {
            "reason": [
                Row("Too late", "Too late"),
                Row("x" * 1000, "x" * 1000),
                refused("x" * 1001, "at most 1000 characters"),
                refused("", "required"),
            ]
        },
        world=requested,
        key="a refund",
    ),
    StaffForm(
        adjustments.AdjustmentForm,
        "billing.add_creditadjustment",
        at("/admin/accounts/account/{pk}/credits/", lambda world: world.account),
        {"direction": "give", "amount": "5", "reason": "Goodwill", "token": TOKEN},
        _adjusted,
        {
            "direction": [Row("give", "give"), refused("set", "not one of the available choices")],
            "amount": [
                Row("5", Decimal(5)),
                Row("0.000001", Decimal("0.000001")),
                refused("1,5", "Write a point before decimals"),
                refused("1,250", "Write a point before decimals"),
                refused("0.0000001", "at most six decimals"),
                refused("-5", "without a sign"),
                refused("0", "above zero"),
                refused("0.0", "above zero"),
                refused("1000000000.1", "largest amount"),
                *(refused(text, "is not a valid amount") for text in ("NaN", "1e3", "٣", "five", "1 000")),
                refused("", "required"),
            ],
            "reason": [
                Row("Goodwill", "Goodwill"),
                Row("x" * 500, "x" * 500),
                refused("x" * 501, "at most 500 characters"),
                refused(" ", "required"),
            ],
            "token": [Row(TOKEN, TOKEN), refused("1", "valid UUID"), refused("", "required")],
        },
    ),
    StaffForm(
        purchases.ReasonForm,
        "accounts.view_as_customer",
        at("/admin/accounts/account/{pk}/view-as/", lambda world: world.account),
        {"reason": "Cannot find an invoice"},
        lambda world: {"reason": StaffAct.objects.filter(act=BEGIN).values_list("reason", flat=True).last()},
        {
            "reason": [
                Row("Cannot find an invoice", "Cannot find an invoice"),
                refused(" ", "required"),
                refused("x" * 1001, "at most 1000 characters"),
            ]
        },
        key="a view as a customer",
    ),
    StaffForm(
        customer.NoteForm,
        "accounts.add_staffnote",
        at("/admin/accounts/account/{pk}/customer/", lambda world: world.account),
        {"text": "Called about an invoice"},
        lambda world: {"text": StaffNote.objects.values_list("text", flat=True).last()},
        {
            "text": [
                Row("Called about an invoice", "Called about an invoice"),
                Row("x" * 2000, "x" * 2000),
                refused("x" * 2001, "at most 2000 characters"),
                refused(" ", "required"),
            ]
        },
        also=("view_account",),
    ),
    StaffForm(
        adjustments.DecisionForm,
        "billing.change_creditadjustment",
        at("/admin/billing/creditadjustment/{pk}/decide/", _requested_adjustment),
        {"reason": "A mistake", "choice": "refuse"},
        _decision,
        {
            "reason": [
                Row("A mistake", "A mistake"),
                refused("", "Enter a reason"),
                refused("x" * 501, "at most 500 characters"),
            ]
        },
        key="an adjustment",
    ),
    StaffForm(
        purchases.ReasonForm,
        "billing.change_autotopup",
        at("/admin/billing/autotopup/{pk}/resume/", _top_up),
        {"reason": "The bank said yes"},
        lambda world: {"reason": AutoTopUp.objects.get(pk=world.account.pk).failures},
        {"reason": [Row("The bank said yes", 0), refused("", "required")]},
        world=_pause,
        key="an automatic top-up",
    ),
    StaffForm(
        purchases.ReasonForm,
        "billing.change_purchase",
        at("/admin/billing/purchase/{pk}/cancel/", lambda world: world.purchase),
        {"reason": "Asked by phone"},
        _released,
        {"reason": [Row("Asked by phone", Purchase.Status.CANCELLED), refused("", "required")]},
        world=_unpaid,
        key="an unpaid purchase",
    ),
    StaffForm(
        subscriptions.PlanForm,
        "billing.change_subscription",
        at(
            "/admin/billing/subscription/{pk}/place/",
            lambda world: Subscription.objects.get(account=world.account),
        ),
        {"plan": "plus", "reason": "A friend of the house"},
        _plan,
        {
            "plan": [
                Row("plus", "plus"),
                refused("nothing", "not one of the available choices"),
                refused("", "required"),
            ],
            "reason": [Row("A friend of the house", "plus"), refused("", "required")],
        },
    ),
    StaffForm(
        stripe_prices.PlanOfPriceForm,
        "billing.change_stripeprice",
        at("/admin/billing/stripeprice/{pk}/plan/", lambda world: StripePrice.objects.get()),
        {"plan": "starter"},
        lambda world: {"plan": StripePrice.objects.get().plan_key},
        {
            "plan": [
                Row("starter", "starter"),
                Row("plus", "plus"),
                refused("nothing", "not one of the available choices"),
                refused("", "required"),
            ]
        },
        world=price_without_plan,
    ),
]
