"""Limits of credits that members and keys may spend in a window.

Invariant: the ledger has the limit when the transaction that stores it has committed. Imports run from
billing to accounts, so billing connects to the signal (billing.signals).
"""

from datetime import datetime
from decimal import Decimal

from django.dispatch import Signal

from accounts.models import ApiKey, Membership

# Sent inside the transaction, with account_id, kind, subject, period, maximum (None: no limit) and now.
limit_set = Signal()


def set_limit(limited: ApiKey | Membership, *, period: str, maximum: Decimal | None, now: datetime) -> None:
    """Let the ledger enforce the limit of an account key or of a member. `period`: "day" or "month"."""
    kind, subject = ("key", limited.pk) if isinstance(limited, ApiKey) else ("member", limited.user_id)
    limit_set.send(
        sender=type(limited),
        account_id=limited.account_id,
        kind=kind,
        subject=str(subject),
        period=period,
        maximum=maximum,
        now=now,
    )
