"""Redeem a code entered by a user: a promotion code or an invitation code.

Invariant: both kinds share one input; the code itself decides which it is.
"""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from accounts.models import Account
from billing.promotions import redemption, referrals


@dataclass(frozen=True)
class RedeemedCode:
    """A redeemed code and the credits granted at once; an invitation grants its credits later."""

    code: str
    kind: str  # promotion or invitation
    credits: Decimal


def redeem(*, account: Account, code: str, now: datetime) -> RedeemedCode:
    """Redeem a promotion or invitation code. Raises redemption.CodeRefused."""
    text = code.strip().upper()
    if referrals.inviter_of(text) is not None:
        referrals.accept(account=account, code=text, now=now)
        return RedeemedCode(text, "invitation", Decimal(0))
    redeemed = redemption.redeem(account=account, code=text, now=now)
    return RedeemedCode(text, "promotion", redeemed.credits)
