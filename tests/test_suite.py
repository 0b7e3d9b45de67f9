"""The tests themselves: each asserts something that can fail, and none reaches into a module of the product.

Read from the source, so that a test is judged also where it is skipped. A rule names the line that breaks it.
"""

import ast
import functools
from collections.abc import Iterator, Set
from dataclasses import dataclass, field
from pathlib import Path

import pytest

TESTS = Path(__file__).resolve().parent
PRODUCT = {"accounts", "billing", "config", "core", "pricing", "sandbox", "usage"}
ASSERTING = {"raises", "fail", "expect", "django_assert_num_queries", "django_assert_max_num_queries"}
Function = ast.FunctionDef | ast.AsyncFunctionDef

# Private names that tests use, with the reason why no public one would do.
PRIVATE = {
    "accounts.api_keys._leases": "the state of another process, and what is forgotten between tests",
    "accounts.api_keys._seen": "the clock of a cache",
    "accounts.api_keys._note_use": "the half of a use that a second process does at the same time",
    "accounts.authentication._account_ids": "is forgotten between tests",
    "accounts.checks._seconds": "a wrong answer of PostgreSQL",
    "billing.ledger.archive.removal._remove_portion": "a process that dies between two portions",
    "billing.ledger.audit.wallets._run": "an archive that ends between two queries",
    "billing.ledger.checkpoints.taking._moved": "a move between reading and signing",
    "billing.ledger.database._SETTLE": "smaller portions, for the same path with fewer rows",
    "sandbox.objects.invoices._default_method": "an answer of Stripe that the sandbox gives by no request",
    "billing.stripe_gateway.accounts._account_id": "a process that has just started",
    "billing.stripe_gateway.client._client": "the SDK's transport: the sandbox instead of the network",
    "billing.webhooks.events._apply": "a process that dies between an effect and its record",
    "billing.webhooks.handlers._HANDLERS": "the list that a document repeats",
    "config.health._space_until": "a process that has just started",
    "config.translations.__main__": "the command itself",
    "config.supervisor.__main__": "the command itself, whose steps the tests run one by one",
    "config.supervisor.processes._marked": "finds the processes of the supervisor as it finds them itself",
    "config.metrics._purchases": "a figure that the database does not give",
    "core.rate_limit._leases": "the state of another process",
    "pricing.catalogue.cache._catalogue": "the state of another process",
    "pricing.catalogue.cache._checked": "the time of the last look at the database",
    "billing.ledger.shared_calls._charge_together": "counts shared transactions, and delays one",
    "billing.ledger.shared_calls._OWN": "distinguishes the calls of one account from those of all",
    "accounts.tasks._sender": "a process that has just started",
    "core.templatetags.times._date_in": "months in a language of the tests are forgotten",
}

WITHOUT_ASSERTION = {
    "test_a_valid_production_configuration_is_accepted": "what is tested raises when it refuses",
}


@dataclass
class Source:
    """A file of the tests."""

    path: Path
    tree: ast.Module
    nodes: list[ast.AST]
    modules: dict[str, str] = field(default_factory=dict)  # local name: imported name, "billing.ledger"

    def functions(self) -> Iterator[Function]:
        return (node for node in self.nodes if isinstance(node, Function))

    def tests(self) -> Iterator[Function]:
        return (function for function in self.functions() if function.name.startswith("test_"))

    def where(self, node: ast.stmt | ast.expr) -> str:
        return f"{self.path.relative_to(TESTS.parent)}:{node.lineno}"


def read(text: str, path: Path = TESTS / "test_example.py") -> Source:
    tree = ast.parse(text)
    source = Source(path, tree, list(ast.walk(tree)))
    for node in source.nodes:
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] in PRODUCT:
            source.modules |= {one.asname or one.name: f"{node.module}.{one.name}" for one in node.names}
    return source


@pytest.fixture(scope="module")
def sources() -> list[Source]:
    return [read(path.read_text(), path) for path in sorted(TESTS.rglob("*.py"))]


