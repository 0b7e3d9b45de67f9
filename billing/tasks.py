"""Background work of billing: each task only says when; what is due lives in rows.

Invariant: every task may run twice, at once or late: nothing is done that the rows do not ask for.
"""

from datetime import timedelta

import structlog
from celery import shared_task
from django.utils import timezone

from billing import ledger, stripe_gateway
from billing.notifications import emails, expiry_warnings, low_credit_alerts
from billing.promotions import referrals
from billing.purchases import auto_top_up
from billing.webhooks import events, reconciliation

log = structlog.get_logger(__name__)


@shared_task
def settle_due() -> None:
    """Expire and renew what is due, for every account."""
    ledger.settle_due(timezone.now())


@shared_task
def process_events() -> None:
    """Apply events whose process died, and failed ones whose time has come."""
    events.process_waiting(timezone.now())


@shared_task
def deliver_notices() -> None:
    """What the ledger saw becomes mails; mails that wait are sent."""
    now = timezone.now()
    low_credit_alerts.queue_emails(now)
    emails.send_due(now)


@shared_task
def top_up() -> None:
    """Buy packs for accounts that asked for it and run low."""
    auto_top_up.buy_for_low_accounts(timezone.now())


@shared_task
def reward_referrals() -> None:
    """Reward invitations that have qualified meanwhile."""
    referrals.reward_all_due(timezone.now())


@shared_task
def reconcile() -> None:
    """Compare Stripe's books with ours and mend what the webhooks missed."""
    try:
        reconciliation.run(timezone.now())
    except stripe_gateway.StripeUnavailable as error:
        log.warning("reconciliation_postponed", error=str(error))


@shared_task
def warn_of_expiry() -> None:
    """Write to accounts whose credits end soon."""
    expiry_warnings.queue_due(timezone.now(), ahead=timedelta(days=7))


@shared_task
def audit_ledger() -> None:
    """Prove the ledger; what is wrong is logged as an alert and kept."""
    outcome = ledger.audit.run(now=timezone.now())
    if outcome.findings:
        log.error("ledger_audit_found", alert=True, findings=len(outcome.findings))
