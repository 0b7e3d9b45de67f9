"""The code of an earlier release works on the present schema, to which a release only adds (docs/runbook.md).

The release is a commit of this repository. A checkout without its history skips the test.
"""

import io
import json
import os
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from tests.integration.operations.test_preparation import empty_database, prepare
from tests.integration.races.web import ROOT

__all__ = ["empty_database"]

# The state of the code that the last upgrade of installations began with; a release replaces it.
PREVIOUS = "23300a3fcd6bf05b9fc4fc456df1e930d937b0ed"
CALLS = Path(__file__).with_name("calls.py")


@pytest.fixture
def code(tmp_path: Path) -> Path:
    """A directory with the code of the release before."""
    archive = subprocess.run(["git", "archive", PREVIOUS], cwd=ROOT, capture_output=True, check=False)
    if archive.returncode:
        pytest.skip(f"The history of this checkout does not reach back to {PREVIOUS[:8]}.")
    with tarfile.open(fileobj=io.BytesIO(archive.stdout)) as files:
        files.extractall(tmp_path / "before", filter="data")
    return tmp_path / "before"


@pytest.mark.django_db(transaction=True)
@pytest.mark.fault("O9")
def test_the_release_before_charges_and_shows_pages_on_the_present_schema(
    code: Path, empty_database: str, tmp_path: Path
) -> None:
    """Its rows add up for the present code, too."""
    var = tmp_path / "var"
    _out, errors = prepare(empty_database, var).communicate(timeout=300)
    environ = {"PATH": os.environ["PATH"], "HOME": os.environ.get("HOME", "/tmp"), "LOG_LEVEL": "ERROR"}
    environ |= {"DATABASE_URL": empty_database, "REFILL_VAR": str(var), "PYTHONWARNINGS": "ignore"}

    def run(*arguments: str, root: Path) -> "subprocess.CompletedProcess[str]":
        command = [sys.executable, *arguments]
        return subprocess.run(
            command, cwd=root, env=environ, capture_output=True, text=True, timeout=300, check=False
        )

    called = run(str(CALLS), root=code)
    assert called.returncode == 0, (errors, called.stdout, called.stderr)
    result = json.loads(called.stdout.splitlines()[-1])
    refused = {name: status for name, status in result["statuses"].items() if not 200 <= status < 300}
    assert not refused, result
    assert len(result["statuses"]) >= 20
    audit = run("manage.py", "audit_ledger", root=ROOT)
    assert audit.returncode == 0, audit.stdout + audit.stderr
