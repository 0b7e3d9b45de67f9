"""The description of a fault, and the files that faults change and that should notice them.

`edits` are (file, text, replacement). Every occurrence is replaced, and a text that is not found is an error,
so that a change of the SQL cannot turn a fault into none. `tests` are run against the fault.
"""

import sys
from dataclasses import dataclass
from pathlib import Path

SQL = "billing/ledger/sql/"
ENTRIES, WRITE, PERIODS = f"{SQL}10_entries.sql", f"{SQL}15_write.sql", f"{SQL}20_periods.sql"
GRANT, CHARGE, LIMITS = f"{SQL}30_grants.sql", f"{SQL}40_charges.sql", f"{SQL}50_limits.sql"
HOLD, CAPTURE, CORRECT = f"{SQL}60_holds.sql", f"{SQL}65_captures.sql", f"{SQL}70_corrections.sql"
CHILD_HOLD, HOLD_ENDS = f"{SQL}62_child_holds.sql", f"{SQL}67_hold_ends.sql"
SETTLE, ALLOWANCES, BATCH = f"{SQL}80_settling.sql", f"{SQL}85_allowances.sql", f"{SQL}90_batches.sql"
COALESCING, SHARED_CALLS = "billing/ledger/coalescing.py", "billing/ledger/shared_calls.py"

LEDGER = "tests/billing/ledger/"
CHARGES, CORRECTIONS = f"{LEDGER}test_charges.py", f"{LEDGER}test_corrections.py"
CLAW_BACKS, CEILINGS = f"{LEDGER}test_claw_back_sums.py", f"{LEDGER}test_ceilings.py"
CHILD_HOLDS, HOLD_END_TESTS = f"{LEDGER}test_child_holds.py", f"{LEDGER}test_hold_ends.py"
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
TREE_RACES = "tests/integration/races/test_trees.py"
LOCKED = "tests/integration/races/test_locked_wallet.py"
SHARED, APPEND_ONLY = "tests/integration/races/test_coalescing.py", "tests/faults/test_ledger_append_only.py"
DEBT, TIME = "tests/faults/test_ledger_debt.py", "tests/faults/test_ledger_time.py"
NOTICES = "tests/faults/test_ledger_notices.py"
YEARS, LIMIT_RACES = f"{LEDGER}test_years.py", "tests/integration/races/test_limits.py"
TIME_ORDER, SETTLED_WHENEVER = f"{LEDGER}test_time_order.py", f"{LEDGER}test_settled_whenever.py"


@dataclass(frozen=True)
class Fault:
    name: str
    edits: tuple[tuple[str, str, str], ...]
    tests: tuple[str, ...]

    def applied_to(self, tree: Path) -> dict[str, str]:
        """The changed files with their texts. Ends the program when a text is not found."""
        changed: dict[str, str] = {}
        for file, before, after in self.edits:
            text = changed.get(file) or (tree / file).read_text()
            if before not in text:
                sys.exit(f"{self.name}: {file} does not contain {before!r}; adapt the fault")
            changed[file] = text.replace(before, after)
        return changed


def fault(name: str, file: str, before: str, after: str, *tests: str) -> Fault:
    return Fault(name, ((file, before, after),), tests)
