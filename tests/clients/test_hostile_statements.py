"""Any file gives a status and a plain message, and only what was signed is verified."""

import copy
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from clients import verify_statement
from clients.verify_statement import DIFFERS, PENDING, UNREADABLE, VERIFIED
from tests.clients.test_verify_statement import PROGRAM, at, statement  # noqa: F401

pytestmark = pytest.mark.usefixtures("clock")

VALUES = [
    10**400, -1, 1.5, 1e300, float("nan"), float("inf"), True, False, None, "", "NaN", "1e5", "\ud800",
    "\x1b[2J\nVERIFIED", "９" * 6, "0" * 64, "z" * 64, [], {}, [[]], {"seq": 1}, "x" * 10_000,
]  # fmt: skip


def outcome(text: str, file: Path, *arguments: str) -> int:
    file.write_text(text, encoding="utf-8", errors="surrogatepass")
    return verify_statement.main([str(file), *arguments])


def paths(value: Any, path: str = "") -> list[str]:
    """The places of all values of a document; of long lists the first three."""
    inner = (
        value.items() if isinstance(value, dict) else enumerate(value[:3]) if isinstance(value, list) else ()
    )
    return [place for name, one in inner for place in (f"{path}{name}", *paths(one, f"{path}{name}/"))]


def test_every_value_replaced_by_any_other_is_refused_with_a_plain_message(
    statement: Any,  # noqa: F811
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    tried = 0
    for path in paths(statement):
        *parents, name = path.split("/")
        for value in VALUES:
            forged = copy.deepcopy(statement)
            owner = at(forged, "/".join(parents)) if parents else forged
            owner[int(name) if isinstance(owner, list) else name] = value
            if forged == statement or path in ("zone", "archived"):  # for readers, not signed
                continue
            status = outcome(
                json.dumps(forged), tmp_path / "statement.json", "--account", statement["account"]
            )
            said = capsys.readouterr().out
            expected = {DIFFERS, UNREADABLE, PENDING} if path == "proof" else {DIFFERS, UNREADABLE}
            assert status in expected, (path, value, said)
            assert said.count("\n") == 1 or status == PENDING, said
            assert all(character.isprintable() for character in said if character != "\n")
            tried += 1
    assert tried > 500


def test_a_file_that_programs_read_differently_is_unreadable(statement: Any, tmp_path: Path) -> None:  # noqa: F811
    text, file = json.dumps(statement), tmp_path / "statement.json"
    assert outcome(text, file) == VERIFIED
    assert outcome(text[:-1] + ', "from": ""}', file) == UNREADABLE
    assert outcome(text.replace('"credits":', '"credits": "9.000000", "credits":', 1), file) == UNREADABLE
    assert outcome(text[:-1] + ', "more": NaN}', file) == UNREADABLE


@pytest.mark.parametrize(
    "text", ["[" * 200_000, '{"a":' * 200_000, "9" * 10_000, "\ufeff{}", "\x00", "", "[]", "1", "null"]
)
def test_a_file_that_is_no_statement_is_unreadable(text: str, tmp_path: Path) -> None:
    assert outcome(text, tmp_path / "statement.json") == UNREADABLE
    key = tmp_path / "keys.json"
    key.write_text(text)
    (tmp_path / "empty.json").write_text("{}")
    assert verify_statement.main([str(tmp_path / "empty.json"), "--public-key", str(key)]) == UNREADABLE


def test_a_terminal_without_unicode_shows_the_message(statement: Any, tmp_path: Path) -> None:  # noqa: F811
    file = tmp_path / "statement.json"
    file.write_text(json.dumps(statement | {"account": "赠送\ud800"}))
    command = [sys.executable, "-I", "-S", str(PROGRAM), str(file), "--account", "x"]
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, env={"LC_ALL": "C", "PYTHONUTF8": "0"}
    )
    assert (done.returncode, done.stderr) == (DIFFERS, "")
