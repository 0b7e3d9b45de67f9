"""The time at which codes and invitations are tried, and what comes of it."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta

import pytest
import time_machine

from accounts.models import Account, User
from billing.promotions import codes, redemption

NOW = datetime(2027, 5, 31, 12, tzinfo=UTC)


TICK = timedelta(microseconds=1)


@pytest.fixture
def clock() -> Iterator[None]:
    with time_machine.travel(NOW, tick=False):
        yield


@pytest.fixture
def bobs(bob: User, account_of: Callable[[User], Account]) -> Account:
    return account_of(bob)


def outcome(account: Account, *, code: str = "SUMMER", now: datetime = NOW) -> str:
    """Redeem a code: "ok", or why it was refused."""
    try:
        codes.redeem(account=account, code=code, now=now)
    except redemption.CodeRefused as refused:
        assert refused.status == (404 if refused.code == "unknown_code" else 409)
        return refused.code
    return "ok"
