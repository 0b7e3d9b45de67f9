"""After an archive, moves, balances and proofs are as before; nothing else can remove entries."""

import datetime as dt
import gzip
import json
import uuid
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import IntegrityError, connection, transaction

from billing import ledger
from billing.ledger.archive import removal, writing
from billing.ledger.audit import wallets
from billing.ledger.models import Archive, ArchivedWallet, Charge, Entry, Hold, Wallet
from tests.billing.ledger.checkpoints.conftest import found as checkpoint_findings
from tests.billing.ledger.checkpoints.conftest import spender, tamper  # noqa: F401
from tests.billing.ledger.conftest import DAY, NOON, D, charge_request, give, new_account, spend
from tests.some import some

pytestmark = [pytest.mark.django_db, pytest.mark.owner]
LATER = NOON + 40 * DAY
CUT = NOON + 10 * DAY
DATE = CUT.date().isoformat()


@pytest.fixture
def purchase() -> uuid.UUID:
    return uuid.uuid4()


@pytest.fixture
def story(account: uuid.UUID, purchase: uuid.UUID) -> uuid.UUID:
    """Two periods: a purchase, charges, a reversal, a hold that is still running; then charges after CUT."""
    give(account, "100", purchase_id=purchase)
    give(account, "50", "gift", kind="bonus", expires_at=NOON + 60 * DAY)
    first = spend(account, "60", "a")
    ledger.reverse(
        account_id=account, charge_id=first.charge_id, credits=D("5"), key="r", reason="r", now=NOON
    )
    ledger.hold(charge_request(account, "20", "h"), expires_at=LATER + DAY, now=NOON)
    spend(account, "0", "free")
    give(new_account(), "5", "other")
    ledger.checkpoints.take(NOON)
    spend(account, "7", "b", now=CUT + DAY)
    ledger.checkpoints.take(CUT + DAY)
    return account


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "archive.jsonl.gz"


def archive(file: Path, before: dt.datetime = CUT, **options: Any) -> writing.Plan:
    return ledger.archive.run(before=before, path=file, now=LATER, **options)


def findings() -> list[str]:
    """Findings of the whole audit."""
    stored = ledger.audit.run(now=LATER).findings
    return [f"{one['check']}: {one['subject']}: {one['found']}" for one in stored]


def lines_of(file: Path) -> list[dict[str, Any]]:
    with gzip.open(file, "rt") as content:
        return [json.loads(line) for line in content]


def test_entries_of_closed_periods_are_in_the_file_and_not_in_the_database(story, file):
    before = list(Entry.objects.filter(account_id=story).order_by("seq"))
    balance = ledger.balance(story, LATER).total
    plan = archive(file)
    lines = lines_of(file)
    entries = [line["entry"] for line in lines if "entry" in line]
    assert plan.entries == plan.removed == len(entries) == lines[-1]["end"]["entries"]
    assert plan.wallets == 2
    position = ledger.archive.position(story).wallet
    left = Entry.objects.filter(account_id=story).order_by("seq")
    assert [entry.seq for entry in left] == list(range(position.seq + 1, before[-1].seq + 1))
    assert bytes(position.head) == bytes(before[position.seq - 1].hash)
    assert Charge.objects.filter(account_id=story).count() == 3  # charges stay: their keys hold for good
    assert ledger.balance(story, LATER).total == balance
    assert findings() == [] == checkpoint_findings()


def test_a_dry_run_changes_nothing(story, file):
    count = Entry.objects.count()
    plan = archive(file, dry_run=True)
    assert plan.wallets == 2 and plan.entries > 4 and plan.removed == 0
    assert not file.exists() and Entry.objects.count() == count and not Archive.objects.exists()


