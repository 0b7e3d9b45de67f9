"""The program fails on any changed figure, removed or moved line, and on another account's statement."""

import copy
import hashlib
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.db import connection

from accounts.models import Account, User
from clients import verify_statement
from clients.verify_statement import (
    DIFFERS,
    PENDING,
    UNREADABLE,
    VERIFIED,
    Differs,
    Unreadable,
    decoded,
    key_id,
    payload,
    verify,
)
from tests.usage.history.test_statements import DAY, START, checkpoint, document
from tests.usage.spending import give, spend

pytestmark = pytest.mark.usefixtures("clock")
PROGRAM = Path(verify_statement.__file__)


@pytest.fixture
def statement(alice: User, bob: User, account_of: Callable[[User], Account], clock: Any) -> Any:
    """Alice's second day of three, with a grant, charges, a debt and texts; bob has moved too."""
    account = account_of(alice)
    spend(account, "1", START)
    clock.shift(DAY)
    give(account, "50", START + DAY, reason="gift | 赠送 😀", actor="a|b")
    spend(account, "30", START + DAY)
    spend(account, "5", START + DAY)
    clock.shift(DAY)
    spend(account, "2", START + 2 * DAY)
    checkpoint()
    found = document(account, START + DAY, START + 2 * DAY)
    assert verify(found)[0] == VERIFIED
    return found


def refused(statement: Any) -> bool:
    try:
        status, _lines = verify(statement)
    except (Differs, Unreadable, ValueError, KeyError, TypeError, IndexError, AttributeError):
        return True
    return status != VERIFIED


def changed(value: Any) -> list[Any]:
    """Other values of the same kind."""
    if isinstance(value, bool) or value is None:
        return ["0" * 64, "00000000-0000-0000-0000-000000000000"]
    if isinstance(value, int):
        return [value + 1, value - 1]
    if isinstance(value, list):
        return [[*value, 1], value[:-1] if value else [0]]
    last = "1" if value[-1:] != "1" else "2"
    return [value + "0", value[:-1] + last, "", None]


def test_every_changed_field_is_found(statement: Any) -> None:
    """Each field of each entry, of all positions, of the proof and of the checkpoint, in every variant."""
    tried = 0
    owners = [
        *(f"before/{n}" for n in range(len(statement["before"]))),
        *(f"entries/{n}" for n in range(len(statement["entries"]))),
        *(f"after/{n}" for n in range(len(statement["after"]))),
        "opening", "closing", "start", "proof", "proof/head", "proof/checkpoint",
    ]  # fmt: skip
    for path in owners:
        for name, value in at(statement, path).items():
            if isinstance(value, dict):
                continue
            for other in changed(value):
                forged = copy.deepcopy(statement)
                at(forged, path)[name] = other
                if other != value:
                    assert refused(forged), (path, name, other)
                    tried += 1
    assert tried > 300


def at(statement: Any, path: str) -> Any:
    for name in path.split("/"):
        statement = statement[int(name) if name.isdigit() else name]
    return statement


def test_every_removed_doubled_or_moved_line_is_found(statement: Any) -> None:
    sections = ("before", "entries", "after")
    for section in sections:
        for index in range(len(statement[section])):
            forged = copy.deepcopy(statement)
            line = forged[section].pop(index)
            assert refused(forged), (section, index)
            for other in sections:
                for place in range(len(forged[other]) + 1):
                    moved = copy.deepcopy(forged)
                    moved[other].insert(place, line)
                    if moved != statement:
                        assert refused(moved), (section, index, other, place)
            forged[section].insert(index, line)
            forged[section].insert(index, line)
            assert refused(forged), (section, index)


def test_a_line_moved_out_of_the_period_with_its_position_is_found(statement: Any) -> None:
    """The first or last line is presented as one outside the period, and the figures fit."""
    first = copy.deepcopy(statement)
    line = first["entries"].pop(0)
    first["before"].append(line)
    first["opening"] = {"seq": line["seq"], "hash": line["hash"], "balance": line["balance_after"]}
    with pytest.raises(Differs, match="the line before the period"):
        verify(first)

    last = copy.deepcopy(statement)
    last["after"].insert(0, last["entries"].pop())
    line = last["entries"][-1]
    last["closing"] = {"seq": line["seq"], "hash": line["hash"], "balance": line["balance_after"]}
    with pytest.raises(Differs, match="the line after the period"):
        verify(last)


def test_a_recomputed_chain_is_found(statement: Any) -> None:
    """All hashes are computed again after a change: the signed position is then on another chain."""
    forged = copy.deepcopy(statement)
    forged["entries"][1]["reason"] = "another"
    head = bytes.fromhex(forged["start"]["hash"])
    for entry in forged["before"] + forged["entries"] + forged["after"]:
        head = hashlib.sha256(head + payload(forged["account"], entry).encode()).digest()
        entry["hash"] = head.hex()
    for name, line in (("opening", forged["before"][-1]), ("closing", forged["entries"][-1])):
        forged[name]["hash"] = line["hash"]
    with pytest.raises(Differs, match="is not on the chain"):
        verify(forged)


