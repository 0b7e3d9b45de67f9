"""Fixtures and factories of the ledger's tests: a wallet, and a fixed time."""

import datetime as dt
import uuid
from decimal import Decimal

import pytest

from accounts.models import Account
from billing import ledger

NOON = dt.datetime(2026, 3, 10, 12, 0, tzinfo=dt.UTC)
DAY = dt.timedelta(days=1)


def D(text: str) -> Decimal:
    return Decimal(text)


def new_account(zone: str = "UTC", now: dt.datetime = NOON) -> uuid.UUID:
    account = Account.objects.create(name="Test", zone=zone)
    ledger.open_wallet(account.id, now)
    return account.id


def give(account_id: uuid.UUID, amount: str, key: str = "grant", now: dt.datetime = NOON, **terms: object):
    values = {"kind": "top_up", "label": "Pack"} | terms
    return ledger.grant(account_id=account_id, credits=D(amount), key=key, now=now, **values)


def charge_request(
    account_id: uuid.UUID, amount: str, key: str = "use", **terms: object
) -> ledger.ChargeRequest:
    values = {"service": "gpt-4o", "covers": ("gpt-4o", "tag:text")} | terms
    return ledger.ChargeRequest(account_id=account_id, credits=D(amount), key=key, **values)


def spend(account_id: uuid.UUID, amount: str, key: str = "use", now: dt.datetime = NOON, **terms: object):
    return ledger.charge(charge_request(account_id, amount, key, **terms), now)


def allowance(key: str, amount: str, period: str = "day", **terms: object) -> ledger.AllowanceTerms:
    values = {"kind": "daily" if period == "day" else "plan", "label": key, "anchor_at": NOON} | terms
    return ledger.AllowanceTerms(key=key, credits=D(amount), period=period, **values)


@pytest.fixture
def account(db: None) -> uuid.UUID:
    return new_account()
