"""Faults in concurrency: locks, keys, batches, shared calls."""

from tests.mutants.fault import (
    BANK,
    BATCH,
    BATCHES,
    CHARGE,
    CHARGES,
    COALESCING,
    NOTICES,
    PAIRS,
    RACES,
    SETTLE,
    SHARED,
    TIME_RACES,
    WRITE,
    Fault,
    fault,
)

ADVISORY = "  perform pg_advisory_xact_lock(hashtextextended(p_account::text, 0));\n"
ROW = "select * into w from billing_wallet where account_id = p_account for no key update;"
UNLOCKED = "select * into w from billing_wallet where account_id = p_account;"

FAULTS = [
    Fault("no lock on the wallet", ((WRITE, ADVISORY, ""), (WRITE, ROW, UNLOCKED)), (PAIRS,)),
    Fault(
        "the wallet is read before it is locked",
        (
            (WRITE, ADVISORY, ""),
            (
                WRITE,
                ROW,
                f"{UNLOCKED} perform from billing_wallet where account_id = p_account for no key update;",
            ),
        ),
        (PAIRS,),
    ),
    fault("the advisory lock alone, which batches do not take", WRITE, ROW, UNLOCKED, PAIRS),
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
        TIME_RACES,
        PAIRS,
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
        "if o.status is null then o.status := a.status;",
        "if o.status is null then o.status := 'charged';",
        CHARGES,
    ),
    fault(
        "a threshold writes a notice at every charge below it",
        WRITE,
        "if low and not w.is_low then",
        "if low then",
        NOTICES,
    ),
    fault(
        "a batch charges a repeated key twice",
        BATCH,
        "count(*) over (partition by u.account_id, u.key) > 1 as repeated",
        "false as repeated",
        BATCHES,
    ),
    fault(
        "a batch charges grants for some services for any use",
        BATCH,
        "and open and services is not null",
        "and false",
        BATCHES,
    ),
    fault("a batch in debt is charged", BATCH, "where w.debt = 0 and", "where", BATCHES),
    fault(
        "a batch passes the limits",
        BATCH,
        "having l.used + sum(ledger_limit_amount(l.kind, u.credits, u.quota_count)) > l.maximum",
        "having false",
        BATCHES,
    ),
    fault(
        "a shared call answers with another's outcome",
        COALESCING,
        "zip(taken, outcomes, strict=True)",
        "zip(taken, outcomes[::-1], strict=True)",
        SHARED,
        RACES,
    ),
    fault(
        "one failing request fails the others of its call",
        COALESCING,
        "        except Exception:\n            return\n",
        "        except Exception:\n            outcomes = [LedgerError()] * len(taken)\n",
        SHARED,
    ),
]
