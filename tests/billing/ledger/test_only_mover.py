"""Only `billing.ledger` writes the ledger's tables; other packages read them."""

import ast
from pathlib import Path

import pytest

TOP = Path(__file__).resolve().parents[3]
TABLES = {"Wallet", "Grant", "Entry", "Charge", "Hold", "Allowance", "Limit", "Correction"}
WRITES = {
    "create", "bulk_create", "bulk_update", "update", "delete", "get_or_create", "update_or_create", "save",
}  # fmt: skip


def sources() -> list[Path]:
    packages = ("accounts", "billing", "config", "core", "pricing", "usage")
    files = [file for package in packages for file in (TOP / package).rglob("*.py")]
    return [
        file
        for file in files
        if "migrations" not in file.parts and TOP / "billing/ledger" not in file.parents
    ]


def written_table(call: ast.Call) -> str | None:
    """Return the ledger's table at the root of `Table.objects.filter(…).update(…)`, or None."""
    if not isinstance(call.func, ast.Attribute) or call.func.attr not in WRITES:
        return None
    node: ast.expr = call.func
    while isinstance(node, ast.Attribute | ast.Call):
        node = node.func if isinstance(node, ast.Call) else node.value
    return node.id if isinstance(node, ast.Name) and node.id in TABLES else None


def writes_in(source: str) -> list[str]:
    calls = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call)]
    return [f"line {call.lineno}: {written_table(call)}" for call in calls if written_table(call)]


def test_a_write_would_be_noticed():
    assert writes_in("Grant.objects.filter(id=1).update(remaining=2)") == ["line 1: Grant"]
    assert writes_in("Wallet(balance=1).save()") == ["line 1: Wallet"]
    assert writes_in("Grant.objects.filter(id=1).count()") == []


@pytest.mark.requirement("APIN-11")
def test_nothing_but_the_ledger_writes_its_tables():
    found = {str(file.relative_to(TOP)): writes_in(file.read_text()) for file in sources()}
    assert {name: lines for name, lines in found.items() if lines} == {}
