"""Faults in time: ends, renewals, windows, plans."""

from tests.mutants.fault import (
    ALLOWANCES,
    DEBT,
    HOLD,
    HOLDS,
    LIMIT_TESTS,
    LIMITS,
    PERIODS,
    SETTLE,
    SETTLING,
    TIME,
    TIME_RACES,
    WRITE,
    fault,
)

FAULTS = [
    fault(
        "old allowances repay the debt",
        SETTLE,
        "ledger_repay(w.debt, m.grant_id, m.credits, p_now)",
        "ledger_repay(w.debt, m.grant_id, w.balance, p_now)",
        DEBT,
    ),
    fault(
        "a grant is in force at its expiry",
        SETTLE,
        "x.open and x.expires_at <= p_now",
        "x.open and x.expires_at < p_now",
        SETTLING,
        TIME,
    ),
    fault(
        "settling comes an instant late",
        WRITE,
        "if w.next_due_at <= p_now then",
        "if w.next_due_at < p_now then",
        SETTLING,
        TIME_RACES,
        TIME,
        HOLDS,
    ),
    fault(
        "a hold's end is not settled",
        SETTLE,
        "x.status = 'held' and x.expires_at <= p_now",
        "x.status = 'held' and false",
        HOLDS,
    ),
    fault(
        "credits that come back are not due again",
        HOLD,
        "w.next_due_at := least(w.next_due_at, back.due_at);",
        "",
        TIME,
    ),
    fault(
        "renewals add up",
        PERIODS,
        "case p_lasts when 'period' then p_ends when",
        "case p_lasts when 'period' then null when",
        SETTLING,
    ),
    fault(
        "months are counted from the last one",
        PERIODS,
        "ends_at := ledger_month_start(p_anchor, m + 1);",
        "ends_at := starts_at + interval '1 month';",
        SETTLING,
    ),
    fault(
        "a change of zone gives a day twice",
        PERIODS,
        "greatest(p_now, starts_at + interval '24 hours' - interval '1 microsecond')",
        "p_now",
        SETTLING,
        TIME,
    ),
    fault(
        "coming back to a plan gives its period again",
        SETTLE,
        "x.idempotency_key = r.grant_key)",
        "false)",
        SETTLING,
        TIME,
    ),
    fault(
        "every change of plan carries over", ALLOWANCES, "if p_carry and month_end", "if month_end", SETTLING
    ),
    fault(
        "a limit is checked before it is rolled into its window",
        LIMITS,
        "  perform ledger_roll_limits(u.account_id, p_now,\n"
        "    ledger_limit_subjects(u.project_id, u.member_id, u.api_key_id, u.quota));\n  for l in",
        "  for l in",
        LIMIT_TESTS,
    ),
    fault(
        "a changed limit starts afresh",
        LIMITS,
        "update billing_limit set maximum = p_maximum\n",
        "update billing_limit set maximum = p_maximum, used = 0\n",
        LIMIT_TESTS,
    ),
]
