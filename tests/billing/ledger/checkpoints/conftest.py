"""A wallet with entries, and changes that only the owner of the database can make."""

import uuid
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from django.db import connection

from billing import ledger
from tests.billing.ledger.conftest import NOON, give, new_account, spend


@pytest.fixture
def spender(account: uuid.UUID) -> uuid.UUID:
    """An account with a grant of 100 and two charges, and another account that has a grant."""
    give(account, "100")
    spend(account, "10", "a")
    spend(account, "20", "b")
    give(new_account(), "5")
    return account


@pytest.fixture
def tamper(db: None) -> Callable[..., None]:
    """Run a statement with all triggers disabled."""

    def run(statement: str, *parameters: Any) -> None:
        with connection.cursor() as cursor:
            cursor.execute("set constraints all immediate")
            cursor.execute("set local session_replication_role = replica")
            cursor.execute(statement, parameters)
            cursor.execute("set local session_replication_role = origin")

    return run


def found() -> Sequence[str]:
    """Findings of the checkpoints, as text."""
    return [f"{one.subject}: {one.found}" for one in ledger.checkpoints.findings()]


REWRITE = """
update billing_entry set hash = sha256(%s || convert_to(ledger_payload(account_id, seq, kind, grant_id, credits, debt,
  grant_after, balance_after, charge_id, hold_id, reason, actor, created_at, digest), 'UTF8')) where id = %s returning hash
"""  # noqa: E501


def rewrite(account: uuid.UUID) -> None:
    """Compute all hashes of an account's entries and its wallet's head again, as an attacker would."""
    with connection.cursor() as cursor:
        cursor.execute("set local session_replication_role = replica")
        cursor.execute("select sha256(uuid_send(%s))", [account])
        (head,) = cursor.fetchone()
        cursor.execute("select id from billing_entry where account_id = %s order by seq", [account])
        for (entry,) in cursor.fetchall():
            cursor.execute(REWRITE, [head, entry])
            (head,) = cursor.fetchone()
        cursor.execute("update billing_wallet set head = %s where account_id = %s", [head, account])
        cursor.execute("set local session_replication_role = origin")


def checkpoint() -> int:
    """Take a checkpoint; returns how many were written."""
    return len(ledger.checkpoints.take(NOON))
