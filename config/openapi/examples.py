"""Examples of the OpenAPI document, as tests/config/openapi/test_examples.py records them from the API."""

import json
from functools import cache
from pathlib import Path
from typing import Any

FILE = Path(__file__).with_suffix(".json")


def of(operation_id: str) -> dict[str, Any]:
    """The recorded examples of an operation, by status: its `request` and `response`."""
    examples: dict[str, Any] = _recorded().get(operation_id, {})
    return examples


@cache
def _recorded() -> dict[str, Any]:
    recorded: dict[str, Any] = json.loads(FILE.read_text()) if FILE.exists() else {}
    return recorded
