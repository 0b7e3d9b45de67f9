"""Limits on statements and locks, by kind of process."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

from config import timeouts
from tests.integration.races.web import database_url

BASE_DIR = Path(__file__).resolve().parents[2]
SHOW = """
from django.db import connection
with connection.cursor() as cursor:
    for name in ("statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout"):
        cursor.execute("show " + name)
        print(cursor.fetchone()[0])
"""
WEB = "import config.wsgi"
WORKER = "import django; django.setup(); from celery import signals; signals.worker_init.send(None)"
COMMAND = "import django; django.setup()"


def shown(start: str, **environment: str) -> list[str]:
    """The limits of a connection in a process that starts with this code."""
    environ = os.environ | {
        "DJANGO_SETTINGS_MODULE": "config.settings",
        "DATABASE_URL": database_url(),
        "REFILL_VAR": str(settings.VAR_DIR),
        **environment,
    }
    run = subprocess.run(
        [sys.executable, "-c", start + SHOW],
        cwd=BASE_DIR,
        env=environ,
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    return run.stdout.split()


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("start", "limits"),
    [
        (WEB, ["30s", "3s", "1min"]),
        (WORKER, ["110s", "30s", "2min"]),
        (COMMAND, ["1h", "5s", "10min"]),
    ],
)
def test_each_kind_of_process_has_its_limits(start: str, limits: list[str]) -> None:
    assert shown(start) == limits


@pytest.mark.django_db
def test_limits_are_set_by_variables_and_none_are_sent_for_an_empty_one() -> None:
    assert shown(WEB, WEB_DATABASE_TIMEOUTS="lock_timeout=500ms") == ["0", "500ms", "0"]
    assert shown(WEB, WEB_DATABASE_TIMEOUTS="") == ["0", "0", "0"]  # behind PgBouncer: the role has them


@pytest.mark.parametrize("text", ["lock_timeout", "lock_timeout=3 s", "work_mem=1GB", "lock_timeout=-1"])
def test_a_wrong_limit_is_refused_with_its_variable(text: str) -> None:
    with pytest.raises(ImproperlyConfigured, match="WEB_DATABASE_TIMEOUTS"):
        timeouts.parsed(text, "WEB_DATABASE_TIMEOUTS")


@pytest.mark.django_db
def test_commands_have_a_variable_of_their_own() -> None:
    limits = {"COMMAND_DATABASE_TIMEOUTS": "lock_timeout=2s"}
    assert shown(COMMAND, **limits) == ["0", "2s", "0"]
    assert shown(WEB, **limits) == ["30s", "3s", "1min"]


def test_options_that_the_database_url_has_are_kept() -> None:
    databases = {"default": {"OPTIONS": {"options": "-c search_path=refill", "sslmode": "require"}}}
    timeouts.apply(databases, {"lock_timeout": "5s", "statement_timeout": "60min"})
    timeouts.apply(databases, {"lock_timeout": "3s"})
    options = databases["default"]["OPTIONS"]
    assert options == {"options": "-c search_path=refill -c lock_timeout=3s", "sslmode": "require"}
