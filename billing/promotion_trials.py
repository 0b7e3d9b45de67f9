"""What a promotion would give to an account, at a time: its redemption, rolled back.

Invariant: a trial decides and grants by the functions that redeem, in a transaction that is never committed,
so that nothing of it remains: no use is counted, no credits move, no event or e-mail is sent. It locks the
promotion and the wallet as a redemption does, for as long as one takes.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from uuid import uuid4

from django.db import transaction

from accounts.models import Account
from billing import ledger, offers, provisioning
from billing.ledger import GrantInForce
from billing.models import Promotion
from billing.promotions import redemption, single_use_codes
from billing.purchases import create


@dataclass(frozen=True, kw_only=True)
class Given:
    """The credits that the account would get. `grant`: None when all of them repay its debt."""

    credits: Decimal
    repaid: Decimal
    balance: Decimal
    grant: GrantInForce | None


@dataclass(frozen=True, kw_only=True)
class Discounted:
    """What the account would pay for the packs, in minor units."""

    offer: offers.PackOffer
    amount: int
    discount: int


def give(promotion: Promotion, *, account: Account | None, now: datetime) -> Given:
    """Redeem a promotion of credits at `now`, without effect. Raises redemption.CodeRefused.

    `account` None: of a new customer.
    """
    with _undone():
        account = account or _new_customer(now)
        before = ledger.balance(account.pk, now)
        redeemed = redemption.redeem(account=account, code=_code_of(promotion, now), now=now)
        after = ledger.balance(account.pk, now)
    known = {grant.id for grant in before.grants}
    return Given(
        credits=redeemed.credits,
        repaid=before.debt - after.debt,
        balance=after.total,
        grant=next((grant for grant in after.grants if grant.id not in known), None),
    )


def discount(
    promotion: Promotion, *, account: Account | None, pack: str, quantity: int, currency: str, now: datetime
) -> Discounted:
    """Enter the code of a discount for so many packs at `now`, without effect.

    Raises redemption.CodeRefused, and as `create.order_of`.
    """
    with _undone():
        account = account or _new_customer(now)
        offer = create.order_of(account, pack_key=pack, quantity=quantity, currency=currency, now=now)
        less = create.discount_of(account, offer, quantity=quantity, code=_code_of(promotion, now), now=now)
    return Discounted(offer=offer, amount=offer.amount * quantity - less, discount=less)


@contextmanager
def _undone() -> Iterator[None]:
    with transaction.atomic():
        yield
        transaction.set_rollback(True)


def _code_of(promotion: Promotion, now: datetime) -> str:
    """A code that users enter: the promotion's, or a new one for one use, which is undone too."""
    if not promotion.single_use:
        return str(promotion.code)
    return single_use_codes.make(promotion, number=1, batch=uuid4(), now=now)[0]


def _new_customer(now: datetime) -> Account:
    account = Account.objects.create(name="", kind=Account.Kind.TEAM, created_at=now)
    provisioning.open_account(account=account, now=now)
    return account
