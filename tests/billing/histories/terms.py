"""What the catalogue of a history offers besides its usual terms: tax, and rewards for invitations."""

from datetime import datetime

from accounts.models import Account
from billing.promotions import codes, referrals
from tests.billing.conftest import change_policies


def collect_tax(behavior: str) -> None:
    """Stripe computes the tax of payments, `inclusive` or `exclusive`; top-ups are not possible with it."""
    change_policies(tax={"behavior": behavior, "code": "txcd_10103001"}, auto_top_up=None)


def accept_invitation(account: Account, now: datetime) -> None:
    """A new account accepts the invitation of another; its first purchase earns both a reward."""
    change_policies(
        referral={
            "inviter_credits": "30",
            "invited_credits": "20",
            "qualifies": "first_purchase",
            "assumed": True,
            "reason": "for histories",
        }
    )
    inviter = Account.objects.exclude(pk=account.pk).get()
    Account.objects.filter(pk=account.pk).update(created_at=now)
    account.refresh_from_db()
    codes.redeem(account=account, code=referrals.code_of(inviter), now=now)
