"""`make histories`: run N random histories on both cores, and count what they led to.

Each worker is a pytest process with its own PostgreSQL, database and seed. A full run fails when a history
fails, or when it led to one of RULES fewer than LEAST times.
"""

import json
import os
import random
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

from config.supervisor import embedded_postgres

ROOT = Path(__file__).resolve().parents[3]
WORKERS = 2
FULL = 2_000
LEAST = 30
# Of 100 histories: those of packs, of a subscription (both against a plain model), of a whole account. A
# whole account begins in one of situations.py, so that 800 of them visit each rule.
SHARES = {"test_purchases.py": 35, "test_subscriptions.py": 25, "test_whole_account.py": 40}
RULES = """
    card saved; change: upgrade; change: downgrade; change: keep; change: switch; change to years
    change to months; change: renewal_pending; immediate change without a payment; credit at Stripe
    plan cancelled; plan resumed; plan paused; pause ended; renewal; renewal in its draft hour
    payment page paid by card, paid; subscription page paid by card, paid; declined; authenticated
    authentication failed; delayed payment succeeded; delayed payment failed
    payment page paid by sepa_debit, unpaid; payment page paid by customer_balance, unpaid
    bank transfer of a part; paid in usd; paid in eur; paid in jpy; paid in kwd; paid by a code
    returned: paid; page closed: cancelled; pack page with a code; code redeemed; spent; reconciled
    top-up: paid; top-up: declined; top-up: authenticate; refund approved: done; refund refused
    refund of all in the dashboard; refund of a part in the dashboard; refund failed at the bank
    dispute opened: whole; dispute opened: inquiry; dispute opened: blocked; dispute opened: resolved
    dispute: won; dispute: lost; dispute: appeal; dispute: decision reversed; dispute: inquiry closed
    dispute: escalated; event late; event lost; process killed; response lost; Stripe down
    subscription active; subscription past_due; subscription canceled; second subscription paid
"""


def main() -> int:
    number = int(os.environ.get("N") or FULL)
    seed = int(os.environ.get("SEED") or random.SystemRandom().randrange(2**31))
    var = ROOT / "var" / "histories"
    print(
        f"{number} histories on {WORKERS} processes; repeat with: make histories N={number} SEED={seed}",
        flush=True,
    )
    began = time.monotonic()
    workers = [_start(index, number, seed + index, var / str(index)) for index in range(WORKERS)]
    failed = [index for index, worker in enumerate(workers) if worker.wait() != 0]
    seconds = time.monotonic() - began
    counted: Counter[str] = Counter()
    for index in range(WORKERS):
        folder = var / str(index)
        embedded_postgres.stop(folder / "postgres")
        if (visits := folder / "visits.json").exists():
            counted += Counter(json.loads(visits.read_text()))
        if index in failed:
            print((folder / "output.txt").read_text()[-20_000:])
    return _report(counted, seconds, number, bool(failed))


def _start(index: int, number: int, seed: int, folder: Path) -> "subprocess.Popen[bytes]":
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "visits.json").unlink(missing_ok=True)
    mine = number // WORKERS + (index < number % WORKERS)
    environment = {
        **os.environ,
        "REFILL_VAR": str(folder),
        "SEED": str(seed),
        "VISITS": str(folder / "visits.json"),
        **{f"HISTORIES_{name}": str(mine * share // 100) for name, share in SHARES.items()},
    }
    with (folder / "output.txt").open("wb") as output:
        return subprocess.Popen(
            [
                *(sys.executable, "-m", "pytest", "--create-db", "-q", "--tb=short", "--show-capture=stdout"),
                *("-p", "no:randomly", "-p", "no:cacheprovider"),
                *(f"tests/billing/histories/{name}" for name in SHARES),
            ],
            cwd=ROOT,
            env=environment,
            stdout=output,
            stderr=subprocess.STDOUT,
        )


def _report(counted: Counter[str], seconds: float, number: int, failed: bool) -> int:
    done = sum(count for name, count in counted.items() if name.startswith("histories "))
    for name, count in sorted(counted.items()):
        print(f"{count:9,}  {name}")
    print(f"{done:,} histories in {seconds:,.0f} s: {done / seconds:.1f} each second")
    rules = {rule.strip() for line in RULES.strip().splitlines() for rule in line.split(";")}
    seldom = sorted(rule for rule in rules if counted[rule] < LEAST)
    if seldom:
        print(f"visited fewer than {LEAST} times: {'; '.join(seldom)}")
    if failed:
        print("a history failed: see above")
    return int(failed or (bool(seldom) and number >= FULL))


if __name__ == "__main__":
    sys.exit(main())
