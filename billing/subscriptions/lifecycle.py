"""The state of an account's subscription and the ledger's terms of its plan; the only writer of both.

Invariants: a change holds a lock on the subscription's row, so that two changes run one after the other; the
row, the history and the ledger's allowances change in one transaction; an account keeps its legacy plan, and
legacy plans cannot be bought: they are imported with a running payment (importing) or assigned by staff, and
never once the account has left them. An allowance's key contains its plan's key, so that leaving a plan and
returning within a period grants nothing twice.
"""

import hashlib
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from uuid import UUID

from django.db import transaction

from accounts.models import Account
from billing import offers
from billing.models import PlanChange, Subscription
from billing.notifications import webhook_events
from billing.subscriptions import grace, ledger_terms, plan_terms, proration, unpaid_credits
from billing.subscriptions.stripe_objects import Proration
from pricing.catalogue import cache as catalogue_cache
from pricing.models import Plan


class LegacyPlanLeft(offers.PlanClosed):
    """The account left this legacy plan before and cannot return to it."""


class NoFreePlan(Exception):
    """The catalogue has no free plan, which new accounts and ended subscriptions need."""


@dataclass(frozen=True, kw_only=True)
class PaidPeriod:
    """The paid plan and period of a Stripe subscription. `amount`: minor units each interval."""

    interval: str
    currency: str
    amount: int
    period_start: datetime
    period_end: datetime
    paid_until: datetime
    stripe_subscription_id: str
    stripe_item_id: str
    proration: Proration | None = None


def free_plan() -> Plan:
    """The plan of every new account. Raises NoFreePlan."""
    plan = Plan.objects.filter(free=True, retired_at=None).first()
    if plan is None:
        raise NoFreePlan
    return plan


def lock_subscription(account_id: UUID) -> Subscription:
    """The account's subscription, locked until the transaction ends. Raises Subscription.DoesNotExist."""
    return Subscription.objects.select_for_update(no_key=True).get(account_id=account_id)


def create_subscription(*, account: Account, plan: Plan, now: datetime, once: bool) -> Subscription:
    """Put a new account on its first plan, without Stripe. Idempotent: an existing subscription is returned.

    `once`: whether to grant the plan's one-time allowances.
    """
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
            _record_change(account.pk, "", plan, "account opened", "", now)
            ledger_terms.apply_to_ledger(
                plan,
                account_id=account.pk,
                anchor_at=now,
                ends_at=None,
                once_at=now if once else None,
                carry_over=False,
                now=now,
            )
    plan_terms.forget(account.pk)
    return subscription


def change_plan(
    subscription: Subscription,
    plan: Plan,
    *,
    now: datetime,
    reason: str,
    actor: str = "",
    paid: PaidPeriod | None = None,
) -> None:
    """Put a locked subscription on another plan, or on the next period of the same one.

    Without `paid` the plan costs nothing. An upgrade to a plan that carries over keeps unspent credits.
    Raises offers.PlanClosed, LegacyPlanLeft.
    """
    if plan.key != subscription.plan:
        imported = paid is not None and subscription.intent == import_intent(
            paid.stripe_subscription_id, plan.key
        )
        _require_open(subscription, plan, imported=imported)
    _change_plan(subscription, plan, now, reason, actor, paid)


def _change_plan(
    subscription: Subscription, plan: Plan, now: datetime, reason: str, actor: str, paid: PaidPeriod | None
) -> None:
    previous = subscription.plan
    if paid:
        now = max(now, paid.period_start)  # the period may begin a second after the request was sent
    replaced = _replaced_plan(subscription, plan, paid, now)
    same = paid is not None and paid.stripe_subscription_id == subscription.stripe_subscription_id
    # At the end of a period nothing is left to carry over, except credits granted in advance.
    carry_over = carries_over(previous, plan, restarts=replaced is not None and replaced.restarts)
    carry_over = carry_over and (replaced is not None or not same)
    overdue = same and subscription.state == Subscription.State.PAST_DUE
    taken_back_since = subscription.paid_until if overdue else None
    if plan.key != previous:
        _record_change(subscription.account_id, previous, plan, reason, actor, now)
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
    subscription.pending_plan = subscription.pending_invoice = subscription.pending_url = ""
    subscription.pending_until = None
    if not paid:
        subscription.cancel_at_period_end = False
    save_new_version(subscription, now)
    unpaid = ledger_terms.apply_to_ledger(
        plan,
        account_id=subscription.account_id,
        anchor_at=anchor_at,
        ends_at=subscription.paid_until,
        once_at=now if _grants_one_time_allowances(plan) else None,
        carry_over=carry_over,
        now=now,
        replaced=replaced,
        advance=ledger_terms.Advance(
            until=grace.credits_until(subscription),
            unpaid=subscription.unpaid_credits if paid else Decimal(0),
            taken_back_since=taken_back_since,
        ),
    )
    if paid and unpaid != subscription.unpaid_credits:
        unpaid_credits.record_deduction(subscription, unpaid, now)
        set_schedule(subscription, now)  # without any, credits are granted in advance again


