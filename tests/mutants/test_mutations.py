"""The mutations that are drawn: each operator changes one place, and texts and comments stay."""

from pathlib import Path

import pytest

from tests.mutants import equivalent, python_mutations, sql_mutations
from tests.mutants.copy import BASE_DIR
from tests.mutants.draw import draw
from tests.mutants.mutation import files
from tests.some import some

PYTHON = '''"""Docstring with and, or and 1."""

PAUSE_SECONDS = 2


def fee(amount: int, free: bool = False) -> int:
    """A docstring."""
    if amount > 0 and not free:
        amount += 3
        print(amount)
    return amount
'''
SQL = """-- a comment with and 1
create or replace function fee(p_amount int) returns int language plpgsql as $$
declare n int := 0;
begin
  if p_amount > 0 and p_amount < 100 then
    n := greatest(p_amount, 5);
  end if;
  raise notice 'and > 3';
  return n;
end $$;
"""


def changes_of_python() -> set[tuple[str, str]]:
    made = [python_mutations.mutate("fee.py", PYTHON, place) for place in python_mutations.places(PYTHON)]
    return {(mutation.before, mutation.after) for mutation in made if mutation is not None}


def changes_of_sql() -> set[tuple[str, str]]:
    made = [sql_mutations.mutate("fee.sql", SQL, place) for place in sql_mutations.places(SQL)]
    return {(mutation.before, mutation.after) for mutation in made if mutation is not None}


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("if amount > 0 and not free:", "if amount >= 0 and not free:"),
        ("if amount > 0 and not free:", "if amount > 0:"),
        ("if amount > 0 and not free:", "if not free:"),
        ("if amount > 0 and not free:", "if True:"),
        ("if amount > 0 and not free:", "if amount > 0 or not free:"),
        ("amount += 3", "amount += 4"),
        ("amount += 3", "pass"),
        ("print(amount)", "pass"),
    ],
)
def test_a_condition_a_number_or_a_statement_of_python_is_changed(before: str, after: str) -> None:
    assert (before, after) in changes_of_python()


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("if p_amount > 0 and p_amount < 100 then", "if p_amount >= 0 and p_amount < 100 then"),
        ("if p_amount > 0 and p_amount < 100 then", "if p_amount > 0 or p_amount < 100 then"),
        ("if p_amount > 0 and p_amount < 100 then", "if false then"),
        ("n := greatest(p_amount, 5);", "n := least(p_amount, 5);"),
        ("n := greatest(p_amount, 5);", ""),
    ],
)
def test_a_condition_a_bound_or_a_statement_of_sql_is_changed(before: str, after: str) -> None:
    assert (before, after) in changes_of_sql()


def test_docstrings_signatures_waiting_times_comments_and_texts_are_not_changed() -> None:
    changed = {before for before, _after in changes_of_python() | changes_of_sql()}
    assert not {line for line in changed if "ocstring" in line or "def " in line or "SECONDS" in line}
    assert not {line for line in changed if "comment" in line}
    assert not {after for _before, after in changes_of_sql() if "notice" in after}


def test_the_same_seed_draws_the_same_mutations(tmp_path: Path) -> None:
    for name in ("billing/refunds", "billing/ledger/sql"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "billing/refunds/fee.py").write_text(PYTHON)
    (tmp_path / "billing/ledger/sql/fee.sql").write_text(SQL)
    drawn = [str(mutation) for mutation in draw(tmp_path, seed=7)]
    assert drawn == [str(mutation) for mutation in draw(tmp_path, seed=7)]
    assert drawn != [str(mutation) for mutation in draw(tmp_path, seed=8)]


def test_the_lines_of_each_listed_equivalent_mutation_are_in_its_file() -> None:
    texts = {file: " ".join((BASE_DIR / file).read_text().split()) for file in files(BASE_DIR)}
    for known in some(equivalent.EQUIVALENT):
        assert " ".join(known.before.split()) in texts[known.file], known
        assert known.reason.endswith(".")
