"""Faults in reads: balances, periods of statements, the beginning of a local day."""

from tests.mutants.known.fault import PERIODS, SQL, fault

BALANCES = f"{SQL}95_balances.sql"
BALANCE_RACES = "tests/integration/races/test_balances.py"
LOCK_ORDER = "tests/integration/races/test_lock_order.py"
STATEMENTS, ZONES = "tests/usage/history/test_statement_sums.py", "tests/accounts/test_zones.py"

FAULTS = [
    fault(
        "a balance reads its grants in another snapshot than its total",
        BALANCES,
        "language plpgsql stable as $$\nbegin\n  select coalesce(w.next_due_at",
        "language plpgsql volatile as $$\nbegin\n  select coalesce(w.next_due_at",
        BALANCE_RACES,
    ),
    fault(
        "a balance that is due is read without settling",
        BALANCES,
        "select coalesce(w.next_due_at <= p_now, false)",
        "select coalesce(w.next_due_at <= p_now - interval '100 years', false)",
        BALANCE_RACES,
    ),
    fault(
        "a read of a due balance waits as long as a move",
        BALANCES,
        "language plpgsql set lock_timeout = '250ms' as",
        "language plpgsql set lock_timeout = '20s' as",
        BALANCE_RACES,
    ),
    fault(
        "settling for a read locks the row without the queue",
        BALANCES,
        "perform ledger_lock(p_account, p_now)",
        "perform ledger_settle(array[p_account], p_now)",
        LOCK_ORDER,
    ),
    fault(
        "an entry at the beginning of a period belongs to the one before",
        BALANCES,
        "at_ < p_at",
        "at_ <= p_at",
        STATEMENTS,
    ),
    fault(
        "a chain's newest entry belongs to no period",
        BALANCES,
        "if found_ + step <= last then",
        "if found_ + step < last then",
        STATEMENTS,
    ),
    fault("an ambiguous midnight is the second", PERIODS, "least(earlier, at_)", "at_", ZONES),
]
