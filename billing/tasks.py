"""Celery tasks of billing. Each calls a domain function, which reads from the database what is due.

Invariant: tasks are idempotent and may run late, concurrently or twice.
"""

from datetime import timedelta

import structlog
from celery import shared_task
from django.utils import timezone

from billing import ledger, stripe_gateway
from billing.notifications import card_expiry, emails, expiry_warnings, low_credit_alerts, monthly_budgets
from billing.promotions import referrals
from billing.purchases import auto_top_up, plan_conflicts
from billing.webhooks import events, reconciliation

log = structlog.get_logger(__name__)


@shared_task
def settle_due() -> None:
    """Settle every account with an expiry, a renewal or the end of a hold that is due."""
    ledger.settle_due(timezone.now())


@shared_task
def process_events() -> None:
    """Process Stripe events that were interrupted, and failed ones that are due for another attempt."""
    events.process_waiting(timezone.now())


@shared_task
def queue_notices() -> None:
    """Queue e-mails for notices of the ledger, for further thresholds that balances passed, and for steps of
    monthly budgets. Collect the ledger's events from its nodes, where there are several."""
    ledger.distribution.collect_events()
    low_credit_alerts.queue_emails(timezone.now())
    low_credit_alerts.queue_further(timezone.now())
    monthly_budgets.queue_warnings(timezone.now())


@shared_task
def send_emails() -> None:
    """Send the e-mails that are due. It has a queue and a process of its own (settings, Procfile)."""
    emails.send_due(timezone.now())


@shared_task
def close_surplus_plans() -> None:
    """Expire Checkouts of plans that must not be paid, cancel surplus subscriptions, send refunds."""
    plan_conflicts.carry_out(timezone.now())


@shared_task
def top_up() -> None:
    """Buy packs for accounts with automatic top-up whose balance is below the threshold."""
    auto_top_up.buy_for_low_accounts(timezone.now())


@shared_task
def reward_referrals() -> None:
    """Reward referrals that meet the conditions."""
    referrals.reward_all_due(timezone.now())


@shared_task
def reconcile() -> None:
    """Compare Stripe's records with ours and apply what the webhooks missed."""
    try:
        reconciliation.run(timezone.now())
    except stripe_gateway.StripeUnavailable as error:
        log.warning("reconciliation_postponed", error=str(error))
    except reconciliation.LiveAccountLeft as error:
        log.error("reconciliation_refused", alert=True, error=str(error))


@shared_task
def warn_of_expiry() -> None:
    """Queue warnings of credits that expire within a week, and of cards that expire this month."""
    expiry_warnings.queue_due(timezone.now(), ahead=timedelta(days=7))
    card_expiry.queue_due(timezone.now())


@shared_task
def checkpoint_ledger() -> None:
    """Sign the heads of all wallets that moved since the previous checkpoint."""
    ledger.checkpoints.take(timezone.now())


@shared_task
def audit_ledger() -> None:
    """Audit once a day the accounts that moved, weekly all; findings are logged as an alert."""
    now = timezone.now()
    if not ledger.audit.is_due(now):
        return
    try:
        outcome = ledger.audit.run(now=now, is_full=ledger.audit.full_is_due(now))
    except ledger.audit.AuditRunning:
        return
    if outcome.findings:
        log.error("ledger_audit_found", alert=True, findings=len(outcome.findings))
