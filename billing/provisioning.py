"""Set up billing for a new account: wallet, free plan, low-credit alert, one-time allowance of an address.

Invariants: every account has a wallet and a plan; both functions can be repeated and grant nothing twice; the
one-time allowance of an address is claimed in the transaction that grants it.
Called by the receivers in billing/signals.py, and by the API that opens accounts for the platform.
"""

from datetime import datetime

from django.db import transaction

from accounts import addresses
from accounts.models import Account, User, personal_account_of
from billing import ledger
from billing.notifications import low_credit_alerts
from billing.promotions import referrals
from billing.subscriptions import ledger_terms, lifecycle
from pricing.catalogue import cache as catalogue_cache


def open_account(*, account: Account, now: datetime, user: User | None = None) -> None:
    """Create the wallet, start the catalogue's free plan and grant its credits (REFLY-18: at once)."""
    with transaction.atomic():
        ledger.open_wallet(account.pk, now)
        plan = lifecycle.free_plan()
        # An account without a user is opened by the platform, which verifies its own users.
        unclaimed = catalogue_cache.current().policies.free_plan_once_per_address and user is not None
        lifecycle.create_subscription(account=account, plan=plan, now=now, once=not unclaimed)
        low_credit_alerts.create_settings(account_id=account.pk, now=now)


def address_verified(*, user: User, email: str, now: datetime) -> None:
    """Grant the free plan's one-time allowance unless the mailbox has had it, and reward an invitation."""
    account = personal_account_of(user)
    _grant_one_time_allowance(account, email, now)
    referrals.address_verified(account_id=account.pk, now=now)


def _grant_one_time_allowance(account: Account, email: str, now: datetime) -> None:
    plan = lifecycle.free_plan()
    if (
        not catalogue_cache.current().policies.free_plan_once_per_address
        or not ledger_terms.has_one_time_allowances(plan)
    ):
        return
    with transaction.atomic():
        subscription = lifecycle.lock_subscription(account.pk)
        if subscription.plan != plan.key or not addresses.claim_once(email, f"free:{plan.key}", now):
            return
        ledger_terms.apply_to_ledger(
            plan,
            account_id=account.pk,
            anchor_at=subscription.anchor_at,
            ends_at=None,
            once_at=now,
            carry_over=False,
            now=now,
        )
