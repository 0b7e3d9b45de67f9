"""The table of the moves of money: read from the TOML files beside this module, and checked for gaps.

A TOML table for each move. A key names a circumstance, or several with the same outcome, separated by commas;
its value is the outcome (the notation is in outcome.py), or "- " and the sentence why it cannot occur.
"""

import tomllib
from collections.abc import Collection
from pathlib import Path

CANNOT_OCCUR = "- "
Table = dict[str, dict[str, str]]  # outcomes by move and circumstance


def read() -> tuple[Table, list[str]]:
    """The table, and what is wrong with the files: a name twice, a gap in a value."""
    table: Table = {}
    faults: list[str] = []
    for path in sorted(Path(__file__).parent.glob("*.toml")):
        for move, rows in tomllib.loads(path.read_text()).items():
            if move in table:
                faults.append(f"{move}: there twice")
            cells = table.setdefault(move, {})
            for names, outcome in rows.items():
                if names == "about":
                    continue
                for name in names.split(", "):
                    if name in cells:
                        faults.append(f"{move}, {name}: there twice")
                    cells[name] = outcome
                    if not _is_complete(outcome):
                        faults.append(f"{move}, {name}: no complete outcome and no sentence: {outcome!r}")
            if not str(rows.get("about", "")).endswith("."):
                faults.append(f"{move}: not described")
    return table, faults


def gaps(table: Table, *, moves: Collection[str], circumstances: Collection[str]) -> list[str]:
    """Cells that the table lacks, and cells of moves or circumstances that do not exist."""
    due = {(move, circumstance) for move in moves for circumstance in circumstances}
    there = {(move, circumstance) for move, row in table.items() for circumstance in row}
    return sorted(
        [f"{move}, {name}: missing" for move, name in due - there]
        + [f"{move}, {name}: unknown" for move, name in there - due]
    )


def _is_complete(outcome: str) -> bool:
    if outcome.startswith(CANNOT_OCCUR):
        return len(outcome) > 20 and outcome.endswith(".")
    parts = outcome.split(" | ")
    if len(parts) == 7 and parts[6].startswith("refused: "):
        parts.pop()
    return len(parts) == 6 and all(part.strip() for part in parts)
