"""Mutation tests of the ledger: `python -m tests.mutants [word …]`.

Each fault is put alone into a copy of the tree, and a test must fail. The copy has a database of its own,
created once; the SQL of each fault is installed into it and restored afterwards. A run of tests stops at the
first failure. Prints a table and exits with 1 when a fault went unnoticed. Words select faults by name.
"""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psycopg

from config.supervisor import embedded_postgres
from tests.mutants import concurrency, money, reads, timing
from tests.mutants.fault import SQL, Fault

FAULTS = [*concurrency.FAULTS, *money.FAULTS, *reads.FAULTS, *timing.FAULTS]

BASE_DIR = Path(__file__).resolve().parents[2]
IGNORED = shutil.ignore_patterns(".git", ".venv", "var", "__pycache__", ".*_cache", "node_modules")


class Copy:
    """A copy of the tree, with a database of its own, in which faults are tried."""

    def __init__(self, directory: Path) -> None:
        self.tree = directory / "tree"
        self.output = directory / "output"
        shutil.copytree(BASE_DIR, self.tree, ignore=IGNORED)

    def pytest(self, tests: list[str], *, new_database: bool = False, timeout: int = 400) -> str | None:
        """Run the tests. Returns None when all pass, else the first test that failed or another reason."""
        database = "--create-db" if new_database else "--reuse-db"
        options = ["-q", "-x", "-p", "no:cacheprovider", "-p", "no:randomly", "--reuse-db", database, "-rfE"]
        environment = os.environ | {
            "REFILL_VAR": str(self.tree / "var"),
            "PYTHONDONTWRITEBYTECODE": "1",
            "DATE": os.environ.get("DATE")
            or "2027-06-16",  # the verdict on a mutant is the same in every run
        }
        for name in ("DATABASE_URL", "DJANGO_SETTINGS_MODULE"):  # importing config has set them
            environment.pop(name, None)
        with self.output.open("wb") as output:
            command = [sys.executable, "-m", "pytest", *options, *tests]
            try:
                done = subprocess.run(
                    command, cwd=self.tree, env=environment, stdout=output, stderr=output,
                    timeout=timeout, check=False,
                )  # fmt: skip
            except subprocess.TimeoutExpired:
                return "timeout"
        if done.returncode == 0:
            return None
        lines = self.output.read_text(errors="replace").splitlines()
        failed = [line.split()[1] for line in lines if line.startswith(("FAILED ", "ERROR "))]
        return failed[0].rpartition("/")[2] if failed else f"pytest ended with {done.returncode}"

    def install_sql(self) -> str | None:
        """Install the SQL of the copy. Returns the first line of the database's error, or None."""
        server = embedded_postgres.ensure(self.tree / "var" / "postgres")
        with psycopg.connect(host=server["HOST"], user=server["USER"], dbname="test_refill") as connection:
            try:
                for file in sorted((self.tree / SQL).glob("*.sql")):
                    connection.execute(file.read_bytes())
            except psycopg.Error as error:
                return str(error).splitlines()[0]
        return None

    def try_fault(self, fault: Fault) -> str | None:
        """Put one fault into the copy. Returns the test that noticed it, or None."""
        originals = {file: (self.tree / file).read_text() for file, _, _ in fault.edits}
        in_sql = any(file.startswith(SQL) for file in originals)
        try:
            for file, before, after in fault.edits:
                text = (self.tree / file).read_text()
                if before not in text:
                    sys.exit(f"{fault.name}: {file} does not contain {before!r}; adapt the fault")
                (self.tree / file).write_text(text.replace(before, after))
            if in_sql and (error := self.install_sql()):
                sys.exit(f"{fault.name}: the SQL does not install: {error}")
            return self.pytest(list(fault.tests))
        finally:
            for file, text in originals.items():
                (self.tree / file).write_text(text)
            if in_sql:
                self.install_sql()


def main(words: list[str]) -> int:
    faults = [fault for fault in FAULTS if not words or any(word in fault.name for word in words)]
    unnoticed = 0
    with tempfile.TemporaryDirectory(prefix="refill-mutants-", ignore_cleanup_errors=True) as directory:
        copy = Copy(Path(directory).resolve())
        tests = sorted({test for fault in faults for test in fault.tests})
        try:
            if failed := copy.pytest(tests, new_database=True, timeout=3600):
                sys.exit(f"{failed} fails without any fault:\n{copy.output.read_text()[-3000:]}")
            for fault in faults:
                began = time.monotonic()
                noticed_by = copy.try_fault(fault)
                unnoticed += noticed_by is None
                word = "noticed " if noticed_by else "SURVIVED"
                seconds = time.monotonic() - began
                print(f"{word} {seconds:4.0f} s  {fault.name:58} {noticed_by or ''}", flush=True)
        finally:
            embedded_postgres.stop(copy.tree / "var" / "postgres")
    print(f"{len(faults) - unnoticed} of {len(faults)} faults noticed")
    return 1 if unnoticed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
