"""A condition of a page: what the page says in a state, and does not say without it.

A `Case` changes the world of tests/forms/world.py (a team with alice as owner, a paid pack, a free plan).
Its `shown` words are on the page after the change and not before, its `hidden` words before and not after,
and its `absent` words neither before nor after.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from typing import Any

from django.db import connection, transaction
from django.utils import timezone

from accounts.models import Account, Membership
from billing import ledger
from billing.models import (
    AlertSettings,
    AutoTopUp,
    BillingProfile,
    Charge,
    Dispute,
    Purchase,
    Referral,
    Refund,
    Subscription,
)
from billing.notifications import low_credit_alerts
from billing.subscriptions import plan_terms
from tests.billing.conftest import change_policies
from tests.forms.world import World
from tests.roles import as_owner
from tests.usage.spending import spend

Change = Callable[[World], Any]


@dataclass(frozen=True)
class Case:
    name: str
    page: str
    change: Change
    shown: tuple[str, ...] = ()
    hidden: tuple[str, ...] = ()
    absent: tuple[str, ...] = ()


def both(*changes: Change) -> Change:
    return lambda world: [change(world) for change in changes]


def purchase(**fields: Any) -> Change:
    return lambda world: Purchase.objects.filter(pk=world.purchase.pk).update(**fields)


def subscription(**fields: Any) -> Change:
    def change(world: World) -> None:
        Subscription.objects.filter(account=world.account).update(**fields)
        plan_terms.forget(world.account.pk)

    return change


def paid_plan(**fields: Any) -> Change:
    now = timezone.now()
    terms = {"plan": "starter", "interval": "month", "currency": "usd", "amount": 990}
    terms |= {"stripe_subscription_id": "sub_1", "period_end": now + timedelta(days=400)}
    return subscription(**terms | {"paid_until": now + timedelta(days=400)} | fields)


def profile(**fields: Any) -> Change:
    return lambda world: BillingProfile.objects.filter(account=world.account).update(**fields)


def account(**fields: Any) -> Change:
    return lambda world: Account.objects.filter(pk=world.account.pk).update(**fields)


def policies(**fields: Any) -> Change:
    return lambda world: change_policies(**fields)


def charge(**fields: Any) -> Change:
    """Charges cannot be changed: this writes the row as an older release might have stored it."""

    def change(world: World) -> None:
        with transaction.atomic(), as_owner(), connection.cursor() as cursor:
            cursor.execute("set local session_replication_role = replica")
            Charge.objects.filter(account=world.account).update(**fields)
            cursor.execute("set local session_replication_role = origin")

    return change


def role(name: str) -> Change:
    return lambda world: Membership.objects.filter(account=world.account, user=world.user).update(role=name)


def refund(status: str, **fields: Any) -> Change:
    return lambda world: Refund.objects.create(
        account=world.account,
        purchase=world.purchase,
        amount=250,
        currency="usd",
        credits=250,
        status=status,
        created_at=timezone.now(),
        **fields,
    )


def dispute(status: str, *, withdrawn: bool) -> Change:
    return lambda world: Dispute.objects.create(
        account=world.account,
        purchase=world.purchase,
        amount=500,
        currency="usd",
        status=status,
        withdrawn=withdrawn,
        stripe_dispute_id="dp_1",
        created_at=timezone.now(),
    )


def top_up(**fields: Any) -> Change:
    terms = {"enabled": True, "below": 40, "pack": "small", "currency": "usd", "monthly_amount": 1000}
    return lambda world: AutoTopUp.objects.create(
        account=world.account, **terms | {"monthly_count": 2} | fields
    )


def alert(*, enabled: bool) -> Change:
    def save(world: World) -> None:
        AlertSettings.objects.filter(account=world.account).delete()
        low_credit_alerts.save_settings(
            account_id=world.account.pk,
            enabled=enabled,
            below=Decimal(40),
            by_email=True,
            extra_addresses=[],
            now=timezone.now(),
        )

    return save


def hold(world: World) -> None:
    account_id = world.account.pk
    request = ledger.ChargeRequest(account_id=account_id, credits=Decimal(30), key="h", service="gpt-4o")
    ledger.hold(request, expires_at=timezone.now() + timedelta(hours=1), now=timezone.now())


def debt(world: World) -> None:
    """The bank takes the pack's payment back after everything was spent."""
    now, account_id = timezone.now(), world.account.pk
    spend(world.account, str(ledger.balance(account_id, now).available), now)
    ledger.claw_back(account_id=account_id, purchase_id=world.purchase.pk, key="bank", reason="", now=now)


def invited(**fields: Any) -> Change:
    def create(world: World) -> None:
        other = Membership.objects.exclude(account=world.account).get(user=world.user).account
        Referral.objects.create(inviter=world.account, invited=other, created_at=timezone.now(), **fields)

    return create


LATER = timezone.now() + timedelta(days=800)
