"""Each kind of direct corruption of the ledger's tables is named by the audit.

One world is built for the module; each corruption is rolled back.
"""

import datetime as dt
import uuid

import pytest
from django.db import connection, transaction

from billing import ledger
from billing.ledger.models import Charge, Grant
from tests.billing.ledger.conftest import DAY, NOON, D, allowance, charge_request, give, new_account, spend
from tests.billing.ledger.corruptions import COLUMNS, CONSISTENT, ROWS
from tests.billing.ledger.installations import INSTALLATION

pytestmark = [pytest.mark.django_db, pytest.mark.owner, pytest.mark.fault("L15", "L22")]
INSTANT = dt.timedelta(microseconds=1)


@pytest.fixture(scope="module")
def world(django_db_setup, django_db_blocker):
    """An account with every kind of record, which has been audited and signed; its ids by name."""
    with django_db_blocker.unblock():
        with transaction.atomic():
            yield build()
            transaction.set_rollback(True)
        connection.close()


def build() -> dict[str, uuid.UUID]:
    account, other, purchase, project = new_account(), new_account(), uuid.uuid4(), uuid.uuid4()
    # set before the window that is counted, which therefore saw all of its uses
    earlier = NOON - 40 * DAY
    ledger.set_allowances(account_id=account, allowances=[allowance("daily", "10")], now=earlier)
    ledger.set_warning(account_id=account, below=D("3"), now=earlier)
    limit = {"account_id": account, "period": "month", "now": earlier}
    ledger.set_limit(kind="project", subject=str(project), maximum=D("1000"), **limit)
    ledger.set_limit(kind="quota", subject="images", maximum=D("1000"), **limit)
    grant = give(account, "100", purchase_id=purchase).grant_id
    other_grant = give(account, "50", "more", expires_at=NOON + 90 * DAY).grant_id
    at = NOON + dt.timedelta(seconds=1)
    spend(account, "70", "first", at)
    charge = spend(account, "60", "a", at, project_id=project).charge_id
    free = spend(account, "0", "free", at, covered_by="unlimited").charge_id
    spend(account, "1", "images", at, quota=("images", 4))
    ledger.reverse(account_id=account, charge_id=charge, credits=D("5"), key="r", reason="r", now=at)
    held = ledger.hold(charge_request(account, "8", "h"), expires_at=NOON + DAY, now=at).hold_id
    ledger.capture(account_id=account, hold_id=held, credits=D("7"), key="c", detail={}, now=at)
    end = NOON + dt.timedelta(hours=1)
    running = ledger.hold(
        charge_request(account, "3", "h2", project_id=project), expires_at=end, now=at
    ).hold_id
    tree = {"expires_at": end, "now": at}
    root = ledger.hold(charge_request(account, "12", "root"), **tree).hold_id
    child = ledger.hold(charge_request(account, "4", "child"), parent=root, **tree).hold_id
    spent_child = ledger.hold(charge_request(account, "5", "spent child"), parent=root, **tree).hold_id
    ledger.capture(account_id=account, hold_id=spent_child, credits=D("2"), key="c2", detail={}, now=at)
    ends = {"expires_at": at + INSTANT, "now": at, "at_expiry": "capture_reported"}
    ended = ledger.hold(charge_request(account, "1", "ended"), **ends).hold_id
    report = {"credits": D("0.5"), "detail": {}, "quota_count": None, "now": at}
    ledger.report_usage(account_id=account, hold_id=ended, **report)
    at += INSTANT
    claw_back = ledger.claw_back(
        account_id=account, purchase_id=purchase, credits=D("4"), key="cb", reason="r", now=at
    )
    ledger.restore(account_id=account, claw_back_key="cb", key="won", reason="r", now=at)
    adjust = {"account_id": account, "actor": "staff", "now": at}
    adjustment = ledger.adjust(credits=D("-1"), key="adj", reason="goodwill", **adjust)
    give(other, "1")
    assert ledger.audit.run(now=at).findings == []
    return {
        "account": account,
        "other": other,
        "grant": grant,
        "other_grant": other_grant,
        "charge": charge,
        "free": free,
        "hold": held,
        "running": running,
        "root": root,
        "child": child,
        "spent_child": spent_child,
        "ended": ended,
        "claw_back": claw_back.correction_id,
        "adjustment": adjustment.correction_id,
    }


def found_after(statement: str, world: dict[str, uuid.UUID], *, role: str = "replica") -> list[str]:
    """Findings of the audit after a statement with all triggers disabled, which is rolled back."""
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("set constraints all immediate")
        cursor.execute(f"set local session_replication_role = {role}")
        cursor.execute(statement.format(**world))
        cursor.execute("set local session_replication_role = origin")
        findings = ledger.audit.run(now=NOON + DAY).findings
        transaction.set_rollback(True)
    return [f"{one['check']}: {one['subject']}: {one['found']}" for one in findings]


@pytest.mark.parametrize("corruption", [*COLUMNS, *ROWS, *CONSISTENT], ids=lambda one: one.title)
def test_a_corruption_is_named(world, corruption):
    named = corruption.named.format(**world)
    findings = found_after(corruption.statement, world)
    assert any(named in finding for finding in findings), (named, findings)


@pytest.mark.parametrize("corruption", INSTALLATION, ids=lambda one: one.title)
def test_a_changed_installation_is_named(world, corruption):
    findings = found_after(corruption.statement.replace("{", "{{").replace("}", "}}"), world, role="origin")
    assert any(corruption.named in finding for finding in findings), findings


PAGED = {
    "entry.hash",
    "grant.spent",
    "grant.first_seq",
    "charge.returned",
    "charge.detail",
    "hold.status",
    "correction.debt",
    "limit.used",
    "a charge of 0 is invented",
    "a correction is deleted",
    "a running hold is closed",
}


@pytest.mark.parametrize(
    "corruption", [one for one in [*COLUMNS, *ROWS] if one.title in PAGED], ids=lambda one: one.title
)
def test_a_corruption_of_a_large_wallet_is_named(world, corruption, monkeypatch):
    """A large wallet is read in pages: here the pages are its entries of one time."""
    monkeypatch.setattr("billing.ledger.audit.wallets.PAGE", 2)
    monkeypatch.setattr("billing.ledger.audit.wallets.LARGE", 2)
    assert found_after("select 1", world) == []
    named = corruption.named.format(**world)
    findings = found_after(corruption.statement, world)
    assert any(named in finding for finding in findings), (named, findings)


def test_the_table_has_every_column_that_a_statement_or_decision_relies_on(world):
    covered = {one.title for one in COLUMNS}
    for model in (Grant, Charge):
        table = model._meta.model_name
        names = {field.column for field in model._meta.concrete_fields} - {"id", "account_id"}
        assert {name for name in names if f"{table}.{name}" not in covered} == set()
