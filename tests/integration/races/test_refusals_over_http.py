"""Refused calls over the web server are stored while it serves, and the last ones when it ends."""

import time

import pytest
from django.db.models import Sum
from django.utils import timezone

from accounts.models import Account, User
from tests.integration.races.test_charges_over_http import Caller
from tests.integration.races.web import serving
from usage.models import RefusedCalls
from usage.refusals.storing import EVERY_SECONDS

pytestmark = pytest.mark.django_db(transaction=True)
TOO_MUCH = {"service": "claude-sonnet-4", "usage": {"tokens": 9_000_000}}


def stored() -> int:
    return RefusedCalls.objects.aggregate(calls=Sum("calls"))["calls"] or 0


def test_two_processes_lose_no_refused_call(catalogue: None, alice: User, api_of: object) -> None:
    secret = api_of(alice).secret  # type: ignore[operator]
    account, began_at = Account.objects.get(person=alice), timezone.now()
    with serving(processes=2) as address:
        first = Caller(f"{address}/api/v1/charges", secret, [(str(n), TOO_MUCH) for n in range(20)])
        until = time.monotonic() + 10 * EVERY_SECONDS
        while stored() < 20 and time.monotonic() < until:
            time.sleep(0.05)
        assert stored() == 20, "while it serves"
        second = Caller(f"{address}/api/v1/charges", secret, [(f"b{n}", TOO_MUCH) for n in range(20)])
    assert first.statuses == second.statuses == {402: 20}
    assert stored() == 40, "the last ones at its end"
    hours = {began_at.hour, timezone.now().hour}
    assert RefusedCalls.objects.filter(account=account).count() <= len(hours), "a row for each hour"
