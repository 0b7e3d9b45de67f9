"""A running budget of the demo user: a tree of holds of which some branches have been captured.

Invariant: it is made by the same functions as holds of the API, and only while no other budget runs.
"""

from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal

from accounts.models import Account, Project
from billing import ledger
from billing.models import Hold
from usage import charging

RUNS = timedelta(hours=24)
ROOT = Decimal(60)


def start(account: Account, *, service: str, now: datetime) -> None:
    """Start a budget of ROOT credits, if none runs and the balance has them."""
    running = Hold.objects.filter(account=account, status=Hold.Status.HELD, expires_at__gt=now)
    if running.exists() or ledger.balance(account.pk, now).available < ROOT:
        return
    project = Project.objects.filter(account=account).order_by("name").first()
    use = charging.Use(
        account_id=account.pk,
        service=service,
        project_id=project.pk if project else None,
        member_id=account.person_id,
        conversation="weekly-report",
    )
    root = _hold(use, "Weekly report", ROOT, now)
    research = _hold(use, "Research", Decimal(24), now, root)
    _capture(_hold(use, "Read sources", Decimal(10), now, research), Decimal("7.5"), now)
    _hold(use, "Check figures", Decimal(6), now, research)
    _capture(_hold(use, "Outline", Decimal(5), now, root), Decimal("3.2"), now)
    _hold(use, "Write sections", Decimal(18), now, root)


def _hold(
    use: charging.Use, purpose: str, credits: Decimal, now: datetime, parent: Hold | None = None
) -> Hold:
    held = charging.hold(
        replace(use, metadata={"purpose": purpose}),
        credits=credits,
        expires_in=RUNS,
        key=f"demo:{purpose}:{now.isoformat()}",
        fingerprint=b"",
        now=now,
        parent=parent.pk if parent else None,
    )
    return Hold.objects.get(account_id=use.account_id, pk=held.hold_id)


def _capture(hold: Hold, credits: Decimal, now: datetime) -> None:
    charging.capture(
        hold,
        usage=None,
        credits=credits,
        options=None,
        metadata=None,
        key=f"{hold.idempotency_key}:capture",
        fingerprint=b"",
        now=now,
    )
