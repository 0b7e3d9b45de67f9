"""Installs the ledger's SQL functions; run by migrations, safe to run again.

A change to a file in `sql/` needs a new migration that calls `install` again, nothing else.
"""

from pathlib import Path
from typing import Any

SQL = Path(__file__).parent / "sql"


def install(apps: Any, schema_editor: Any) -> None:
    """Create or replace every function, type and trigger of the ledger, in the files' order."""
    with schema_editor.connection.cursor() as cursor:
        for file in sorted(SQL.glob("*.sql")):
            # no parameters: the driver sends the text as it is, so % needs no doubling
            cursor.execute(file.read_text(encoding="utf-8"))
