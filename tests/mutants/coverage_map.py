"""Which tests run a line of Python or a function of the database, so that few tests are run on a mutation.

The map is recorded once for a state of the tree and kept under var/mutants.
"""

import hashlib
import json
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any

from tests.mutants.copy import BASE_DIR, Copy
from tests.mutants.mutation import Mutation, files

TESTS = ("tests/billing", "tests/usage", "tests/pricing", "tests/faults", "tests/integration/races")
KEPT = BASE_DIR / "var" / "mutants"


@dataclass(frozen=True)
class CoverageMap:
    """`seconds`: the duration of each test. `lines`: tests by file and line. `functions`: by SQL function."""

    seconds: dict[str, float] = field(default_factory=dict)
    lines: dict[str, dict[str, list[str]]] = field(default_factory=dict)
    functions: dict[str, list[str]] = field(default_factory=dict)

    def tests_of(self, mutation: Mutation) -> list[str]:
        """The tests that run the mutated place; those that run little else and are quick come first."""
        if mutation.function:
            found = set(self.functions.get(mutation.function, ())) or set(
                chain.from_iterable(self.functions.values())
            )
        else:
            lines = self.lines.get(mutation.file, {})
            found = set(lines.get(str(mutation.line), ())) or set(chain.from_iterable(lines.values()))
        known = [test for test in found if test in self.seconds]
        return sorted(known, key=lambda test: (self._near(test, mutation), self.seconds[test], test))

    def _near(self, test: str, mutation: Mutation) -> int:
        """0 for a test of the mutation's own module, by the names of the files."""
        folder = Path(mutation.file).parent.name if mutation.function == "" else "ledger"
        return 0 if f"/{folder}/" in test else 1


def recorded(copies: Sequence[Copy]) -> CoverageMap:
    """The map of the tree as it is now. The copies share the recording."""
    kept = KEPT / f"{_state_of_tree()}.json"
    if not kept.exists():
        kept.parent.mkdir(parents=True, exist_ok=True)
        with ThreadPoolExecutor(len(copies)) as pool:
            parts = list(pool.map(_record, copies, _shares(len(copies))))
        kept.write_text(json.dumps(_joined(parts)))
    return CoverageMap(**json.loads(kept.read_text()))


def _state_of_tree() -> str:
    state = hashlib.sha256()
    for file in sorted([*BASE_DIR.glob("tests/**/*.py"), *(BASE_DIR / name for name in files(BASE_DIR))]):
        state.update(str(file).encode() + file.read_bytes())
    return state.hexdigest()[:16]


def _shares(count: int) -> list[list[str]]:
    """The test files in as many parts of about the same size."""
    found = sorted(
        (path for folder in TESTS for path in (BASE_DIR / folder).rglob("test_*.py")),
        key=lambda path: path.stat().st_size,
    )
    return [[str(path.relative_to(BASE_DIR)) for path in found[part::count]] for part in range(count)]


def _record(copy: Copy, tests: Sequence[str]) -> dict[str, Any]:
    with copy.connect() as connection:
        connection.execute("alter database test_refill set track_functions = 'all'")
    target = copy.output.with_suffix(".json")
    wanted = [str(copy.tree / name) for name in files(copy.tree) if name.endswith(".py")]
    copy.pytest(
        tests,
        seconds=3600,
        options=("-p", "tests.mutants.recorder"),
        environment={"RECORD_TO": str(target), "RECORD_FILES": json.dumps(wanted)},
    )
    with copy.connect() as connection:
        connection.execute("alter database test_refill reset track_functions")
    part: dict[str, Any] = json.loads(target.read_text())
    part["lines"] = {str(Path(file).relative_to(copy.tree)): lines for file, lines in part["lines"].items()}
    return part


def _joined(parts: Iterable[dict[str, Any]]) -> dict[str, Any]:
    seconds: dict[str, float] = {}
    lines: dict[str, dict[str, list[str]]] = {}
    functions: dict[str, list[str]] = {}
    for part in parts:
        seconds |= part["seconds"]
        for file, by_line in part["lines"].items():
            for line, tests in by_line.items():
                lines.setdefault(file, {}).setdefault(line, []).extend(tests)
        for function, tests in part["functions"].items():
            functions.setdefault(function, []).extend(tests)
    return {"seconds": seconds, "lines": lines, "functions": functions}
