"""/healthz reports a running process; /readyz and /healthz/background name what fails."""

import json
import os
import subprocess
import sys
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.core.cache import cache
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from accounts.models import User, WebhookEvent
from billing import ledger
from billing.models import Audit, Mail
from config import health
from config.celery import Scheduler, app, heartbeat
from tests.roles import as_owner
from tests.some import some

BASE_DIR = Path(__file__).resolve().parents[2]

pytestmark = pytest.mark.django_db

# Requests /healthz and /readyz in a separate process whose database cannot be reached.
REQUESTS = """
import json, django
django.setup()
from django.test import Client
ready = Client().get("/readyz", headers={"host": "localhost"})
alive = Client().get("/healthz", headers={"host": "localhost"})
print(json.dumps([alive.status_code, ready.status_code, ready.json()]))
"""


def test_healthz_does_not_use_the_database(client: Client, django_assert_num_queries: Any) -> None:
    with django_assert_num_queries(0):
        response = client.get("/healthz")
    assert response.status_code == 200


def test_a_load_balancer_may_use_the_machines_address_as_host(client: Client) -> None:
    assert client.get("/healthz", headers={"host": "10.0.0.7:8000"}).status_code == 200
    assert client.get("/healthz/", headers={"host": "10.0.0.7:8000"}).status_code == 400


@pytest.mark.fault("O7")
def test_without_worker_and_beat_the_portal_is_ready_and_an_alert_names_them(client: Client) -> None:
    ready, background = client.get("/readyz"), client.get("/healthz/background")
    checks = {"database": "ok", "disk": "ok", "migrations": "ok", "static": "ok"}
    assert ready.json() == {"status": "ok", "red": [], "checks": checks}
    assert (ready.status_code, background.status_code) == (200, 503)
    assert background.json()["red"] == ["beat", "worker"]
    assert background.json()["checks"]["beat"] == "never seen"


@pytest.mark.fault("C4", "O7")
def test_a_worker_that_has_stalled_is_named(client: Client, audited: Audit, clock: Any) -> None:
    heartbeat()
    health.beat("beat")
    clock.shift(health.OLDEST_HEARTBEAT_SECONDS)
    assert client.get("/healthz/background").json()["checks"]["worker"] == "ok"
    clock.shift(1)
    health.beat("beat")
    response = client.get("/healthz/background")
    assert (response.status_code, response.json()["red"]) == (503, ["worker"])
    assert response.json()["checks"]["worker"] == "silent for 61 s"
    assert client.get("/readyz").status_code == 200


@pytest.mark.fault("O3")
def test_readyz_fails_for_a_read_only_database(client: Client) -> None:
    with connection.cursor() as cursor:
        cursor.execute("set default_transaction_read_only = on")
    try:
        response = client.get("/readyz")
    finally:
        with connection.cursor() as cursor:
            cursor.execute("set default_transaction_read_only = off")
    assert response.status_code == 503
    assert response.json()["checks"]["database"] == "is read-only"


@pytest.fixture
def space_was_never_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "_space_until", 0.0)


@pytest.mark.fault("O3")
def test_readyz_fails_when_the_database_cannot_write_a_file(
    client: Client, space_was_never_looked_at: None
) -> None:
    with as_owner(), connection.cursor() as cursor:
        cursor.execute("set temp_file_limit = '100kB'")
    try:
        response = client.get("/readyz")
    finally:
        with as_owner(), connection.cursor() as cursor:
            cursor.execute("reset temp_file_limit")
    assert response.status_code == 503
    assert response.json()["checks"]["disk"] == "is full"
    assert client.get("/readyz").json()["checks"]["disk"] == "ok"


