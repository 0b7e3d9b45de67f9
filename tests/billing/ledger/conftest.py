"""Fixtures and factories of the ledger's tests: a wallet, and a fixed time."""

import datetime as dt
import uuid
from decimal import Decimal
from typing import Any

import pytest

from accounts.models import Account
from billing import ledger

# so that a difference between ledger and model is printed
pytest.register_assert_rewrite("tests.billing.ledger.rows", "tests.billing.ledger.moves")

NOON = dt.datetime(2026, 3, 10, 12, 0, tzinfo=dt.UTC)
DAY = dt.timedelta(days=1)


def D(text: str) -> Decimal:
    return Decimal(text)


def new_account(zone: str = "UTC", now: dt.datetime = NOON) -> uuid.UUID:
    account = Account.objects.create(name="Test", zone=zone)
    ledger.open_wallet(account.id, now)
    return account.id


def give(
    account_id: uuid.UUID, amount: str, key: str = "grant", now: dt.datetime = NOON, **terms: Any
) -> ledger.Granted:
    values: dict[str, Any] = {"kind": "top_up", "label": "Pack"} | terms
    return ledger.grant(account_id=account_id, credits=D(amount), key=key, now=now, **values)


def charge_request(
    account_id: uuid.UUID, amount: str, key: str = "use", **terms: Any
) -> ledger.ChargeRequest:
    values: dict[str, Any] = {"service": "gpt-4o", "covers": ("gpt-4o", "tag:text")} | terms
    return ledger.ChargeRequest(account_id=account_id, credits=D(amount), key=key, **values)


def spend(
    account_id: uuid.UUID, amount: str, key: str = "use", now: dt.datetime = NOON, **terms: Any
) -> ledger.Charged:
    return ledger.charge(charge_request(account_id, amount, key, **terms), now)


def allowance(key: str, amount: str, period: str = "day", **terms: Any) -> ledger.AllowanceTerms:
    values: dict[str, Any] = {
        "kind": "daily" if period == "day" else "plan",
        "label": key,
        "anchor_at": NOON,
    } | terms
    return ledger.AllowanceTerms(key=key, credits=D(amount), period=period, **values)


def hold(
    account_id: uuid.UUID,
    amount: str,
    key: str = "hold",
    until: dt.datetime = NOON + DAY / 24,
    now: dt.datetime = NOON,
    **terms: Any,
) -> ledger.Held:
    return ledger.hold(charge_request(account_id, amount, key, **terms), expires_at=until, now=now)


def capture(
    account_id: uuid.UUID,
    held: ledger.Held,
    amount: str,
    key: str = "capture",
    now: dt.datetime = NOON,
    **terms: Any,
) -> ledger.Charged:
    values: dict[str, Any] = {
        "account_id": account_id,
        "credits": D(amount),
        "key": key,
        "detail": {},
        "now": now,
    } | terms
    return ledger.capture(hold_id=held.hold_id, **values)


def release(account_id: uuid.UUID, held: ledger.Held, now: dt.datetime = NOON) -> ledger.Held:
    return ledger.release(account_id=account_id, hold_id=held.hold_id, now=now)


def owe(account_id: uuid.UUID, amount: str) -> None:
    """Give the account a debt of this amount and nothing else."""
    purchase = uuid.uuid4()
    give(account_id, amount, f"owed {purchase}", label="owed", purchase_id=purchase, priority=1)
    spend(account_id, amount, f"spent {purchase}")
    ledger.claw_back(
        account_id=account_id, purchase_id=purchase, key=f"refund {purchase}", reason="r", now=NOON
    )


@pytest.fixture
def account(db: None) -> uuid.UUID:
    return new_account()
