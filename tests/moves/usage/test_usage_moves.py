"""Every move of usage in every circumstance: the answer, and what has changed.

The expected outcomes are in `outcomes/`, in the notation of `answers` and of `State.changes_since`. After
each move the audit and the rules in `laws` are checked.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from django.core.management import call_command

from pricing.catalogue import cache as catalogue_cache
from tests import openapi
from tests.moves import table
from tests.moves.usage import answers, laws
from tests.moves.usage.circumstances import CIRCUMSTANCES
from tests.moves.usage.moves import MOVES
from tests.moves.usage.world import Keys, State, World, open_account
from tests.saved_rows import new_rows, restore

HERE = Path(__file__).parent
OUTCOMES = table.read(HERE / "outcomes")


class _Start(NamedTuple):
    rows: dict[str, bytes]
    keys: Keys


_start: list[_Start] = []  # the catalogue and the account: made once in a run, then restored from this copy


@pytest.fixture
def world(settings: Any, clock: Any, db: None) -> World:
    catalogue_cache.forget()
    if _start:
        restore(_start[0].rows)
    else:
        with new_rows() as rows:
            call_command("load_catalogue", str(HERE / "catalogue.toml"), verbosity=0)
            keys = open_account()
        _start.append(_Start(rows, keys))
    return World(clock, _start[0].keys)


@contextmanager
def named(cell: str) -> Iterator[None]:
    """Name the cell in every error of its move."""
    try:
        yield
    except Exception as error:
        error.add_note(f"in the cell {cell}")
        raise


def begun(world: World, row: dict[str, str]) -> Iterator[tuple[str, Any]]:
    """The moves that can occur, each in the world after its first step, with what that step made."""
    moves = [name for name in MOVES if table.occurs(row, name)]
    prepared = world.save()
    for first in dict.fromkeys(MOVES[name].first for name in moves):
        same = [name for name in moves if MOVES[name].first is first]
        world.restore(prepared)
        with named(f"{same[0]} (the step before it)"):
            made = first(world)
            world.meanwhile()
        started = world.save()
        for name in same:
            world.restore(started)
            yield name, made


def outcome(world: World, move: str, made: Any) -> str:
    """Make the move; return its answer and what it changed."""
    if world.repeats:
        first = answers.of_move(MOVES[move].act(world, made))
        assert first.status in (200, 201), first.body
        world.before_repeat()
    before = State(world)
    answer = answers.of_move(MOVES[move].act(world, made, world.repeats == "other"))
    after = State(world)
    laws.stored_as_answered(world, answer)
    return "; ".join([answers.in_words(answer), *after.changes_since(before)])


@pytest.mark.parametrize("circumstance", CIRCUMSTANCES)
def test_every_move_has_the_outcome_of_the_table(world: World, circumstance: str) -> None:
    row, differences = OUTCOMES.get(circumstance, {}), []
    with openapi.every_answer_agrees():
        with named(circumstance):
            CIRCUMSTANCES[circumstance](world)
        for move, made in begun(world, row):
            with named(f"{circumstance}, {move}"):
                found = outcome(world, move, made)
                laws.check(world)
            if found != row[move]:
                differences.append(f"{move}:\n    {found}\n    {row[move]} (the table)")
    assert not differences, "\n".join([f"{circumstance}:", *differences])


def test_the_table_has_every_cell() -> None:
    assert table.gaps(OUTCOMES, moves=MOVES, circumstances=CIRCUMSTANCES) == []