def test_many_probes_write_one_file(
    client: Client, space_was_never_looked_at: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def files() -> int:
        with CaptureQueriesContext(connection) as queries:
            client.get("/readyz")
        return sum("generate_series" in query["sql"] for query in queries)

    assert [files(), files()] == [1, 0]
    later = time.monotonic() + health.SPACE_SECONDS
    monkeypatch.setattr(health.time, "monotonic", lambda: later)
    assert files() == 1


@pytest.mark.fault("O3")
def test_without_a_database_healthz_succeeds_and_readyz_fails(tmp_path: Path) -> None:
    environment = {
        "PATH": os.environ["PATH"],
        "REFILL_VAR": str(tmp_path),
        "DATABASE_URL": "postgres://nobody@127.0.0.1:1/none",
        "DJANGO_SETTINGS_MODULE": "config.settings",
    }
    done = subprocess.run(
        [sys.executable, "-c", REQUESTS],
        cwd=BASE_DIR,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    alive, ready, body = json.loads(done.stdout)
    assert (alive, ready) == (200, 503)
    assert body["red"] == ["database", "disk", "migrations", "static"]
    assert body["checks"]["static"] == "not collected"
    assert "nobody" not in done.stdout


def test_beat_records_its_heartbeat(tmp_path: Path) -> None:
    scheduler = Scheduler(app, schedule_filename=str(tmp_path / "beat"), lazy=True)
    scheduler.setup_schedule()
    scheduler.tick()
    scheduler.close()
    assert cache.get("heartbeat:beat") is not None


def test_every_task_of_the_schedule_exists() -> None:
    app.loader.import_default_modules()
    for name, entry in some(app.conf.beat_schedule.items()):
        assert entry["task"] in app.tasks, name


@pytest.fixture
def audited(db: None) -> Audit:
    """An audit without findings that has just ended."""
    health.beat("worker")
    health.beat("beat")
    return ledger.audit.run(now=timezone.now())


def test_the_background_is_ok_after_an_audit_without_findings(client: Client, audited: Audit) -> None:
    response = client.get("/healthz/background")
    assert response.json()["checks"] == {
        "worker": "ok",
        "beat": "ok",
        "webhooks": "ok",
        "mail": "ok",
        "audit": "ok",
    }


def test_events_that_no_sender_takes_up_are_named(client: Client, db: None) -> None:
    happened = timezone.now() - timedelta(minutes=5)
    event = WebhookEvent.objects.create(type="purchase.paid", fact="a", data={}, created_at=happened)
    checks = client.get("/healthz/background").json()["checks"]
    assert checks["webhooks"] == "events wait since 5 min"
    WebhookEvent.objects.filter(pk=event.pk).update(fanned_out=True)
    assert client.get("/healthz/background").json()["checks"]["webhooks"] == "ok"


def test_e_mails_that_nobody_sends_are_named(client: Client, db: None) -> None:
    now = timezone.now()
    for minutes, sent_at in (60, now), (15, None):
        Mail.objects.create(key=f"{minutes}", created_at=now - timedelta(minutes=minutes), sent_at=sent_at)
    checks = client.get("/healthz/background").json()["checks"]
    assert checks["mail"] == "e-mails wait since 15 min"
    Mail.objects.update(sent_at=now)
    assert client.get("/healthz/background").json()["checks"]["mail"] == "ok"


def test_an_audit_that_never_ran_or_is_old_is_named(client: Client, alice: User, clock: Any) -> None:
    def state() -> str:
        return str(client.get("/healthz/background").json()["checks"]["audit"])

    assert state() == "ok", "a new installation"
    clock.shift(37 * 3600)
    assert state() == "never run"
    ended = timezone.now() - timedelta(hours=37)
    ledger.audit.run(now=ended, clock=lambda: ended)
    response = client.get("/healthz/background")
    assert (response.status_code, response.json()["checks"]["audit"]) == (503, "the last one ended 37 h ago")


def test_a_finding_stands_until_a_full_audit_finds_nothing(client: Client, audited: Audit) -> None:
    ran = {
        "started_at": timezone.now(),
        "finished_at": timezone.now(),
        "wallets": 0,
        "entries": 0,
        "totals": {},
    }
    Audit.objects.create(is_full=False, findings=[{"check": "x", "subject": "y", "found": "z"}], **ran)
    Audit.objects.create(is_full=False, **ran)
    response = client.get("/healthz/background")
    assert response.status_code == 503
    assert response.json()["checks"]["audit"].startswith("1 findings in the audit of")
    assert client.get("/readyz").status_code == 200
    Audit.objects.create(is_full=True, **ran)
    assert client.get("/healthz/background").status_code == 200
