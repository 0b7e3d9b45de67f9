"""While one wallet is locked its requests end within the lock timeout; those of others are not delayed."""

import json
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import psycopg
import pytest
from django.db import connection
from django.test import Client
from django.utils import timezone

from accounts.models import Account, User
from billing.models import Charge, Promotion
from tests.integration.races.test_charges_over_http import ONE_CREDIT, Caller
from tests.integration.races.web import database_url, serving

LOCK_TIMEOUT_SECONDS = 6

pytestmark = pytest.mark.django_db(transaction=True)


@contextmanager
def locked(account: Account) -> Iterator[None]:
    """Another connection holds the account's wallet."""
    with psycopg.connect(database_url()) as other:
        other.execute("select 1 from billing_wallet where account_id = %s for update", [account.pk])
        yield


@pytest.mark.fault("L16", "I9")
def test_a_locked_wallet_ends_its_charges_with_503_and_delays_no_other_account(
    alice: User, bob: User, account_of: Callable[[User], Account], api_of: Any
) -> None:
    alices_api, bobs_api = api_of(alice), api_of(bob)
    limits = f"lock_timeout={LOCK_TIMEOUT_SECONDS}s"
    with serving(processes=1, WEB_DATABASE_TIMEOUTS=limits) as web, ThreadPoolExecutor() as pool:
        url = f"{web}/api/v1/charges"
        warm = Caller(url, bobs_api.secret, [("warm", ONE_CREDIT)])
        assert warm.statuses == {201: 1}
        with locked(account_of(alice)):
            began = time.monotonic()
            bodies = [(f"a{n}", ONE_CREDIT) for n in range(40)]
            blocked = pool.submit(Caller, url, alices_api.secret, bodies, patience=0)
            free = Caller(url, bobs_api.secret, [(f"b{n}", ONE_CREDIT) for n in range(6)])
            others_seconds = time.monotonic() - began
            refused = blocked.result()
            seconds = time.monotonic() - began

        assert free.statuses == {201: 6}
        assert others_seconds < LOCK_TIMEOUT_SECONDS
        assert refused.statuses == {503: 40}
        assert seconds < 5 * LOCK_TIMEOUT_SECONDS  # not 40
        for _status, headers, body in refused.responses:
            problem = json.loads(body)
            assert (problem["code"], headers["Retry-After"]) == ("unavailable", "5")
            assert "outcome is unknown" in problem["detail"]
        assert not Charge.objects.filter(account=account_of(alice)).exists()

        again = Caller(url, alices_api.secret, [("a0", ONE_CREDIT)])
        assert again.statuses == {201: 1}


def test_a_page_that_waits_too_long_for_a_locked_wallet_says_to_try_again(
    alice: User, account_of: Callable[[User], Account], signed_in: Callable[[User], Client]
) -> None:
    now, day = timezone.now(), timedelta(days=1)
    Promotion.objects.create(
        code="SUMMER", label="Summer", gives="credits", credits=50, starts_at=now - day, ends_at=now + day
    )
    browser = signed_in(alice)
    browser.raise_request_exception = False
    with connection.cursor() as cursor:
        cursor.execute("set lock_timeout = '100ms'")
        try:
            with locked(account_of(alice)):
                response = browser.post("/billing/redeem/", {"code": "SUMMER"})
        finally:
            cursor.execute("reset lock_timeout")

    assert response.status_code == 503
    assert b"Check whether your change was made" in response.content
    assert Promotion.objects.get(code="SUMMER").redeemed == 0
