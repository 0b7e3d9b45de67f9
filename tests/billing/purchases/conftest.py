"""Automatic top-up with a saved test card."""

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest

from accounts.models import Account
from billing import selectors
from billing.models import AutoTopUp, Purchase
from sandbox import store
from sandbox.objects import payment_methods
from tests.billing import stripe_sandbox
from tests.billing.conftest import smallest_pack


@pytest.fixture
def enable(stripe_api: Any, account: Account) -> Callable[..., AutoTopUp]:
    """Save a test card and enable it, with a threshold above the balance: `enable(card="visa")`."""

    def make(card: str = "visa", **changes: Any) -> AutoTopUp:
        stripe_sandbox.save_card(account, card)
        settings: dict[str, Any] = {"enabled": True, "below": Decimal(500), "pack": smallest_pack()}
        settings |= {"currency": "usd", "monthly_amount": 100_000, "monthly_count": 3}
        return AutoTopUp.objects.create(account=account, **settings | changes)

    return make


def bought(status: str = "paid") -> int:
    """The number of automatic top-ups with this status."""
    return Purchase.objects.filter(origin="auto_top_up", status=status).count()


def decline_saved_card(account: Account, decline: str) -> None:
    """The bank declines the account's saved card from now on."""
    card = store.get("payment_method", selectors.profile_of(account.pk).card_id)
    payment_methods.refuse_from_now(card, decline)
