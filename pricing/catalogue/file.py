"""Reading a catalogue file: from TOML to a validated `schema.Catalogue`, or a list of errors.

Invariant: a file with any error is not loaded; every error names the file, the line where possible, the
entry, the field, the value and what was expected. Numbers are read as Decimals.
"""

import hashlib
import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from pricing.catalogue import policies, schema
from pricing.catalogue.references import findings

DIRECTORY = Path(__file__).parents[1] / "catalogues"
_HEADER = re.compile(r"^\s*(\[\[?)\s*([\w.-]+)\s*\]\]?")


class CatalogueInvalid(Exception):
    """The file cannot be loaded. `problems`: one sentence for each error."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


@dataclass(frozen=True, slots=True)
class CatalogueFile:
    """A validated file: its content and the SHA-256 of the content."""

    path: Path
    catalogue: schema.Catalogue
    fingerprint: str


def find(name_or_path: str) -> Path:
    """The path of a catalogue given by the name of one of ours, or by a path. Raises CatalogueInvalid."""
    path = Path(name_or_path)
    if path.suffix != ".toml":
        path = DIRECTORY / f"{name_or_path}.toml"
    if not path.is_file():
        shipped = ", ".join(sorted(path.stem for path in DIRECTORY.glob("*.toml")))
        raise CatalogueInvalid(
            [f"There is no catalogue {name_or_path!r}. Name one of {shipped}, or the path of a .toml file."]
        )
    return path


def read(name_or_path: str) -> CatalogueFile:
    """Read and validate a catalogue. Raises CatalogueInvalid with all errors."""
    path = find(name_or_path)
    try:
        text = path.read_bytes().decode()
    except UnicodeDecodeError as error:
        raise CatalogueInvalid([f"{path.name}: this is not TOML: {error}"]) from error
    catalogue = parse(text, path.name)
    # A hash of the parsed content, not of the bytes: a comment is no change, a newly supported field is.
    fingerprint = hashlib.sha256(catalogue.model_dump_json().encode()).hexdigest()
    return CatalogueFile(path, catalogue, fingerprint)


def parse(text: str, name: str) -> schema.Catalogue:
    """Validate a catalogue's text; errors call it by the name. Raises CatalogueInvalid with all errors."""
    try:
        table = tomllib.loads(text, parse_float=Decimal)
    except tomllib.TOMLDecodeError as error:
        raise CatalogueInvalid([f"{name}: this is not TOML: {error}"]) from error
    try:
        catalogue = schema.Catalogue.model_validate(table)
    except ValidationError as error:
        problems = [
            _sentence(name, text, table, tuple(detail["loc"]), detail["input"], schema.expected(detail))
            for detail in error.errors(include_url=False)
        ]
        raise CatalogueInvalid(problems) from error
    wrong = findings(catalogue)
    if wrong:
        raise CatalogueInvalid(
            [_sentence(name, text, table, found.path, found.value, found.expected) for found in wrong]
        )
    return catalogue


def assumptions(catalogue: schema.Catalogue) -> list[tuple[str, str]]:
    """Every assumed figure of the catalogue (not given by the product's pages): (entry, reason)."""
    return list(_assumed(catalogue, ""))


def _assumed(node: Any, at: str) -> Iterator[tuple[str, str]]:
    if isinstance(node, policies.Assumable) and node.assumed:
        yield at, node.reason
    if isinstance(node, BaseModel):
        for name in type(node).model_fields:
            yield from _assumed(getattr(node, name), f"{at}.{name}".lstrip("."))
    elif isinstance(node, list):
        for number, entry in enumerate(node):
            key = getattr(entry, "key", None) or getattr(entry, "code", None) or number
            yield from _assumed(entry, f"{at}[{key}]")
    elif isinstance(node, dict):
        for key, entry in node.items():
            yield from _assumed(entry, f"{at}.{key}")


def _sentence(
    name: str, text: str, table: dict[str, Any], at: tuple[str | int, ...], value: object, expected: str
) -> str:
    number = line_of(text, at)
    shown = value if isinstance(value, str | int | Decimal | bool) else None
    got = ":" if shown is None else f" is {str(shown)[:80]!r};"
    return f"{name}:{number}: {_entry(table, at)}{got} expected {expected}"


def _entry(table: dict[str, Any], at: tuple[str | int, ...]) -> str:
    """The path in readable form: services[claude-sonnet-4].rate.lines[0].credits."""
    name = ""
    node: Any = table
    for part in at:
        try:
            node = node[part]
        except (KeyError, IndexError, TypeError):
            node = None
        if isinstance(part, int):
            key = node.get("key", node.get("code", part)) if isinstance(node, dict) else part
            name += f"[{key}]"
        else:
            name += f".{part}" if name else part
    return name or "the file"


def line_of(text: str, at: tuple[str | int, ...]) -> int:
    """The line (from 1) of an entry of a TOML text, as near as its headers and keys allow."""
    lines = text.splitlines()
    first, last = 0, len(lines)
    dotted = ""
    rest = list(at)
    while rest and isinstance(rest[0], str):
        name = f"{dotted}.{rest[0]}".lstrip(".")
        number = rest[1] if len(rest) > 1 and isinstance(rest[1], int) else 0
        begin = _nth_header(lines, first, last, name, number)
        if begin is None and any(_is_below(line, name) for line in lines[first:last]):
            dotted, rest = name, rest[1:]  # [translations.zh-hans] without [translations]
            continue
        if begin is None:
            break
        first, last, dotted = begin, _end_of_entry(lines, begin + 1, last, name), name
        rest = rest[2:] if len(rest) > 1 and isinstance(rest[1], int) else rest[1:]
    for part in reversed([part for part in rest if isinstance(part, str)]):
        key = re.compile(rf'(^|[\s{{,."]){re.escape(part)}"?\s*=')
        for number in range(first, last):
            if key.search(lines[number]):
                return number + 1
    return first + 1


def _is_below(line: str, name: str) -> bool:
    header = _HEADER.match(line)
    return header is not None and header[2].startswith(f"{name}.")


def _nth_header(lines: list[str], first: int, last: int, name: str, number: int) -> int | None:
    for position in range(first, last):
        header = _HEADER.match(lines[position])
        if header and header[2] == name:
            if number == 0:
                return position
            number -= 1
    return None


def _end_of_entry(lines: list[str], first: int, last: int, name: str) -> int:
    for position in range(first, last):
        header = _HEADER.match(lines[position])
        if header and not header[2].startswith(f"{name}."):
            return position
    return last
