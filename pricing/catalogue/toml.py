"""Writing the tables of a catalogue as TOML (Python reads TOML and does not write it).

Invariant: `tomllib.loads(text, parse_float=Decimal)` of the text gives the same tables. https://toml.io/en/v1.0.0
"""

import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+", re.ASCII)
# Written on the line of their key; other tables get a header.
_INLINE = frozenset(
    {"rate", "prices", "lines", "bands", "multipliers", "payment_methods", "payment_methods_in", "providers"}
)


def dumps(table: Mapping[str, Any]) -> str:
    """The table as TOML, its entries in their order."""
    return "\n".join(_section("", table)).strip() + "\n"


def _section(path: str, table: Mapping[str, Any]) -> list[str]:
    """The lines of a table: first its values, then the tables in it."""
    lines, tables = [], []
    for key, value in table.items():
        name = f"{path}.{_key(key)}" if path else _key(key)
        if isinstance(value, Mapping) and key not in _INLINE:
            tables += ["", f"[{name}]", *_section(name, value)]
        elif isinstance(value, list) and value and isinstance(value[0], Mapping) and key not in _INLINE:
            for entry in value:
                tables += ["", f"[[{name}]]", *_section(name, entry)]
        else:
            lines.append(f"{_key(key)} = {_value(value)}")
    return lines + tables


def _key(name: str) -> str:
    return name if _BARE_KEY.fullmatch(name) else _text(name)


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | Decimal):
        return str(value)
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
    if isinstance(value, list | tuple):
        return f"[{', '.join(_value(one) for one in value)}]"
    if isinstance(value, Mapping):
        return f"{{ {', '.join(f'{_key(key)} = {_value(one)}' for key, one in value.items())} }}"
    return _text(value)


def _text(text: str) -> str:
    """A basic string: JSON's escapes are among TOML's, which also wants DEL escaped."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007F")
