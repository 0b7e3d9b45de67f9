"""The embedded PostgreSQL is started by the first process that needs it and recovers after a kill -9."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from config.supervisor import embedded_postgres

BASE_DIR = Path(__file__).resolve().parents[3]


@pytest.fixture
def data() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="refill-test-", ignore_cleanup_errors=True) as directory:
        path = Path(directory).resolve() / "postgres"
        yield path
        embedded_postgres.stop(path)


def connect(data: Path) -> psycopg.Connection:
    return psycopg.connect(
        host=str(embedded_postgres.socket_directory(data)), user="postgres", dbname="refill", autocommit=True
    )


def test_many_processes_at_once_start_one_server(data: Path) -> None:
    command = [sys.executable, "-m", "config.supervisor.embedded_postgres", "start", str(data)]
    starters = [subprocess.Popen(command, cwd=BASE_DIR, stdout=subprocess.PIPE) for _ in range(4)]
    outputs = {starter.communicate(timeout=60)[0] for starter in starters}
    assert [starter.returncode for starter in starters] == [0] * 4
    assert len(outputs) == 1
    with connect(data) as connection:
        assert connection.execute("show listen_addresses").fetchone() == ("",)


@pytest.mark.fault("L14")
def test_a_killed_server_is_restarted_with_its_committed_data(data: Path) -> None:
    embedded_postgres.ensure(data)
    with connect(data) as connection:
        connection.execute("create table kept as select 42 as answer")
        postmaster = int((data / "postmaster.pid").read_text().split()[0])
        os.kill(postmaster, signal.SIGKILL)
    embedded_postgres.ensure(data)
    with connect(data) as connection:
        assert connection.execute("select answer from kept").fetchone() == (42,)


def test_a_server_whose_directory_was_removed_is_replaced(data: Path) -> None:
    embedded_postgres.ensure(data)
    old = int((data / "postmaster.pid").read_text().split()[0])
    shutil.rmtree(data)
    embedded_postgres.ensure(data)
    assert not Path(f"/proc/{old}/cmdline").exists() or not Path(f"/proc/{old}/cmdline").read_bytes()
    connect(data).close()


def test_it_starts_when_the_pid_file_names_a_process_of_another_program(data: Path) -> None:
    embedded_postgres.ensure(data)
    embedded_postgres.stop(data)
    lines = [str(os.getpid()), str(data), "1", "5432", str(data), "", "1 1", "ready"]
    (data / "postmaster.pid").write_text("\n".join(lines) + "\n")
    embedded_postgres.ensure(data)
    assert embedded_postgres.is_running(data)


def test_stopping_a_stopped_server_has_no_effect(data: Path) -> None:
    embedded_postgres.ensure(data)
    assert embedded_postgres.stop(data) is True
    assert not embedded_postgres.is_running(data)
    assert embedded_postgres.stop(data) is False


@pytest.mark.parametrize("folder", ["long" * 20, "My credits (new), naïve " + "ö" * 90])
def test_it_runs_in_a_folder_with_a_long_path_blanks_and_other_scripts(folder: str) -> None:
    with tempfile.TemporaryDirectory(prefix="refill-test-", ignore_cleanup_errors=True) as directory:
        data = Path(directory).resolve() / folder / "postgres"
        embedded_postgres.ensure(data)
        try:
            assert embedded_postgres.is_running(data)
            assert embedded_postgres.socket_directory(data) != data
            assert embedded_postgres.socket_directory(data).stat().st_mode & 0o077 == 0
            connect(data).close()
            server = (data / "postmaster.pid").read_text()
            embedded_postgres.ensure(data)
            assert (data / "postmaster.pid").read_text() == server
        finally:
            assert embedded_postgres.stop(data)


@pytest.mark.parametrize("character", ["'", '"', "$", "`", "\\"])
def test_a_path_that_its_start_cannot_take_is_refused(character: str, tmp_path: Path) -> None:
    with pytest.raises(embedded_postgres.EmbeddedPostgresError, match="set REFILL_VAR"):
        embedded_postgres.ensure(tmp_path / f"a{character}b" / "postgres")


def test_secrets_are_not_in_the_environment_of_the_server(
    data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STRIPE_SECRET_KEY", "sk_live_never_here")
    embedded_postgres.ensure(data)
    postmaster = (data / "postmaster.pid").read_text().split()[0]
    assert b"sk_live_never_here" not in Path(f"/proc/{postmaster}/environ").read_bytes()


def test_an_error_names_the_reason_when_the_server_cannot_start(data: Path) -> None:
    embedded_postgres.ensure(data)
    embedded_postgres.stop(data)
    (data / "postgresql.conf").write_text("no_such_setting = 1\n")
    started = time.monotonic()
    with pytest.raises(embedded_postgres.EmbeddedPostgresError, match="no_such_setting"):
        embedded_postgres.ensure(data)
    assert time.monotonic() - started < embedded_postgres.START_SECONDS


@pytest.mark.fault("O3")
def test_a_server_without_a_free_connection_is_left_alone(
    data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(embedded_postgres.SETTINGS, "max_connections", 4)
    embedded_postgres.ensure(data)
    server = (data / "postmaster.pid").read_text().split()[0]
    connections = [connect(data) for _ in range(4)]
    try:
        assert embedded_postgres.ensure(data)["NAME"] == "refill"
    finally:
        for connection in connections:
            connection.close()
    assert (data / "postmaster.pid").read_text().split()[0] == server
