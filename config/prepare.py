"""What has to be there before the portal starts: `python -m config.prepare` (the supervisor: `--whole`).

Invariant: every step is idempotent, so that this runs at each start and each release, also twice at once.
"""

import os
import sys
from pathlib import Path

# No app may be imported before Django is set up, hence the imports inside of the functions.


def prepare(*, whole: bool) -> None:
    """Tables, cache, broker, catalogue, static files.

    `whole`: every process of the portal is about to start, so nobody's heartbeat counts yet; and beside the
    sandbox a demo world is made.
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
    """Collect and compress the static files, unless they are the same as last time (it takes seconds)."""
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
