"""Time limits of statements, lock waits and idle transactions by kind of process.

Invariant: every database connection has the limits of its kind of process: web, worker (and beat), or
command, which is every other one: management commands, migrations, shells. So a locked wallet blocks a web
thread only for seconds, and a migration that waits for a table in use gives up instead of blocking the
statements that queue behind it. It can be run again: each migration is applied whole or not at all.

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
# A migration may build an index for long, but must not wait long for a lock: others would queue behind it.
COMMAND = "statement_timeout=60min lock_timeout=5s idle_in_transaction_session_timeout=10min"
_LIMIT = re.compile(rf"({'|'.join(NAMES)})=(\d+(?:ms|s|min)?)")
_GIVEN = re.compile(rf"-c (?:{'|'.join(NAMES)})=\S+\s*")


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
    """Give the limits, in place of those given before, to every connection opened from now on."""
    for database in databases.values():
        options = dict(database.get("OPTIONS") or {})
        others = _GIVEN.sub("", str(options.pop("options", ""))).strip()
        words = [others, *(f"-c {name}={limit}" for name, limit in limits.items())]
        if text := " ".join(word for word in words if word):
            options["options"] = text
        database["OPTIONS"] = options