def test_every_move_works_on_archived_grants_and_charges(story, file, purchase):
    """The same moves with and without an archive have the same results."""

    def moves() -> list[Any]:
        charge = Charge.objects.get(account_id=story, idempotency_key="a")
        replay = spend(story, "60", "a", now=LATER)
        reversal = ledger.reverse(
            account_id=story, charge_id=charge.pk, credits=D("10"), key="r2", reason="r", now=LATER
        )
        held = Hold.objects.get(account_id=story)
        captured = ledger.capture(
            account_id=story, hold_id=held.pk, credits=D("12"), key="c", detail={}, now=LATER
        )
        charged = spend(story, "9", "new", now=LATER)
        taken = ledger.claw_back(account_id=story, purchase_id=purchase, key="cb", reason="r", now=LATER)
        restored = ledger.restore(account_id=story, claw_back_key="cb", key="won", reason="r", now=LATER)
        wallet = Wallet.objects.get(account_id=story)
        return [
            replay.replayed, reversal.credits, captured.credits, charged.balance_after,
            (taken.credits, taken.debt), (restored.credits, restored.debt),
            (wallet.balance, wallet.held, wallet.debt),
        ]  # fmt: skip

    with transaction.atomic():
        expected = moves()
        transaction.set_rollback(True)
    archive(file)
    assert moves() == expected
    ledger.checkpoints.take(LATER)
    assert findings() == [] == checkpoint_findings()


def test_a_second_archive_continues_the_first(story, file, tmp_path):
    archive(file)
    spend(story, "1", "c", now=LATER)
    ledger.checkpoints.take(LATER)
    second = archive(tmp_path / "second.jsonl.gz", before=CUT + 2 * DAY)
    assert second.wallets == 1 and second.entries == second.removed == 1
    assert [one.number for one in Archive.objects.order_by("number")] == [1, 2]
    assert findings() == []
    assert archive(tmp_path / "third.jsonl.gz", before=CUT + 2 * DAY).entries == 0


@pytest.mark.parametrize("broken", ["_store", "remove_archived", "portion"])
def test_a_killed_archive_is_completed_by_the_next_run(story, file, monkeypatch, broken):
    count = Entry.objects.count()
    with monkeypatch.context() as patch:
        if broken == "portion":
            patch.setattr(removal, "PORTION", 2)
            remove = removal._remove_portion
            calls = iter(range(2))

            def killed(wallet: Any) -> int:
                next(calls)
                return remove(wallet)

            patch.setattr(removal, "_remove_portion", killed)
        else:
            calls = iter(()) if broken == "_store" else iter(range(1))
            kept = getattr(removal, broken)
            patch.setattr(removal, broken, lambda *args: (next(calls), kept(*args))[1])
        with pytest.raises((StopIteration, RuntimeError)):
            archive(file)
    assert findings() == []  # in between everything is consistent
    if broken == "_store":
        assert Entry.objects.count() == count
        file.unlink()
    plan = archive(file)
    assert plan.entries > 0 and Entry.objects.count() == count - plan.entries
    assert archive(file).removed == 0
    assert findings() == []


def test_an_audit_during_an_archive_reports_no_difference(story, file, monkeypatch):
    """The archive is written between two statements of the audit."""
    read = wallets._run

    def after_an_archive(*arguments, **options):
        monkeypatch.setattr(wallets, "_run", read)
        assert archive(file).removed > 0
        return read(*arguments, **options)

    monkeypatch.setattr(wallets, "_run", after_an_archive)
    assert findings() == []
    assert Archive.objects.count() == 1


def test_a_file_that_was_damaged_before_it_was_read_back_removes_nothing(story, file, monkeypatch):
    write = writing.write

    def damaged(path: Path, before: dt.datetime) -> writing.Plan:
        plan = write(path, before)
        lines = lines_of(path)
        with gzip.open(path, "wt") as content:
            content.writelines(json.dumps(line) + "\n" for line in lines[:3] + lines[4:])
        return plan

    monkeypatch.setattr(writing, "write", damaged)
    count = Entry.objects.count()
    with pytest.raises(writing.ArchiveFailed, match="is missing in the file"):
        archive(file)
    assert Entry.objects.count() == count and not Archive.objects.exists()


