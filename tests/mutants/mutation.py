"""A mutation: one small change of one place of the source, and where mutations are drawn from.

Invariant: a mutation is known by its file and the changed lines, not by a number, so that a listed equivalent
mutation stays listed when the code around it moves.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

SQL = "billing/ledger/sql"
# The modules that decide about credits and money, by the name under which the report lists them.
MODULES = {
    "ledger, SQL": (f"{SQL}/*.sql",),
    "ledger, Python": ("billing/ledger/*.py",),
    "charging": ("usage/charging.py", "usage/entitlements.py", "usage/projects.py"),
    "rates": ("pricing/rates/*.py",),
    "purchases": (
        "billing/purchases/*.py",
        "billing/payments/*.py",
        "billing/offers.py",
        "billing/minor_units.py",
    ),
    "subscriptions": ("billing/subscriptions/*.py",),
    "refunds": ("billing/refunds/*.py",),
    "promotions": ("billing/promotions/*.py",),
}
# Modules that are drawn from only when a word of the command selects their files.
OTHERS = {
    "webhooks": ("billing/webhooks/*.py", "billing/stripe_gateway/*.py", "accounts/webhook_endpoints/*.py"),
    "notices": ("billing/notifications/*.py",),
    "staff": (
        "billing/staff/*.py",
        "usage/staff/*.py",
        "billing/admin.py",
        "accounts/*admin*.py",
        "pricing/admin*.py",
    ),
    "accounts": ("accounts/*.py", "accounts/api/*.py"),
    "catalogue": ("pricing/catalogue/*.py", "pricing/*.py"),
    "API": ("usage/api/*.py", "billing/api/*.py", "core/*.py"),
    "portal": (
        "usage/views/*.py",
        "billing/views/*.py",
        "usage/dashboard/*.py",
        "usage/charges/*.py",
        "usage/sums/*.py",
        "usage/*.py",
        "billing/*.py",
    ),
}


@dataclass(frozen=True, kw_only=True)
class Mutation:
    """`line`: the number of the first changed line. `function`: the SQL function that contains it.

    `in_function`: only the body of a function is changed, no constant and no class.
    """

    file: str
    operator: str
    line: int
    before: str  # the changed lines as they are, without indentation
    after: str
    text: str  # the whole file with the change
    function: str = ""
    in_function: bool = True

    def __str__(self) -> str:
        return f"{self.file}:{self.line} [{self.operator}] {self.before!r} -> {self.after!r}"


def module_of(file: str) -> str:
    """The name of the module that a file belongs to."""
    modules = MODULES | OTHERS
    return next(name for name, patterns in modules.items() if any(Path(file).match(p) for p in patterns))


def files(tree: Path) -> Iterator[str]:
    """The files of MODULES, then those of OTHERS, relative to the tree."""
    seen = set()
    for patterns in (*MODULES.values(), *OTHERS.values()):
        for path in sorted(found for pattern in patterns for found in tree.glob(pattern)):
            if path.name not in {"__init__.py", "apps.py"} and path.stat().st_size and path not in seen:
                seen.add(path)
                yield str(path.relative_to(tree))


def changed_lines(original: str, mutated: str) -> tuple[int, str, str]:
    """The number of the first changed line, and the changed lines before and after."""
    old, new = original.splitlines(), mutated.splitlines()
    start = 0
    while start < min(len(old), len(new)) and old[start] == new[start]:
        start += 1
    end = 0
    while end < min(len(old), len(new)) - start and old[-1 - end] == new[-1 - end]:
        end += 1
    return start + 1, _joined(old[start : len(old) - end]), _joined(new[start : len(new) - end])


def _joined(lines: list[str]) -> str:
    return " ".join(line.strip() for line in lines)
