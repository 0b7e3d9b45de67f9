"""The dimensions of sums, and the value of each as text."""

from typing import Any

# key of the dimension -> column of Charge; "" sums all charges of a day
DIMENSIONS = {
    "service": "service",
    "project": "project_id",
    "conversation": "conversation",
    "member": "member_id",
    "api_key": "api_key_id",
}
UUIDS = frozenset({"project", "member", "api_key"})
BY_COLUMN = {column: dimension for dimension, column in DIMENSIONS.items()}


def expression(dimension: str) -> str:
    """The value of a dimension in SQL, for a charge `c`: text, empty where the charge has none."""
    if not dimension:
        return "''"
    column = f"c.{DIMENSIONS[dimension]}"
    return f"coalesce({column}::text, '')" if dimension in UUIDS else column


def text_of(value: Any) -> str:
    """A column's value as the sums store it."""
    return "" if value is None else str(value)
