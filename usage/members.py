"""Members of an account with what they have spent this month.

Invariant: what is used of a monthly limit is the figure that the ledger enforces.
"""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from accounts.models import Account, Membership
from billing.models import Limit
from usage import periods
from usage.dashboard import aggregates

ZERO = Decimal(0)


@dataclass(frozen=True)
class MemberSummary:
    """A member with this month's figures. `used` is what the limit has counted, open holds included."""

    membership: Membership
    spent: Decimal
    calls: int
    used: Decimal

    @property
    def limit_reached(self) -> bool:
        limit = self.membership.monthly_limit
        return limit is not None and self.used >= limit


def summaries_of(account: Account, now: datetime) -> list[MemberSummary]:
    """The members of the account, oldest first, with the figures of the calendar month."""
    memberships = list(account.memberships.select_related("user").order_by("created_at", "pk"))
    users = [membership.user_id for membership in memberships]
    month = periods.month_to_date(account, now=now)
    totals = aggregates.totals_by_value(account, month, dimension="member", values=users)
    limits = Limit.objects.filter(
        account=account, kind=Limit.Kind.MEMBER, subject__in=[str(user) for user in users]
    )
    # The ledger moves a window on at the next use: until then a window in the past counts as unused.
    used = {limit.subject: limit.used for limit in limits if limit.window_end and limit.window_end > now}
    return [
        MemberSummary(
            membership=membership,
            spent=totals.get(membership.user_id, (ZERO, 0))[0],
            calls=totals.get(membership.user_id, (ZERO, 0))[1],
            used=used.get(str(membership.user_id), ZERO),
        )
        for membership in memberships
    ]
