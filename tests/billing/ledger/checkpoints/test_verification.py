"""A rewrite of the database is found from the checkpoints, or from an exported file."""

import base64
import io
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command
from django.db import connection

from billing import ledger
from billing.ledger.models import Checkpoint
from tests.billing.ledger.checkpoints.conftest import checkpoint, found, rewrite
from tests.billing.ledger.conftest import DAY, NOON, give, spend

pytestmark = [pytest.mark.django_db, pytest.mark.owner]


@pytest.fixture
def signed(spender):
    """The account, recorded in two checkpoints; the second covers an audit, too."""
    checkpoint()
    spend(spender, "1", "c")
    ledger.audit.run(now=NOON)
    assert found() == []
    return spender


@pytest.mark.fault("L22")
def test_a_cut_tail_is_found(signed, tamper):
    tamper("delete from billing_entry where account_id = %s and seq > 2", signed)
    tamper(
        "update billing_wallet w set seq = 2, head = e.hash, balance = e.balance_after from billing_entry e"
        " where e.account_id = w.account_id and e.seq = 2 and w.account_id = %s",
        signed,
    )
    assert any("the wallet ends at entry 2" in text for text in found())
    assert any(finding["check"] == "checkpoint" for finding in ledger.audit.run(now=NOON).findings)


@pytest.mark.fault("L22")
def test_a_rewritten_chain_with_consistent_hashes_is_found(signed, tamper):
    tamper("update billing_entry set reason = 'another' where account_id = %s and seq = 2", signed)
    rewrite(signed)
    assert any("the entry has another hash" in text for text in found())


@pytest.mark.fault("L22")
def test_a_wiped_account_is_found(signed, tamper):
    for table in ("entry", "wallet", "grant", "charge"):
        tamper(f"delete from billing_{table} where account_id = %s", signed)
    assert any(f"account {signed}" in text and "the wallet is missing" in text for text in found())


@pytest.mark.parametrize(
    ("statement", "said"),
    [
        ("update billing_head set balance = balance + 1 where seq = 3", "its root does not follow"),
        ("delete from billing_head where seq = 3", "its root does not follow"),
        ("update billing_checkpoint set balance = balance + 1 where number = 1", "its hash does not follow"),
        ("update billing_checkpoint set created_at = now() where number = 1", "no valid signature"),
        ("delete from billing_checkpoint where number = 1", "checkpoints are missing"),
        ("update billing_checkpoint set signature = 'x' where number = 2", "no valid signature"),
        ("update billing_checkpoint set key_id = 'x' where number = 2", "no valid signature of the key x"),
        ("delete from billing_audit", "audits are missing"),
        ("update billing_audit set findings = '[1]'", "the hash of the audits differs"),
    ],
)
def test_a_changed_checkpoint_or_audit_is_found(signed, tamper, statement, said):
    tamper(statement)
    assert any(said in text for text in found())


def test_an_audit_that_is_not_full_verifies_the_checkpoints_since_the_last_audit(signed, tamper):
    spend(signed, "1", "d", now=NOON + DAY)
    ledger.audit.run(now=NOON + DAY)
    tamper("update billing_checkpoint set signature = 'x' where number = 1")
    incremental = ledger.audit.run(now=NOON + 2 * DAY, is_full=False)
    assert [one for one in incremental.findings if one["check"] == "checkpoint"] == []
    full = ledger.audit.run(now=NOON + 3 * DAY)
    assert any(one["subject"] == "checkpoint 1" for one in full.findings)


def test_only_newer_checkpoints_are_verified_on_request(signed, tamper):
    tamper("update billing_checkpoint set signature = 'x' where number = 1")
    assert list(ledger.checkpoints.findings(after=1)) == []
    tamper("update billing_checkpoint set signature = 'x' where number = 2")
    assert [one.subject for one in ledger.checkpoints.findings(after=1)] == ["checkpoint 2"]


def test_a_new_signing_key_keeps_old_checkpoints_valid_while_its_predecessor_is_listed(signed, settings):
    (old,) = ledger.checkpoints.published_keys().values()
    settings.LEDGER_SIGNING_KEY = base64.b64encode(b"k" * 32).decode()
    spend(signed, "1", "d")
    checkpoint()
    assert any("no valid signature" in text for text in found())

    settings.LEDGER_OLD_PUBLIC_KEYS = [old]
    assert found() == []
    assert len(ledger.checkpoints.published_keys()) == 2


def test_a_replaced_key_cannot_sign_any_more(signed, settings):
    (old,) = ledger.checkpoints.published_keys().values()
    settings.LEDGER_SIGNING_KEY = base64.b64encode(b"k" * 32).decode()
    spend(signed, "1", "d")
    checkpoint()
    settings.LEDGER_SIGNING_KEY, settings.LEDGER_OLD_PUBLIC_KEYS = (
        "",
        [
            old,
            *ledger.checkpoints.published_keys().values(),
        ],
    )
    spend(signed, "1", "e")
    checkpoint()
    assert any("which was replaced before" in text for text in found())


@pytest.mark.fault("L22")
def test_a_rewrite_that_replaces_the_checkpoints_too_is_found_from_an_exported_file(signed, tamper, tmp_path):
    file = str(tmp_path / "checkpoints.jsonl")
    call_command("audit_ledger", export=file)
    call_command("audit_ledger", against=file)

    tamper("update billing_entry set reason = 'another' where account_id = %s and seq = 2", signed)
    rewrite(signed)
    for table in ("head", "checkpoint", "audit"):
        tamper(f"delete from billing_{table}")
    checkpoint()
    assert found() == []  # the database alone is consistent
    with pytest.raises(CommandError, match=r"\d findings"):
        call_command("audit_ledger", against=file, stderr=(said := io.StringIO()))
    assert "checkpoint 1: the file has another one with this number" in said.getvalue()
    assert "checkpoint 2: it is in the file and not in the database" in said.getvalue()


def test_later_checkpoints_do_not_differ_from_an_older_file(signed, tmp_path):
    file = str(tmp_path / "checkpoints.jsonl")
    call_command("audit_ledger", export=file)
    spend(signed, "1", "d")
    checkpoint()
    call_command("audit_ledger", against=file)


@pytest.mark.parametrize("drop", [0, 1])
def test_a_file_that_is_not_complete_is_refused(signed, tmp_path, drop):
    file = tmp_path / "checkpoints.jsonl"
    call_command("audit_ledger", export=str(file))
    lines = Path(file).read_text().splitlines(keepends=True)
    file.write_text("".join(lines[:drop] + lines[drop + 1 :]))
    with pytest.raises(CommandError, match=r"jsonl: the file cannot be read|does not continue"):
        call_command("audit_ledger", against=str(file))
    with pytest.raises(CommandError, match="No such file"):
        call_command("audit_ledger", against=str(tmp_path / "missing"))


def test_the_chain_is_read_in_few_statements(signed, django_assert_max_num_queries):
    for number in range(5):
        give(signed, "1", f"more {number}")
        checkpoint()
    assert Checkpoint.objects.count() == 7
    with django_assert_max_num_queries(5):
        assert found() == []
    assert connection.in_atomic_block
