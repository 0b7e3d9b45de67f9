"""Mutations of Python files: the operators of cosmic-ray, and two more for statements and conditions.

Invariant: an annotation, a docstring, a message or a decorator of a framework is not mutated: no test could
or should notice such a change.
"""

import ast
import re
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import parso
from cosmic_ray.ast import ast_nodes, get_ast
from cosmic_ray.mutating import MutationVisitor
from cosmic_ray.operators.operator import Operator
from cosmic_ray.plugins import get_operator, operator_names

from tests.mutants.mutation import Mutation, changed_lines

# Of the replacements of operators only those that a person confuses: `+` is not replaced by `<<`.
_REPLACED = re.compile(
    "ReplaceBinaryOperator_(Add_Sub|Sub_Add|Mul_FloorDiv|FloorDiv_Mul|Div_Mul|BitOr_BitAnd)"
    "|ReplaceComparisonOperator_(Eq_NotEq|NotEq_Eq|Is_IsNot|IsNot_Is|Gt_GtE|GtE_Gt|Lt_LtE|LtE_Lt|Gt_Lt|Lt_Gt)"
)
_OTHERS = {
    "AddNot",
    "NumberReplacer",
    "ReplaceAndWithOr",
    "ReplaceBreakWithContinue",
    "ReplaceContinueWithBreak",
    "ReplaceFalseWithTrue",
    "ReplaceOrWithAnd",
    "ReplaceTrueWithFalse",
    "ReplaceUnaryOperator_Delete_Not",
    "ZeroIterationForLoop",
}


class RemoveStatement(Operator):  # type: ignore[misc]
    """Replaces a call, an assignment to an attribute or an augmented assignment by `pass`."""

    def mutation_positions(self, node: Any) -> Iterator[Any]:
        if node.type == "simple_stmt" and _acts(node.children[0]):
            yield node.start_pos, node.end_pos

    def mutate(self, node: Any, index: int) -> Any:
        node.children[0] = parso.parse(f"{node.get_first_leaf().prefix}pass")  # type: ignore[no-untyped-call]
        return node

    @classmethod
    def examples(cls) -> Any:
        return ()


class ForceCondition(Operator):  # type: ignore[misc]
    """Replaces a condition by True, then by False."""

    def mutation_positions(self, node: Any) -> Iterator[Any]:
        if node.type in {"if_stmt", "while_stmt"}:
            condition = node.children[1]
            yield from [(condition.start_pos, condition.end_pos)] * (2 if node.type == "if_stmt" else 1)

    def mutate(self, node: Any, index: int) -> Any:
        node.children[1] = parso.parse([" False", " True"][index])  # type: ignore[no-untyped-call]
        return node

    @classmethod
    def examples(cls) -> Any:
        return ()


class DropOperand(Operator):  # type: ignore[misc]
    """Drops one operand of `and` or `or`."""

    def mutation_positions(self, node: Any) -> Iterator[Any]:
        if node.type in {"and_test", "or_test"}:
            for operand in node.children[::2]:
                yield operand.start_pos, operand.end_pos

    def mutate(self, node: Any, index: int) -> Any:
        prefix = node.get_first_leaf().prefix
        del node.children[max(2 * index - 1, 0) : max(2 * index - 1, 0) + 2]
        node.get_first_leaf().prefix = prefix
        return node

    @classmethod
    def examples(cls) -> Any:
        return ()


def _acts(statement: Any) -> bool:
    if statement.type == "expr_stmt":
        sign = getattr(statement.children[1], "value", "")
        return statement.children[0].type in {"power", "atom_expr"} or sign in {"+=", "-=", "*=", "|="}
    return statement.type in {"power", "atom_expr"}


def _operators() -> list[Operator]:
    names = [name for name in sorted(operator_names()) if _is_used(name.rpartition("/")[2])]
    return [RemoveStatement(), ForceCondition(), DropOperand(), *(get_operator(name)() for name in names)]


def _is_used(name: str) -> bool:
    return name in _OTHERS or _REPLACED.fullmatch(name) is not None


@dataclass(frozen=True)
class Place:
    """The n-th place of a file where an operator applies."""

    operator: Operator
    occurrence: int


def places(text: str) -> list[Place]:
    """Every place of a file where an operator applies."""
    ignored = _ignored_lines(text) | _tuning(text)
    nodes = list(ast_nodes(get_ast(text)))
    found = []
    for operator in _operators():
        positions = [start for node in nodes for start, _end in operator.mutation_positions(node)]
        found += [Place(operator, n) for n, start in enumerate(positions) if start[0] not in ignored]
    return found


def mutate(file: str, text: str, place: Place) -> Mutation | None:
    """The mutation of a place. None when it changes nothing or is not valid Python."""
    mutated = MutationVisitor.mutate_code(text, place.operator, place.occurrence)
    if mutated is None or mutated == text or not _compiles(mutated):
        return None
    line, before, after = changed_lines(text, mutated)
    name = type(place.operator).__name__
    return Mutation(
        file=file,
        operator=name,
        line=line,
        before=before,
        after=after,
        text=mutated,
        in_function=line in _lines_of_functions(text),
    )


def _lines_of_functions(text: str) -> set[int]:
    nodes = [node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.FunctionDef)]
    return {line for node in nodes for line in range(node.body[0].lineno, _lines_of(node).stop)}


def _ignored_lines(text: str) -> set[int]:
    """The lines of annotations, imports, docstrings, decorators and signatures."""
    lines: set[int] = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import | ast.ImportFrom):
            lines.update(_lines_of(node))
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            first = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
            lines.update(range(first, node.body[0].lineno))
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            lines.update(_lines_of(node))
        if isinstance(node, ast.AnnAssign) and node.value is None:
            lines.update(_lines_of(node))
    return lines


def _tuning(text: str) -> set[int]:
    """The lines of constants that tune how long something waits, which are no rules."""
    return {n for n, line in enumerate(text.splitlines(), 1) if re.match(r"[A-Z_]+_SECONDS\b", line)}


def _lines_of(node: Any) -> range:
    return range(node.lineno, (node.end_lineno or node.lineno) + 1)


def _compiles(text: str) -> bool:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", SyntaxWarning)
            compile(text, "mutation", "exec")
    except (SyntaxError, SyntaxWarning):
        return False
    return True
