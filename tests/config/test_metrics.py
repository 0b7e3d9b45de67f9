"""/metrics: business and technical figures for the bearer of the token, and nothing for anybody else."""

import os
import re
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings as loaded
from django.db import DatabaseError
from django.test import Client
from django.utils import timezone

from accounts.models import User
from billing import ledger
from billing.models import Mail, StripeEvent
from config import health, metrics
from core import counters
from tests.api import Api

TOKEN = "T7pQ2wX9vB4nM6sZ1cR8yL3hJ5gF0dAuE"
DEPLOY = loaded.BASE_DIR / "deploy"

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def token(settings: Any) -> None:
    settings.METRICS_TOKEN = TOKEN


def figures(client: Client) -> dict[str, float]:
    response = client.get("/metrics", headers={"authorization": f"Bearer {TOKEN}", "host": "10.0.0.7"})
    assert response.status_code == 200 and "no-store" in response["Cache-Control"]
    lines = response.content.decode().splitlines()
    return {name: float(value) for name, value in (line.rsplit(" ", 1) for line in lines if line[0] != "#")}


def test_nobody_reads_them_without_the_token(client: Client, settings: Any) -> None:
    for header in ("", "Bearer", f"Bearer {TOKEN}x", f"Basic {TOKEN}", "Bearer ü"):
        refused = client.get("/metrics", headers={"authorization": header} if header else {})
        assert refused.status_code == 401 and b"refill_" not in refused.content
    settings.METRICS_TOKEN = ""
    assert client.get("/metrics", headers={"authorization": "Bearer "}).status_code == 404


def test_what_waits_is_counted_with_its_age(client: Client, clock: Any) -> None:
    now = timezone.now()
    for key, minutes, sent_at in (("a", 90, now), ("b", 60, None), ("c", 5, None)):
        Mail.objects.create(key=key, created_at=now - timedelta(minutes=minutes), sent_at=sent_at)
    for state, minutes in (("done", 50), ("failed", 40), ("received", 3), ("quarantined", 20)):
        at = now - timedelta(minutes=minutes)
        StripeEvent.objects.create(
            stripe_id=state, type="x", payload={}, state=state, happened_at=at, received_at=at
        )
    health.beat("worker")
    clock.shift(30)
    found = figures(client)
    assert found["refill_emails_waiting"] == 2
    assert found["refill_emails_waiting_seconds"] == 3630
    assert found["refill_stripe_events_waiting"] == 2
    assert found["refill_stripe_events_waiting_seconds"] == 2430
    assert found["refill_stripe_events_quarantined"] == 1
    assert found["refill_stripe_event_newest_seconds"] == 210
    assert found['refill_heartbeat_age_seconds{process="worker"}'] == 30
    assert 'refill_heartbeat_age_seconds{process="beat"}' not in found
    assert found["refill_audit_ok"] == 1, "a new installation"
    assert found["refill_metrics_failed"] == 0
    assert found['refill_purchases_by_status{status="paid"}'] == 0
    assert found["refill_database_sessions_most"] > 10


def test_wallets_that_are_due_and_refusals_by_reason(
    client: Client, alice: User, api_of: Callable[..., Api], clock: Any
) -> None:
    code = 'refill_refusals_total{code="insufficient_credits"}'
    api, before = api_of(alice), figures(client).get(code, 0)
    use = {"service": "claude-sonnet-4", "usage": {"tokens": 10**9}}
    assert api.post("charges", use, key="k").status_code == 402
    found = figures(client)
    assert found[code] == before + 1
    assert found["refill_wallets_due"] == 0
    clock.shift(2 * 86_400)
    later = figures(client)
    assert later["refill_wallets_due"] >= 1
    assert later["refill_settle_lag_seconds"] > 0
    assert any(name.startswith("refill_charges_total") for name in later)


def test_a_figure_that_cannot_be_read_hides_no_other(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_now: Any) -> Any:
        raise DatabaseError("broken")
        yield

    monkeypatch.setattr(metrics, "_purchases", broken)
    found = figures(client)
    assert found["refill_metrics_failed"] == 1
    assert "refill_emails_waiting" in found and 'refill_purchases_by_status{status="paid"}' not in found


def test_alerts_and_dashboard_name_figures_that_exist(client: Client, alice: User, clock: Any) -> None:
    health.beat("worker")
    health.beat("beat")
    ledger.audit.run(now=timezone.now())
    known = {name.partition("{")[0] for name in figures(client)} | {
        "refill_refusals_total",
        "refill_requests_total",
    }
    for file in ("prometheus/alerts.yml", "grafana/refill.json"):
        named = set(re.findall(r"\brefill_[a-z_]+", (DEPLOY / file).read_text()))
        assert len(named) >= 5 and named <= known, (file, named - known)


def test_files_of_processes_that_ended_are_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(counters, "FOLDER", tmp_path)
    ended, running = tmp_path / "counter_99999999.db", tmp_path / f"counter_{os.getpid()}.db"
    for file in (ended, running):
        file.touch()
    counters.forget_ended()
    assert list(tmp_path.iterdir()) == [running]
