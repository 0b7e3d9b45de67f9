"""A trace of real model calls, read from a file: when, how many tokens in, how many out.

Invariant: a row is a call with whole, non-negative token counts, or the file is refused with its line; row
numbers are stable, so that a call's number can stand in its idempotency key.
The columns are those of the Azure LLM inference traces: TIMESTAMP, ContextTokens, GeneratedTokens.
"""

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

SLICE = Path(__file__).parents[1] / "data" / "azure_llm_trace_slice.csv"
COLUMNS = ("TIMESTAMP", "ContextTokens", "GeneratedTokens")


class TraceInvalid(Exception):
    """The file is no trace; the message names the line and what is wrong with it."""


@dataclass(frozen=True, slots=True)
class Call:
    """One call of a model. `row` counts from 1, the header not counted."""

    row: int
    at: datetime
    input_tokens: int
    output_tokens: int


def read(path: Path, limit: int | None = None) -> Iterator[Call]:
    """The calls of the file, in its order, at most `limit`. Raises TraceInvalid."""
    with path.open(newline="", encoding="utf-8-sig") as file:
        rows = csv.DictReader(file)
        missing = [column for column in COLUMNS if column not in (rows.fieldnames or ())]
        if missing:
            raise TraceInvalid(f"{path} has no column {', '.join(missing)}; it needs {', '.join(COLUMNS)}.")
        for number, row in enumerate(rows, start=1):
            if limit is not None and number > limit:
                return
            try:
                yield _call(number, row)
            except (ValueError, TypeError) as error:
                raise TraceInvalid(f"{path}, line {rows.line_num}: {error}") from None


def _call(number: int, row: dict[str, str]) -> Call:
    # Seven digits behind the second, one more than Python keeps.
    at = datetime.fromisoformat(row["TIMESTAMP"][:26]).replace(tzinfo=UTC)
    return Call(number, at, _count(row, "ContextTokens"), _count(row, "GeneratedTokens"))


def _count(row: dict[str, str], column: str) -> int:
    text = row[column] or ""  # None where the row is too short
    if not (text.isascii() and text.isdigit()):
        raise ValueError(f"{column} is {text!r}, not a whole number of tokens")
    return int(text)