def test_a_wallet_whose_chain_has_a_difference_is_not_archived(story, file, tamper):  # noqa: F811
    tamper("update billing_entry set reason = 'x' where account_id = %s and seq = 2", story)
    with pytest.raises(writing.ArchiveFailed, match="audit_ledger"):
        archive(file)
    assert not file.exists()


def test_only_signed_positions_are_archived(account, file):
    give(account, "10")
    assert archive(file, dry_run=True).entries == 0
    ledger.checkpoints.take(NOON)
    assert archive(file, dry_run=True).entries == Wallet.objects.get(account_id=account).seq


@pytest.mark.fault("L11")
@pytest.mark.parametrize("setting", ["off", "on"])
@pytest.mark.parametrize("statement", ["delete from billing_entry", "update billing_entry set credits = 0"])
def test_entries_that_are_not_archived_cannot_be_removed(story, file, setting, statement):
    archive(file)
    with (
        pytest.raises(IntegrityError, match="append-only"),
        transaction.atomic(),
        connection.cursor() as cursor,
    ):
        cursor.execute(f"set local refill.archiving = '{setting}'")
        cursor.execute(statement)


@pytest.mark.parametrize("table", ["billing_archive", "billing_archivedwallet"])
@pytest.mark.parametrize("statement", ["delete from {}", "update {} set created_at = now()", "truncate {}"])
def test_records_of_archives_cannot_be_changed(story, file, table, statement):
    archive(file)
    if "update" in statement and table == "billing_archivedwallet":
        statement = "update {} set balance = 0"
    with (
        pytest.raises(IntegrityError, match="append-only"),
        transaction.atomic(),
        connection.cursor() as cursor,
    ):
        cursor.execute(statement.format(table))


@pytest.mark.fault("L22")
@pytest.mark.parametrize(
    "statement",
    [
        "update billing_archivedwallet set balance = balance + 1",
        "update billing_archivedwallet set sums = '[]'",
        "update billing_archivedwallet set seq = seq + 1",
        "update billing_archive set entries = entries + 1",
        "update billing_archive set file_hash = 'x'",
        "delete from billing_archive",
        "delete from billing_archivedwallet",
        "update billing_charge set service = 'another' where idempotency_key = 'a'",
        "delete from billing_charge where idempotency_key = 'a'",
        "update billing_grant set expires_at = expires_at + interval '1 day' where idempotency_key = 'gift'",
        "update billing_correction set reason = 'another'",
        "update billing_hold set credits = 21",
        "update billing_charge set returned = 0 where idempotency_key = 'a'",
        "update billing_grant set remaining = remaining + 1",
        "delete from billing_entry where kind = 'charge'",
    ],
)
def test_a_change_of_what_was_archived_is_found(story, file, tamper, statement):  # noqa: F811
    archive(file)
    assert findings() == []
    tamper(statement)
    assert findings() != []


def test_the_command_archives_and_reports(story, file, capsys):
    call_command("archive_ledger", "--before", DATE, "--dry-run")
    assert "would be archived" in capsys.readouterr().out
    call_command("archive_ledger", "--before", DATE, "--to", str(file))
    assert f"are in {file}" in capsys.readouterr().out
    with pytest.raises(CommandError, match="exists"):
        other = file.with_name("other.gz")
        other.touch()
        call_command("archive_ledger", "--before", DATE, "--to", str(other))
    with pytest.raises(CommandError, match="--to FILE is missing"):
        call_command("archive_ledger", "--before", DATE)
    with pytest.raises(CommandError, match="in the future"):
        call_command("archive_ledger", "--before", "2999-01-01", "--to", str(file.with_name("x")))


def test_the_records_are_those_of_the_file(story, file):
    archive(file)
    wallets = {line["wallet"]["account"]: line["wallet"] for line in lines_of(file) if "wallet" in line}
    for record in some(ArchivedWallet.objects.all()):
        assert wallets[str(record.account_id)]["seq"] == record.seq
        assert D(wallets[str(record.account_id)]["balance"]) == record.balance
        assert D(record.state["wallets"][0]["balance"]) == record.balance
