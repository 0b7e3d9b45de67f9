"""What a change of plan would cost and do, shown before it is made.

Invariant: a preview carries a signed token that names the account, the subscription's version and the sum, so
that a confirmation does exactly what was shown or is refused.
"""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from django.core import signing
from django.utils.translation import gettext as _

from accounts.models import Account
from billing import ledger, offers, stripe_gateway
from billing.models import Subscription
from billing.payments import cards
from billing.subscriptions import lifecycle, stripe_prices, terms
from pricing.models import Plan

_SALT = "billing.subscriptions.changes"
GOOD_FOR = timedelta(minutes=30)


class Stale(Exception):
    """The plan or its price changed after the preview was shown."""

    code = "confirmation_stale"

    def __init__(self) -> None:
        super().__init__(_("The conditions have changed. Review the new preview and confirm it."))


class ChangeRefused(Exception):
    """This change cannot be made. `code` says why, for programs; the text, for people."""

    field = "plan"

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True)
class GrantFate:
    """What happens to credits: `stays`, `carried`, `lost`, or `until` the period's end."""

    label: str
    remaining: Decimal
    fate: str


@dataclass(frozen=True)
class Arrival:
    """Credits that an upgrade gives at once: the plan's, less the unused part of the plan before."""

    label: str
    credits: Decimal


@dataclass(frozen=True, kw_only=True)
class Preview:
    """What a change would do. `due_now` in minor units; None: Stripe's page will say."""

    kind: str  # subscribe, upgrade, downgrade, cancel, leave, keep
    plan: Plan
    interval: str
    currency: str
    amount: int
    due_now: int | None
    takes_effect: datetime
    leaves_legacy: bool
    grants: list[GrantFate] = field(default_factory=list)
    arrivals: list[Arrival] = field(default_factory=list)
    token: str = ""


def preview(account: Account, *, plan_key: str, interval: str, currency: str, now: datetime) -> Preview:
    """What changing to a plan would cost and do; asks Stripe for the proration of an upgrade.

    Raises ChangeRefused, offers.OfferGone, offers.CurrencyUnknown and stripe_gateway's errors.
    """
    present = Subscription.objects.get(account=account)
    plan = Plan.objects.filter(key=plan_key).first()
    if plan is None:
        raise offers.OfferGone("plan")
    interval = interval or present.interval or next(iter(plan.prices), "")
    currency = present.currency if present.paid else currency
    kind = _kind(present, plan, interval)
    amount = 0
    if kind in {"subscribe", "upgrade", "downgrade"}:
        plan, amount = offers.plan_to_buy(key=plan_key, interval=interval, currency=currency)
    elif kind == "keep":
        amount = present.amount
    at = int(now.timestamp())
    due_now = (
        _proration(account, present, plan, interval, currency, amount, at) if kind == "upgrade" else None
    )
    waits = kind in {"downgrade", "cancel"}
    facts = {"account": account.public_id, "version": present.version, "plan": plan.key, "kind": kind}
    leaves_legacy = _is_legacy(present) and kind != "keep"
    facts |= {
        "legacy": leaves_legacy,
        "interval": interval,
        "currency": currency,
        "amount": amount,
        "due": due_now,
        "at": at,
    }
    return Preview(
        kind=kind,
        plan=plan,
        interval=interval,
        currency=currency,
        amount=amount,
        due_now=due_now if kind == "upgrade" else (amount if kind == "subscribe" else 0),
        takes_effect=present.period_end if waits and present.period_end else now,
        leaves_legacy=leaves_legacy,
        grants=_fates(account.pk, present, plan, kind, now),
        arrivals=_arrivals(account.pk, present, plan, at, now) if kind == "upgrade" else [],
        token=signing.dumps(facts, salt=_SALT),
    )


