"""The ledger's SQL is installed again while charges run and long transactions are open."""

import shutil
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest
from django.db import DatabaseError, connection, transaction

from billing.ledger import charges, installation
from tests.billing.ledger.conftest import NOON, charge_request, give, new_account
from tests.billing.ledger.state import broken
from tests.integration.races.concurrency import BackgroundCall
from tests.integration.races.web import database_url

CHARGES_DURING_INSTALLATION = 40
LOCK_SECONDS = 30  # a charge that waited for the open transactions would wait for so long, and fail
LONGEST_SECONDS = 15.0  # measured: 20 ms on two cores

pytestmark = [pytest.mark.usefixtures("committed"), pytest.mark.owner]


def run(statement: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(statement)


def install() -> None:
    with connection.schema_editor(atomic=True) as editor:
        installation.install(None, editor)


@contextmanager
def open_transactions(account: uuid.UUID) -> Iterator[None]:
    """A report that has read the entries, and a charge that is not committed yet."""
    with psycopg.connect(database_url()) as reader, psycopg.connect(database_url()) as writer:
        reader.execute("select count(*) from billing_entry e join billing_wallet w using (account_id)")
        writer.execute(
            "select ledger_charge(ledger_new_use(account_id => %s, id => gen_random_uuid(), key => 'open',"
            " fingerprint => '', credits => 1, service => 'gpt-4o', covers => array['gpt-4o'],"
            " action => '', conversation => '', detail => '{}'), %s)",
            [account, NOON],
        )
        yield


def charge_until(stop: threading.Event, account: uuid.UUID, seconds: list[float]) -> None:
    """Charge one after the other in this thread's connection and note how long each takes."""
    run(f"set lock_timeout = '{LOCK_SECONDS}s'")
    while not stop.is_set() or len(seconds) < CHARGES_DURING_INSTALLATION:
        began = time.monotonic()
        charges.charge_alone(charge_request(account, "1", uuid.uuid4().hex), NOON)
        seconds.append(time.monotonic() - began)


@pytest.mark.fault("O11")
@pytest.mark.parametrize("changed", [False, True], ids=["the same functions", "a changed function"])
def test_installing_under_load_fails_and_delays_no_charge(
    changed: bool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    accounts = [new_account() for _ in range(3)]
    for account in accounts:
        give(account, "1000000")
    if changed:
        use_changed_functions(monkeypatch, tmp_path)
    seconds: list[list[float]] = [[], []]
    enough, stop = threading.Event(), threading.Event()
    with open_transactions(accounts[2]):
        threads = [
            BackgroundCall(lambda n=n: charge_until(stop, accounts[n], seconds[n]))  # type: ignore[misc]
            for n in range(2)
        ]
        installer = BackgroundCall(lambda: install_until(enough))
        for thread in (*threads, installer):
            thread.start()
        while any(len(each) < CHARGES_DURING_INSTALLATION for each in seconds):
            if not all(thread.is_alive() for thread in (*threads, installer)):
                break
            time.sleep(0.01)
        enough.set()
        installed = installer.outcome()
        stop.set()
        outcomes = [thread.outcome() for thread in threads]

    try:
        assert outcomes == [None, None]
        assert isinstance(installed, int) and installed >= 1, installed
        assert max(max(each) for each in seconds) < LONGEST_SECONDS
        assert broken(accounts) == []
    finally:
        monkeypatch.undo()
        install()


def install_until(enough: threading.Event) -> int:
    """Install again and again, at least once; returns how many times."""
    run(f"set lock_timeout = '{LOCK_SECONDS}s'")
    times = 0
    while times == 0 or not enough.is_set():
        install()
        times += 1
    return times


def use_changed_functions(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    """Install, from now on, functions of which one differs: it runs one more statement."""
    shutil.copytree(installation.SQL, folder / "sql")
    file = folder / "sql" / "15_write.sql"
    text = file.read_text()
    first = "  perform pg_advisory_xact_lock("
    assert first in text
    file.write_text(text.replace(first, f"  perform 1;\n{first}"))
    monkeypatch.setattr(installation, "SQL", folder / "sql")


def test_installing_again_changes_no_trigger_and_no_table() -> None:
    def rows() -> list[Any]:
        with connection.cursor() as cursor:
            cursor.execute(
                "select 'trigger', tgname, t.xmin::text from pg_trigger t join pg_class c on c.oid = tgrelid"
                " where c.relname like 'billing%'"
                " union all select 'table', relname, xmin::text from pg_class where relname like 'billing%'"
                " union all select 'type', typname, xmin::text from pg_type where typname like 'ledger%'"
                " order by 1, 2"
            )
            return cursor.fetchall()

    install()
    before = rows()
    install()
    assert rows() == before


@pytest.mark.fault("L11", "O11")
@pytest.mark.parametrize(
    "damage",
    [
        "drop trigger entry_append_only on billing_entry",
        "alter table billing_entry disable trigger entry_append_only",
        "create or replace trigger entry_append_only before update on billing_entry"
        " for each row execute function ledger_refuse_change()",
    ],
)
def test_installing_restores_a_trigger_that_is_missing_disabled_or_different(damage: str) -> None:
    account = new_account()
    give(account, "10")
    run(damage)
    install()
    for change in ("update billing_entry set credits = 0", "delete from billing_entry"):
        with pytest.raises(DatabaseError, match="append-only"), transaction.atomic():
            run(change)


def test_no_function_or_one_that_is_not_there_can_be_removed() -> None:
    functions = "select count(*) from pg_proc where proname like 'ledger\\_%'"
    with connection.cursor() as cursor:
        cursor.execute(functions)
        before = cursor.fetchone()
    for names in ([], ["ledger_of_no_release"]):
        with connection.schema_editor() as editor:
            installation.remove(editor, names)
    with connection.cursor() as cursor:
        cursor.execute(functions)
        assert cursor.fetchone() == before
