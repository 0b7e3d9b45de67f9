"""Which tests run a line of Python or a function of the database, so that few tests are run on a mutation.

The map is kept in var/mutants/coverage.json and brought up to date before a run: test files that have changed
are recorded again, and the lines of a changed product file are matched with those that were recorded. Remove
the file to record everything again.
"""

import hashlib
import json
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from difflib import SequenceMatcher
from itertools import chain
from pathlib import Path
from typing import Any

from tests.mutants.copy import BASE_DIR, Copy
from tests.mutants.mutation import Mutation, files

TESTS = (
    *("tests/billing", "tests/usage", "tests/pricing", "tests/faults", "tests/accounts", "tests/access"),
    *("tests/core", "tests/integration/races", "tests/moves", "tests/forms", "tests/pages"),
)
KEPT = BASE_DIR / "var" / "mutants" / "coverage.json"


@dataclass
class CoverageMap:
    """`seconds`: the duration of each test. `lines`: tests by file and line. `functions`: by SQL function.

    `sources` and `test_files`: the texts and the hashes of what was recorded.
    """

    seconds: dict[str, float] = field(default_factory=dict)
    lines: dict[str, dict[str, list[str]]] = field(default_factory=dict)
    functions: dict[str, list[str]] = field(default_factory=dict)
    sources: dict[str, str] = field(default_factory=dict)
    test_files: dict[str, str] = field(default_factory=dict)

    def tests_of(self, mutation: Mutation) -> list[str]:
        """The tests that run the mutated place; those that run little else and are quick come first."""
        if mutation.function:
            found = set(self.functions.get(mutation.function, ())) or set(
                chain.from_iterable(self.functions.values())
            )
        else:
            lines = self.lines.get(mutation.file, {})
            found = set(lines.get(str(mutation.line), ())) or set(chain.from_iterable(lines.values()))
        found = found or set(self.seconds)  # a file of constants
        known = [test for test in found if test in self.seconds]
        return sorted(known, key=lambda test: (self._near(test, mutation), self.seconds[test], test))

    def _near(self, test: str, mutation: Mutation) -> int:
        """0 for a test of the mutation's own module, by the names of the files."""
        folder = Path(mutation.file).parent.name if mutation.function == "" else "ledger"
        return 0 if f"/{folder}/" in test else 1

    def bring_in_line(self, sources: dict[str, str], test_files: dict[str, str]) -> list[str]:
        """Move to the present files. Returns the test files that have to be recorded."""
        for file, tests in self.lines.items():
            if sources.get(file) != self.sources.get(file):
                self.lines[file] = _moved(tests, self.sources[file], sources.get(file, ""))
        changed = {name for name in test_files if self.test_files.get(name) != test_files[name]}
        outdated = changed | (self.test_files.keys() - test_files.keys())
        self.seconds = {test: took for test, took in self.seconds.items() if _file(test) not in outdated}
        for tests in [self.functions, *self.lines.values()]:
            for place, names in tests.items():
                tests[place] = [name for name in names if _file(name) not in outdated]
        self.sources, self.test_files = sources, test_files
        return sorted(changed)

    def add(self, part: dict[str, Any]) -> None:
        """Add what one copy has recorded."""
        self.seconds |= part["seconds"]
        for file, tests in part["lines"].items():
            for line, names in tests.items():
                self.lines.setdefault(file, {}).setdefault(line, []).extend(names)
        for function, names in part["functions"].items():
            self.functions.setdefault(function, []).extend(names)


def recorded(copies: Sequence[Copy], folders: Sequence[str] = TESTS) -> CoverageMap:
    """The map of the tree as it is now, of the tests in `folders`. The copies share the recording."""
    found = CoverageMap(**json.loads(KEPT.read_text())) if KEPT.exists() else CoverageMap()
    sources = {name: (BASE_DIR / name).read_text() for name in files(BASE_DIR)}
    if missing := found.bring_in_line(sources, _test_files(folders)):
        print(f"recording which code {len(missing)} test files run", flush=True)
        with ThreadPoolExecutor(len(copies)) as pool:
            for part in pool.map(_record, copies, _shares(missing, len(copies))):
                found.add(part)
                for test in part["failed"]:  # they are not used
                    print(f"fails without any mutation: {test}", flush=True)
        KEPT.parent.mkdir(parents=True, exist_ok=True)
        KEPT.write_text(json.dumps(asdict(found)))
    return found


def _test_files(folders: Sequence[str]) -> dict[str, str]:
    paths = [path for folder in folders for path in (BASE_DIR / folder).rglob("test_*.py")]
    return {
        str(path.relative_to(BASE_DIR)): hashlib.sha256(path.read_bytes()).hexdigest()[:16] for path in paths
    }


def _file(test: str) -> str:
    return test.partition("::")[0]


def _moved(tests: dict[str, list[str]], old: str, new: str) -> dict[str, list[str]]:
    """The tests by line of the new text; a new line has those of the line before it."""
    moved: dict[int, list[str]] = {}
    matcher = SequenceMatcher(None, old.splitlines(), new.splitlines(), autojunk=False)
    for tag, start, end, new_start, new_end in matcher.get_opcodes():
        for number in range(new_start, new_end):
            source = start + number - new_start if tag == "equal" else min(max(start, end - 1), start)
            moved[number + 1] = tests.get(str(source + 1)) or moved.get(number, [])
    return {str(line): names for line, names in moved.items() if names}


def _shares(names: Sequence[str], count: int) -> list[list[str]]:
    """The test files in as many parts of about the same size."""
    by_size = sorted(names, key=lambda name: (BASE_DIR / name).stat().st_size)
    return [by_size[part::count] for part in range(count)]


def _record(copy: Copy, tests: Sequence[str]) -> dict[str, Any]:
    if not tests:
        return {"seconds": {}, "lines": {}, "functions": {}, "failed": []}
    with copy.connect() as connection:
        connection.execute("alter database test_refill set track_functions = 'all'")
    target = copy.output.with_suffix(".json")
    wanted = [str(copy.tree / name) for name in files(copy.tree) if name.endswith(".py")]
    copy.pytest(
        tests,
        seconds=7200,
        options=("-p", "tests.mutants.recorder"),
        environment={"RECORD_TO": str(target), "RECORD_FILES": json.dumps(wanted)},
    )
    with copy.connect() as connection:
        connection.execute("alter database test_refill reset track_functions")
    part: dict[str, Any] = json.loads(target.read_text())
    part["lines"] = {str(Path(file).relative_to(copy.tree)): lines for file, lines in part["lines"].items()}
    return part
