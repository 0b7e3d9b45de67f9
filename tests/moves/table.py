"""A table of moves by circumstances: expected outcomes in TOML files, and the check that no cell is missing.

A file has one TOML table for each circumstance. `about` describes the circumstance in a sentence; every other
key names one move or several ("charge, batch"), and its value is their outcome, in a notation of the table's
own. A value that begins with "- " is a sentence that says why the move cannot occur in this circumstance.
"""

import tomllib
from collections.abc import Collection
from pathlib import Path

CANNOT_OCCUR = "- "
Outcomes = dict[str, dict[str, str]]


def read(directory: Path) -> Outcomes:
    """The outcomes by circumstance and move. Raises ValueError for a cell that is there twice."""
    outcomes: Outcomes = {}
    for path in sorted(directory.glob("*.toml")):
        for circumstance, row in tomllib.loads(path.read_text()).items():
            for names, outcome in row.items():
                for name in names.split(", "):
                    cells_of_row = outcomes.setdefault(circumstance, {})
                    if name in cells_of_row:
                        raise ValueError(f"{path.name}: {circumstance}: {name} is there twice")
                    cells_of_row[name] = outcome
    return outcomes


def occurs(row: dict[str, str], move: str) -> bool:
    """Whether the move can occur in the row's circumstance; a missing cell is found by `gaps`."""
    return not row.get(move, CANNOT_OCCUR).startswith(CANNOT_OCCUR)


def gaps(outcomes: Outcomes, *, moves: Collection[str], circumstances: Collection[str]) -> list[str]:
    """Cells without an outcome or a reason, outcomes of no cell, and reasons that are no sentence."""
    found = []
    for circumstance in [*circumstances, *(set(outcomes) - set(circumstances))]:
        row = outcomes.get(circumstance, {})
        if circumstance not in circumstances:
            found.append(f"{circumstance}: there is no such circumstance")
        found += [f"{circumstance}: {name} is missing" for name in ("about", *moves) if not row.get(name)]
        found += [f"{circumstance}: there is no move {name}" for name in set(row) - {"about", *moves}]
        for name, text in row.items():
            if text.startswith(CANNOT_OCCUR) and not (len(text.split()) > 4 and text.endswith(".")):
                found.append(f"{circumstance}: {name}: the reason is not a sentence")
    return found
