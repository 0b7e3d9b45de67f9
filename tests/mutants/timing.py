"""What goes wrong with time: ends, renewals, windows, plans."""

from tests.mutants.fault import (
    ALLOWANCES,
    CHAIN,
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
    fault,
)

FAULTS = [
    fault(
        "old allowances repay the debt",
        SETTLE,
        "and e.seq > d.seq and e.kind = 'grant'",
        "and e.kind = 'grant'",
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
        CHAIN,
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
        "w.next_due_at := least(w.next_due_at, g.expires_at);",
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
        "greatest(p_now, starts_at + interval '20 hours')",
        "p_now",
        SETTLING,
    ),
    fault(
        "coming back to a plan gives its period again",
        SETTLE,
        "and not exists (select from billing_grant x where x.account_id = r.account_id",
        "and not exists (select from billing_grant x where false",
        SETTLING,
    ),
    fault(
        "every change of plan carries over", ALLOWANCES, "if p_carry and month_end", "if month_end", SETTLING
    ),
    fault(
        "a limit is checked before it is rolled into its window",
        LIMITS,
        "if l.window_end <= p_now then",
        "if false then",
        LIMIT_TESTS,
    ),
    fault(
        "a changed limit starts afresh",
        LIMITS,
        "used = case when billing_limit.period = excluded.period then billing_limit.used else",
        "used = case when false then billing_limit.used else 0 *",
        LIMIT_TESTS,
    ),
]
