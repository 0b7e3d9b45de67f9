"""Adds charges to the stored sums, in the background, and compares the sums with the charges.

Invariants: along a wallet time never goes backwards and each move is dated at the wallet's newest entry or
later, so that everything dated before that entry is complete (billing/ledger/sql/50_limits.sql relies on the
same); charges wait for nothing here, because only the account's row in SummedAccount is locked.
"""

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import structlog
from django.db import DatabaseError, connection, transaction
from django.db.models import Max, Min

from accounts import zones
from billing.models import Charge
from usage.models import SummedAccount, UsageSum
from usage.sums.columns import DIMENSIONS, expression

PORTION = 20_000  # charges added by one transaction
DAY, MONTH = timedelta(days=1), timedelta(days=31)
LEAST_ENTRIES = 2000  # fewer new entries are read as quickly as their sums
log = structlog.get_logger(__name__)

# The ledger sets `summed_at` at a wallet's first 2,000 entries.
_DUE = """
select w.account_id from billing_wallet w join accounts_account a on a.id = w.account_id
  left join usage_summedaccount s on s.account_id = w.account_id
 where w.summed_at is not null and (s.account_id is null or s.zone <> a.zone or w.seq - s.seq >= %(least)s)
 order by w.account_id
"""
_LOCK = "select from usage_summedaccount where account_id = %(account)s for no key update"
# after the lock, so that the wallet is not older than what another process has added
_STATE = """
select s.zone <> a.zone as moved, a.zone, w.moved_at, w.seq, s.until
  from usage_summedaccount s join accounts_account a on a.id = s.account_id
  join billing_wallet w on w.account_id = s.account_id where s.account_id = %(account)s
"""
# charges of one instant belong together
_UNTIL = """
select least(%(moved_at)s, (
  select min(c.created_at) from billing_charge c where c.account_id = %(account)s and c.created_at > (
    select x.created_at from billing_charge x where x.account_id = %(account)s and x.created_at >= %(since)s
     order by x.created_at offset %(portion)s limit 1)))
"""
_VALUES = ", ".join(f"('{each}', {expression(each)})" for each in ("", *DIMENSIONS))
# what happened from `since` to `until`, of charges that were made from `first` to `end`
_SUMS = f"""
select m.account_id, (m.created_at at time zone %(zone)s)::date as day, m.dimension, m.value,
       sum(m.amount) as credits, sum(m.n)::int as charges, max(m.created_at) as last_at
from (
  select c.account_id, c.created_at, c.credits - c.uncollected as amount, 1 as n, d.dimension, d.value
    from billing_charge c cross join lateral (values {_VALUES}) d(dimension, value)
   where c.account_id = %(account)s and c.created_at >= greatest(%(since)s, %(first)s::timestamptz)
     and c.created_at < least(%(until)s, %(end)s::timestamptz)
  union all
  select c.account_id, c.created_at, -x.credits, 0, d.dimension, d.value
    from billing_correction x join billing_charge c on c.account_id = x.account_id and c.id = x.charge_id
   cross join lateral (values {_VALUES}) d(dimension, value)
   where x.account_id = %(account)s and x.kind = 'reverse'
     and x.created_at >= %(since)s and x.created_at < %(until)s
     and c.created_at >= %(first)s and c.created_at < %(end)s
) m group by 1, 2, 3, 4
"""
_ADD = f"""
insert into usage_usagesum as u (account_id, day, dimension, value, credits, charges, last_at) {_SUMS}
on conflict (account_id, dimension, day, value) do update set credits = u.credits + excluded.credits,
  charges = u.charges + excluded.charges, last_at = greatest(u.last_at, excluded.last_at)
"""
_DIFFERENCES = f"""
select coalesce(u.day, c.day)::text, coalesce(u.dimension, c.dimension), coalesce(u.value, c.value),
       coalesce(u.credits::text || ' in ' || u.charges, 'none'),
       coalesce(c.credits::text || ' in ' || c.charges, 'none')
from (select * from usage_usagesum where account_id = %(account)s
        and day >= %(first_day)s and day < %(end_day)s) u full join ({_SUMS}) c
  on c.dimension = u.dimension and c.day = u.day and c.value = u.value
where (u.credits, u.charges, u.last_at) is distinct from (c.credits, c.charges, c.last_at) order by 1, 2, 3
"""
BEGINNING = datetime(1970, 1, 1, tzinfo=UTC)  # before every charge


