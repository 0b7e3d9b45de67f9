"""kill -9 of the web process and of PostgreSQL under load: every acknowledged charge exists exactly once."""

import os
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from django.db import connection, connections

from billing import ledger
from config.supervisor import embedded_postgres
from tests.billing.ledger.conftest import NOON, D, charge_request, give, new_account
from tests.billing.ledger.state import broken
from tests.integration.crashes.process import fork
from tests.integration.races.concurrency import persistently

pytestmark = pytest.mark.usefixtures("committed")
MIN_ACKNOWLEDGED = 150  # acknowledged charges before the kill
TIMEOUT_SECONDS = 60


def load(accounts: list[Any], acknowledged: Path) -> None:
    """Charge continuously from eight threads, and record each key after its response."""
    with acknowledged.open("ab", buffering=0) as file:

        def charge(thread: int) -> None:
            for number in range(10**6):
                key, account = f"{thread}.{number}", accounts[number % len(accounts)]
                try:
                    request = charge_request(account, "1", key)
                    persistently(lambda request=request: ledger.charge(request, NOON))
                except Exception:  # the database is down: nothing was acknowledged
                    connections.close_all()
                    return
                file.write(f"{account} {key}\n".encode())

        threads = [threading.Thread(target=charge, args=(n,)) for n in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()


def wait_for(acknowledged: Path, number: int) -> None:
    end = time.monotonic() + TIMEOUT_SECONDS
    while not acknowledged.exists() or acknowledged.read_bytes().count(b"\n") < number:
        assert time.monotonic() < end, "too few charges were acknowledged in time"
        time.sleep(0.01)


def keys_in(acknowledged: Path) -> list[tuple[str, str]]:
    complete = acknowledged.read_text().rpartition("\n")[0]
    return [tuple(line.split(" ")) for line in complete.splitlines()]


@pytest.mark.fault("L14", "L9")
def test_the_web_process_killed_under_load_has_committed_every_acknowledged_charge(tmp_path):
    accounts = [new_account() for _ in range(3)]
    for account in accounts:
        give(account, "100000")
    acknowledged = tmp_path / "acknowledged"
    child = fork(lambda: load(accounts, acknowledged))
    wait_for(acknowledged, MIN_ACKNOWLEDGED)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    kept = acknowledged_and_kept(connection, keys_in(acknowledged))
    assert MIN_ACKNOWLEDGED <= len(keys_in(acknowledged)) <= kept <= len(keys_in(acknowledged)) + 8
    assert broken(accounts) == []
    for account, key in keys_in(acknowledged)[:20]:
        assert ledger.charge(charge_request(account, "1", key), NOON).replayed


def acknowledged_and_kept(database: Any, keys: list[tuple[str, str]]) -> int:
    """Return the number of charges; fails unless each acknowledged one exists exactly once."""
    with database.cursor() as cursor:
        cursor.execute("select account_id::text, idempotency_key from billing_charge")
        charges = cursor.fetchall()
    assert len(charges) == len(set(charges))
    assert set(keys) <= set(charges), "an acknowledged charge is missing"
    return len(charges)


@pytest.fixture
def other_server() -> Iterator[dict[str, Any]]:
    """A separate PostgreSQL with the schema of the test database, which the test may kill."""
    with tempfile.TemporaryDirectory(prefix="refill-kill-", ignore_cleanup_errors=True) as directory:
        data = Path(directory).resolve() / "postgres"
        server = embedded_postgres.ensure(data)
        database = connection.settings_dict
        programs = embedded_postgres.binaries()
        address = {
            "PGHOST": database["HOST"],
            "PGUSER": database["USER"],
            "PGPORT": str(database["PORT"] or 5432),
        }
        dump = subprocess.run(
            [programs / "pg_dump", "--no-owner", "--schema=public", database["NAME"]],
            env=os.environ | address | {"PGPASSWORD": database.get("PASSWORD") or ""},
            check=True,
            capture_output=True,
        )
        restore = [programs / "psql", "-q", "-h", server["HOST"], "-U", server["USER"], server["NAME"]]
        subprocess.run(restore, input=dump.stdout, check=True, capture_output=True)
        yield server | {"DATA": data}
        embedded_postgres.stop(data)


@pytest.mark.fault("L14")
def test_postgresql_killed_under_load_has_kept_every_acknowledged_charge(other_server, tmp_path):
    acknowledged, account_ids = tmp_path / "acknowledged", tmp_path / "accounts"

    def on_other_server(call):
        """Run in a child that uses the other server."""

        def run():
            connection.settings_dict.update(
                {name: other_server[name] for name in ("HOST", "USER", "NAME", "PORT")}
            )
            call()

        return fork(run)

    def prepare():
        accounts = [new_account() for _ in range(3)]
        for account in accounts:
            give(account, "100000")
        account_ids.write_text("\n".join(map(str, accounts)))

    def check():
        accounts = account_ids.read_text().splitlines()
        assert broken(accounts) == []
        for account, key in keys_in(acknowledged)[:20]:
            assert ledger.charge(charge_request(account, "1", key), NOON).replayed
        left = sum(ledger.balance(account, NOON).total for account in accounts)
        assert 300_000 - left == acknowledged_and_kept(connection, keys_in(acknowledged))

    assert os.waitpid(on_other_server(prepare), 0)[1] == 0
    child = on_other_server(lambda: load(account_ids.read_text().splitlines(), acknowledged))
    wait_for(acknowledged, MIN_ACKNOWLEDGED)
    postmaster = int((other_server["DATA"] / "postmaster.pid").read_text().split()[0])
    os.kill(postmaster, signal.SIGKILL)
    assert os.waitpid(child, 0)[1] == 0, "without a database the load ends by itself"
    embedded_postgres.ensure(other_server["DATA"])
    assert os.waitpid(on_other_server(check), 0)[1] == 0, "the check failed; see its output above"
    with psycopg.connect(host=other_server["HOST"], user="postgres", dbname=other_server["NAME"]) as server:
        kept = acknowledged_and_kept(server, keys_in(acknowledged))
    assert MIN_ACKNOWLEDGED <= len(keys_in(acknowledged)) <= kept <= len(keys_in(acknowledged)) + 8
    assert D(str(kept)) > 0
