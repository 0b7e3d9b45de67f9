"""`python -m config.prepare` on an empty database: two at once, an old server, a pooler in between."""

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from django.core.exceptions import ImproperlyConfigured
from django.db import connection

from core import database_server
from tests.integration.pooler import pgbouncer
from tests.integration.races.web import ROOT, database_url

pytestmark = pytest.mark.django_db(transaction=True)


def name() -> str:
    """The server has the databases and roles of the other processes of the suite, too."""
    return f"{connection.settings_dict['NAME']}_prepared"


def role() -> str:
    return f"{name()}_runtime"


@pytest.fixture
def empty_database() -> Iterator[str]:
    """The URL of a database without tables."""
    with psycopg.connect(database_url(), autocommit=True) as server:
        server.execute(f"drop database if exists {name()} with (force)")
        server.execute(f"create database {name()}")
    yield database_url().replace(f"/{connection.settings_dict['NAME']}", f"/{name()}")
    with psycopg.connect(database_url(), autocommit=True) as server:
        server.execute(f"drop database {name()} with (force)")
        server.execute(f"drop role if exists {role()}")


def prepare(url: str, var: Path, **more: str) -> "subprocess.Popen[str]":
    environ = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    environ |= {"DATABASE_URL": url, "REFILL_VAR": str(var), **more}
    command = [sys.executable, "-m", "config.prepare", "--whole"]
    return subprocess.Popen(command, cwd=ROOT, env=environ, stderr=subprocess.PIPE, text=True)


@contextlib.contextmanager
def perhaps_pooled(url: str) -> Iterator[dict[str, str]]:
    """The variables of a process that uses the database through a pooler, where one is installed."""
    if pgbouncer.find() is None:
        yield {"url": url}
        return
    with pgbouncer.running() as port:
        yield {"url": pgbouncer.url(port, name()), "DATABASE_POOLER": "transaction"}


@pytest.mark.fault("O8", "O9")
def test_two_at_once_on_an_empty_database_both_succeed_and_make_no_demo_data(
    empty_database: str, tmp_path: Path
) -> None:
    with perhaps_pooled(empty_database) as variables:
        runs = [prepare(var=tmp_path, RUNTIME_ROLE=role(), **variables) for _ in range(2)]
        errors = [run.communicate(timeout=300)[1] for run in runs]
    assert [run.returncode for run in runs] == [0, 0], errors
    with psycopg.connect(empty_database) as server:
        tables = server.execute("select to_regclass('shared_cache'), to_regclass('pgmq.q_mail')").fetchone()
        assert tables == ("shared_cache", "pgmq.q_mail")
        assert server.execute("select count(*) from accounts_user").fetchone() == (0,)
        assert server.execute("select count(*) > 0 from pricing_rate").fetchone() == (True,)
        rights = server.execute(
            f"select has_table_privilege('{role()}', 'billing_entry', 'insert'),"
            f" has_table_privilege('{role()}', 'billing_entry', 'update')"
        )
        assert rights.fetchone() == (True, False)
    assert not (tmp_path / "demo.json").exists()
    assert (tmp_path / "static" / "staticfiles.json").exists()
    collected = {str(path.relative_to(tmp_path / "static")) for path in (tmp_path / "static").rglob("*")}
    reference = "drf_spectacular_sidecar/swagger-ui-dist/swagger-ui-bundle.js"
    assert {reference, f"{reference}.br", f"{reference}.map", "unfold/css/styles.css.gz"} <= collected
    assert not {f"{reference}.map.br", "drf_spectacular_sidecar/redoc", "rest_framework"} & collected


@pytest.mark.fault("O9")
@pytest.mark.skipif(pgbouncer.find() is None, reason=pgbouncer.MISSING)
def test_a_pooler_that_is_not_named_is_refused_by_the_name_of_the_setting(tmp_path: Path) -> None:
    """152 locks of sessions stayed in such a pooler, and retries ended with 409."""
    with pgbouncer.running() as port:
        url = pgbouncer.url(port, connection.settings_dict["NAME"])
        run = prepare(url, tmp_path, COMMAND_DATABASE_TIMEOUTS="")
        assert "set DATABASE_POOLER=transaction" in run.communicate(timeout=120)[1]
        assert run.returncode == 1


class TestAnOldServer:
    @pytest.fixture(autouse=True)
    def new_connection(self) -> Iterator[None]:
        connection.close()
        yield
        connection.close()

    def test_is_refused_on_each_connection(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(database_server, "OLDEST", 99)
        for _attempt in range(2):
            with pytest.raises(ImproperlyConfigured, match="Refill needs 99 or newer"):
                connection.cursor()
        with pytest.raises(ImproperlyConfigured):
            database_server.refuse_unfit()

    def test_that_does_not_answer_is_no_reason_not_to_start(self, monkeypatch: pytest.MonkeyPatch) -> None:
        tried = []

        def down(*_: Any) -> None:
            tried.append(1)
            raise psycopg.OperationalError("down")

        monkeypatch.setattr(connection, "get_new_connection", down)
        database_server.refuse_unfit()
        assert tried
