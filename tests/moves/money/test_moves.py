"""Every move of money in every circumstance has the outcome that the table states."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
import time_machine
from django.utils import timezone

from billing import ledger
from tests.billing import stripe_sandbox
from tests.moves.money import outcome, table
from tests.moves.money.circumstances import CIRCUMSTANCES
from tests.moves.money.moves import MOVES
from tests.moves.money.world import START, Step, World

pytestmark = pytest.mark.django_db
TABLE, FAULTS = table.read()
AUDITED = {"partly spent", "all spent", "in debt", "several grants", "plan changed", "out of order"}


@pytest.fixture
def clock() -> Iterator[time_machine.Traveller]:
    with time_machine.travel(START, tick=False) as traveller:
        yield traveller


@pytest.fixture
def world(
    clock: time_machine.Traveller, catalogue: None, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> World:
    stripe_sandbox.connect(settings, monkeypatch)
    return World(clock)


def test_the_table_has_an_outcome_or_a_reason_for_every_move_in_every_circumstance() -> None:
    assert FAULTS == []
    assert table.gaps(TABLE, moves=MOVES, circumstances=CIRCUMSTANCES) == []


@pytest.mark.parametrize("beginning", dict.fromkeys(move.prepare[0].__name__ for move in MOVES.values()))
def test_moves_with_the_same_beginning_have_the_outcomes_of_the_table(world: World, beginning: str) -> None:
    names = [name for name, move in MOVES.items() if move.prepare[0].__name__ == beginning]
    differences = [
        f"{move}, {circumstance}:\n    {found}\n    {TABLE[move][circumstance]} (the table)"
        for move, circumstance, found in outcomes(world, names)
        if found != TABLE[move][circumstance]
    ]
    assert not differences, "\n".join(["", *differences])


def occurs(move: str, circumstance: str) -> bool:
    expected = TABLE.get(move, {}).get(circumstance, table.CANNOT_OCCUR)
    return not expected.startswith(table.CANNOT_OCCUR)


def outcomes(world: World, names: list[str]) -> Iterator[tuple[str, str, str]]:
    """Make moves with the same beginning in each circumstance: (move, circumstance, outcome)."""
    world.subject = MOVES[names[0]].subject
    beginnings: dict[Step, list[str]] = {}
    for name, circumstance in CIRCUMSTANCES.items():
        beginnings.setdefault(circumstance.beginning(world.subject), []).append(name)
    start = world.save()
    for first, circumstances in beginnings.items():
        world.restore(start)
        first(world)
        yield from prepared(world, names, circumstances, steps=())


def prepared(
    world: World, names: list[str], circumstances: list[str], *, steps: tuple[Step, ...]
) -> Iterator[tuple[str, str, str]]:
    """Make the moves that are prepared by the steps taken; take the next step of the others."""
    cells = [(name, each) for each in circumstances for name in names if occurs(name, each)]
    state, taken = world.save(), len(steps)
    for circumstance in circumstances:
        occurring = [name for name, each in cells if each == circumstance and MOVES[name].prepare == steps]
        if occurring:
            world.restore(state)
            CIRCUMSTANCES[circumstance].then(world)
            yield from made_one_by_one(world, occurring, circumstance, follows="")
    others = [name for name in names if len(MOVES[name].prepare) > taken]
    for step in dict.fromkeys(MOVES[name].prepare[taken] for name in others):
        behind = [name for name in others if MOVES[name].prepare[taken] is step]
        if any(name in behind for name, _circumstance in cells):
            world.restore(state)
            step(world)
            yield from prepared(world, behind, circumstances, steps=(*steps, step))


def made_one_by_one(
    world: World, names: list[str], circumstance: str, *, follows: str, before: outcome.Snapshot | None = None
) -> Iterator[tuple[str, str, str]]:
    """Make each of the moves that follow another, or none, from the same state."""
    state = None
    for name in [name for name in names if MOVES[name].follows == follows]:
        if state is None:
            state = world.save()
            before = before or outcome.read(world)
        else:
            world.restore(state)
        assert before is not None
        delivery = CIRCUMSTANCES[circumstance].delivery
        MOVES[name].make(world)
        deliver(world, delivery)
        after = outcome.read(world)
        yield name, circumstance, described(world, before, after, audited=circumstance in AUDITED)
        yield from made_one_by_one(world, names, circumstance, follows=name, before=after)


def deliver(world: World, how: str) -> None:
    """Deliver the events of a move once, twice, late, or all events of the account backwards."""
    if how == "late":
        world.clock.move_to(timezone.now() + timedelta(days=2))
    if how == "twice":
        for event in world.new_events():
            world.receive(event)
            world.receive(event)
            world.receive(event, again="-again")
    if how == "reversed":
        for event in world.all_events()[::-1]:
            world.receive(event, again="-again")
    world.deliver()


def described(world: World, before: outcome.Snapshot, after: outcome.Snapshot, *, audited: bool) -> str:
    found = [outcome.described(before, after)]
    if world.refusal:
        found.append(f"refused: {world.refusal}")
    if audited and ledger.audit.run(now=timezone.now()).findings:
        found.append("the audit has findings")
    return " | ".join(found)