def set_schedule(subscription: Subscription, now: datetime) -> None:
    """Apply the cancellation, next plan and grace period of a locked, paid subscription to the ledger."""
    if subscription.state != Subscription.State.ACTIVE:
        return
    following = None
    if subscription.next_plan not in {"", subscription.plan}:
        following = Plan.objects.get(key=subscription.next_plan)
    ledger_terms.apply_to_ledger(
        Plan.objects.get(key=subscription.plan),
        account_id=subscription.account_id,
        anchor_at=subscription.anchor_at,
        ends_at=subscription.paid_until,
        once_at=None,
        carry_over=False,
        now=now,
        advance=ledger_terms.Advance(until=grace.credits_until(subscription), following=following),
    )


def _replaced_plan(
    subscription: Subscription, plan: Plan, paid: PaidPeriod | None, now: datetime
) -> proration.ReplacedPlan | None:
    """The plan whose running, paid period the change ends early or shares; None at a period's regular end."""
    end = subscription.period_end
    if paid is None or end is None or subscription.state != Subscription.State.ACTIVE:
        return None
    if subscription.stripe_subscription_id != paid.stripe_subscription_id:
        return None
    restarts = _restarts_period(subscription, paid)
    if not restarts and (subscription.period_start != paid.period_start or plan.key == subscription.plan):
        return None
    if not restarts and subscription.paid_until is not None and subscription.paid_until <= paid.period_start:
        return None  # the payment of the period itself
    at = min(now.replace(microsecond=0), end)  # Stripe's times are whole seconds
    if restarts:
        at = _credited_from(subscription, paid, end)
    old = Plan.objects.get(key=subscription.plan)
    return proration.ReplacedPlan(plan=old, anchor_at=subscription.anchor_at, at=at, restarts=restarts)


def _credited_from(subscription: Subscription, paid: PaidPeriod, end: datetime) -> datetime:
    """The instant from which the current period's price is credited: the confirmed one, or the new period's
    start."""
    prorated = paid.proration
    if prorated and prorated.period_start == subscription.period_start and prorated.at < end:
        return prorated.at
    if prorated and prorated.period_start is None and subscription.period_start <= prorated.at:
        return min(prorated.at, paid.period_start)
    return paid.period_start


def _restarts_period(subscription: Subscription, paid: PaidPeriod) -> bool:
    """Whether the paid period began before the current one ended.

    A change in the second in which the period began gives the new one the same start.
    """
    begun, end = subscription.period_start, subscription.period_end
    if begun == paid.period_start:
        return subscription.interval != paid.interval
    return end is not None and begun < paid.period_start < end


def carries_over(previous: str, plan: Plan, *, restarts: bool) -> bool:
    """Whether unspent monthly credits are kept when `plan` replaces the plan with the key `previous`.

    A smaller plan that begins a period (`restarts`) before the paid one ends keeps them, because the price is
    credited only for time whose credits are deducted (previews.credited_from).
    """
    if plan.key == previous:
        return False
    return plan.carry_over if is_upgrade(previous, plan) else restarts


def save_new_version(subscription: Subscription, now: datetime) -> None:
    """Save a locked subscription as a new version, so that confirmations of an older one are refused."""
    subscription.version += 1
    subscription.intent = ""
    subscription.updated_at = now
    webhook_events.subscription_changed(subscription, now)
    subscription.save()
    plan_terms.forget(subscription.account_id)
    transaction.on_commit(lambda: plan_terms.forget(subscription.account_id))


def claim(subscription: Subscription, intent: str, now: datetime) -> None:
    """Reserve a locked subscription for one confirmed change: others need a new preview."""
    save_new_version(subscription, now)
    subscription.intent = intent
    subscription.save(update_fields=["intent"])


def import_intent(stripe_subscription_id: str, plan_key: str) -> str:
    """The intent of a subscription into whose account `importing` brings this one of Stripe, on this plan."""
    return hashlib.sha256(f"import:{stripe_subscription_id}:{plan_key}".encode()).hexdigest()


def fall_back_to_free_plan(subscription: Subscription, *, now: datetime, reason: str) -> None:
    """End the paid plan: its unspent credits expire, bought credits stay. Locked subscription."""
    advance = _credits_in_advance(subscription, now)
    change_plan(subscription, free_plan(), now=now, reason=reason)
    if advance is not None:
        unpaid_credits.count(subscription, *advance)


