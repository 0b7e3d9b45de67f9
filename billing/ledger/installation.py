"""Installation of the ledger's SQL functions by migrations.

Invariant: installing is safe to repeat on a database in use: functions and triggers are replaced, and types
are created only where they are missing. A change to a file in `sql/` needs a new migration that calls
`install` again. A function that goes, or whose parameters or result change, is named there for `remove`.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

SQL = Path(__file__).parent / "sql"


def install(apps: Any, schema_editor: Any) -> None:
    """Create or replace every function, type and trigger of the ledger, in the order of the files."""
    with schema_editor.connection.cursor() as cursor:
        for file in sorted(SQL.glob("*.sql")):
            # without parameters the driver sends the text unchanged, so % is not doubled
            cursor.execute(file.read_text(encoding="utf-8"))


def remove(schema_editor: Any, functions: Sequence[str]) -> None:
    """Drop the functions with these names, where they exist."""
    with schema_editor.connection.cursor() as cursor:
        for function in functions:
            cursor.execute(f"drop function if exists {function}")
