"""The credits that a plan's payment gave: the grants of the plan's allowances dated in the paid period.

Invariants: each grant belongs to one payment, because a payment answers for its period only until the next
payment's period begins; a refund of a part takes the end of the period first, month by month, so that a
refund of unused months takes nothing of the used ones (docs/decisions/0067-withdrawn-plan-payments.md).
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import ROUND_FLOOR, Decimal
from fractions import Fraction
from uuid import UUID

from billing import validity
from billing.models import Correction, Grant, Purchase, SurplusSubscription
from core.amounts import PLACES


@dataclass(frozen=True)
class Claimed:
    """What claims to a share of the payment may take: credits in total, and the grants to take them from."""

    credits: Decimal
    grant_ids: Sequence[UUID]


def claimed(purchase: Purchase, share: Fraction) -> Claimed:
    """The credits of a plan's payment that belong to a share (0 to 1) of its amount.

    Credits that expired are left out; those that claims have taken already are included.
    """
    period = paid_period(purchase)
    if period is None or share <= 0:
        return Claimed(Decimal(0), [])
    start, end = period
    total, ids = Fraction(0), list[UUID]()
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
            left = sum(one.remaining + one.held + one.spent + taken[one.pk] for one in same)
            total += part * Fraction(left)
    credits = (Decimal(total.numerator) / Decimal(total.denominator)).quantize(PLACES, ROUND_FLOOR)
    return Claimed(max(credits, Decimal(0)), ids)


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