def fold_due() -> int:
    """Add the new charges of every account that has many to its sums. Returns how many accounts were due.

    An account that fails is logged with an alert and delays no other.
    """
    with connection.cursor() as cursor:
        cursor.execute(_DUE, {"least": LEAST_ENTRIES})
        due = [account_id for (account_id,) in cursor.fetchall()]
    for account_id in due:
        try:
            fold(account_id)
        except DatabaseError as error:
            log.error("usage_not_summed", alert=True, account=str(account_id), why=str(error))
    return len(due)


def fold(account_id: UUID) -> None:
    """Add the account's charges up to its newest entry to its sums, portion by portion.

    Sums of the days of another zone than the account's are made again.
    """
    while _fold_portion(account_id):
        pass


def _fold_portion(account_id: UUID) -> bool:
    """Add one portion. Returns whether more is left."""
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(
            "insert into usage_summedaccount(account_id, zone, until, seq) values (%s, '', %s, 0)"
            " on conflict do nothing",
            [account_id, BEGINNING],
        )
        cursor.execute(_LOCK, {"account": account_id})
        cursor.execute(_STATE, {"account": account_id})
        moved, zone, moved_at, seq, since = cursor.fetchone()
        if moved:
            UsageSum.objects.filter(account_id=account_id).delete()
            since = BEGINNING
        bounds: dict[str, Any] = {"account": account_id, "since": since, "moved_at": moved_at, "zone": zone}
        cursor.execute(_UNTIL, bounds | {"portion": PORTION})
        [until] = cursor.fetchone()
        if until is not None:
            cursor.execute(_ADD, bounds | {"until": until, "first": BEGINNING, "end": until})
        is_last = until == moved_at
        cursor.execute(
            "update usage_summedaccount set zone = %s, until = %s, seq = %s where account_id = %s",
            [zone, until or BEGINNING, seq if is_last else 0, account_id],
        )
        return not is_last


def rebuild(account_id: UUID) -> None:
    """Make the account's sums again from its charges. Reads meanwhile use single charges."""
    SummedAccount.objects.filter(account_id=account_id).update(zone="")
    fold(account_id)


@dataclass(frozen=True)
class Difference:
    """A sum that is not that of the charges before the time up to which its account is summed."""

    account_id: UUID
    text: str


def check_all() -> list[Difference]:
    """The differences of all accounts, each logged with an alert."""
    found = []
    for account_id in SummedAccount.objects.exclude(zone="").values_list("pk", flat=True).iterator():
        found += differences(account_id)
    for difference in found:
        log.error("usage_sum_differs", alert=True, why=difference.text)
    return found


def differences(account_id: UUID) -> list[Difference]:
    """The account's sums that differ. Compared month by month, so that no statement or lock lasts long."""
    days = Charge.objects.filter(account_id=account_id).aggregate(
        first=Min("created_at"), last=Max("created_at")
    )
    stored = UsageSum.objects.filter(account_id=account_id).aggregate(first=Min("day"), last=Max("day"))
    known = [day for day in stored.values() if day] + [at.date() for at in days.values() if at]
    found: list[Difference] = []
    day = min(known, default=date.max) - DAY  # local dates are at most a day apart from those in UTC
    while known and day <= max(known) + DAY:
        found += _differences(account_id, day, day + MONTH)
        day += MONTH
    return found


def _differences(account_id: UUID, first: date, end: date) -> list[Difference]:
    """The sums of the days from `first` to `end` (excluded) that differ; they are not changed meanwhile."""
    with transaction.atomic(), connection.cursor() as cursor:
        summed = (
            SummedAccount.objects.select_for_update(no_key=True)
            .filter(pk=account_id)
            .exclude(zone="")
            .first()
        )
        if summed is None:
            return []
        zone = ZoneInfo(summed.zone)
        bounds: dict[str, Any] = {"account": account_id, "zone": summed.zone}
        days = {"first_day": first, "first": zones.midnight(first, zone)}
        days |= {"end_day": end, "end": zones.midnight(end, zone)}
        cursor.execute(_DIFFERENCES, bounds | days | {"since": BEGINNING, "until": summed.until})
        return [
            Difference(
                account_id,
                f"account {account_id}, {day}, {f'{dimension} {value}'.strip() or 'all charges'}:"
                f" stored {stored}, the charges sum to {found}",
            )
            for day, dimension, value, stored, found in cursor.fetchall()
        ]
