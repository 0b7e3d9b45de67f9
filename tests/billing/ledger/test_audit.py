"""The audit proves the ledger from its entries, and names the row that is wrong."""

import datetime as dt
import uuid

import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from django.utils import timezone

from billing import ledger
from billing.ledger.audit import wallets
from billing.ledger.models import Audit, AuditProgress, Entry, Grant, Hold, Wallet
from tests.billing.ledger.conftest import DAY, NOON, D, allowance, charge_request, give, new_account, spend

pytestmark = [pytest.mark.django_db, pytest.mark.owner]


@pytest.fixture
def story(account) -> uuid.UUID:
    """Return a wallet with every kind of move."""
    purchase = uuid.uuid4()
    give(account, "100", purchase_id=purchase)
    ledger.set_allowances(account_id=account, allowances=[allowance("daily", "10")], now=NOON)
    charged = spend(account, "60", "a")
    ledger.reverse(
        account_id=account, charge_id=charged.charge_id, credits=D("5"), key="r", reason="r", now=NOON
    )
    held = ledger.hold(charge_request(account, "20", "h"), expires_at=NOON + dt.timedelta(hours=1), now=NOON)
    ledger.capture(account_id=account, hold_id=held.hold_id, credits=D("7"), key="c", detail={}, now=NOON)
    ledger.hold(charge_request(account, "3", "h2"), expires_at=NOON + 2 * DAY, now=NOON)
    ledger.claw_back(account_id=account, purchase_id=purchase, key="cb", reason="r", now=NOON)
    ledger.restore(account_id=account, claw_back_key="cb", key="won", reason="r", now=NOON)
    ledger.adjust(account_id=account, credits=D("-1"), key="adj", reason="r", actor="s", now=NOON)
    give(new_account(), "1")
    ledger.settle([account], NOON + DAY)
    return account


def findings() -> list[str]:
    return [
        f"{one['check']}: {one['subject']}: {one['found']}" for one in ledger.audit.run(now=NOON).findings
    ]


def tamper(statement: str, *parameters: object) -> None:
    """Change rows as the owner of the database could."""
    with connection.cursor() as cursor:
        cursor.execute("set constraints all immediate")
        cursor.execute("set local session_replication_role = replica")
        cursor.execute(statement, parameters)
        cursor.execute("set local session_replication_role = origin")


@pytest.mark.requirement("CORE-05")
def test_a_ledger_that_was_only_moved_by_its_moves_adds_up(story):
    assert findings() == []
    totals = {name: D(value) for name, value in ledger.audit.run(now=NOON).totals.items()}
    parts = ("spent", "expired", "taken_back", "remaining", "held")
    assert totals["issued"] == sum(totals[part] for part in parts) == D("121")
    call_command("audit_ledger")


@pytest.mark.fault("L15")
@pytest.mark.parametrize(
    ("statement", "said"),
    [
        ("update billing_entry set credits = credits - 1 where id = %s", "its hash does not follow"),
        ("update billing_entry set reason = 'another' where id = %s", "its hash does not follow"),
        (
            "update billing_entry set created_at = created_at + interval '1 s' where id = %s",
            "its hash does not",
        ),
        ("delete from billing_entry where id = %s", "an entry is missing"),
        ("update billing_entry set seq = seq + 1000 where id = %s", "an entry is missing or added"),
    ],
)
def test_an_entry_that_was_touched_in_the_database_is_named(story, statement, said):
    entry = Entry.objects.get(account_id=story, seq=4)
    tamper(statement, entry.id)
    assert any(said in finding for finding in findings())
    assert any(str(story) in finding for finding in findings())
    with pytest.raises(CommandError):
        call_command("audit_ledger")


def test_two_entries_that_were_swapped_are_named(story):
    one, other = Entry.objects.filter(account_id=story, kind="charge").order_by("seq")[:2]
    tamper(
        "update billing_entry e set credits = o.credits, grant_after = o.grant_after from billing_entry o"
        " where (e.id, o.id) in ((%s, %s), (%s, %s))",
        one.id, other.id, other.id, one.id,
    )  # fmt: skip
    assert any(f"entry {one.id} " in finding for finding in findings())


def test_a_removed_last_entry_is_found(story):
    last = Entry.objects.filter(account_id=story).order_by("seq").last()
    tamper("delete from billing_entry where id = %s", last.id)
    assert any("newest number" in finding for finding in findings())


@pytest.mark.parametrize(
    ("table", "change", "said"),
    [
        (Wallet, {"balance": D("999")}, "balance 999"),
        (Wallet, {"debt": D("9")}, "debt 9"),
        (Wallet, {"held": D("9")}, "held 9"),
        (Wallet, {"head": b"x" * 32}, "head is not the hash"),
        (Grant, {"remaining": D("1000")}, "remaining 1000"),
        (Hold, {"status": "held"}, "held over 20"),
    ],
)
def test_a_cached_figure_that_was_touched_is_named(story, table, change, said):
    table.objects.filter(account_id=story).update(**change)
    assert any(said in finding for finding in findings())


@pytest.mark.fault("L11")
@pytest.mark.requirement("CORE-05")
@pytest.mark.parametrize(
    "statement",
    ["update billing_entry set credits = 1", "delete from billing_entry", "truncate billing_entry cascade"],
)
def test_the_database_itself_refuses_to_change_or_remove_entries(story, statement):
    from django.db import IntegrityError, transaction

    with (
        pytest.raises(IntegrityError, match="append-only"),
        transaction.atomic(),
        connection.cursor() as cursor,
    ):
        cursor.execute(statement)


