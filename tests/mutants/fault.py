"""What a fault is, and where things stand that it breaks or that should notice.

`edits` are (file, what stands there, what stands there instead); every occurrence is replaced, and a text
that is not found is an error, so that a fault cannot silently stop being one. `tests` should notice it.
"""

from dataclasses import dataclass

SQL = "billing/ledger/sql/"
CHAIN, PERIODS, GRANT = f"{SQL}10_chain.sql", f"{SQL}20_periods.sql", f"{SQL}30_grant.sql"
CHARGE, LIMITS, HOLD = f"{SQL}40_charge.sql", f"{SQL}50_limits.sql", f"{SQL}60_hold.sql"
MEND, SETTLE = f"{SQL}70_corrections.sql", f"{SQL}80_settle.sql"
ALLOWANCES, BATCH = f"{SQL}85_allowances.sql", f"{SQL}90_batch.sql"
COALESCING = "billing/ledger/coalescing.py"

LEDGER = "tests/billing/ledger/"
CHARGES, CORRECTIONS = f"{LEDGER}test_charges.py", f"{LEDGER}test_corrections.py"
HOLDS, LIMIT_TESTS = f"{LEDGER}test_holds.py", f"{LEDGER}test_limits.py"
SETTLING, BATCHES, MODEL = (
    f"{LEDGER}test_settling.py",
    f"{LEDGER}test_batch.py",
    f"{LEDGER}test_against_model.py",
)
RACES, PAIRS = "tests/integration/races/test_charges.py", "tests/integration/races/test_pairs.py"
BANK, HOLD_RACES, TIME_RACES = (
    "tests/integration/races/test_bank.py",
    "tests/integration/races/test_holds.py",
    "tests/integration/races/test_time.py",
)
SHARED, APPEND_ONLY = "tests/integration/races/test_coalescing.py", "tests/faults/test_ledger_append_only.py"
DEBT, TIME = "tests/faults/test_ledger_debt.py", "tests/faults/test_ledger_time.py"
NOTICES = "tests/faults/test_ledger_notices.py"


@dataclass(frozen=True)
class Fault:
    name: str
    edits: tuple[tuple[str, str, str], ...]
    tests: tuple[str, ...]


def fault(name: str, file: str, before: str, after: str, *tests: str) -> Fault:
    return Fault(name, ((file, before, after),), tests)
