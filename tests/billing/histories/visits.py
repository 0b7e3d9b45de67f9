"""How many histories a test runs, and what they led to, in the file that `make histories` names."""

import json
import os
from collections import Counter
from pathlib import Path


def number_of(test: str, *, in_suite: int) -> int:
    """The number of histories of a test file: `in_suite`, or what `make histories` asks for."""
    return int(os.environ.get(f"HISTORIES_{Path(test).name}") or os.environ.get("HISTORIES") or in_suite)


def save(counted: Counter[str]) -> None:
    """Add the counts to the file VISITS; without it, do nothing."""
    if name := os.environ.get("VISITS"):
        path = Path(name)
        before = Counter(json.loads(path.read_text())) if path.exists() else Counter()
        path.write_text(json.dumps(before + counted))
