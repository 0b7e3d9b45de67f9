"""Does a test notice? `python -m tests.mutate [target …]` breaks rules of money one at a time and runs tests.

A survivor is a change to the product after which every test of its target still passes: a rule that nobody
holds. The work is done in a copy of the tree with a database of its own; the real files are never touched.
Which places are broken is drawn by a seed, so that a run can be repeated: `--seed 7 --most 30`.
"""

import argparse
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from config.supervisor import embedded_postgres

BASE_DIR = Path(__file__).resolve().parent.parent

# target: (what is broken, which tests should notice)
TARGETS: dict[str, tuple[list[str], list[str]]] = {
    "prices": (["pricing/rates/quotes.py", "core/amounts.py"], ["tests/pricing", "tests/core"]),
    "ledger": (["billing/ledger/sql/*.sql"], ["tests/billing/ledger"]),
    "purchases": (
        ["billing/purchases/create.py", "billing/payments/fulfilment.py", "billing/refunds/requests.py"],
        ["tests/billing"],
    ),
    "keys": (["accounts/api_keys.py", "accounts/key_format.py"], ["tests/accounts"]),
}

SWAPS = [
    (r" < ", " <= "),
    (r" <= ", " < "),
    (r" > ", " >= "),
    (r" >= ", " > "),
    (r" == ", " != "),
    (r" \+ ", " - "),
    (r" - ", " + "),
    (r" and ", " or "),
    (r"\bnot ", ""),
    (r"\bmin\(", "max("),
    (r"\bleast\(", "greatest("),
    (r"\bgreatest\(", "least("),
    (r"\bROUND_HALF_UP\b(?!,)", "ROUND_DOWN"),
    (r"\border by (\S+) asc\b", r"order by \1 desc"),
]
COMMENT = re.compile(r"\s*(#|--|\"\"\"|import |from )")
PATIENCE_SECONDS = 300


@dataclass(frozen=True)
class Mutation:
    """One place of one file, and what stands there instead."""

    file: Path  # relative to the tree
    line: int  # from 1
    before: str
    after: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}\n    - {self.before.strip()}\n    + {self.after.strip()}"


def mutations(pattern: str) -> Iterator[Mutation]:
    """Every change that can be made to the files, comments, docstrings and imports left alone."""
    for path in sorted(BASE_DIR.glob(pattern)):
        in_words = False
        for number, line in enumerate(path.read_text().splitlines(keepends=True), start=1):
            in_words ^= line.count('"""') == 1
            if in_words or COMMENT.match(line) or '"""' in line:
                continue
            for wanted, instead in SWAPS:
                for found in re.finditer(wanted, line):
                    changed = line[: found.start()] + found.expand(instead) + line[found.end() :]
                    yield Mutation(path.relative_to(BASE_DIR), number, line, changed)


def survives(tree: Path, mutation: Mutation, tests: list[str]) -> bool:
    """Whether all tests pass with the mutation in place. A run that hangs counts as noticed."""
    file = tree / mutation.file
    lines = file.read_text().splitlines(keepends=True)
    lines[mutation.line - 1] = mutation.after
    original = file.read_text()
    file.write_text("".join(lines))
    try:
        return run(tree, tests)
    finally:
        file.write_text(original)


def run(tree: Path, tests: list[str]) -> bool:
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-x",
        "--create-db",
        "-p",
        "no:cacheprovider",
        "-p",
        "no:randomly",
        *tests,
    ]
    environment = {"DATE": "2027-06-16"} | os.environ  # the verdict on a mutation is the same in every run
    environment |= {"REFILL_VAR": str(tree / "var"), "PYTHONDONTWRITEBYTECODE": "1"}
    environment.pop("DJANGO_SETTINGS_MODULE", None)  # importing config has set the product's own
    with (tree.parent / "said").open("wb") as said:
        try:
            done = subprocess.run(
                command,
                cwd=tree,
                env=environment,
                check=False,
                stdout=said,
                stderr=said,
                timeout=PATIENCE_SECONDS,
            )
        except subprocess.TimeoutExpired:
            return False
    return done.returncode == 0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "targets", nargs="*", metavar="target", help=f"some of {', '.join(TARGETS)}; else all"
    )
    parser.add_argument("--most", type=int, default=20, help="so many mutations of each target (20)")
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args()
    if unknown := set(asked.targets) - TARGETS.keys():
        parser.error(f"there is no {', '.join(sorted(unknown))}; there are {', '.join(TARGETS)}")
    survivors = 0
    with tempfile.TemporaryDirectory(prefix="refill-mutate-", ignore_cleanup_errors=True) as directory:
        tree = Path(directory).resolve() / "tree"
        shutil.copytree(
            BASE_DIR, tree, ignore=shutil.ignore_patterns(".git", ".venv", "var", "__pycache__", ".*_cache")
        )
        try:
            for target in asked.targets or TARGETS:
                survivors += _try(tree, target, asked.most, asked.seed)
        finally:
            embedded_postgres.stop(tree / "var" / "postgres")
    return 1 if survivors else 0


def _try(tree: Path, target: str, most: int, seed: int) -> int:
    """Break the target in so many places; returns how many went unnoticed."""
    patterns, tests = TARGETS[target]
    if not run(tree, tests):
        said = (tree.parent / "said").read_text(errors="replace").splitlines()[-5:]
        sys.exit(
            "\n".join([f"{target}: {' '.join(tests)} fail without any mutation; mend them first.", *said])
        )
    known = [mutation for pattern in patterns for mutation in mutations(pattern)]
    drawn = random.Random(seed).sample(known, min(most, len(known)))
    print(f"{target}: {len(drawn)} of {len(known)} places", flush=True)
    unnoticed = 0
    for number, mutation in enumerate(drawn, start=1):
        began = time.monotonic()
        survived = survives(tree, mutation, tests)
        unnoticed += survived
        word = "SURVIVED" if survived else "noticed"
        print(f"  {number:3} {word} in {time.monotonic() - began:.0f} s: {mutation}", flush=True)
    print(f"{target}: {len(drawn) - unnoticed} noticed, {unnoticed} survived", flush=True)
    return unnoticed


if __name__ == "__main__":
    sys.exit(main())