def called(node: ast.AST) -> Iterator[str]:
    """The names of what is called: `expect` for `expect(page)`, `raises` for `pytest.raises`."""
    for one in ast.walk(node):
        if isinstance(one, ast.Call):
            name = one.func
            yield name.attr if isinstance(name, ast.Attribute) else getattr(name, "id", "")


@functools.cache
def asserts(function: ast.AST) -> bool:
    return any(isinstance(node, ast.Assert) for node in ast.walk(function)) or bool(
        ASSERTING & set(called(function))
    )


@functools.cache
def plainly_called(node: ast.AST) -> set[str]:
    """The names of functions that are called: not of methods, whose names say less."""
    calls = (one.func for one in ast.walk(node) if isinstance(one, ast.Call))
    return {name.id for name in calls if isinstance(name, ast.Name)}


def asserting_functions(sources: list[Source]) -> set[str]:
    """The functions of the tests that assert, or that call one that does."""
    functions = [function for source in sources for function in source.functions()]
    known = {function.name for function in functions if asserts(function)}
    return known | {function.name for function in functions if known & plainly_called(function)}


def without_assertion(sources: list[Source]) -> list[str]:
    known = asserting_functions(sources)
    return [
        f"{source.where(test)} {test.name}"
        for source in sources
        for test in source.tests()
        if not asserts(test) and not known & plainly_called(test)
    ]


def is_never_empty(node: ast.expr, constants: dict[str, ast.expr]) -> bool:
    """Whether the collection certainly has an element: a literal, a range, a constant, or made from those."""
    match node:
        case ast.Name(id=name):
            return name in constants and is_never_empty(constants[name], {})
        case ast.List(elts=elements) | ast.Tuple(elts=elements) | ast.Set(elts=elements):
            return any(not isinstance(one, ast.Starred) for one in elements)
        case ast.Dict(keys=keys):
            return bool(keys)
        case ast.Constant(value=value):
            return bool(value)
        case ast.BinOp(left=left, right=right):
            return is_never_empty(left, constants) or is_never_empty(right, constants)
        case ast.Call(func=ast.Attribute(value=owner, attr="items" | "values" | "keys" | "split")):
            return is_never_empty(owner, constants)
        case ast.Call(func=ast.Name(id="range")):
            return True
        case ast.Call(func=ast.Name(id="zip" | "enumerate" | "reversed" | "sorted"), args=arguments):
            return all(is_never_empty(one, constants) for one in arguments)
    return False


def constants_of(body: list[ast.stmt]) -> dict[str, ast.expr]:
    """Names that are assigned once to an expression: `TEXTS = [...]`."""
    found: dict[str, ast.expr] = {}
    for node in body:
        targets = node.targets if isinstance(node, ast.Assign) else []
        if isinstance(node, ast.AnnAssign) and node.value is not None:
            targets, value = [node.target], node.value
        elif isinstance(node, ast.Assign):
            value = node.value
        found |= {target.id: value for target in targets if isinstance(target, ast.Name)}
    return found


def guarded(test: Function, loop: ast.For) -> bool:
    """Whether something beside the loop asserts."""
    inside = set(map(id, ast.walk(loop)))
    return any(
        isinstance(node, ast.Assert | ast.Call) and id(node) not in inside and asserts(node)
        for node in ast.walk(test)
    )


def only_in_a_loop(source: Source, asserting: Set[str]) -> list[str]:
    """Tests whose only assertions are in a loop over what may be empty: an empty list would pass.

    What a function of the tests returns that itself asserts (`some`) is not empty.
    """
    found = []
    for test in source.tests():
        known = constants_of(source.tree.body) | constants_of(test.body)
        loops = [node for node in ast.walk(test) if isinstance(node, ast.For) and asserts(node)]
        outermost = loops[:1]
        found += [
            f"{source.where(loop)} {test.name}"
            for loop in outermost
            if not is_never_empty(loop.iter, known)
            and not asserting & plainly_called(loop.iter)
            and not guarded(test, loop)
        ]
    return found


