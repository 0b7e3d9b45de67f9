"""The messages of the code: what Python modules and templates give to gettext, in the order of the files.

Invariant: the result is that of `manage.py makemessages`, without GNU gettext, which a bare machine lacks.
"""

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from django.utils.translation.template import templatize

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ["accounts", "billing", "config", "core", "pricing", "sandbox", "usage"]

# Names of the functions of gettext, and which of their arguments are read.
ARGUMENTS = {
    "_": ("singular",),
    "gettext": ("singular",),
    "gettext_lazy": ("singular",),
    "gettext_noop": ("singular",),
    "ngettext": ("singular", "plural"),
    "ngettext_lazy": ("singular", "plural"),
    "pgettext": ("context", "singular"),
    "pgettext_lazy": ("context", "singular"),
    "npgettext": ("context", "singular", "plural"),
    "npgettext_lazy": ("context", "singular", "plural"),
}

# `templatize` replaces everything but calls of gettext by letters, so its output is not Python.
_LITERAL = r"""u?(?:'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")"""
_CALL = re.compile(rf"(?<!\w)(?:_|n?p?gettext)\({_LITERAL}(?:, ?{_LITERAL})*(?:, ?count)?\)", re.DOTALL)


class Message(NamedTuple):
    singular: str
    plural: str
    context: str
    path: str  # of the file, below the root


def messages(root: Path = ROOT) -> Iterator[Message]:
    """Every message of the packages and templates; one used in several places is repeated.

    Raises SyntaxError for a message that is put together at run time, which has no translation.
    """
    for package in PACKAGES:
        for path in sorted((root / package).rglob("*.py")):
            source = path.read_text()
            if "gettext" in source:
                yield from in_python(source, path.relative_to(root).as_posix())
    for path in sorted((root / "templates").rglob("*")):
        if path.suffix in {".html", ".txt", ".svg"}:
            yield from in_template(path.read_text(), path.relative_to(root).as_posix())


def in_python(source: str, path: str) -> Iterator[Message]:
    """The messages of a module, in the order of the text."""
    calls = [node for node in ast.walk(ast.parse(source, path)) if isinstance(node, ast.Call)]
    for call in sorted(calls, key=lambda call: (call.lineno, call.col_offset)):
        message = _of_call(call, path)
        if message is not None:
            yield message


def in_template(source: str, path: str) -> Iterator[Message]:
    """The messages of a template, in the order of the text."""
    for call in _CALL.findall(templatize(source, path)):
        yield from in_python(call, path)


def _of_call(call: ast.Call, path: str) -> Message | None:
    name = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
    texts = {"singular": "", "plural": "", "context": ""}
    for argument, node in zip(ARGUMENTS.get(name, ()), call.args, strict=False):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            texts[argument] = node.value
        elif isinstance(node, ast.JoinedStr | ast.BinOp):
            raise SyntaxError(f"{path}:{node.lineno}: a message is one literal text, with placeholders")
    return Message(path=path, **texts) if texts["singular"] else None
