"""The sizes from which the ledger's SQL chooses another form of a statement, made small.

Many moves at once, large batches, sums of past uses and the largest balance are then reached by a few moves
of small amounts.
"""

from functools import cache

from django.db import connection

# Function: what stands in its definition, and what replaces it.
SMALL = {
    "ledger_write": ("n > 48", "n > 1"),
    "ledger_charge_many": ("n < 48", "n < 2"),
    "ledger_sort_uses": ("count(*) > 100", "count(*) > 4"),
    "ledger_charge_locked": (">= 2000", ">= 3"),
    "ledger_charge_set": (">= 2000", ">= 3"),
    "ledger_capture": (">= 2000", ">= 3"),
    "ledger_sum_uses": ("offset 8000", "offset 2"),
    "ledger_largest_balance": ("1e12", "1e3"),
}


@cache
def _definitions() -> str:
    """The functions with small sizes, as statements."""
    with connection.cursor() as cursor:
        cursor.execute(
            "select proname, pg_get_functiondef(oid) from pg_proc where proname = any(%s)", [list(SMALL)]
        )
        found = dict(cursor.fetchall())
    for name, (size, _) in SMALL.items():
        assert found[name].count(size) == 1, f"{name} has no {size!r}"
    return ";\n".join(found[name].replace(*change) for name, change in SMALL.items())


def make_small() -> None:
    """Replace the functions until the transaction is rolled back."""
    with connection.cursor() as cursor:
        cursor.execute(_definitions())
