"""Mutation tests: `python -m tests.mutants [--seed N] [--count N] [--budget 30m] [--workers N] [word …]`.

Draws mutations of the modules that decide about credits and money, and runs the tests that reach them. A
word selects files by a part of their path. `--known` tries the written faults of tests.mutants.known instead:
rules that were once broken, or that a draw would seldom break.
"""

import argparse
import os
import random
import sys
import tempfile
from pathlib import Path

from tests.mutants import coverage_map, drawn
from tests.mutants.copy import Copy
from tests.mutants.known import concurrency, money, reads, timing

KNOWN = [*concurrency.FAULTS, *money.FAULTS, *reads.FAULTS, *timing.FAULTS]


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.mutants")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6))
    parser.add_argument("--count", type=int, default=500, help="how many mutations to try at most")
    parser.add_argument("--budget", type=_seconds, default="30m", help="how long to try: 90s, 30m, 2h")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="copies of the tree")
    parser.add_argument("--tests", nargs="+", default=coverage_map.TESTS, help="folders of tests")
    parser.add_argument("--known", action="store_true", help="try the written faults")
    parser.add_argument("words", nargs="*", help="parts of names or paths")
    chosen = parser.parse_args(arguments)
    if chosen.known:
        return _try_known(chosen.words)
    return drawn.run(
        seed=chosen.seed,
        count=chosen.count,
        budget=chosen.budget,
        workers=chosen.workers,
        folders=chosen.tests,
        words=chosen.words,
    )


def _seconds(text: str) -> float:
    return float(text[:-1]) * {"s": 1, "m": 60, "h": 3600}[text[-1]]


def _try_known(words: list[str]) -> int:
    faults = [fault for fault in KNOWN if not words or any(word in fault.name for word in words)]
    unnoticed = 0
    with tempfile.TemporaryDirectory(prefix="refill-mutants-", ignore_cleanup_errors=True) as directory:
        copy = Copy(Path(directory).resolve())
        try:
            copy.prepare()
            tests = sorted({test for fault in faults for test in fault.tests})
            if failed := copy.pytest(tests, seconds=3600):
                sys.exit(f"{failed} fails without any fault:\n{copy.output.read_text()[-3000:]}")
            for fault in faults:
                verdict = copy.try_files(fault.applied_to(copy.tree), fault.tests, seconds=400)
                if verdict.invalid:
                    sys.exit(f"{fault.name}: the SQL does not install: {verdict.invalid}")
                unnoticed += verdict.survived
                word = "SURVIVED" if verdict.survived else "noticed "
                print(
                    f"{word} {verdict.seconds:4.0f} s  {fault.name:58} {verdict.killed_by or ''}", flush=True
                )
        finally:
            copy.stop()
    print(f"{len(faults) - unnoticed} of {len(faults)} faults noticed")
    return 1 if unnoticed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
