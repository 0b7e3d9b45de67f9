"""The statement of a month as an e-mail to each owner who has not unsubscribed.

Invariants: an account is handled once for each month, in the transaction that queues its e-mails; an e-mail
has a link that unsubscribes its reader without a sign-in, also in its headers (RFC 8058); the figures are
those of the statement page and the usage page of that month.
"""

from datetime import date, datetime, timedelta
from decimal import Decimal
from uuid import UUID
from zoneinfo import ZoneInfo

from django.core import signing
from django.db import connection, transaction
from django.urls import reverse

from accounts.models import Account, Membership, User
from billing import ledger
from billing.notifications import emails
from core.amounts import plain
from usage.dashboard import aggregates
from usage.history import statements
from usage.models import StatementEmails
from usage.periods import Period

TEMPLATE = "monthly_statement"
LARGEST_SERVICES = 3
SENT_ON = 7  # the last day of a month on which the statement of the month before is sent
_LATEST_ZONE = timedelta(hours=12)  # behind UTC: the month has ended everywhere
_EARLIEST_ZONE = timedelta(hours=14)
_SALT = "usage.monthly_emails"
_DUE = """
select w.account_id from billing_wallet w left join usage_statementemails s on s.account_id = w.account_id
 where w.moved_at >= %(since)s and coalesce(s.month < %(month)s, true) order by 1 limit %(limit)s
"""


def queue_due(now: datetime, *, limit: int = 200) -> int:
    """Queue the e-mails of the month that has ended; return how many accounts were handled."""
    today = (now - _LATEST_ZONE).date()
    if today.day > SENT_ON:
        return 0
    month = (today.replace(day=1) - timedelta(days=1)).replace(day=1)
    since = datetime.combine(month, datetime.min.time(), tzinfo=now.tzinfo) - _EARLIEST_ZONE
    with connection.cursor() as cursor:
        cursor.execute(_DUE, {"since": since, "month": month, "limit": limit})
        accounts = [account_id for (account_id,) in cursor.fetchall()]
    for account_id in accounts:
        _queue(account_id, month, now)
    return len(accounts)


def _queue(account_id: UUID, month: date, now: datetime) -> None:
    ledger.settle([account_id], now)
    with transaction.atomic():
        StatementEmails.objects.get_or_create(account_id=account_id)
        handled = StatementEmails.objects.select_for_update(no_key=True).get(pk=account_id)
        if handled.month is not None and handled.month >= month:
            return
        handled.month = month
        handled.save(update_fields=["month"])
        account = Account.objects.get(pk=account_id)
        readers = [user for user in _owners(account) if user.pk not in handled.declined]
        facts = _facts(account, month) if readers and account.erased_at is None else None
        if facts is None:
            return
        for user in readers:
            emails.queue(
                account_id=account_id,
                template=TEMPLATE,
                key=f"{TEMPLATE}:{account_id.hex}:{month:%Y-%m}:{user.pk.hex}",
                context={**facts, "unsubscribe": path_for(account_id, user.pk)},
                only_to=user.email,
                now=now,
            )


def _facts(account: Account, month: date) -> dict[str, object] | None:
    """The figures of the month; None for a month without use."""
    last = (month + timedelta(days=31)).replace(day=1) - timedelta(days=1)
    period = Period(first=month, last=last, zone=ZoneInfo(account.zone))
    groups = aggregates.group_totals(account, period, dimension="service", limit=aggregates.MAX_ROWS)
    if not groups:
        return None
    try:
        statement = statements.of_period(account, start=period.start, end=period.end)
    except statements.EntriesMissing:
        return None
    return {
        "account": account.name,
        "month": month.isoformat(),
        "last": last.isoformat(),
        "opening": plain(statement.opening.balance),
        "closing": plain(statement.closing.balance),
        "spent": plain(sum((group.credits for group in groups), Decimal(0))),
        "calls": sum(group.calls for group in groups),
        "services": [
            {"name": group.name or group.key, "credits": plain(group.credits)}
            for group in groups[:LARGEST_SERVICES]
        ],
    }


def _owners(account: Account) -> list[User]:
    owners = Membership.objects.filter(
        account=account, role=Membership.Role.OWNER, user__is_active=True
    ).select_related("user")
    return [membership.user for membership in owners.order_by("pk")]


def path_for(account_id: UUID, user_id: UUID) -> str:
    """The path at which the reader unsubscribes or subscribes again."""
    return reverse("statement_emails", args=[signing.dumps([account_id.hex, user_id.hex], salt=_SALT)])


def named_by(token: str) -> tuple[UUID, UUID] | None:
    """The account and the user of a link; None for a forged one."""
    try:
        account, user = signing.loads(token, salt=_SALT)
    except signing.BadSignature:
        return None
    return UUID(hex=account), UUID(hex=user)


def is_wanted(account_id: UUID, user_id: UUID) -> bool:
    """Whether the user gets the account's statements, as an owner."""
    return not StatementEmails.objects.filter(pk=account_id, declined__contains=[user_id]).exists()


def set_wanted(account_id: UUID, user_id: UUID, wanted: bool) -> None:
    """Send the user the account's statements, or no more. Idempotent; nothing where the account is gone."""
    with transaction.atomic():
        if not Account.objects.filter(pk=account_id).exists():
            return
        StatementEmails.objects.get_or_create(account_id=account_id)
        row = StatementEmails.objects.select_for_update(no_key=True).get(pk=account_id)
        others = [each for each in row.declined if each != user_id]
        row.declined = others if wanted else [*others, user_id]
        row.save(update_fields=["declined"])