def test_parts_of_another_account_are_found(
    statement: Any, bob: User, account_of: Callable[[User], Account]
) -> None:
    other = document(account_of(bob), START, START + 2 * DAY)
    for name in ("account", "proof", "start", "entries", "closing"):
        assert refused(statement | {name: other[name]}), name
    assert refused(other | {"account": statement["account"]})


def test_a_key_that_is_not_trusted_is_found(statement: Any) -> None:
    other = {key_id(bytes(32)): bytes(32)}
    with pytest.raises(Differs, match="signed with another key"):
        verify(statement, other)
    own = {name: decoded(key) for name, key in statement["keys"].items()}
    assert verify(statement, own)[0] == VERIFIED


def test_the_program_alone_verifies_a_file(statement: Any, tmp_path: Path) -> None:
    """Without site packages and without this repository on the path."""
    file, keys = tmp_path / "statement.json", tmp_path / "keys.json"
    file.write_text(json.dumps(statement))
    ((name, key),) = statement["keys"].items()
    keys.write_text(json.dumps({"keys": [{"key_id": name, "public_key": key}]}))

    def run(*arguments: object) -> tuple[int, str]:
        command = [sys.executable, "-I", "-S", str(PROGRAM), *map(str, arguments)]
        done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
        assert done.stderr == ""
        return done.returncode, done.stdout

    status, text = run(file)
    assert status == VERIFIED and "The key is the one in the file" in text
    assert text.endswith("VERIFIED ONLY WITH THE KEY IN THE FILE\n")
    for trusted in (key, keys):
        status, text = run(file, "--public-key", trusted, "--account", statement["account"])
        assert status == VERIFIED and "The key is the one" not in text and text.endswith("\nVERIFIED\n")

    statement["closing"]["balance"] = "999.000000"
    file.write_text(json.dumps(statement))
    assert run(file) == (DIFFERS, "FAILED: the closing position is not that of the entries.\n")


def test_status_and_text_of_what_cannot_be_verified(
    statement: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "statement.json"

    def status_of(text: str, *arguments: str) -> int:
        file.write_text(text)
        return verify_statement.main([str(file), *arguments])

    assert status_of("no JSON") == status_of("[]") == status_of("{}") == UNREADABLE
    assert status_of(json.dumps(statement), "--public-key", "no key") == UNREADABLE
    assert status_of(json.dumps(statement), "--account", "another") == DIFFERS
    assert status_of(json.dumps(statement | {"proof": None})) == PENDING
    assert verify_statement.main([str(tmp_path / "missing")]) == UNREADABLE
    assert "Traceback" not in capsys.readouterr().out


TEXTS = ["", "|", "a|b", "\\|", "赠送", "😀🏳️‍🌈", "\n\r\t\x01\x7f", "é", "é", " ", "ı" * 500, "0|3|x"]


@pytest.mark.django_db
@pytest.mark.parametrize("text", TEXTS)
def test_the_payload_is_that_of_the_database(account_id: str, text: str) -> None:
    for other in TEXTS[:6]:
        assert_same_payload(account_id, reason=text, actor=other)
        assert_same_payload(account_id, reason=other, actor=text)


@pytest.mark.django_db
@pytest.mark.parametrize("grant", [None, "018f4b1c-0000-7000-8000-000000000001"])
@pytest.mark.parametrize("digest", [None, "ab" * 32])
@pytest.mark.parametrize("credits", ["0.000000", "-0.000001", "99999999999999.999999"])
def test_the_payload_of_empty_and_extreme_fields(
    account_id: str, grant: str | None, digest: str | None, credits: str
) -> None:
    assert_same_payload(account_id, grant=grant, digest=digest, credits=credits, charge=grant, hold=grant)


@pytest.fixture
def account_id(db: None) -> str:
    return "018f4b1c-1111-7000-8000-000000000002"


PAYLOAD = """
select ledger_payload(%(account)s, %(seq)s, %(kind)s, %(grant)s, %(credits)s, %(debt)s, %(grant_after)s,
  %(balance_after)s, %(charge)s, %(hold)s, %(reason)s, %(actor)s, %(created_at)s, decode(%(digest)s, 'hex'))
"""


def assert_same_payload(account: str, **fields: Any) -> None:
    entry = {
        "seq": 2**40, "kind": "charge", "grant": None, "credits": "1.000000", "debt": "0.000000",
        "grant_after": "1.500000", "balance_after": "0.000001", "charge": None, "hold": None, "reason": "",
        "actor": "", "created_at": "2026-11-20T23:59:59.999999Z", "digest": None,
    } | fields  # fmt: skip
    casts = {name: "uuid" for name in ("account", "grant", "charge", "hold")}
    casts |= {name: "numeric" for name in ("credits", "debt", "grant_after", "balance_after")}
    casts |= {"seq": "bigint", "created_at": "timestamptz"}
    statement = PAYLOAD
    for name in ["account", *entry]:
        statement = statement.replace(f"%({name})s", f"%({name})s::{casts.get(name, 'text')}")
    with connection.cursor() as cursor:
        cursor.execute(statement, entry | {"account": account})
        assert cursor.fetchone()[0] == payload(account, entry)
