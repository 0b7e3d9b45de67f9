"""One field for every code: nobody needs to know whether it is a promotion's or an invitation's."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from accounts.models import Account
from billing.promotions import redemption as promotions
from billing.promotions import referrals


@dataclass(frozen=True)
class Given:
    """What a code did: credits given at once (none yet, for most invitations)."""

    code: str
    kind: str  # promotion or invitation
    credits: Decimal


def redeem(*, account: Account, code: str, now: datetime) -> Given:
    """Use a code. Raises promotions.CodeRefused."""
    text = code.strip().upper()
    if referrals.inviter_of(text) is not None:
        referrals.accept(account=account, code=text, now=now)
        return Given(text, "invitation", Decimal(0))
    redemption = promotions.redeem(account=account, code=text, now=now)
    return Given(text, "promotion", redemption.credits)
