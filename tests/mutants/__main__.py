"""Do the tests bite? `python -m tests.mutants [word …]`: each fault alone in a copy, and a test must fail.

The copy of the tree has a database of its own, made once; the SQL of each fault is installed into it and
taken out again. The tests that are about the rule are run and the first failure is enough. Prints a table;
exits with 1 when a fault went unnoticed. Words choose the faults in whose names they stand.
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
from tests.mutants import concurrency, money, timing
from tests.mutants.fault import SQL, Fault

FAULTS = [*concurrency.FAULTS, *money.FAULTS, *timing.FAULTS]

BASE_DIR = Path(__file__).resolve().parents[2]
IGNORED = shutil.ignore_patterns(".git", ".venv", "var", "__pycache__", ".*_cache", "node_modules")


class Copy:
    """A copy of the tree in which faults are tried."""

    def __init__(self, directory: Path) -> None:
        self.tree = directory / "tree"
        self.said = directory / "said"
        shutil.copytree(BASE_DIR, self.tree, ignore=IGNORED)

    def pytest(self, tests: list[str], *, new_database: bool = False, patience: int = 400) -> str | None:
        """None when all pass, else the name of the first test that failed (or what else went wrong)."""
        database = "--create-db" if new_database else "--reuse-db"
        options = ["-q", "-x", "-p", "no:cacheprovider", "-p", "no:randomly", "--reuse-db", database, "-rfE"]
        environment = os.environ | {
            "REFILL_VAR": str(self.tree / "var"),
            "PYTHONDONTWRITEBYTECODE": "1",
            "DATE": os.environ.get("DATE")
            or "2027-06-16",  # the verdict on a mutant is the same in every run
        }
        for name in ("DATABASE_URL", "DJANGO_SETTINGS_MODULE"):  # importing config has set the product's own
            environment.pop(name, None)
        with self.said.open("wb") as said:
            command = [sys.executable, "-m", "pytest", *options, *tests]
            try:
                done = subprocess.run(
                    command, cwd=self.tree, env=environment, stdout=said, stderr=said,
                    timeout=patience, check=False,
                )  # fmt: skip
            except subprocess.TimeoutExpired:
                return "it hung"
        if done.returncode == 0:
            return None
        lines = self.said.read_text(errors="replace").splitlines()
        failed = [line.split()[1] for line in lines if line.startswith(("FAILED ", "ERROR "))]
        return failed[0].rpartition("/")[2] if failed else f"pytest ended with {done.returncode}"

    def install_sql(self) -> str | None:
        """The SQL as it stands in the copy; what the database says against it."""
        server = embedded_postgres.ensure(self.tree / "var" / "postgres")
        with psycopg.connect(host=server["HOST"], user=server["USER"], dbname="test_refill") as connection:
            try:
                for file in sorted((self.tree / SQL).glob("*.sql")):
                    connection.execute(file.read_bytes())
            except psycopg.Error as error:
                return str(error).splitlines()[0]
        return None

    def try_fault(self, fault: Fault) -> str | None:
        """What noticed the fault; None when nothing did."""
        originals = {file: (self.tree / file).read_text() for file, _, _ in fault.edits}
        in_sql = any(file.startswith(SQL) for file in originals)
        try:
            for file, before, after in fault.edits:
                text = (self.tree / file).read_text()
                if before not in text:
                    sys.exit(f"{fault.name}: {file} has no {before!r} any more; write the fault anew")
                (self.tree / file).write_text(text.replace(before, after))
            if in_sql and (trouble := self.install_sql()):
                sys.exit(f"{fault.name}: it is no fault but an error: {trouble}")
            return self.pytest(list(fault.tests))
        finally:
            for file, text in originals.items():
                (self.tree / file).write_text(text)
            if in_sql:
                self.install_sql()


def main(words: list[str]) -> int:
    faults = [one for one in FAULTS if not words or any(word in one.name for word in words)]
    unnoticed = 0
    with tempfile.TemporaryDirectory(prefix="refill-mutants-", ignore_cleanup_errors=True) as directory:
        copy = Copy(Path(directory).resolve())
        tests = sorted({test for one in faults for test in one.tests})
        try:
            if failed := copy.pytest(tests, new_database=True, patience=3600):
                sys.exit(
                    f"{failed} fails without any fault; mend that first:\n{copy.said.read_text()[-3000:]}"
                )
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
