"""Daily allowances that were to begin later, and are assigned anew before."""

import datetime as dt

import pytest

from billing import ledger
from billing.ledger.models import Grant
from tests.billing.ledger.conftest import DAY, NOON, allowance
from tests.billing.ledger.state import broken

pytestmark = pytest.mark.django_db
HOUR = dt.timedelta(hours=1)
MIDNIGHT = NOON + DAY / 2


def assign(account, *terms, now):
    ledger.set_allowances(account_id=account, allowances=terms, now=now)


def given(account):
    rows = Grant.objects.filter(account_id=account, allowance="day").order_by("created_at")
    return list(rows.values_list("created_at", flat=True))


def test_an_allowance_that_was_to_begin_in_a_month_is_granted_at_once_when_its_plan_begins_today(account):
    """A change to its plan at the end of the month was planned; then the plan ended, and it was bought."""
    assign(account, allowance("day", "10", anchor_at=NOON + 30 * DAY), now=NOON)
    assign(account, now=NOON + HOUR)
    assign(account, allowance("day", "10", anchor_at=NOON + 2 * HOUR), now=NOON + 2 * HOUR)
    assert given(account) == [NOON + 2 * HOUR]
    ledger.settle([account], MIDNIGHT)
    assert given(account) == [NOON + 2 * HOUR, MIDNIGHT]
    assert broken([account]) == []


def test_it_is_not_granted_twice_on_a_day_on_which_it_was_granted_before_it_was_put_off(account):
    assign(account, allowance("day", "10"), now=NOON)
    assign(account, allowance("day", "10", anchor_at=NOON + 30 * DAY), now=NOON + HOUR)
    assign(account, allowance("day", "10"), now=NOON + 2 * HOUR)
    assert given(account) == [NOON]
    ledger.settle([account], MIDNIGHT)
    assert given(account) == [NOON, MIDNIGHT]


def test_what_begins_in_a_month_may_begin_in_a_week_instead(account):
    assign(account, allowance("day", "10", anchor_at=NOON + 30 * DAY), now=NOON)
    assign(account, allowance("day", "10", anchor_at=NOON + 7 * DAY), now=NOON + HOUR)
    ledger.settle([account], NOON + 7 * DAY + HOUR)
    assert given(account) == [NOON + 7 * DAY]
