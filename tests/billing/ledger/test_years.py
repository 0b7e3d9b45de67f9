"""A member of years: no move becomes slow because the account has many grants, limits or charges.

The bounds are several times the measured figures (docs/performance.md), so that they hold on a loaded
machine; the scans that they rule out took longer still.
"""

import itertools
import uuid
from datetime import timedelta

import pytest

from billing import ledger
from billing.ledger.models import Limit
from tests.billing.ledger.conftest import DAY, NOON, D, charge_request, give, spend
from tests.billing.ledger.years import fastest, many_charges, many_limits, milliseconds

pytestmark = pytest.mark.django_db
_keys = (f"years-{n}" for n in itertools.count())


def test_the_limits_of_ten_thousand_projects_cost_a_batch_nothing(account):
    """Measured: 14 ms; each use read every limit before: 1,400 ms."""
    give(account, "1000")
    projects = many_limits(account, 10_000)

    def batch() -> None:
        uses = [
            charge_request(account, "0.01", next(_keys), project_id=project) for project in projects[100:160]
        ]
        assert all(isinstance(outcome, ledger.Charged) for outcome in ledger.charge_many(uses, NOON))

    assert fastest(batch) < 200
    assert Limit.objects.get(account_id=account, subject=str(projects[100])).used == D("0.05")


def test_after_midnight_only_the_limits_of_the_use_open_their_new_window(account):
    """Measured: 1 ms; the windows of all projects were opened by the first use before: 350-570 ms."""
    give(account, "1000")
    projects = many_limits(account, 10_000)
    tomorrow = NOON + DAY
    spend(account, "1", "warm", project_id=projects[0])
    charged = spend(account, "1", "yesterday", project_id=projects[1])
    held = ledger.hold(
        charge_request(account, "1", "held", project_id=projects[2]), expires_at=tomorrow + DAY, now=NOON
    )
    moves = [
        lambda: spend(account, "1", next(_keys), now=tomorrow, project_id=projects[3]),
        lambda: ledger.release(account_id=account, hold_id=held.hold_id, now=tomorrow),
        lambda: ledger.reverse(
            account_id=account, charge_id=charged.charge_id, key="r", reason="r", now=tomorrow
        ),
    ]
    for move in moves:
        assert milliseconds(move) < 100
    limits = {limit.subject: limit for limit in Limit.objects.filter(account_id=account)}
    assert limits[str(projects[3])].used == D("1")
    assert all(limits[str(project)].used == 0 for project in projects[1:3])
    assert limits[str(projects[4])].window_end < tomorrow, "left until it is used"


def test_a_new_limit_counts_what_its_window_has_seen_and_holds(account):
    give(account, "1000")
    project, other = uuid.uuid4(), uuid.uuid4()
    many_charges(account, 1000, project=project)
    many_charges(account, 10, project=project, now=NOON - 31 * DAY)
    many_charges(account, 10, project=other)
    charged = spend(account, "5", next(_keys), project_id=project)
    ledger.reverse(
        account_id=account, charge_id=charged.charge_id, key="r", reason="r", credits=D("2"), now=NOON
    )
    ledger.hold(
        charge_request(account, "7", next(_keys), project_id=project),
        expires_at=NOON + timedelta(hours=1),
        now=NOON,
    )
    terms = {
        "account_id": account,
        "kind": "project",
        "subject": str(project),
        "maximum": D("9999"),
        "now": NOON,
    }
    assert ledger.set_limit(period="month", **terms) == D("260")
    assert ledger.set_limit(period="ever", **terms) == D("262.5")
