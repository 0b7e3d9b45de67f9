"""Stripe Prices of plans.

Invariants: in each Stripe account and mode, each plan, interval, currency, amount and tax behavior has one
offered Price; a changed amount gets a new one, and subscribers at the old amount keep theirs. A Price that is
not recorded (made in Stripe's dashboard, or newer than a restored backup) is recognised by the plan in its
metadata or its product's, and otherwise recorded without a plan, which staff choose.
"""

import hashlib
from typing import Any

from django.db import IntegrityError, transaction

from billing import stripe_gateway
from billing.models import StripePrice
from billing.payments import taxes
from billing.stripe_gateway import StripeObject
from pricing.models import Plan

_INTERVALS = ("month", "year")


def ensure_price(
    *, plan_key: str, interval: str, currency: str, amount: int, tax_behavior: str | None = None
) -> str:
    """The id of the Price for an amount of a plan, created on first use. Raises stripe_gateway's errors.

    `tax_behavior`: inclusive, exclusive or empty; None: as the catalogue says now. A recorded Price that was
    archived or deleted at Stripe is replaced, because Stripe refuses it for new subscriptions
    (https://docs.stripe.com/products-prices/manage-prices#archive-price).
    """
    tax_behavior = taxes.behavior() if tax_behavior is None else tax_behavior
    account = stripe_gateway.current_account()
    fields: dict[str, Any] = {
        "plan_key": plan_key,
        "interval": interval,
        "currency": currency,
        "amount": amount,
        "tax_behavior": tax_behavior,
    }
    previous = ""
    for recorded in StripePrice.objects.filter(**fields, offered=True, stripe_account__in=[account, ""]):
        previous = str(recorded.stripe_price_id)
        found = stripe_gateway.retrieve_price(previous)
        if found is not None and found.get("active"):
            StripePrice.objects.filter(pk=recorded.pk, stripe_account="").update(stripe_account=account)
            return previous
        StripePrice.objects.filter(pk=recorded.pk).update(offered=False)
    terms: dict[str, Any] = {"currency": currency, "amount": amount, "interval": interval, "plan": plan_key}
    terms["tax_behavior"] = tax_behavior
    # An earlier call may have created it and died, longer ago than Stripe keeps the idempotency key.
    name, tax_code = Plan.objects.get(key=plan_key).name, taxes.product_data().get("tax_code", "")
    # A key belongs to one set of parameters, and the catalogue may change these.
    details = hashlib.sha256(f"{name}\n{tax_code}\n{previous}".encode()).hexdigest()[:16]
    stripe_price_id = stripe_gateway.find_price(**terms) or stripe_gateway.create_price(
        key=f"price:{plan_key}:{interval}:{currency}:{amount}:{tax_behavior}:{details}",
        name=name,
        tax_code=tax_code,
        **terms,
    )
    return _record_offered(account, stripe_price_id, fields)


def _record_offered(account: str, stripe_price_id: str, fields: dict[str, Any]) -> str:
    """Record the Price as the one that is offered; of concurrent calls, all return the first's."""
    figures = {**fields, "stripe_account": account, "offered": True}
    try:
        with transaction.atomic():
            StripePrice.objects.update_or_create(stripe_price_id=stripe_price_id, defaults=figures)
    except IntegrityError:  # a concurrent call has recorded another Price of the same figures
        return str(StripePrice.objects.get(**figures).stripe_price_id)
    return stripe_price_id


def record_imported(price: StripeObject, plan_key: str) -> StripePrice:
    """The recorded Price of this plan and amount: this one if there was none."""
    tax_behavior = str(price.get("tax_behavior") or "")
    recorded = find_price(str(price["id"]))
    if recorded is None:
        recorded, _created = StripePrice.objects.get_or_create(
            plan_key=plan_key,
            interval=price["recurring"]["interval"],
            currency=str(price["currency"]),
            amount=price["unit_amount"],
            tax_behavior="" if tax_behavior == "unspecified" else tax_behavior,
            defaults={"stripe_price_id": str(price["id"])},
        )
    return recorded


def find_price(stripe_price_id: str) -> StripePrice | None:
    """Our record of a Price; None when it belongs to no plan."""
    return StripePrice.objects.exclude(plan_key="").filter(stripe_price_id=stripe_price_id).first()


def recognise(price: StripeObject) -> StripePrice | None:
    """Our record of a Price, created when its metadata or its product's name a plan; None otherwise."""
    recorded = find_price(str(price.get("id", "")))
    if recorded is not None:
        return recorded
    product = price.get("product")
    named = (price.get("metadata") or {}).get("plan") or (
        (product.get("metadata") or {}).get("plan") if isinstance(product, dict) else None
    )
    if not named or not Plan.objects.filter(key=str(named)).exists():
        return None
    return _record_foreign(price, str(named))


def record_unknown(price: StripeObject) -> None:
    """Record a Price of one of our subscriptions that names no plan, so that staff can choose its plan."""
    _record_foreign(price, "")


def choose_plan(price: StripePrice, plan_key: str) -> None:
    """Staff choose the plan of a recorded Price. Raises Plan.DoesNotExist."""
    StripePrice.objects.filter(pk=price.pk).update(plan_key=Plan.objects.get(key=plan_key).key)


def _record_foreign(price: StripeObject, plan_key: str) -> StripePrice | None:
    """Record a Price that was not created for the catalogue; None when it is not one amount each interval."""
    recurring = price.get("recurring") or {}
    regular = recurring.get("interval") in _INTERVALS and recurring.get("interval_count", 1) == 1
    if not regular or not isinstance(price.get("unit_amount"), int):
        return None
    recorded, _created = StripePrice.objects.get_or_create(
        stripe_price_id=str(price["id"]),
        defaults={
            "plan_key": plan_key,
            "interval": recurring["interval"],
            "currency": str(price["currency"]),
            "amount": price["unit_amount"],
            "tax_behavior": _tax_behavior(price),
            "offered": False,
        },
    )
    if plan_key and not recorded.plan_key:
        recorded.plan_key = plan_key
        recorded.save(update_fields=["plan_key"])
    return recorded


def _tax_behavior(price: StripeObject) -> str:
    behavior = str(price.get("tax_behavior") or "")
    return behavior if behavior in {"inclusive", "exclusive"} else ""
