"""Everything works behind PgBouncer in transaction mode, with two server connections for all clients."""

import json
import os
import subprocess
import sys
import urllib.request
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psycopg
import pytest
from django.conf import settings
from django.db import connection

from accounts.models import User
from billing import ledger
from billing.models import Purchase
from config import broker
from tests.billing.ledger.conftest import NOON, give, new_account
from tests.billing.ledger.state import broken
from tests.config.test_worker import BASE_DIR, TASKS, kill, lines, wait_until, worker
from tests.integration.pooler import pgbouncer
from tests.integration.races.test_charges_over_http import ONE_CREDIT, Caller
from tests.integration.races.web import serving

pytestmark = [
    pytest.mark.fault("O9"),
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(pgbouncer.find() is None, reason=pgbouncer.MISSING),
]


@pytest.fixture(scope="module")
def port(django_db_setup: None, django_db_blocker: Any) -> Iterator[int]:
    with django_db_blocker.unblock(), pgbouncer.running() as port:
        yield port


@pytest.fixture
def pooled(port: int) -> dict[str, str]:
    """The environment variables of a process behind the pooler."""
    return {
        "DATABASE_URL": pgbouncer.url(port, connection.settings_dict["NAME"]),
        "DATABASE_POOLER": "transaction",
    }


def post(url: str, secret: str, body: dict[str, Any], key: str = "once") -> tuple[int, dict[str, Any]]:
    (answer,) = Caller(url, secret, [(key, body)]).responses
    return answer[0], json.loads(answer[2])


def get(url: str, secret: str) -> dict[str, Any]:
    request = urllib.request.Request(url, headers={"Authorization": f"Bearer {secret}"})
    with urllib.request.urlopen(request, timeout=60) as response:
        return dict(json.load(response))


def test_charges_holds_reads_and_purchases_over_http(
    pooled: dict[str, str], alice: User, bob: User, api_of: Any, account_of: Any
) -> None:
    alices, bobs = api_of(alice).secret, api_of(bob).secret
    with serving(**pooled) as web:
        api = f"{web}/api/v1"
        for _round in range(2):  # each statement runs on both server connections, and again on each
            with ThreadPoolExecutor() as pool:
                keys = [(uuid.uuid4().hex, ONE_CREDIT) for _ in range(20)]
                both = [pool.submit(Caller, f"{api}/charges", secret, keys) for secret in (alices, bobs)]
                assert [caller.result().statuses for caller in both] == [{201: 20}, {201: 20}]
        holds = Caller(f"{api}/holds", alices, [(f"hold-{n}", ONE_CREDIT) for n in range(8)])
        assert holds.statuses == {201: 8}
        for number, (_status, _headers, body) in enumerate(holds.responses):
            hold = json.loads(body)["id"]
            ending = ("capture", {"usage": {"uses": 1}}) if number % 2 else ("release", {})
            status, answer = post(f"{api}/holds/{hold}/{ending[0]}", alices, ending[1], f"end-{number}")
            assert status == (201 if number % 2 else 200), answer
        assert get(f"{api}/balance", alices)["available"] == "56"
        assert len(get(f"{api}/transactions?limit=100", alices)["data"]) >= 53
        pack = get(f"{api}/packs", alices)["data"][0]
        wanted = {"pack": pack["key"], "currency": "usd"}
        tries = Caller(f"{api}/checkouts", alices, [(f"buy-{n}", wanted) for n in range(4)])
        assert tries.statuses == {201: 4}
    assert Purchase.objects.filter(account=account_of(alice)).exclude(checkout_url="").count() == 4
    assert broken([account_of(alice).pk, account_of(bob).pk]) == []


def test_the_ledger_prepares_nothing_and_every_move_works(pooled: dict[str, str]) -> None:
    """In processes of their own, at once: each has its own connection to the pooler."""
    account = new_account()
    give(account, "1000")
    code = f"""
import django; django.setup()
import uuid
from datetime import timedelta
from decimal import Decimal
from billing import ledger
from billing.ledger import charges
from tests.billing.ledger.conftest import NOON, charge_request
account = uuid.UUID({str(account)!r})
for n in range(30):
    key = uuid.uuid4().hex
    charges.charge_alone(charge_request(account, "1", key), NOON)
    batch, outcome = [charge_request(account, "1", key + "b")], ledger.WalletBusy(account)
    while isinstance(outcome, ledger.WalletBusy):  # another process has held the wallet for three seconds
        [outcome] = ledger.charge_many(batch, NOON)
    end = NOON + timedelta(hours=1)
    held = ledger.hold(charge_request(account, "2", key + "h"), expires_at=end, now=NOON)
    terms = dict(account_id=account, hold_id=held.hold_id, credits=Decimal(1), key=key + "c")
    ledger.capture(**terms, detail={{}}, now=NOON)
    ledger.balance(account, NOON)
"""
    environ = os.environ | pooled | {"DJANGO_SETTINGS_MODULE": "config.settings", "PYTHONPATH": str(BASE_DIR)}
    environ["REFILL_VAR"] = str(settings.VAR_DIR)
    runs = [
        subprocess.Popen([sys.executable, "-c", code], cwd=BASE_DIR, env=environ, stderr=subprocess.PIPE)
        for _ in range(4)
    ]
    for run in runs:
        assert run.communicate(timeout=120)[1] == b""
    assert ledger.balance(account, NOON).total == 1000 - 4 * 30 * 3
    assert broken([account]) == []


def test_a_task_passes_the_broker(pooled: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "slow_tasks.py").write_text(TASKS)
    file = tmp_path / "log"
    environment = {
        **{name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ},
        **pooled,
        "REFILL_VAR": str(tmp_path),
        "PYTHONPATH": f"{BASE_DIR}{os.pathsep}{tmp_path}",
    }
    through_pooler = psycopg.conninfo.conninfo_to_dict(pooled["DATABASE_URL"])
    broker.install({"NAME": through_pooler["dbname"], "USER": through_pooler["user"],
                    "HOST": through_pooler["host"], "PORT": through_pooler["port"]})  # fmt: skip
    process = worker(environment)
    code = f"import slow_tasks\nfor _ in range(10): slow_tasks.slow.delay({str(file)!r}, 0)"
    try:
        subprocess.run([sys.executable, "-c", code], cwd=BASE_DIR, env=environment, check=True, timeout=120)
        wait_until(lambda: lines(file).count("ended") == 10)
    finally:
        kill(process)
        with psycopg.connect(broker.connection_string(connection.settings_dict)) as own:
            own.execute("drop schema pgmq cascade")
