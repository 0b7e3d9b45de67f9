"""A copy of the tree with a database of its own, in which tests are run against a mutation.

Invariant: after a run the copy's files and the functions of its database are the originals again.
"""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import psycopg

from config.supervisor import embedded_postgres
from tests.mutants.client import Server
from tests.mutants.mutation import SQL

BASE_DIR = Path(__file__).resolve().parents[2]
IGNORED = shutil.ignore_patterns(".git", ".venv", "var", "__pycache__", ".*_cache", "node_modules")
ONE_TEST = "tests/billing/test_offers.py"  # creates the database


class Copy:
    """A copy of the tree in `directory`."""

    def __init__(self, directory: Path) -> None:
        self.tree = directory / "tree"
        self.output = directory / "output"
        self._server: Server | None = None
        shutil.copytree(BASE_DIR, self.tree, ignore=IGNORED)

    def prepare(self) -> None:
        """Create the database and compile the Python files, so that later runs start quickly."""
        subprocess.run([sys.executable, "-m", "compileall", "-q", "."], cwd=self.tree, check=False)
        if failed := self.pytest([ONE_TEST], new_database=True):
            sys.exit(f"{failed} fails without any mutation:\n{self.output.read_text()[-3000:]}")

    def serve(self, tests: Sequence[str], *, new_database: bool = False) -> None:
        """Start a process that has collected the tests, or start it again."""
        if self._server is not None:
            self._server.stop()
        self._server = Server(
            self._command(tests, *(["--create-db"] if new_database else [])),
            tree=self.tree,
            environment=self._environment({}),
            output=self.output.with_suffix(".server").open("wb"),
        )
        self._served = tests

    def stop(self) -> None:
        """Stop the copy's processes."""
        if self._server is not None:
            self._server.stop()
        embedded_postgres.stop(self._server_directory)

    @property
    def _server_directory(self) -> Path:
        return self.tree / "var" / "postgres"

    def pytest(
        self,
        tests: Sequence[str],
        *,
        new_database: bool = False,
        seconds: float = 600,
        options: Sequence[str] = ("-x",),
        environment: Mapping[str, str] | None = None,
    ) -> str | None:
        """Run the tests. Returns None when all pass, else the first test that failed or another reason."""
        command = self._command(tests, *(["--create-db"] if new_database else []), *options)
        with self.output.open("wb") as output:
            try:
                done = subprocess.run(
                    command, cwd=self.tree, env=self._environment(environment or {}), stdout=output,
                    stderr=output, timeout=seconds, check=False,
                )  # fmt: skip
            except subprocess.TimeoutExpired:
                return "timeout"
        if done.returncode == 0:
            return None
        lines = self.output.read_text(errors="replace").splitlines()
        failed = [line.split()[1] for line in lines if line.startswith(("FAILED ", "ERROR "))]
        return failed[0] if failed else f"pytest ended with {done.returncode}"

    def _command(self, tests: Sequence[str], *options: str) -> list[str]:
        arguments = self.output.with_suffix(".args")
        arguments.write_text("\n".join(tests))
        return [
            sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:randomly", "-rfE",
            "--hypothesis-seed=0", "--reuse-db", *options, f"@{arguments}",
        ]  # fmt: skip

    def _environment(self, more: Mapping[str, str]) -> dict[str, str]:
        """`DATE` has a default, so that the verdict on a mutation is the same in every run."""
        environment = os.environ | {
            "REFILL_VAR": str(self.tree / "var"),
            "PYTHONDONTWRITEBYTECODE": "1",
            "DATE": os.environ.get("DATE") or "2027-06-16",
        }
        for name in ("DATABASE_URL", "DJANGO_SETTINGS_MODULE"):  # importing config has set them
            environment.pop(name, None)
        return {**environment, **more}

    def install_sql(self) -> str | None:
        """Install the SQL of the copy. Returns the first line of the database's error, or None."""
        with self.connect() as connection:
            try:
                for file in sorted((self.tree / SQL).glob("*.sql")):
                    connection.execute(file.read_bytes())
            except psycopg.Error as error:
                return str(error).splitlines()[0]
        return None

    def connect(self) -> psycopg.Connection:
        """A connection to the copy's test database."""
        server = embedded_postgres.ensure(self._server_directory)
        return psycopg.connect(host=server["HOST"], user=server["USER"], dbname="test_refill")

    def try_files(
        self,
        changed: Mapping[str, str],
        tests: Sequence[str],
        *,
        seconds: float,
        each: Mapping[str, float] | None = None,
        functions: bool = False,
    ) -> "Verdict":
        """Run the tests with other texts of some files; `functions`: with other functions only.

        The process of `serve` runs the latter, if there is one, which takes a part of the time. `seconds`
        limits all tests; in that process `each` limits those that it names.
        """
        originals = {file: self.tree / file for file in changed}
        kept = {file: (path.read_text(), path.stat()) for file, path in originals.items()}
        in_sql = any(file.startswith(SQL) for file in changed)
        began = time.monotonic()
        try:
            for file, text in changed.items():
                originals[file].write_text(text)
            if in_sql and (error := self.install_sql()):
                return Verdict(invalid=error)
            if functions and self._server is not None:
                verdict = self._ask(self._server, tests, changed, kept, (seconds, each or {}))
            else:
                verdict = self._verdict(tests, seconds)
            return replace(verdict, seconds=time.monotonic() - began)
        finally:
            for file, (text, stat) in kept.items():
                originals[file].write_text(text)
                times = (stat.st_atime_ns, stat.st_mtime_ns)
                os.utime(originals[file], ns=times)  # so that its bytecode is valid again
            if in_sql:
                self.install_sql()

    def _ask(
        self,
        server: Server,
        tests: Sequence[str],
        changed: Mapping[str, str],
        kept: Mapping[str, tuple[str, os.stat_result]],
        limits: tuple[float, Mapping[str, float]],
    ) -> "Verdict":
        texts = {
            str(self.tree / file): (kept[file][0], text)
            for file, text in changed.items()
            if file.endswith(".py")
        }
        reply = server.run(tests, functions=texts, seconds=limits[0], each=limits[1])
        if reply.get("lost"):  # its tests have left rows in the database
            self.serve(self._served, new_database=True)
        elif not reply["possible"]:
            return self._verdict(tests, limits[0])
        test = reply["killed_by"]
        return Verdict(killed_by=test, limit=limits[1].get(test, limits[0]) if reply["limit"] else 0)

    def _verdict(self, tests: Sequence[str], seconds: float) -> "Verdict":
        failed = self.pytest(tests, seconds=seconds)
        return Verdict(killed_by=failed, limit=seconds if failed == "timeout" else 0)


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What became of a mutation: `killed_by` a test, `invalid` for the database, or neither: it survived.

    `limit`: the seconds after which the test was stopped; 0: it failed.
    """

    killed_by: str | None = None
    limit: float = 0.0
    invalid: str | None = None
    seconds: float = 0.0

    @property
    def survived(self) -> bool:
        return self.killed_by is None and self.invalid is None
