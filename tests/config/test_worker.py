"""A real worker with the real broker (PGMQ in PostgreSQL): tasks run, also after a worker was killed."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import kombu
import psycopg
import pytest
from django.conf import settings
from django.db import connection

from accounts.models import Account, WebhookDelivery
from accounts.webhook_endpoints import exchange
from config import broker, broker_transport
from tests.accounts.webhook_endpoints import receivers
from tests.accounts.webhook_endpoints.conftest import happen, new_endpoint

BASE_DIR = Path(__file__).resolve().parents[2]
LIMIT_SECONDS = 120.0

# A slow task that writes its start and its end to a file.
TASKS = """
import os, time
from pathlib import Path
from config.celery import app

@app.task(name="tests.slow")
def slow(file, seconds):
    with Path(file).open("a") as log:
        log.write("began\\n")
    time.sleep(seconds)
    with Path(file).open("a") as log:
        log.write("ended\\n")
"""

Environment = dict[str, str]


def wait_until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + LIMIT_SECONDS
    while not holds():
        assert time.monotonic() < deadline, "the condition did not become true"
        time.sleep(0.05)


@pytest.fixture
def environment(transactional_db: None, tmp_path: Path) -> Iterator[Environment]:
    """The environment variables of processes that use the test's database."""
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


def worker(environment: Environment, *options: str) -> "subprocess.Popen[bytes]":
    command = [sys.executable, "-m", "celery", "-A", "config", "worker", "--include", "slow_tasks", *options]
    command += ["--without-gossip", "--without-mingle", "--without-heartbeat"]
    with (Path(environment["REFILL_VAR"]) / "worker.log").open("ab") as log:
        return subprocess.Popen(
            command, cwd=BASE_DIR, env=environment, start_new_session=True, stdout=log, stderr=log
        )


def send(environment: Environment, file: Path, seconds: float) -> None:
    code = f"import slow_tasks; slow_tasks.slow.delay({str(file)!r}, {seconds})"
    subprocess.run([sys.executable, "-c", code], cwd=BASE_DIR, env=environment, check=True)


def lines(file: Path) -> list[str]:
    return file.read_text().split() if file.exists() else []


def kill(process: "subprocess.Popen[bytes]") -> None:
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def queued() -> int:
    with psycopg.connect(broker.connection_string(connection.settings_dict)) as own:
        row = own.execute(f"select count(*) from pgmq.q_{settings.CELERY_TASK_DEFAULT_QUEUE}").fetchone()
    return row[0] if row else 0


def expire_the_visibility_timeout() -> None:
    """Make the messages that a worker has received visible again, without waiting three minutes."""
    with psycopg.connect(broker.connection_string(connection.settings_dict)) as own:
        own.execute(f"update pgmq.q_{settings.CELERY_TASK_DEFAULT_QUEUE} set vt = now()")


@pytest.mark.fault("C2", "L14")
def test_the_task_of_a_killed_worker_is_repeated_by_another(environment: Environment, tmp_path: Path) -> None:
    file = tmp_path / "log"
    send(environment, file, 90)  # the worker is killed before the end
    first = worker(environment)
    wait_until(lambda: lines(file) == ["began"])
    kill(first)
    assert queued() >= 1  # the message was not acknowledged
    expire_the_visibility_timeout()
    second = worker(environment)
    try:
        wait_until(lambda: lines(file) == ["began", "began"])
    finally:
        kill(second)


def test_a_task_runs_and_its_message_is_deleted(environment: Environment, tmp_path: Path) -> None:
    file = tmp_path / "log"
    process = worker(environment)
    try:
        send(environment, file, 0)
        wait_until(lambda: lines(file) == ["began", "ended"])
        wait_until(lambda: queued() == 0)
        process.terminate()
        assert process.wait(timeout=LIMIT_SECONDS) == 0
    finally:
        if process.poll() is None:
            kill(process)


def test_the_process_of_webhooks_ends_within_seconds_and_gives_back_its_deliveries(
    environment: Environment,
) -> None:
    account = Account.objects.create(name="Alice")
    with receivers.raw_receiver(receivers.silence) as silent:
        new_endpoint(account, silent)
        happen(account, "a")
        process = worker(environment, "--queues", broker.WEBHOOK_QUEUE, "--concurrency", "1")
        try:
            code = "from config.celery import app; app.send_task('accounts.tasks.send_webhooks')"
            subprocess.run([sys.executable, "-c", code], cwd=BASE_DIR, env=environment, check=True)
            claimed = WebhookDelivery.objects.exclude(claimed_until=None)
            wait_until(claimed.exists)
            begun = time.monotonic()
            process.terminate()
            wait_until(lambda: not claimed.exists())
            assert time.monotonic() - begun < exchange.LIMIT_SECONDS  # it does not wait for the answer
            process.wait(timeout=LIMIT_SECONDS)
        finally:
            if process.poll() is None:
                kill(process)


@pytest.mark.fault("O3")
def test_a_worker_outlasts_a_database_that_is_read_only_for_a_while(environment: Environment) -> None:
    options = broker.transport_options(connection.settings_dict)
    options["conn_string"] += " options='-c default_transaction_read_only=on'"
    terms = {"transport": broker_transport.Transport, "transport_options": options}
    with (
        kombu.Connection("pgmq://localhost", **terms) as lost,
        kombu.Consumer(lost, [kombu.Queue(broker.QUEUE)]),
        pytest.raises(lost.connection_errors, match="read-only"),
    ):
        lost.drain_events(timeout=1)


def test_the_task_time_limit_is_below_the_visibility_timeout() -> None:
    assert settings.CELERY_TASK_TIME_LIMIT < broker.VISIBILITY_TIMEOUT_SECONDS
    assert settings.CELERY_TASK_SOFT_TIME_LIMIT < settings.CELERY_TASK_TIME_LIMIT
