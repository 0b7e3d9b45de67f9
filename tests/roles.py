"""The role of the database that tests run as: the owner of the tables, or the runtime role.

DATABASE_ROLE=runtime: migrations run as the owner, tests as the runtime role (core.database_roles).
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager

from django.db import connection

RUNTIME_ROLE = "refill_test_runtime" if os.environ.get("DATABASE_ROLE") == "runtime" else ""


@contextmanager
def as_owner() -> Iterator[None]:
    """Prepare or remove data as the owner of the tables, also where the test runs as the runtime role."""
    with connection.cursor() as cursor:
        cursor.execute("set role none")
        yield
        if connection.settings_dict["OPTIONS"].get("assume_role"):
            cursor.execute(f"set role {RUNTIME_ROLE}")
