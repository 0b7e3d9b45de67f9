"""Credits used of periods that were never paid, and the paid months from which they were deducted.

Invariant: what was deducted from a payment's month is owed again while all of that payment's money is away,
and is deducted once in the end. Every function needs the lock on the account's subscription
(docs/decisions/0063).
"""

from datetime import datetime
from decimal import Decimal

from billing import ledger, validity
from billing.models import Purchase, Subscription, UnpaidDeduction
from billing.subscriptions import grace


def count(subscription: Subscription, keys: list[str], since: datetime) -> None:
    """Add what was used of the allowances of a period that began without payment."""
    _add(subscription, grace.credits_used(subscription.account_id, keys, since))


def record_deduction(subscription: Subscription, left: Decimal, now: datetime) -> None:
    """Record that the period that was entered gave less; `left` remains to be deducted from later ones."""
    UnpaidDeduction.objects.create(
        account_id=subscription.account_id,
        stripe_subscription_id=str(subscription.stripe_subscription_id),
        period_start=subscription.period_start,
        credits=subscription.unpaid_credits - left,
        created_at=now,
    )
    _add(subscription, left - subscription.unpaid_credits)


def follow_payment(subscription: Subscription, payment: Purchase, *, withdrawn: bool, now: datetime) -> None:
    """Owe again what was deducted from a payment's month while its money is away.

    When the money is back, a later month may have been deducted from meanwhile: what that one gave less is
    granted, for a month.
    """
    if payment.period_start is None:
        return
    deductions = UnpaidDeduction.objects.filter(
        account_id=payment.account_id,
        stripe_subscription_id=payment.stripe_subscription_id,
        period_start=payment.period_start,
        owed_again=not withdrawn,
    )
    for deduction in deductions:
        deduction.owed_again = withdrawn
        deduction.save(update_fields=["owed_again"])
        if withdrawn:
            _add(subscription, deduction.credits)
            continue
        owed = min(deduction.credits, subscription.unpaid_credits)
        _add(subscription, -owed)
        if owed < deduction.credits:
            ledger.grant(
                account_id=subscription.account_id,
                credits=deduction.credits - owed,
                kind="adjustment",
                label="Credits deducted twice",
                key=f"deduction:{deduction.pk}:{now.isoformat()}",  # a payment may leave and return again
                expires_at=validity.add_months(now, 1),
                now=now,
            )


def _add(subscription: Subscription, credits: Decimal) -> None:
    if credits:
        subscription.unpaid_credits += credits
        subscription.save(update_fields=["unpaid_credits"])
