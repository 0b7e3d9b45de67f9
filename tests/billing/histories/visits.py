"""Counts of what the histories of a run led to, written to the file that `make histories` names."""

import json
import os
from collections import Counter
from pathlib import Path


def save(counted: Counter[str]) -> None:
    """Add the counts to the file VISITS; without it, do nothing."""
    if name := os.environ.get("VISITS"):
        path = Path(name)
        before = Counter(json.loads(path.read_text())) if path.exists() else Counter()
        path.write_text(json.dumps(before + counted))
