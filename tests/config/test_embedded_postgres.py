"""The PostgreSQL that comes along: started once by whoever comes first, recovered after a kill -9."""

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

BASE_DIR = Path(__file__).resolve().parents[2]


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
    answers = {starter.communicate(timeout=60)[0] for starter in starters}
    assert [starter.returncode for starter in starters] == [0] * 4
    assert len(answers) == 1
    with connect(data) as connection:
        assert connection.execute("show listen_addresses").fetchone() == ("",)


@pytest.mark.fault("L14")
def test_a_killed_server_comes_back_with_what_it_had_committed(data: Path) -> None:
    embedded_postgres.ensure(data)
    with connect(data) as connection:
        connection.execute("create table kept as select 42 as answer")
        postmaster = int((data / "postmaster.pid").read_text().split()[0])
        os.kill(postmaster, signal.SIGKILL)
    embedded_postgres.ensure(data)
    with connect(data) as connection:
        assert connection.execute("select answer from kept").fetchone() == (42,)


def test_a_server_whose_folder_was_removed_makes_way_for_a_new_one(data: Path) -> None:
    embedded_postgres.ensure(data)
    old = int((data / "postmaster.pid").read_text().split()[0])
    shutil.rmtree(data)
    embedded_postgres.ensure(data)
    assert not Path(f"/proc/{old}/cmdline").exists() or not Path(f"/proc/{old}/cmdline").read_bytes()
    connect(data).close()


def test_a_pid_file_that_names_somebody_elses_process_does_not_keep_it_from_starting(data: Path) -> None:
    embedded_postgres.ensure(data)
    embedded_postgres.stop(data)
    lines = [str(os.getpid()), str(data), "1", "5432", str(data), "", "1 1", "ready"]
    (data / "postmaster.pid").write_text("\n".join(lines) + "\n")
    embedded_postgres.ensure(data)
    assert embedded_postgres.is_running(data)


def test_stopping_ends_it_and_stopping_again_does_nothing(data: Path) -> None:
    embedded_postgres.ensure(data)
    assert embedded_postgres.stop(data) is True
    assert not embedded_postgres.is_running(data)
    assert embedded_postgres.stop(data) is False


def test_a_path_too_long_for_a_socket_gets_a_short_one() -> None:
    with tempfile.TemporaryDirectory(prefix="refill-test-", ignore_cleanup_errors=True) as directory:
        data = Path(directory).resolve() / ("long" * 20) / "postgres"
        embedded_postgres.ensure(data)
        try:
            assert embedded_postgres.socket_directory(data) != data
            assert embedded_postgres.socket_directory(data).stat().st_mode & 0o077 == 0
            connect(data).close()
        finally:
            embedded_postgres.stop(data)


def test_it_keeps_none_of_our_secrets_in_its_environment(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STRIPE_SECRET_KEY", "sk_live_never_here")
    embedded_postgres.ensure(data)
    postmaster = (data / "postmaster.pid").read_text().split()[0]
    assert b"sk_live_never_here" not in Path(f"/proc/{postmaster}/environ").read_bytes()


def test_a_server_that_cannot_start_says_why(data: Path) -> None:
    embedded_postgres.ensure(data)
    embedded_postgres.stop(data)
    (data / "postgresql.conf").write_text("no_such_setting = 1\n")
    began = time.monotonic()
    with pytest.raises(embedded_postgres.EmbeddedPostgresError, match="no_such_setting"):
        embedded_postgres.ensure(data)
    assert time.monotonic() - began < embedded_postgres.START_SECONDS
