"""Which plan an account has: the only place that changes it.

Invariants: a change holds the subscription's row, so two changes run one after the other; row, history and
the ledger's allowances change together or not at all; a legacy plan is kept by who has it and cannot be
entered, and one that was left cannot even be given back by staff; free and legacy plans need no Stripe.
"""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from django.db import transaction
from django.utils.translation import gettext as _

from accounts.models import Account
from billing import selectors
from billing.models import PlanChange, Subscription
from billing.subscriptions import terms
from pricing.catalogue import cache as catalogue_cache
from pricing.models import Plan


class PlanClosed(Exception):
    """A plan that nobody can enter: legacy, or no longer offered."""

    code = "plan_closed"

    def __init__(self) -> None:
        super().__init__(_("This plan is no longer offered. See the Plans page for available plans."))


class LegacyLeft(PlanClosed):
    """The account had this legacy plan and left it: there is no way back."""


class NoFreePlan(Exception):
    """The catalogue names no free plan: an account cannot be opened, nor fall back from a paid plan."""


@dataclass(frozen=True, kw_only=True)
class Paid:
    """What Stripe says of a paid plan. Times are the paid period's; `amount` minor units each interval."""

    interval: str
    currency: str
    amount: int
    period_start: datetime
    period_end: datetime
    paid_until: datetime
    stripe_subscription_id: str
    stripe_item_id: str
    prorated_at: datetime | None = None  # from when an upgrade credited the plan before


def free_plan() -> Plan:
    """The plan of every new account. Raises NoFreePlan."""
    plan = Plan.objects.filter(free=True, retired_at=None).first()
    if plan is None:
        raise NoFreePlan
    return plan


def locked(account_id: UUID) -> Subscription:
    """The account's subscription, held until the transaction ends. Raises Subscription.DoesNotExist."""
    return Subscription.objects.select_for_update().get(account_id=account_id)


def start(*, account: Account, plan: Plan, now: datetime, once: bool) -> Subscription:
    """A new account's first plan, without Stripe. Safe to repeat: what exists is left as it is."""
    with transaction.atomic():
        subscription, created = Subscription.objects.get_or_create(
            account=account,
            defaults={
                "plan": plan.key,
                "anchor_at": now,
                "period_start": now,
                "created_at": now,
                "updated_at": now,
            },
        )
        if created:
            _note(account.pk, "", plan, "account opened", "", now)
            terms.apply(
                plan,
                account_id=account.pk,
                anchor_at=now,
                ends_at=None,
                once_at=now if once else None,
                carry_over=False,
                now=now,
            )
    selectors.forget_terms(account.pk)
    return subscription


def enter(
    subscription: Subscription,
    plan: Plan,
    *,
    now: datetime,
    reason: str,
    actor: str = "",
    paid: Paid | None = None,
) -> None:
    """Put a locked subscription on a plan (or on the next period of the same one): the one way to change it.

    Without `paid` the plan costs nothing. An upgrade to a plan that carries over keeps unspent credits.
    Raises PlanClosed, LegacyLeft.
    """
    if plan.key != subscription.plan:
        _require_open(subscription, plan)
    _enter(subscription, plan, now, reason, actor, paid)


def _enter(
    subscription: Subscription, plan: Plan, now: datetime, reason: str, actor: str, paid: Paid | None
) -> None:
    left = subscription.plan
    if paid:
        now = max(now, paid.period_start)  # Stripe answers a second later than it was asked
    replaced = _replaced(subscription, plan, paid, now)
    if plan.key != left:
        _note(subscription.account_id, left, plan, reason, actor, now)
    anchor_at = _anchor(subscription, plan, paid, now)
    subscription.plan = plan.key
    subscription.state = Subscription.State.ACTIVE
    subscription.anchor_at = anchor_at
    subscription.interval = paid.interval if paid else ""
    subscription.currency = paid.currency if paid else ""
    subscription.amount = paid.amount if paid else 0
    subscription.period_start = paid.period_start if paid else now
    subscription.period_end = paid.period_end if paid else None
    subscription.paid_until = paid.paid_until if paid else None
    subscription.stripe_subscription_id = paid.stripe_subscription_id if paid else None
    subscription.stripe_item_id = paid.stripe_item_id if paid else ""
    subscription.next_plan, subscription.next_amount = "", 0
    subscription.recovery_url = ""
    if not paid:
        subscription.cancel_at_period_end = False
    touch(subscription, now)
    terms.apply(
        plan,
        account_id=subscription.account_id,
        anchor_at=anchor_at,
        ends_at=paid.paid_until if paid else None,
        once_at=now if _once(plan) else None,
        carry_over=carries_over(left, plan),
        now=now,
        replaced=replaced,
    )


