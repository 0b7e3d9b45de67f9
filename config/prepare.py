"""Preparation before the portal starts: `python -m config.prepare` (the supervisor adds `--whole`).

Invariant: every step is idempotent, so that this can run at each start and each release.
"""

import os
import sys
from pathlib import Path

# Apps can be imported only after django.setup(), hence the imports inside the functions.


def prepare(*, whole: bool) -> None:
    """Create tables and cache, install the broker, load the catalogue, collect static files.

    `whole`: all processes are about to start, so old heartbeats are deleted; with the sandbox, the demo
    data is created.
    """
    from django.conf import settings
    from django.core.cache import cache
    from django.core.management import call_command

    from config import broker, health

    settings.VAR_DIR.mkdir(parents=True, exist_ok=True)
    call_command("migrate", interactive=False, verbosity=0)
    call_command("createcachetable", verbosity=0)
    if settings.CELERY_BROKER_URL.startswith("pgmq"):
        broker.install(settings.DATABASES["default"])
    call_command("load_catalogue", verbosity=0)
    _collect_static(Path(settings.STATIC_ROOT))
    if whole:
        cache.delete_many([f"heartbeat:{name}" for name in health.HEARTBEATS])
        if settings.SANDBOX:
            call_command("demo_world", verbosity=0)


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

    django.setup()
    prepare(whole="--whole" in sys.argv[1:])
