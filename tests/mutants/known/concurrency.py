"""Faults in concurrency: locks, keys, batches, shared calls."""

from tests.mutants.known.fault import (
    BATCH,
    BATCHES,
    CHARGE,
    CHARGES,
    COALESCING,
    LOCKED,
    NOTICES,
    PAIRS,
    RACES,
    SETTLE,
    SHARED,
    SHARED_CALLS,
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
        "unnest(uses) u)) for no key update skip locked) locked",
        "unnest(uses) u))) locked",
        PAIRS,
    ),
    fault(
        "a batch waits for a wallet while it holds others",
        BATCH,
        "unnest(uses) u)) for no key update skip locked) locked",
        "unnest(uses) u)) for no key update) locked",
        LOCKED,
    ),
    fault(
        "a shared call waits for a wallet",
        BATCH,
        "(u).account_id from unnest(uses) u)) for no key update skip locked);",
        "(u).account_id from unnest(uses) u)) for no key update);",
        SHARED,
    ),
    fault(
        "a shared call takes the earliest time of its uses",
        BATCH,
        "at_ := greatest(p_times[i], w.moved_at);",
        "at_ := greatest(p_times[1], w.moved_at);",
        SHARED,
    ),
    fault(
        "a shared call settles however much is due",
        BATCH,
        "w.next_due_at <= at_ and p_shared and ledger_much_due",
        "false and ledger_much_due",
        SHARED,
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
        "  on conflict (account_id, idempotency_key) do nothing\n",
        "  on conflict (id) do nothing\n",
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
        "having bool_or(services is not null) or",
        "having",
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
        SHARED_CALLS,
        "zip(ordered, rows, strict=True)",
        "zip(ordered, rows[::-1], strict=True)",
        SHARED,
        RACES,
    ),
    fault(
        "one failing request fails the others of its call",
        SHARED_CALLS,
        "        except Exception:\n            database.drop_broken()\n            return\n",
        "        except Exception as error:\n            for one in taken:\n                "
        "one.error = error\n",
        SHARED,
    ),
    fault(
        "a waiting thread that ends stays in the queue and is to lead it",
        COALESCING,
        "        finally:\n            self._leave(mine)\n",
        "        finally:\n            pass\n",
        SHARED,
    ),
]