def test_an_audit_reads_only_accounts_that_moved_unless_it_is_full(story, monkeypatch):
    monkeypatch.setattr("billing.ledger.audit.IDS_IN_FLIGHT", 0)
    ledger.audit.run(now=NOON)
    tamper("update billing_grant set priority = 1 where account_id = %s", story)
    other = new_account()
    give(other, "5")
    moved = ledger.audit.run(now=NOON, is_full=False)
    assert (moved.wallets, moved.findings) == (1, [])
    assert not ledger.audit.full_is_due(NOON + 6 * DAY)
    assert ledger.audit.full_is_due(NOON + 7 * DAY)
    assert len(ledger.audit.run(now=NOON).findings) > 0
    spend(other, "1")
    give(story, "1", "later")
    assert any("grant" in one["subject"] for one in ledger.audit.run(now=NOON, is_full=False).findings)


def test_the_code_before_a_release_names_the_release_and_not_its_functions(story):
    tamper("create function ledger_of_later() returns text language sql return ''")
    assert findings() == ["installation: function ledger_of_later: no file defines it"]
    tamper("insert into django_migrations (app, name, applied) values ('billing', '9999_later', now())")
    (found,) = findings()
    assert found.startswith("installation: migration 9999_later: it is of a later release")


def test_a_killed_audit_is_resumed_where_it_stopped(story, monkeypatch):
    for _ in range(3):
        give(new_account(), "1")
    monkeypatch.setattr("billing.ledger.audit.wallets.PAGE", 1)
    monkeypatch.setattr("billing.ledger.audit.wallets.LARGE", 1000)
    inspect, inspected = wallets.inspect, []

    def killed_at_the_third(portion):
        if len(inspected) == 2:
            raise KeyboardInterrupt
        inspected.append(portion)
        return inspect(portion)

    monkeypatch.setattr("billing.ledger.audit.wallets.inspect", killed_at_the_third)
    with pytest.raises(KeyboardInterrupt):
        ledger.audit.run(now=NOON)
    assert (AuditProgress.objects.count(), Audit.objects.count()) == (1, 0)
    monkeypatch.setattr(
        "billing.ledger.audit.wallets.inspect", lambda one: inspected.append(one) or inspect(one)
    )
    audit = ledger.audit.run(now=NOON + DAY)
    assert (audit.started_at, audit.wallets, audit.findings) == (NOON, 5, [])
    assert audit.entries == Entry.objects.count()
    assert len(inspected) == len(set(map(str, inspected)))
    assert AuditProgress.objects.count() == 0


def test_two_audits_do_not_run_at_once(story):
    AuditProgress.objects.create(
        started_at=NOON, saved_at=timezone.now(), is_full=True, since_entry=0, newest_entry=0
    )
    with pytest.raises(ledger.audit.AuditRunning):
        ledger.audit.run(now=NOON)
    with pytest.raises(CommandError, match="Another audit is running"):
        call_command("audit_ledger")


def test_an_audit_of_a_ledger_without_entries_ends(db):
    for is_full in (True, False):
        assert ledger.audit.run(now=NOON, is_full=is_full).findings == []
        call_command("audit_ledger", "--moved")


def test_a_forged_record_of_an_audit_postpones_no_audit(story):
    """The records are signed with a key that is not in the database."""
    ledger.audit.run(now=NOON)
    Audit.objects.create(
        started_at=NOON + 9 * DAY, finished_at=NOON, wallets=1, entries=1, totals={}, newest_entry=10**12
    )
    assert ledger.audit.full_is_due(NOON + 10 * DAY)
    audit = ledger.audit.run(now=NOON + 10 * DAY, is_full=False)
    assert audit.wallets == 2
    assert ["no valid signature" in one["found"] for one in audit.findings] == [True]


def test_a_deleted_checkpoint_is_named_by_the_audit_that_read_it(story):
    ledger.audit.run(now=NOON)
    give(story, "1", "later")
    ledger.audit.run(now=NOON + DAY)
    ledger.audit.run(now=NOON + 2 * DAY)
    for table, number in (("head", "checkpoint_id"), ("checkpoint", "number")):
        tamper(f"delete from billing_{table} where {number} > 1 and %s <> ''", str(story))
    found = [one["found"] for one in ledger.audit.run(now=NOON + 3 * DAY).findings]
    assert "the checkpoint that it read is missing" in found


def test_an_audit_of_what_moved_names_a_wallet_that_was_set_back(story, monkeypatch):
    monkeypatch.setattr("billing.ledger.audit.IDS_IN_FLIGHT", 0)
    ledger.audit.run(now=NOON)
    tamper("delete from billing_entry where account_id = %s and seq > 2", story)
    tamper(
        "update billing_wallet w set seq = 2, head = e.hash from billing_entry e"
        " where e.account_id = w.account_id and e.seq = 2 and w.account_id = %s",
        story,
    )
    findings = ledger.audit.run(now=NOON + DAY, is_full=False).findings
    assert {one["subject"] for one in findings} == {f"account {story}"}


def test_the_audit_is_due_once_a_day_and_while_a_killed_run_can_continue(account):
    assert ledger.audit.is_due(NOON), "none has run"
    ledger.audit.run(now=NOON)
    assert not ledger.audit.is_due(NOON + dt.timedelta(hours=23))
    assert ledger.audit.is_due(NOON + DAY)
    AuditProgress.objects.create(started_at=NOON, saved_at=NOON, is_full=True, since_entry=0, newest_entry=0)
    assert ledger.audit.is_due(NOON + dt.timedelta(hours=1))
