"""The faults: each a rule of money broken in the way that somebody might break it.

`edits` are (file, what stands there, what stands there instead); every occurrence is replaced, and a text
that is not found is an error, so that a fault cannot silently stop being one. `tests` are tried first.
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
RACES, PAIRS = "tests/races/test_charges.py", "tests/races/test_pairs.py"
BANK, HOLD_RACES, TIME_RACES = (
    "tests/races/test_bank.py",
    "tests/races/test_holds.py",
    "tests/races/test_time.py",
)
SHARED, APPEND_ONLY = "tests/races/test_coalescing.py", "tests/faults/test_ledger_append_only.py"
DEBT, TIME = "tests/faults/test_ledger_debt.py", "tests/faults/test_ledger_time.py"


@dataclass(frozen=True)
class Fault:
    name: str
    edits: tuple[tuple[str, str, str], ...]
    tests: tuple[str, ...]


def fault(name: str, file: str, before: str, after: str, *tests: str) -> Fault:
    return Fault(name, ((file, before, after),), tests)


ADVISORY = "  perform pg_advisory_xact_lock(hashtextextended(p_account::text, 0));\n"
ROW = "select * into w from billing_wallet where account_id = p_account for no key update;"
UNLOCKED = "select * into w from billing_wallet where account_id = p_account;"

FAULTS = [
    Fault("no lock on the wallet", ((CHAIN, ADVISORY, ""), (CHAIN, ROW, UNLOCKED)), (PAIRS,)),
    Fault(
        "the wallet is read before it is locked",
        (
            (CHAIN, ADVISORY, ""),
            (
                CHAIN,
                ROW,
                f"{UNLOCKED} perform from billing_wallet where account_id = p_account for no key update;",
            ),
        ),
        (PAIRS,),
    ),
    fault("the advisory lock alone, which batches do not take", CHAIN, ROW, UNLOCKED, PAIRS),
    fault(
        "a batch does not lock its wallets",
        BATCH,
        "order by w.account_id for no key update) locked",
        "order by w.account_id) locked",
        PAIRS,
    ),
    fault(
        "a batch locks only the wallets that are due",
        BATCH,
        "order by w.account_id for no key update) locked",
        "and w.next_due_at <= p_now order by w.account_id for no key update) locked",
        PAIRS,
    ),
    fault(
        "a batch locks in the order in which it was asked",
        BATCH,
        "order by w.account_id for no key update) locked",
        "order by array_position(array(select (u).account_id from unnest(uses) u), w.account_id) "
        "for no key update) locked",
        BANK,
    ),
    fault(
        "two beats take the same wallets",
        SETTLE,
        " limit p_limit for no key update skip locked",
        " limit p_limit",
        PAIRS,
        TIME_RACES,
    ),
    fault(
        "the key is checked and not kept unique: check, then act",
        CHARGE,
        "  on conflict (account_id, idempotency_key) do nothing;\n",
        "  on conflict (id) do nothing;\n",
        CHARGES,
        RACES,
    ),
    fault(
        "a replay does not compare the body",
        CHARGE,
        "when c.fingerprint = p_fingerprint then 'replayed' else 'reused'",
        "when true then 'replayed' else 'reused'",
        CHARGES,
    ),
    fault(
        "a duplicate of a refused charge reports success",
        CHARGE,
        "if o.status is null then o.status := p_status;",
        "if o.status is null then o.status := 'charged';",
        CHARGES,
    ),
    fault(
        "spending order without expiry",
        CHARGE,
        "order by x.priority, x.expires_at, x.created_at, x.id",
        "order by x.priority, x.created_at, x.id",
        CHARGES,
    ),
    fault(
        "spending order without priority",
        CHARGE,
        "order by x.priority, x.expires_at, x.created_at, x.id",
        "order by x.expires_at, x.created_at, x.id",
        CHARGES,
    ),
    fault(
        "narrow grants pay for everything",
        CHARGE,
        "(x.services is null or x.services && p_covers)",
        "true",
        CHARGES,
    ),
    fault(
        "what lacks is not charged: clamped instead of refused",
        CHARGE,
        "  if p.total < u.credits then\n",
        "  u.credits := least(u.credits, p.total);\n  if p.total < u.credits then\n",
        CHARGES,
    ),
    fault(
        "debt does not stop spending",
        CHARGE,
        "if u.credits > 0 and w.debt > 0 then",
        "if false then",
        CORRECTIONS,
    ),
    fault(
        "new credits do not repay the debt",
        GRANT,
        "w := ledger_repay(w, p_id, p_credits, p_now);",
        "",
        CORRECTIONS,
    ),
    fault(
        "old allowances repay the debt",
        SETTLE,
        "and e.seq > d.seq and e.kind = 'grant'",
        "and e.kind = 'grant'",
        DEBT,
    ),
    fault(
        "a hash that does not cover the one before",
        CHAIN,
        "sha256(w.head || convert_to(",
        "sha256(convert_to(",
        f"{LEDGER}test_audit.py",
        CHARGES,
    ),
    fault(
        "a threshold is told of again and again",
        CHAIN,
        "if low and not w.is_low then",
        "if low then",
        CHARGES,
        RACES,
    ),
    fault(
        "entries can be changed",
        CHAIN,
        "before update or delete on billing_entry",
        "before delete on billing_entry",
        APPEND_ONLY,
    ),
    fault(
        "entries can be truncated",
        CHAIN,
        "create trigger entry_no_truncate before truncate on billing_entry",
        "create trigger entry_no_truncate before truncate on billing_notice",
        APPEND_ONLY,
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
        "a hold gives back into another grant",
        HOLD,
        "w := ledger_post(w, 'release', d.grant_id, d.credits, p_at, null, h.id);",
        "w := ledger_post(w, 'release', (h.drawn->0->>'grant')::uuid, d.credits, p_at, null, h.id);",
        HOLDS,
    ),
    fault(
        "a hold can be closed twice",
        HOLD,
        "if h.status <> 'held' then return ledger_held_of(h, 'closed', w.balance); end if;",
        "",
        HOLDS,
        HOLD_RACES,
    ),
    fault(
        "credits that come back are not due again",
        HOLD,
        "w.next_due_at := least(w.next_due_at, g.expires_at);",
        "",
        TIME,
    ),
    fault(
        "holds are not counted in limits",
        HOLD,
        "if w.limited then perform ledger_count(u, u.credits, 0, p_now); end if;",
        "",
        LIMIT_TESTS,
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
        "a refund is counted twice",
        MEND,
        "x.held + s.consumed - s.booked",
        "x.held + s.consumed",
        CORRECTIONS,
    ),
    fault(
        "returned credits are owed as if spent",
        MEND,
        "e.kind in ('charge', 'reverse', 'repay')",
        "e.kind in ('charge', 'repay')",
        DEBT,
        MODEL,
    ),
    fault(
        "a claw-back is undone twice",
        MEND,
        "  if c.undone_by_id is not null then return ledger_refused('undone'); end if;\n",
        "",
        CORRECTIONS,
    ),
    fault(
        "more comes back than was charged",
        MEND,
        "if amount <= 0 or amount > open_ then",
        "if amount <= 0 then",
        CORRECTIONS,
    ),
    fault(
        "limits are not counted",
        CHARGE,
        "perform ledger_count(u, u.credits, u.quota_count, p_now);",
        "null;",
        LIMIT_TESTS,
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
        "used = case when billing_limit.period = excluded.period then billing_limit.used else excluded.used end,",
        "used = 0,",
        LIMIT_TESTS,
    ),
    fault(
        "a batch does not see a key that it has twice",
        BATCH,
        "count(*) over (partition by u.account_id, u.key) > 1 as repeated",
        "false as repeated",
        BATCHES,
    ),
    fault(
        "a batch charges narrow grants for anything",
        BATCH,
        "g.services is not null as narrow",
        "false as narrow",
        BATCHES,
    ),
    fault("a batch in debt is charged", BATCH, "w.debt = 0 and", "true and", BATCHES),
    fault("a batch passes the limits", BATCH, "x.used + x.adds > x.maximum", "false", BATCHES),
    fault(
        "a shared call answers with another's outcome",
        COALESCING,
        "zip(taken, outcomes, strict=True)",
        "zip(taken, outcomes[::-1], strict=True)",
        SHARED,
        RACES,
    ),
    fault(
        "one poisonous order fails its neighbours",
        COALESCING,
        "        except Exception:\n            return\n",
        "        except Exception as error:\n            for one in taken:\n                one.outcome = error\n            return\n",
        SHARED,
    ),
]