def mark_past_due(
    subscription: Subscription,
    *,
    now: datetime,
    recovery_url: str = "",
    state: Subscription.State = Subscription.State.PAST_DUE,
) -> None:
    """Stop the plan's credits until the overdue payment is made, or the pause ends. Locked subscription.

    Credits of a period that began without payment are taken back; what was used of them is deducted from the
    next period that is paid.
    """
    plan = Plan.objects.get(key=subscription.plan)
    advance = _credits_in_advance(subscription, now)
    subscription.state = state
    subscription.recovery_url = recovery_url or subscription.recovery_url
    save_new_version(subscription, now)
    if advance is not None:
        ledger_terms.take_back_advance(
            plan,
            account_id=subscription.account_id,
            anchor_at=subscription.anchor_at,
            paid_until=advance[1],
            now=now,
        )
        unpaid_credits.count(subscription, *advance)
        return
    ends_at = min(now, subscription.paid_until) if subscription.paid_until else now
    ledger_terms.apply_to_ledger(
        plan,
        account_id=subscription.account_id,
        anchor_at=subscription.anchor_at,
        ends_at=ends_at,
        once_at=None,
        carry_over=False,
        now=now,
    )


def _credits_in_advance(subscription: Subscription, now: datetime) -> tuple[list[str], datetime] | None:
    """The allowances of the period that has begun without payment, and when it began; None: none has."""
    begun = subscription.paid_until
    if subscription.state != Subscription.State.ACTIVE or begun is None or now < begun:
        return None
    plans = Plan.objects.filter(key__in=[subscription.plan, subscription.next_plan])
    return grace.monthly_keys(*plans), begun


def assign_plan(*, account: Account, plan_key: str, actor: str, now: datetime) -> Subscription:
    """Put an account on a plan without payment, legacy plans included (a staff action).

    Raises LegacyPlanLeft for a legacy plan that the account has left, PlanClosed when the plan has to be paid
    or the account has a paid subscription at Stripe, Plan.DoesNotExist.
    """
    plan = Plan.objects.get(key=plan_key, retired_at=None)
    with transaction.atomic():
        subscription = lock_subscription(account.pk)
        if subscription.plan == plan.key:
            return subscription
        if subscription.paid or (plan.paid and not plan.legacy):
            raise offers.PlanClosed
        if plan.legacy and has_left_plan(account.pk, plan.key):
            raise LegacyPlanLeft
        _change_plan(subscription, plan, now, "placed by staff", actor, None)
    return subscription


def assignable_plans(subscription: Subscription) -> list[Plan]:
    """The plans that `assign_plan` accepts now; the present one, which changes nothing, is among them."""
    history = PlanChange.objects.filter(account_id=subscription.account_id)
    left = set(history.values_list("left", flat=True))
    return [
        plan
        for plan in Plan.objects.filter(retired_at=None)
        if plan.key == subscription.plan or not (plan.key in left if plan.legacy else plan.paid)
    ]


def has_left_plan(account_id: UUID, plan_key: str) -> bool:
    """Whether the account was ever on this plan and changed to another."""
    return PlanChange.objects.filter(account_id=account_id, left=plan_key).exists()


def is_upgrade(current_key: str, plan: Plan) -> bool:
    """Whether the plan ranks above the current one in the catalogue."""
    rank = Plan.objects.filter(key=current_key).values_list("rank", flat=True).first()
    return rank is None or plan.rank > rank


def _require_open(subscription: Subscription, plan: Plan, *, imported: bool = False) -> None:
    if plan.legacy and has_left_plan(subscription.account_id, plan.key):
        raise LegacyPlanLeft
    if not (plan.open_to_new_members or imported):
        raise offers.PlanClosed


def _anchor(subscription: Subscription, plan: Plan, paid: PaidPeriod | None, now: datetime) -> datetime:
    """The day from which months are counted: the start of the paid period, or of the running cycle."""
    if paid is None:
        return subscription.anchor_at if subscription.plan == plan.key else now
    same_cycle = subscription.stripe_subscription_id == paid.stripe_subscription_id
    continues = same_cycle and subscription.interval == paid.interval
    # A period that begins on another day was begun by an upgrade.
    if continues and ledger_terms.month_of(subscription.anchor_at, paid.period_start)[0] == paid.period_start:
        return subscription.anchor_at
    return paid.period_start


def _grants_one_time_allowances(plan: Plan) -> bool:
    """False where the catalogue grants the free plan's once per verified address (billing.provisioning)."""
    return not (plan.free and catalogue_cache.current().policies.free_plan_once_per_address)


def _record_change(
    account_id: UUID, previous: str, plan: Plan, reason: str, actor: str, now: datetime
) -> None:
    PlanChange.objects.create(
        account_id=account_id, left=previous, entered=plan.key, reason=reason, actor=actor, created_at=now
    )
