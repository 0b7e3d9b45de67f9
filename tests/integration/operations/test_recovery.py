"""The drill of docs/runbook.md: a base backup and archived WAL bring back the state of a given moment."""

import os
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from config.supervisor import embedded_postgres
from tests.integration.races.web import LIMIT_SECONDS, ROOT

# The lines of the runbook's two blocks of settings.
BLOCKS = re.findall(
    r"```ini\n(.*?)```", (ROOT / "docs/runbook.md").read_text().partition("## Backup and restore")[2], re.S
)


@pytest.fixture
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="refill-backup-", ignore_cleanup_errors=True) as directory:
        path = Path(directory).resolve()
        yield path
        for data in ("first", "restored"):
            embedded_postgres.stop(path / data)


def connect(data: Path) -> "psycopg.Connection[tuple[object, ...]]":
    socket = embedded_postgres.socket_directory(data)
    return psycopg.connect(host=str(socket), user="postgres", dbname="refill", autocommit=True)


def configure(data: Path, settings: str, folder: Path, moment: str = "") -> None:
    text = settings.replace("/backup", str(folder)).replace("2026-11-22 10:30:00+00", moment)
    with (data / "postgresql.conf").open("a") as file:
        file.write(f"\n{text}")


def given_to_owner(path: Path, data: Path) -> None:
    """The server of root's tests runs as another user."""
    owner = data.stat()
    for one in (path, *path.rglob("*")):
        os.chown(one, owner.st_uid, owner.st_gid)


@pytest.mark.fault("O2")
def test_the_state_of_a_moment_is_restored(folder: Path) -> None:
    first, restored, wal = folder / "first", folder / "restored", folder / "wal"
    folder.chmod(0o755)
    embedded_postgres.ensure(first)
    embedded_postgres.stop(first)
    wal.mkdir()
    given_to_owner(wal, first)
    archiving, recovering = BLOCKS
    configure(first, archiving, folder)
    embedded_postgres.ensure(first)
    with connect(first) as server:
        server.execute("create table kept as select 'before the backup' as what")
        command = [embedded_postgres.binaries() / "pg_basebackup", "--checkpoint", "fast", "--username"]
        command += ["postgres", "--host", embedded_postgres.socket_directory(first), "--pgdata"]
        subprocess.run([*map(str, command), str(folder / "base")], check=True, env={"PATH": os.defpath})
        server.execute("insert into kept values ('after the backup')")
        row = server.execute("select now()::text").fetchone()
        assert row is not None
        server.execute("select pg_sleep(0.01)")
        server.execute("insert into kept values ('the mistake')")
        server.execute("select pg_switch_wal()")
    embedded_postgres.stop(first)  # archives what is left

    shutil.copytree(folder / "base", restored)
    (restored / "recovery.signal").touch()
    configure(restored, recovering, folder, str(row[0]))
    given_to_owner(restored, first)
    restored.chmod(0o700)
    embedded_postgres.ensure(restored)
    with connect(restored) as server:
        until = time.monotonic() + LIMIT_SECONDS
        while server.execute("select pg_is_in_recovery()").fetchone() == (True,):
            assert time.monotonic() < until
            time.sleep(0.05)
        found = server.execute("select what from kept order by 1").fetchall()
        assert found == [("after the backup",), ("before the backup",)]
        server.execute("insert into kept values ('it takes writes')")