def is_monkeypatch(function: ast.expr) -> bool:
    """Whether it is `monkeypatch.setattr`."""
    return (
        isinstance(function, ast.Attribute)
        and function.attr == "setattr"
        and ast.unparse(function.value).endswith("monkeypatch")
    )


def private_names(source: Source) -> list[tuple[str, str]]:
    """Names that begin with an underscore in modules of the product, with the line that uses them."""
    found = [(name, source.where(source.tree.body[0])) for name in source.modules.values() if "._" in name]
    for node in source.nodes:
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            name, owner = node.attr, source.modules.get(node.value.id)
        elif isinstance(node, ast.Call) and is_monkeypatch(node.func):
            owner_node, name_node = [*node.args, node, node][:2]
            owner = source.modules.get(getattr(owner_node, "id", ""))
            name = str(getattr(name_node, "value", ""))
        else:
            continue
        if owner and name.startswith("_") and name not in {"_meta", "_base_manager"}:
            found.append((f"{owner}.{name}", source.where(node)))
    return found


def test_every_test_asserts(sources: list[Source]) -> None:
    found = without_assertion(sources)
    assert [line for line in found if line.split()[1] not in WITHOUT_ASSERTION] == []
    assert len(found) == len(WITHOUT_ASSERTION), "an exception that no test needs any more"


def test_no_test_passes_because_a_collection_is_empty(sources: list[Source]) -> None:
    """`for row in some(rows)` asserts that there is something to look at."""
    asserting = asserting_functions(sources)
    assert [one for source in sources for one in only_in_a_loop(source, asserting)] == []


def test_private_names_of_the_product_are_used_for_a_listed_reason_only(sources: list[Source]) -> None:
    used = dict(one for source in sources for one in private_names(source))
    assert {name: line for name, line in used.items() if name not in PRIVATE} == {}
    assert PRIVATE.keys() - used.keys() == set(), "no test needs them any more"


def test_no_assertion_allows_a_success_and_a_refusal(sources: list[Source]) -> None:
    """`assert response.status_code in {200, 302}` passes whichever of the two is wrong."""
    found = []
    for source in sources:
        for node in source.nodes:
            if isinstance(node, ast.Compare) and isinstance(node.ops[0], ast.In):
                choices = node.comparators[0]
                if not isinstance(choices, ast.Set | ast.Tuple | ast.List):
                    continue
                statuses = [one.value for one in choices.elts if isinstance(one, ast.Constant)]
                either = {200, 201} & set(statuses) and set(statuses) - {200, 201}
                if either and "status_code" in ast.unparse(node.left):
                    found.append(f"{source.where(node)} {ast.unparse(node)}")
    assert found == []


EXAMPLE = """
from billing import ledger, offers as sold
from core.ids import _prefix

ROWS = [1, 2]

def checked(page):
    assert page

def test_nothing(monkeypatch):
    ledger.charge()

def test_through_a_helper():
    checked("page")

def test_refusal():
    with pytest.raises(ValueError):
        ledger.charge()

def test_loop_of_a_call():
    for one in sold.find():
        assert one

def test_loop_of_a_constant():
    for number, one in enumerate(ROWS):
        assert one

def test_loop_of_some():
    for one in some(sold.find()):
        assert one

def test_loop_with_a_guard(monkeypatch):
    found = sold.find()
    assert len(found) == 2
    for one in found:
        assert one
    monkeypatch.setattr(sold, "_later", 1)
    ledger._now()
"""


def test_the_rules_find_what_they_name() -> None:
    example = read(EXAMPLE)
    assert [line.split()[1] for line in without_assertion([example])] == ["test_nothing"]
    assert [line.split()[1] for line in only_in_a_loop(example, {"some"})] == ["test_loop_of_a_call"]
    names = [name for name, _line in private_names(example)]
    assert names == ["core.ids._prefix", "billing.offers._later", "billing.ledger._now"]
