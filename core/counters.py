"""Counters of this host's processes, which /metrics sums up (config.metrics).

Invariant: counting never fails a request and takes microseconds. Figures of the
database's rows are not counted here but queried.
"""

import os
from pathlib import Path

from django.conf import settings

# The processes of a host count in files; the package reads the variable when it is imported.
FOLDER = Path(os.environ.setdefault("PROMETHEUS_MULTIPROC_DIR", str(settings.VAR_DIR / "metrics")))
FOLDER.mkdir(parents=True, exist_ok=True)

from prometheus_client import Counter  # noqa: E402

REFUSALS = Counter("refill_refusals", "Refused API requests and batch items, by code.", ["code"])
REQUESTS = Counter("refill_requests", "Answered requests, by status.", ["status"])


def forget_ended() -> None:
    """Remove the files of processes that have ended, before new ones start."""
    for file in FOLDER.glob("counter_*.db"):
        pid = file.stem.removeprefix("counter_")
        if Path("/proc/self").exists() and not Path(f"/proc/{pid}").exists():
            file.unlink(missing_ok=True)
