"""Installation of the ledger's SQL functions by migrations.

Invariant: installing again on a database in use delays no charge and fails none. Functions are replaced,
which takes no lock on a table; types and triggers are created only where they are missing or differ, because
creating a trigger waits for open transactions and blocks later writes meanwhile (`ledger_ensure_trigger`).
Storage parameters are set by migrations.
A change to a file in `sql/` needs a new migration that calls `install` again. A function that goes, or whose
parameters or result change, is named there for `remove`.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

SQL = Path(__file__).parent / "sql"
# What concerns only the coordinator of a distributed database: audits, and purchases.
OF_COORDINATOR = ("14_audits.sql", "98_purchases.sql")
_LOCK = 7302  # held by one installation at a time: two that replace a function at once fail


def install(apps: Any, schema_editor: Any) -> None:
    """Create or replace every function, type and trigger of the ledger, in the order of the files."""
    with schema_editor.connection.cursor() as cursor:
        cursor.execute("select pg_advisory_xact_lock(%s)", [_LOCK])
        # the nodes of a distributed database get theirs after the migrations (distribution)
        cursor.execute("select set_config('citus.enable_ddl_propagation', 'off', true)")
        for file in sorted(SQL.glob("*.sql")):
            # without parameters the driver sends the text unchanged, so % is not doubled
            cursor.execute(file.read_text(encoding="utf-8"))
        cursor.execute("select set_config('citus.enable_ddl_propagation', 'on', true)")


def remove(schema_editor: Any, functions: Sequence[str]) -> None:
    """Drop the functions and aggregates with these names, where they exist, together: one may use another."""
    if functions:
        with schema_editor.connection.cursor() as cursor:
            cursor.execute(f"drop routine if exists {', '.join(functions)}")
