"""Alive and ready are two questions, and "not ready" comes with a name."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from django.core.cache import cache
from django.db import connection
from django.test import Client

from config import health
from config.celery import Scheduler, app, heartbeat

BASE_DIR = Path(__file__).resolve().parents[2]

pytestmark = pytest.mark.django_db

# Asks /readyz of a portal whose database nobody answers for, in a process of its own.
ASK = """
import json, django
django.setup()
from django.test import Client
answer = Client().get("/readyz", headers={"host": "localhost"})
alive = Client().get("/healthz", headers={"host": "localhost"})
print(json.dumps([alive.status_code, answer.status_code, answer.json()]))
"""


def test_healthz_answers_without_the_database(client: Client, django_assert_num_queries: Any) -> None:
    with django_assert_num_queries(0):
        response = client.get("/healthz")
    assert response.status_code == 200


def test_a_balancer_may_ask_by_the_machines_address(client: Client) -> None:
    assert client.get("/healthz", headers={"host": "10.0.0.7:8000"}).status_code == 200
    assert client.get("/healthz/", headers={"host": "10.0.0.7:8000"}).status_code == 400


def test_readyz_names_worker_and_beat_while_nobody_has_heard_of_them(client: Client) -> None:
    response = client.get("/readyz")
    assert response.status_code == 503
    assert response.json()["red"] == ["beat", "worker"]
    assert response.json()["checks"]["database"] == "ok"


def test_readyz_is_green_when_both_are_heard(client: Client) -> None:
    health.beat("worker")
    health.beat("beat")
    response = client.get("/readyz")
    assert response.json() == {
        "status": "ok",
        "red": [],
        "checks": {"database": "ok", "migrations": "ok", "worker": "ok", "beat": "ok"},
    }


@pytest.mark.fault("C4")
def test_a_worker_that_has_stalled_turns_it_red(client: Client, clock: Any) -> None:
    heartbeat()
    health.beat("beat")
    clock.shift(health.OLDEST_HEARTBEAT_SECONDS)
    assert client.get("/readyz").status_code == 200
    clock.shift(1)
    health.beat("beat")
    response = client.get("/readyz")
    assert (response.status_code, response.json()["red"]) == (503, ["worker"])
    assert response.json()["checks"]["worker"] == "silent for 61 s"


@pytest.mark.fault("O3")
def test_a_read_only_database_turns_it_red(client: Client) -> None:
    with connection.cursor() as cursor:
        cursor.execute("set default_transaction_read_only = on")
    try:
        response = client.get("/readyz")
    finally:
        with connection.cursor() as cursor:
            cursor.execute("set default_transaction_read_only = off")
    assert response.status_code == 503
    assert response.json()["checks"]["database"] == "is read-only"


@pytest.mark.fault("O3")
def test_without_a_database_it_is_alive_and_not_ready(tmp_path: Path) -> None:
    environment = {
        "PATH": os.environ["PATH"],
        "REFILL_VAR": str(tmp_path),
        "DATABASE_URL": "postgres://nobody@127.0.0.1:1/none",
        "DJANGO_SETTINGS_MODULE": "config.settings",
    }
    done = subprocess.run(
        [sys.executable, "-c", ASK], cwd=BASE_DIR, env=environment, capture_output=True, text=True, check=True
    )
    alive, ready, told = json.loads(done.stdout)
    assert (alive, ready) == (200, 503)
    assert told["red"] == ["beat", "database", "migrations", "worker"]
    assert "nobody" not in done.stdout


def test_beat_says_that_it_is_alive(tmp_path: Path) -> None:
    scheduler = Scheduler(app, schedule_filename=str(tmp_path / "beat"), lazy=True)
    scheduler.setup_schedule()
    scheduler.tick()
    scheduler.close()
    assert cache.get("heartbeat:beat") is not None


def test_every_task_of_the_schedule_exists() -> None:
    app.loader.import_default_modules()
    for name, entry in app.conf.beat_schedule.items():
        assert entry["task"] in app.tasks, name
