"""The credits that a plan's payment gave: the grants of the plan's allowances dated in the paid period.

Invariants: each grant belongs to one payment, because a payment answers for its period only until the next
payment's period begins; a refund of a part takes the end of the period first, month by month, so that a
refund of unused months takes nothing of the used ones (docs/decisions/0067-withdrawn-plan-payments.md); what
an upgrade took of the old plan's unspent credits was given again by the new plan, and is claimed there.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import ROUND_FLOOR, Decimal
from fractions import Fraction
from uuid import UUID

from billing import validity
from billing.models import Correction, Entry, Grant, Purchase, SurplusSubscription
from core.amounts import PLACES


@dataclass(frozen=True)
class Claimed:
    """What claims to a share of the payment may take: credits in total, and the grants to take them from."""

    credits: Decimal
    grant_ids: Sequence[UUID]


def claimed(purchase: Purchase, share: Fraction) -> Claimed:
    """The credits of a plan's payment that belong to a share of its amount; above 1 it counts as 1.

    Credits that expired are left out; those that claims have taken already are included.
    """
    period = paid_period(purchase)
    if period is None:
        return Claimed(Decimal(0), [])
    start, end = period
    total, moved, ids = Fraction(0), Fraction(0), list[UUID]()
    months = 12 if purchase.interval == "year" else 1
    taken = _taken(purchase)
    grants = Grant.objects.filter(
        account_id=purchase.account_id, idempotency_key__startswith=f"allowance:{purchase.offer}:"
    )
    for grant in grants.filter(created_at__gte=start, created_at__lt=end):
        month = min(_month_of(grant.created_at, start), months - 1)
        part = min(max(month + 1 - (1 - share) * months, Fraction(0)), Fraction(1))
        if part:
            same = [grant, *_returned(grant)]
            ids += [one.pk for one in same]
            total += part * _left(same, taken)
            moved += part * _moved(grant, end)
    if moved:
        later = [
            one for grant in _first_grants_of_upgrade(purchase, end) for one in (grant, *_returned(grant))
        ]
        ids += [one.pk for one in later]
        total += min(moved, _left(later, taken))
    credits = (Decimal(total.numerator) / Decimal(total.denominator)).quantize(PLACES, ROUND_FLOOR)
    return Claimed(max(credits, Decimal(0)), ids)


def _left(grants: Sequence[Grant], taken: dict[UUID, Decimal]) -> Fraction:
    """What the grants have given, without what expired."""
    return Fraction(sum((one.remaining + one.held + one.spent + taken[one.pk] for one in grants), Decimal(0)))


def _moved(grant: Grant, changed_at: datetime) -> Fraction:
    """What expired because the plan was changed, at most the unused time's part of the grant.

    A plan that does not carry over gives as much more (billing.subscriptions.proration.first_credits). Daily
    credits are not prorated.
    """
    if grant.kind == Grant.Kind.DAILY or grant.expires_at is None or grant.expires_at <= changed_at:
        return Fraction(0)
    ends = Entry.objects.filter(
        account_id=grant.account_id,
        grant_id=grant.pk,
        kind=Entry.Kind.EXPIRE,
        reason="plan changed",
        created_at__gte=changed_at,
    )
    expired = -sum(ends.values_list("credits", flat=True), Decimal(0))
    length = (grant.expires_at - grant.created_at).total_seconds()
    unused = Fraction(int((grant.expires_at - changed_at).total_seconds()), max(1, int(length)))
    return min(Fraction(expired), min(unused, Fraction(1)) * Fraction(grant.credits))


def _first_grants_of_upgrade(purchase: Purchase, changed_at: datetime) -> list[Grant]:
    """The first month's grants of the plan that replaced the purchase's within its period."""
    upgrade = Purchase.objects.filter(
        account_id=purchase.account_id,
        kind=Purchase.Kind.PLAN,
        status=Purchase.Status.PAID,
        stripe_subscription_id=purchase.stripe_subscription_id,
        period_start=changed_at,
    ).exclude(offer=purchase.offer)
    offer = upgrade.values_list("offer", flat=True).first()
    if offer is None or (purchase.period_end and purchase.period_end <= changed_at):
        return []
    grants = Grant.objects.filter(
        account_id=purchase.account_id,
        idempotency_key__startswith=f"allowance:{offer}:",
        created_at__gte=changed_at,
        created_at__lt=validity.add_months(changed_at, 1),
    )
    return list(grants)


def paid_period(purchase: Purchase) -> tuple[datetime, datetime] | None:
    """The time in which grants belong to the payment; None for a surplus subscription, which gave none."""
    start = purchase.period_start or purchase.paid_at
    own = purchase.stripe_subscription_id or "-"
    if start is None or SurplusSubscription.objects.filter(stripe_subscription_id=own).exists():
        return None
    end = purchase.period_end or validity.add_months(start, 12 if purchase.interval == "year" else 1)
    others = Purchase.objects.filter(
        account_id=purchase.account_id, kind=Purchase.Kind.PLAN, status=Purchase.Status.PAID
    ).exclude(pk=purchase.pk)
    surplus = SurplusSubscription.objects.values("stripe_subscription_id")
    others = others.exclude(withdrawn_plan_payment__withdrawn=True)
    others = others.exclude(stripe_subscription_id__in=surplus)
    following = others.filter(period_start__gt=start).order_by("period_start")
    next_start = following.values_list("period_start", flat=True).first()
    return start, min(end, next_start) if next_start else end


def _month_of(moment: datetime, start: datetime) -> int:
    """The number of whole months from `start` to a moment."""
    months = (moment.year - start.year) * 12 + moment.month - start.month
    return months - 1 if validity.add_months(start, months) > moment else months


def _returned(grant: Grant) -> list[Grant]:
    """Grants of credits that came back to this one after it had ended, and to those in turn."""
    found = list(
        Grant.objects.filter(
            account_id=grant.account_id,
            idempotency_key__startswith="return:",
            idempotency_key__endswith=f":{grant.pk}",
        )
    )
    return [one for back in found for one in (back, *_returned(back))]


def _taken(purchase: Purchase) -> dict[UUID, Decimal]:
    """What claims have taken of each grant, debt included, and not returned."""
    taken: dict[UUID, Decimal] = defaultdict(Decimal)
    claw_backs = Correction.objects.filter(
        account_id=purchase.account_id,
        kind=Correction.Kind.CLAW_BACK,
        purchase_id=purchase.pk,
        undone_by_id=None,
    )
    for detail in claw_backs.values_list("detail", flat=True):
        for line in detail:
            taken[UUID(line["grant"])] += Decimal(line["credits"]) + Decimal(line["debt"])
    return taken
