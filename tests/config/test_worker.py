"""A real worker on the real broker (PGMQ in PostgreSQL): tasks run, a killed worker's run again."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest
from django.conf import settings
from django.db import connection

from config import broker

BASE_DIR = Path(__file__).resolve().parents[2]
PATIENCE_SECONDS = 120.0

# A task that takes its time and says when it begins and ends, in a module of its own beside the product's.
TASKS = """
import os, time
from pathlib import Path
from config.celery import app

@app.task(name="tests.slow")
def slow(file, seconds):
    with Path(file).open("a") as said:
        said.write("began\\n")
    time.sleep(seconds)
    with Path(file).open("a") as said:
        said.write("ended\\n")
"""

World = dict[str, str]


def until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not holds():
        assert time.monotonic() < deadline, "it did not come to pass"
        time.sleep(0.05)


@pytest.fixture
def world(transactional_db: None, tmp_path: Path) -> Iterator[World]:
    """The environment of processes that work on the test's database as the product would on its own."""
    database = connection.settings_dict
    broker.install(database)
    (tmp_path / "slow_tasks.py").write_text(TASKS)
    url = "postgres:///{NAME}?host={HOST}&port={PORT}&user={USER}&password={PASSWORD}".format(**database)
    yield {
        **{name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ},
        "REFILL_VAR": str(tmp_path),
        "DATABASE_URL": url.replace("port=&", "").removesuffix("&password="),
        "PYTHONPATH": f"{BASE_DIR}{os.pathsep}{tmp_path}",
    }
    with psycopg.connect(broker.connection_string(database)) as own:
        own.execute("drop schema pgmq cascade")


def worker(world: World) -> "subprocess.Popen[bytes]":
    command = [sys.executable, "-m", "celery", "-A", "config", "worker", "--include", "slow_tasks"]
    command += ["--without-gossip", "--without-mingle", "--without-heartbeat"]
    with (Path(world["REFILL_VAR"]) / "worker.log").open("ab") as log:
        return subprocess.Popen(
            command, cwd=BASE_DIR, env=world, start_new_session=True, stdout=log, stderr=log
        )


def send(world: World, file: Path, seconds: float) -> None:
    code = f"import slow_tasks; slow_tasks.slow.delay({str(file)!r}, {seconds})"
    subprocess.run([sys.executable, "-c", code], cwd=BASE_DIR, env=world, check=True)


def said(file: Path) -> list[str]:
    return file.read_text().split() if file.exists() else []


def kill(process: "subprocess.Popen[bytes]") -> None:
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def queued() -> int:
    with psycopg.connect(broker.connection_string(connection.settings_dict)) as own:
        row = own.execute(f"select count(*) from pgmq.q_{settings.CELERY_TASK_DEFAULT_QUEUE}").fetchone()
    return row[0] if row else 0


def let_the_visibility_timeout_pass() -> None:
    """Three minutes of waiting, done at once: the messages that a worker had taken become visible again."""
    with psycopg.connect(broker.connection_string(connection.settings_dict)) as own:
        own.execute(f"update pgmq.q_{settings.CELERY_TASK_DEFAULT_QUEUE} set vt = now()")


@pytest.mark.fault("C2", "L14")
def test_the_task_of_a_killed_worker_is_run_again_by_the_next(world: World, tmp_path: Path) -> None:
    file = tmp_path / "said"
    send(world, file, 90)  # it is killed long before
    first = worker(world)
    until(lambda: said(file) == ["began"])
    kill(first)
    assert queued() >= 1  # nothing was acknowledged, nothing is lost
    let_the_visibility_timeout_pass()
    second = worker(world)
    try:
        until(lambda: said(file) == ["began", "began"])
    finally:
        kill(second)


def test_a_task_is_run_and_its_message_is_gone(world: World, tmp_path: Path) -> None:
    file = tmp_path / "said"
    process = worker(world)
    try:
        send(world, file, 0)
        until(lambda: said(file) == ["began", "ended"])
        until(lambda: queued() == 0)
        process.terminate()
        assert process.wait(timeout=PATIENCE_SECONDS) == 0
    finally:
        if process.poll() is None:
            kill(process)


def test_a_task_may_not_outlive_the_time_its_message_is_hidden() -> None:
    assert settings.CELERY_TASK_TIME_LIMIT < broker.VISIBILITY_TIMEOUT_SECONDS
    assert settings.CELERY_TASK_SOFT_TIME_LIMIT < settings.CELERY_TASK_TIME_LIMIT
