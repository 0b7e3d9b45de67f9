"""Tries drawn mutations until the budget is spent, and prints a table of what the tests noticed.

A mutation meets the tests that run its place, the quickest first, up to LONGEST_SECONDS of them: then it
counts as survived. A mutation of a function is tried in a forked process (tests.mutants.server), another
one in a new process; so is a survivor, with its quickest tests: a function may run when it is imported.

Invariant: a mutation counts as killed only by a test that passes without it, right afterwards. A test that a
time limit has stopped must then take less than a third of the limit, so that a loaded machine kills none.
"""

import queue
import tempfile
import threading
import time
import traceback
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from tests.mutants import coverage_map, equivalent
from tests.mutants.copy import BASE_DIR, Copy, Verdict
from tests.mutants.coverage_map import CoverageMap
from tests.mutants.draw import draw
from tests.mutants.mutation import Mutation, module_of

FIRST_SECONDS, LONGEST_SECONDS = 10.0, 75.0
AT_LEAST = 0.9  # of the mutations that are not equivalent


@dataclass
class Results:
    """Outcomes by module: killed, survived, equivalent, invalid."""

    counts: defaultdict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    survivors: list[Mutation] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, mutation: Mutation, outcome: str, note: str, seconds: float) -> None:
        with self.lock:
            self.counts[module_of(mutation.file)][outcome] += 1
            if outcome == "survived":
                self.survivors.append(mutation)
            if outcome != "invalid":
                print(f"{outcome:10} {seconds:4.0f} s  {mutation}  {note}", flush=True)

    @property
    def tried(self) -> int:
        counted = ("killed", "survived", "equivalent")
        return sum(counts[outcome] for counts in self.counts.values() for outcome in counted)


def run(
    *, seed: int, count: int, budget: float, workers: int, folders: Sequence[str], words: Sequence[str]
) -> int:
    """Try `count` mutations at most, for `budget` seconds at most, with the tests in `folders`.

    Returns the exit code.
    """
    results = Results()
    with tempfile.TemporaryDirectory(prefix="refill-mutants-", ignore_cleanup_errors=True) as directory:
        copies = [Copy(Path(directory).resolve() / str(number)) for number in range(workers)]
        try:
            with ThreadPoolExecutor(workers) as pool:
                list(pool.map(Copy.prepare, copies))
                covered = coverage_map.recorded(copies, folders)
                list(pool.map(lambda copy: copy.serve(sorted(covered.test_files)), copies))
            deadline = time.monotonic() + budget

            def goes_on() -> bool:
                return results.tried < count and time.monotonic() < deadline

            print(
                f"seed {seed}: {len(covered.seconds)} tests, {workers} databases, {budget / 60:.0f} minutes"
            )
            drawn = _drawn(seed, words)
            with ThreadPoolExecutor(workers) as pool:
                for copy in copies:
                    pool.submit(_work, copy, drawn, covered, results, goes_on)
        finally:
            for copy in copies:
                copy.stop()
    _print_table(results)
    killed = sum(counts["killed"] for counts in results.counts.values())
    return 0 if killed >= AT_LEAST * (killed + len(results.survivors)) else 1


def _drawn(seed: int, words: Sequence[str]) -> "queue.Queue[Mutation]":
    """The mutations in their order, made by a thread of their own."""
    drawn: queue.Queue[Mutation] = queue.Queue(maxsize=20)

    def fill() -> None:
        for mutation in draw(BASE_DIR, seed, words):
            drawn.put(mutation)

    threading.Thread(target=fill, daemon=True).start()
    return drawn


def _work(
    copy: Copy,
    drawn: "queue.Queue[Mutation]",
    covered: CoverageMap,
    results: Results,
    goes_on: Callable[[], bool],
) -> None:
    while goes_on():
        try:
            mutation = drawn.get(timeout=30)
        except queue.Empty:
            return
        try:
            _try_and_count(copy, mutation, covered, results)
        except Exception:
            traceback.print_exc()  # the pool would keep it to itself
            raise


def _try_and_count(copy: Copy, mutation: Mutation, covered: CoverageMap, results: Results) -> None:
    if reason := equivalent.reason_for(mutation):
        results.add(mutation, "equivalent", reason, 0)
        return
    tests = _within(covered.tests_of(mutation), covered, LONGEST_SECONDS)
    verdict = _try(copy, mutation, covered, tests)
    while verdict.killed_by and not _passes_without(copy, verdict, tests):
        print(f"fails or is slow without the mutation, too: {verdict.killed_by}", flush=True)
        tests = [test for test in tests if test != verdict.killed_by] if verdict.killed_by in tests else []
        verdict = _try(copy, mutation, covered, tests)
    outcome = "invalid" if verdict.invalid else "survived" if verdict.survived else "killed"
    note = (verdict.killed_by or "").rpartition("/")[2] + (" (time limit)" if verdict.limit else "")
    results.add(mutation, outcome, note, verdict.seconds)


def _passes_without(copy: Copy, verdict: Verdict, tests: Sequence[str]) -> bool:
    """Whether the test that has noticed a mutation passes without it, far within the time limit."""
    chosen = [test for test in tests if test == verdict.killed_by] or tests
    without = copy.try_files({}, chosen, seconds=LONGEST_SECONDS * 4, functions=True)
    return without.survived and not 0 < verdict.limit < 3 * without.seconds


def _try(copy: Copy, mutation: Mutation, covered: CoverageMap, tests: Sequence[str]) -> Verdict:
    changed = {mutation.file: mutation.text}
    if not tests:
        return Verdict()
    first = _within(tests, covered, FIRST_SECONDS)
    if not mutation.in_function:
        verdict = copy.try_files(changed, first, seconds=FIRST_SECONDS * 10)
        if verdict.survived:
            verdict = copy.try_files(changed, tests, seconds=LONGEST_SECONDS * 4)
        return verdict
    each = {test: 20 + 5 * covered.seconds[test] for test in tests}
    verdict = copy.try_files(changed, tests, seconds=LONGEST_SECONDS * 20, each=each, functions=True)
    if verdict.survived and not mutation.function:
        verdict = copy.try_files(changed, first, seconds=FIRST_SECONDS * 10)
    return verdict


def _within(tests: Sequence[str], covered: CoverageMap, seconds: float) -> list[str]:
    """The first tests that last this long together; at least one."""
    chosen: list[str] = []
    for test in tests:
        seconds -= covered.seconds[test]
        if seconds < 0 and chosen:
            break
        chosen.append(test)
    return chosen


def _print_table(results: Results) -> None:
    print(f"\n{'module':16} {'killed':>7} {'survived':>9} {'equivalent':>11} {'share':>6}")
    total: Counter[str] = Counter()
    for module, counts in sorted(results.counts.items()):
        print(_line(module, counts))
        total.update(counts)
    print(_line("all", total))
    for mutation in sorted(results.survivors, key=lambda survivor: (survivor.file, survivor.line)):
        print(f"survived: {mutation}")


def _line(module: str, counts: Counter[str]) -> str:
    killed, survived = counts["killed"], counts["survived"]
    share = f"{killed / (killed + survived):6.0%}" if killed + survived else "     -"
    return f"{module:16} {killed:7} {survived:9} {counts['equivalent']:11} {share}"