def _replaced(
    subscription: Subscription, plan: Plan, paid: Paid | None, now: datetime
) -> terms.Replaced | None:
    """The plan whose running, paid period a change cuts short or shares; None at a period's regular end."""
    end = subscription.period_end
    if paid is None or end is None or subscription.state != Subscription.State.ACTIVE:
        return None
    if subscription.stripe_subscription_id != paid.stripe_subscription_id:
        return None
    restarts = _restarts(subscription, paid)
    if not restarts and (subscription.period_start != paid.period_start or plan.key == subscription.plan):
        return None
    at = min(now.replace(microsecond=0), end)  # Stripe counts in seconds
    if restarts:
        at = paid.period_start
        if paid.prorated_at and subscription.period_start <= paid.prorated_at <= paid.period_start:
            at = paid.prorated_at
    old = Plan.objects.get(key=subscription.plan)
    return terms.Replaced(plan=old, anchor_at=subscription.anchor_at, at=at, restarts=restarts)


def _restarts(subscription: Subscription, paid: Paid) -> bool:
    """Whether the paid period began before the one that was running had ended."""
    end = subscription.period_end
    return end is not None and subscription.period_start < paid.period_start < end


def carries_over(left: str, entered: Plan) -> bool:
    """Whether unspent monthly credits are kept when a plan is changed for another."""
    return entered.key != left and entered.carry_over and _is_upgrade(left, entered)


def touch(subscription: Subscription, now: datetime) -> None:
    """Save a locked subscription as a new version, so that older confirmations are refused."""
    subscription.version += 1
    subscription.updated_at = now
    subscription.save()
    selectors.forget_terms(subscription.account_id)
    transaction.on_commit(lambda: selectors.forget_terms(subscription.account_id))


def fall_back(subscription: Subscription, *, now: datetime, reason: str) -> None:
    """The paid plan has ended: the free one again. Bought credits stay, the plan's own are gone."""
    enter(subscription, free_plan(), now=now, reason=reason)


def stop_allowances(subscription: Subscription, *, now: datetime, recovery_url: str = "") -> None:
    """A payment is overdue: no credits of the plan come until it is made. Locked subscription."""
    plan = Plan.objects.get(key=subscription.plan)
    subscription.state = Subscription.State.PAST_DUE
    subscription.recovery_url = recovery_url or subscription.recovery_url
    ends_at = min(now, subscription.paid_until) if subscription.paid_until else now
    touch(subscription, now)
    terms.apply(
        plan,
        account_id=subscription.account_id,
        anchor_at=subscription.anchor_at,
        ends_at=ends_at,
        once_at=None,
        carry_over=False,
        now=now,
    )


def place(*, account: Account, plan_key: str, actor: str, now: datetime) -> Subscription:
    """Staff put an account on a plan that costs it nothing, legacy ones included.

    Raises LegacyLeft for a legacy plan that the account once left, PlanClosed where money is due or the
    account pays for a plan at Stripe, Plan.DoesNotExist.
    """
    plan = Plan.objects.get(key=plan_key, retired_at=None)
    with transaction.atomic():
        subscription = locked(account.pk)
        if subscription.plan == plan.key:
            return subscription
        if subscription.paid or (plan.paid and not plan.legacy):
            raise PlanClosed
        if plan.legacy and left_before(account.pk, plan.key):
            raise LegacyLeft
        _enter(subscription, plan, now, "placed by staff", actor, None)
    return subscription


def left_before(account_id: UUID, plan_key: str) -> bool:
    """Whether the account has ever left this plan."""
    return PlanChange.objects.filter(account_id=account_id, left=plan_key).exists()


def is_change_up(left: str, entered: Plan) -> bool:
    """Whether going from a plan to another is an upgrade (by the catalogue's rank)."""
    return _is_upgrade(left, entered)


def _is_upgrade(left: str, entered: Plan) -> bool:
    rank = Plan.objects.filter(key=left).values_list("rank", flat=True).first()
    return rank is None or entered.rank > rank


def _require_open(subscription: Subscription, plan: Plan) -> None:
    if plan.legacy and left_before(subscription.account_id, plan.key):
        raise LegacyLeft
    if not plan.open_to_new_members:
        raise PlanClosed


def _anchor(subscription: Subscription, plan: Plan, paid: Paid | None, now: datetime) -> datetime:
    """Months are counted from when the cycle began: a paid period's start, unless a cycle is going on."""
    if paid is None:
        return subscription.anchor_at if subscription.plan == plan.key else now
    same_cycle = subscription.stripe_subscription_id == paid.stripe_subscription_id
    if same_cycle and subscription.interval == paid.interval and not _restarts(subscription, paid):
        return subscription.anchor_at
    return paid.period_start


def _once(plan: Plan) -> bool:
    """What a free plan gives once may belong to the verified address, not to the entering (see opening)."""
    return not (plan.free and catalogue_cache.current().policies.free_plan_once_per_address)


def _note(account_id: UUID, left: str, plan: Plan, reason: str, actor: str, now: datetime) -> None:
    PlanChange.objects.create(
        account_id=account_id, left=left, entered=plan.key, reason=reason, actor=actor, created_at=now
    )
