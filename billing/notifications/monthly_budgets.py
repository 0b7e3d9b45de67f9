"""Monthly budgets: settings of an account, and e-mails when parts of the budget are spent.

Invariants: the ledger counts the month of the account (a limit of the kind `account`) and refuses what
exceeds a budget that pauses; one that only warns has a limit that no balance reaches. In a month each of
STEPS is warned of at most once; its e-mail is queued in the transaction that records it. Where several are
passed at once, the highest is sent.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from uuid import UUID
from zoneinfo import ZoneInfo

from django.db import connection, transaction

from accounts import zones
from accounts.models import Account
from billing import ledger
from billing.models import Limit, MonthlyBudget
from billing.notifications import emails
from core.amounts import LARGEST_BALANCE, plain

STEPS = (50, 80, 100)  # per cent of the budget
_SUBJECT = "account"
_DUE = """
    select b.account_id from billing_monthlybudget b
      join billing_limit l on l.account_id = b.account_id and l.subject = %(subject)s and l.kind = 'account'
     where l.window_end > %(now)s and l.used * 100 >= b.credits
       * case when b.month_ends_at is distinct from l.window_end then %(first)s else b.warn_at_percent end
     order by 1 limit %(limit)s
"""


@dataclass(frozen=True, slots=True)
class Spending:
    """A budget and what is used of it this month, running holds included."""

    credits: Decimal
    pauses: bool
    used: Decimal
    resets_at: datetime

    @property
    def percent(self) -> int:
        """The used part, rounded down."""
        return int(self.used * 100 / self.credits)

    @property
    def is_spent(self) -> bool:
        return self.used >= self.credits


def get(account_id: UUID, now: datetime) -> Spending | None:
    """The account's budget and its month; None without one."""
    budget = MonthlyBudget.objects.filter(pk=account_id).first()
    limit = _limit_of(account_id) if budget else None
    if budget is None or limit is None or limit.window_end is None:
        return None
    if limit.window_end > now:
        return Spending(budget.credits, budget.pauses, limit.used, limit.window_end)
    # The ledger moves the window on at the next use.
    return Spending(budget.credits, budget.pauses, Decimal(0), _end_of_month(account_id, now))


def save(account_id: UUID, *, credits: Decimal | None, pauses: bool, now: datetime) -> Spending | None:
    """Set the budget of a month; None removes it. What the month has seen counts.

    Steps that are passed already are not warned of. Raises ledger.UnknownWallet.
    """
    with transaction.atomic():
        Account.objects.select_for_update(no_key=True).get(pk=account_id)
        maximum = (credits if pauses else LARGEST_BALANCE) if credits is not None else None
        used = ledger.set_limit(
            account_id=account_id,
            kind=Limit.Kind.ACCOUNT,
            subject=_SUBJECT,
            period=Limit.Period.MONTH,
            maximum=maximum,
            now=now,
        )
        if credits is None or used is None:
            MonthlyBudget.objects.filter(pk=account_id).delete()
            return None
        limit = _limit_of(account_id)
        assert limit is not None
        terms = {
            "credits": credits,
            "pauses": pauses,
            "month_ends_at": limit.window_end,
            "warn_at_percent": _next_step(used, credits),
        }
        MonthlyBudget.objects.update_or_create(account_id=account_id, defaults=terms)
    return get(account_id, now)


def queue_warnings(now: datetime, *, limit: int = 500) -> int:
    """Queue the e-mails of budgets whose next step is reached; return their number."""
    with connection.cursor() as cursor:
        cursor.execute(_DUE, {"subject": _SUBJECT, "now": now, "first": STEPS[0], "limit": limit})
        accounts = [account_id for (account_id,) in cursor.fetchall()]
    return sum(_warn(account_id, now) for account_id in accounts)


def _warn(account_id: UUID, now: datetime) -> bool:
    with transaction.atomic():
        locked = MonthlyBudget.objects.select_for_update(skip_locked=True, no_key=True)
        budget, limit = locked.filter(pk=account_id).first(), _limit_of(account_id)
        if budget is None or limit is None or limit.window_end is None or limit.window_end <= now:
            return False
        waiting = budget.warn_at_percent if budget.month_ends_at == limit.window_end else STEPS[0]
        passed = [step for step in STEPS if limit.used * 100 >= budget.credits * step]
        if waiting is None or not passed or passed[-1] < waiting:
            return False
        budget.month_ends_at = limit.window_end
        budget.warn_at_percent = _next_step(limit.used, budget.credits)
        budget.save(update_fields=["month_ends_at", "warn_at_percent"])
        _queue_email(budget, limit.used, limit.window_end, percent=passed[-1], now=now)
    return True


def _queue_email(
    budget: MonthlyBudget, used: Decimal, resets_at: datetime, *, percent: int, now: datetime
) -> None:
    account = Account.objects.get(pk=budget.account_id)
    emails.queue(
        account_id=account.pk,
        template="monthly_budget",
        key=f"budget:{account.pk.hex}:{resets_at:%Y-%m-%d}:{plain(budget.credits)}:{percent}",
        context={
            "percent": percent,
            "credits": plain(budget.credits),
            "used": plain(used),
            "pauses": budget.pauses,
            "day": resets_at.astimezone(ZoneInfo(account.zone)).date().isoformat(),
        },
        now=now,
    )


def _next_step(used: Decimal, credits: Decimal) -> int | None:
    return next((step for step in STEPS if used * 100 < credits * step), None)


def _limit_of(account_id: UUID) -> Limit | None:
    return Limit.objects.filter(account_id=account_id, kind=Limit.Kind.ACCOUNT, subject=_SUBJECT).first()


def _end_of_month(account_id: UUID, now: datetime) -> datetime:
    """The end of the calendar month in the account's zone."""
    zone = ZoneInfo(Account.objects.values_list("zone", flat=True).get(pk=account_id))
    first = now.astimezone(zone).date().replace(day=1)
    return zones.midnight((first + timedelta(days=31)).replace(day=1), zone)
