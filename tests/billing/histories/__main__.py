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
from tests.billing.histories.rules import LEAST, RULES

ROOT = Path(__file__).resolve().parents[3]
WORKERS = 2
FULL = 2_000
# Of 100 histories: those of packs, of a subscription (both against a plain model), of a whole account. Only
# those of a whole account are drawn by what the earlier ones led to (situations.py).
SHARES = {"test_purchases.py": 35, "test_subscriptions.py": 25, "test_whole_account.py": 40}


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
    seldom = sorted(rule for rule in RULES if counted[rule] < LEAST)
    if seldom:
        print(f"visited fewer than {LEAST} times: {'; '.join(seldom)}")
    if failed:
        print("a history failed: see above")
    return int(failed or (bool(seldom) and number >= FULL))


if __name__ == "__main__":
    sys.exit(main())