def _kind(present: Subscription, plan: Plan, interval: str) -> str:
    if not present.paid:
        return _kind_from_unpaid(present, plan)
    if plan.free:
        return "cancel"
    same = present.plan == plan.key
    if same and interval == present.interval:
        if present.next_plan or present.cancel_at_period_end:
            return "keep"
        raise _already()
    if not plan.open_to_new_members:
        raise lifecycle.PlanClosed
    if present.state == Subscription.State.PAST_DUE:
        raise ChangeRefused("past_due", _("A payment is overdue. Pay it before you change the plan."))
    return _kind_between_paid(present, plan, interval)


def _kind_from_unpaid(present: Subscription, plan: Plan) -> str:
    if present.plan == plan.key:
        raise _already()
    if plan.paid and plan.open_to_new_members:
        return "subscribe"
    if plan.free:
        return "leave"
    raise lifecycle.PlanClosed


def _kind_between_paid(present: Subscription, plan: Plan, interval: str) -> str:
    if present.interval == "year" and interval == "month":
        raise ChangeRefused(
            "interval_shorter",
            _("Yearly payment cannot change to monthly before the year ends. Cancel the plan instead."),
        )
    longer = present.interval == "month" and interval == "year"
    up = lifecycle.is_change_up(present.plan, plan)
    if longer and not up and present.plan != plan.key:
        raise ChangeRefused(
            "interval_and_rank", _("Change to the smaller plan first, then change to yearly payment.")
        )
    return "upgrade" if up or longer else "downgrade"


def _already() -> ChangeRefused:
    return ChangeRefused("already_on_plan", _("The account is already on this plan."))


def _is_legacy(present: Subscription) -> bool:
    return Plan.objects.filter(key=present.plan, legacy=True).exists()


def _proration(
    account: Account, present: Subscription, plan: Plan, interval: str, currency: str, amount: int, at: int
) -> int:
    price = stripe_prices.price_of(plan_key=plan.key, interval=interval, currency=currency, amount=amount)
    told = stripe_gateway.preview_change(
        customer=cards.ensure_customer(account),
        subscription_id=str(present.stripe_subscription_id),
        item=present.stripe_item_id,
        price=price,
        at=at,
    )
    return int(told["amount_due"])


def _fates(account_id: UUID, present: Subscription, plan: Plan, kind: str, now: datetime) -> list[GrantFate]:
    fates = []
    for grant in ledger.balance(account_id, now).grants:
        fate = "stays"
        if grant.allowance.startswith(f"{present.plan}:") and grant.expires_at is not None and kind != "keep":
            if kind in {"downgrade", "cancel"}:
                fate = "until"
            else:
                fate = "carried" if kind == "upgrade" and _is_carried(present, plan, grant.kind) else "lost"
        fates.append(GrantFate(grant.label, grant.remaining, fate))
    return fates


def _is_carried(present: Subscription, plan: Plan, grant_kind: str) -> bool:
    if present.plan == plan.key:
        return True
    return lifecycle.carries_over(present.plan, plan) and grant_kind != "daily"


def _arrivals(account_id: UUID, present: Subscription, plan: Plan, at: int, now: datetime) -> list[Arrival]:
    replaced = terms.Replaced(
        plan=Plan.objects.get(key=present.plan),
        anchor_at=present.anchor_at,
        at=datetime.fromtimestamp(at, tz=UTC),
        restarts=True,
    )
    carry_over = lifecycle.carries_over(present.plan, plan)
    first = terms.first_credits(plan, replaced, account_id=account_id, carry_over=carry_over, now=now)
    labels = {f"{plan.key}:{row['key']}": row["label"] for row in plan.allowances}
    return [Arrival(labels[key], credits) for key, credits in first.items()]


def read_token(account: Account, token: str) -> dict[str, Any]:
    try:
        facts: dict[str, Any] = signing.loads(token, salt=_SALT, max_age=GOOD_FOR)
    except signing.BadSignature:
        raise Stale from None
    if facts["account"] != account.public_id:
        raise Stale
    return facts
