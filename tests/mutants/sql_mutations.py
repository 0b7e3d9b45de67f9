"""Mutations of the ledger's SQL: comparison, sign, condition, statement, order and bound.

Invariant: comments and texts in quotes are not mutated. A mutation that PostgreSQL does not accept is
discarded when it is installed.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass

from tests.mutants.mutation import Mutation, changed_lines

_FUNCTION = re.compile(r"create\s+(?:or\s+replace\s+)?function\s+(\w+)", re.IGNORECASE)
_QUOTED = re.compile(r"--[^\n]*|/\*.*?\*/|'(?:[^']|'')*'", re.DOTALL)
_WORDS = r"(?<![\w.]){}(?![\w.(])"
_CALLS = r"(?<![\w.]){}(?=\()"
_SIGNATURE = ("create ", "returns ", "language ", "cost ", "p_", "declare ")
_Replacement = str | Callable[[re.Match[str]], str]

# Name of the operator, what it matches, what it puts there.
_OPERATORS: tuple[tuple[str, str, _Replacement], ...] = (
    ("comparison", r"(?<![<>=:!-])<(?![<>=-])", "<="),
    ("comparison", r"(?<![<>=:!-])<=(?!>)", "<"),
    ("comparison", r"(?<![<>=:!-])>(?![<>=])", ">="),
    ("comparison", r"(?<![<>=:!-])>=", ">"),
    ("comparison", r"(?<=\s)=(?=\s)", "<>"),
    ("comparison", r"<>", "="),
    ("comparison", r"\bis null\b", "is not null"),
    ("comparison", r"\bis not null\b", "is null"),
    ("comparison", r"\bis distinct from\b", "is not distinct from"),
    ("comparison", r"\bis not distinct from\b", "is distinct from"),
    ("sign", r"(?<=\s)\+(?=\s)", "-"),
    ("sign", r"(?<=\s)-(?=\s)", "+"),
    ("sign", r"(?<=\s)\*(?=\s)", "/"),
    ("condition", r"(?<=\s)and(?=\s)", "or"),
    ("condition", r"(?<=\s)or(?=\s)(?!\s+replace)", "and"),
    ("condition", r"\bnot\s+(?!null|exists|distinct|in\b|valid|deferrable)", ""),
    ("condition", r"\bnot exists\b", "exists"),
    ("condition", r"(?<!not )(?<!if )\bexists\b", "not exists"),
    ("condition", r"\bif\s[^;]*?\bthen\b", "if false then"),
    ("condition", r"\bif\s[^;]*?\bthen\b", "if true then"),
    ("condition", r"\n[ \t]*and [^\n;]*(?=\n)", ""),
    ("statement", r"(?<=\n)[ \t]*(?:perform|update|insert|delete|raise)\b[^;]*;", ""),
    ("statement", r"(?<=\n)[ \t]*[a-z_][\w.]* := [^;]*;", ""),
    ("statement", r"\bfor (?:no key )?update\b", ""),
    ("order", r"(?<=order by )([\w.]+)(?=[\s,)])", r"\1 desc"),
    ("order", r"\bdesc\b", "asc"),
    ("order", r"(?<=order by )([\w.]+), ([\w.]+)", r"\2, \1"),
    ("bound", _CALLS.format("greatest"), "least"),
    ("bound", _CALLS.format("least"), "greatest"),
    ("bound", _CALLS.format("min"), "max"),
    ("bound", _CALLS.format("max"), "min"),
    ("bound", _CALLS.format("floor"), "ceil"),
    ("bound", _CALLS.format("ceil"), "floor"),
    (
        "bound",
        r"(?<!numeric\()(?<!numeric\(20,)(?<![\w.$])(\d+)(?![\w.])",
        lambda match: str(int(match[1]) + 1),
    ),
    ("bound", _WORDS.format("true"), "false"),
    ("bound", _WORDS.format("false"), "true"),
)


@dataclass(frozen=True)
class Place:
    """A place of a file where an operator applies, inside an SQL function."""

    operator: str
    start: int
    end: int
    new: str
    function: str


def places(text: str) -> list[Place]:
    """Every place of a file where an operator applies."""
    code = _QUOTED.sub(lambda match: re.sub(r"[^\n]", "\x00", match[0]), text)
    functions = [(match.start(), match[1]) for match in _FUNCTION.finditer(code)]
    found = []
    for operator, pattern, replacement in _OPERATORS:
        for match in re.finditer(pattern, code):
            function = next((name for start, name in reversed(functions) if start < match.start()), "")
            if function:
                new = replacement(match) if callable(replacement) else match.expand(replacement)
                found.append(Place(operator, match.start(), match.end(), new, function))
    return found


def mutate(file: str, text: str, place: Place) -> Mutation | None:
    """The mutation of a place. None when it is in the signature of a function."""
    mutated = text[: place.start] + place.new + text[place.end :]
    line, before, after = changed_lines(text, mutated)
    if mutated == text or before.startswith(_SIGNATURE):
        return None
    return Mutation(
        file=file,
        operator=place.operator,
        line=line,
        before=before,
        after=after,
        text=mutated,
        function=place.function,
    )
