"""Preparation before the portal starts: `python -m config.prepare` (the supervisor adds `--whole`).

Invariant: every step is idempotent, so that this can run at each start and each release; of several at once
on one database, one works and the others wait.
"""

import contextlib
import io
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path

LOCK = 7303
POLL_SECONDS = 0.5

# Apps can be imported only after django.setup(), hence the imports inside the functions.


def prepare(*, whole: bool) -> None:
    """Create tables and cache, install the broker, load the catalogue, collect static files.

    With RUNTIME_ROLE, that role gets its rights to the tables, new ones included.
    `whole`: all processes are about to start, so old heartbeats are deleted; with DEMO_WORLD, the demo data
    is created. Raises ImproperlyConfigured and CommandError.
    """
    from django.conf import settings

    Path(settings.STATIC_ROOT).mkdir(parents=True, exist_ok=True)  # the demo data needs pages
    with _alone():
        _prepare_database(whole=whole)
        _collect_static(Path(settings.STATIC_ROOT))


def _prepare_database(*, whole: bool) -> None:
    from django.conf import settings
    from django.core.cache import cache
    from django.core.management import call_command

    from config import broker, health
    from config.environment import Environment
    from core import counters

    call_command("migrate", interactive=False, verbosity=0)
    call_command("createcachetable", verbosity=0)
    if settings.CELERY_BROKER_URL.startswith("pgmq"):
        broker.install(settings.DATABASES["default"])
    if role := Environment().text("RUNTIME_ROLE"):
        call_command("database_roles", runtime=role, apply=True, stdout=io.StringIO())
    call_command("load_catalogue", verbosity=0)
    counters.forget_ended()
    if whole:
        cache.delete_many([f"heartbeat:{name}" for name in health.HEARTBEATS])
        if settings.DEMO_WORLD:
            call_command("demo_world", verbosity=0)


@contextlib.contextmanager
def _alone() -> Iterator[None]:
    """Wait until no other preparation of this database runs, and keep others waiting.

    The lock is one of a transaction on a connection of its own, which also a pooler keeps together.
    """
    import psycopg
    from django.conf import settings

    from config import broker

    with psycopg.connect(broker.connection_string(settings.DATABASES["default"])) as connection:
        # A statement that waits has a snapshot, and so has one with parameters until the next statement: the
        # other's concurrent index would wait for it.
        while connection.execute(f"select pg_try_advisory_xact_lock({LOCK})").fetchone() == (False,):
            connection.rollback()
            time.sleep(POLL_SECONDS)
        connection.execute("set local idle_in_transaction_session_timeout = 0")
        yield


def _collect_static(root: Path) -> None:
    """Collect and compress the static files, unless they have not changed (it takes seconds)."""
    from django.contrib.staticfiles.finders import get_finders
    from django.core.management import call_command

    stamp = root / ".collected"
    found = sorted(
        f"{path} {status.st_size} {status.st_mtime_ns}"
        for finder in get_finders()
        for path, storage in finder.list([])
        for status in [Path(storage.path(path)).stat()]
    )
    state = "\n".join(found)
    if stamp.exists() and stamp.read_text() == state:
        return
    call_command("collectstatic", interactive=False, verbosity=0)
    stamp.write_text(state)


if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    import django
    from django.core.exceptions import ImproperlyConfigured
    from django.core.management import CommandError

    try:
        django.setup()
        prepare(whole="--whole" in sys.argv[1:])
    except (ImproperlyConfigured, CommandError) as error:
        sys.exit(str(error))
