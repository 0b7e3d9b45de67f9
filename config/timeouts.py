"""Time limits of statements, lock waits and idle transactions by kind of process.

Invariant: every database connection of a web process and of a worker has the limits of its kind, so that a
locked wallet blocks a thread only for seconds. Management commands, including migrations, have no limits of
their own: PostgreSQL's settings apply.

The limits are sent with the start of a connection (`options`,
https://www.postgresql.org/docs/current/config-setting.html). PgBouncer refuses them there or, if `options` is
listed in its `ignore_startup_parameters`, ignores them (https://www.pgbouncer.org/config.html). With
PgBouncer, set the limits on the role: see docs/runbook.md.
"""

import re
from collections.abc import Mapping
from typing import Any

from django.core.exceptions import ImproperlyConfigured

NAMES = ("statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout")
WEB = "statement_timeout=30s lock_timeout=3s idle_in_transaction_session_timeout=60s"
# A task ends after 120 seconds (CELERY_TASK_TIME_LIMIT); the daily audit is one long statement.
WORKER = "statement_timeout=110s lock_timeout=30s idle_in_transaction_session_timeout=120s"
_LIMIT = re.compile(rf"({'|'.join(NAMES)})=(\d+(?:ms|s|min)?)")


def parsed(text: str, variable: str) -> dict[str, str]:
    """The limits of a variable: "lock_timeout=3s statement_timeout=30s". Raises ImproperlyConfigured."""
    limits = {}
    for word in text.split():
        match = _LIMIT.fullmatch(word)
        if match is None:
            raise ImproperlyConfigured(
                f"{variable} has “{word}”: write limits as lock_timeout=3s (ms, s or min); "
                f"there are {', '.join(NAMES)}"
            )
        limits[match[1]] = match[2]
    return limits


def apply(databases: Mapping[str, dict[str, Any]], limits: Mapping[str, str]) -> None:
    """Give the limits to every connection that this process opens from now on."""
    for database in databases.values():
        options = dict(database.get("OPTIONS") or {})
        words = [str(options.get("options", "")), *(f"-c {name}={limit}" for name, limit in limits.items())]
        if text := " ".join(word for word in words if word):
            options["options"] = text
        database["OPTIONS"] = options
