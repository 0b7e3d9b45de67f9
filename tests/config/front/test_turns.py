"""Work that arrives while other work runs is done together; a key whose work fails delays no other."""

import asyncio
import threading
from collections.abc import Awaitable, Sequence
from typing import Any

import pytest

from config.front import turns
from config.front.turns import Lanes, Turns
from tests import event_loop


class Gate:
    """Work that waits until it is opened, and remembers what it was given together."""

    def __init__(self) -> None:
        self.began, self.open = threading.Event(), threading.Event()
        self.turns: list[list[int]] = []

    def __call__(self, items: Sequence[int]) -> list[int]:
        self.turns.append(list(items))
        self.began.set()
        assert self.open.wait(60)
        if -1 in items:
            raise ValueError("this work fails")
        return [item * 10 for item in items]


async def began(gate: Gate) -> None:
    while not gate.began.is_set():
        await asyncio.sleep(0.001)


def run(work: Awaitable[Any]) -> Any:
    async def main() -> Any:
        return await asyncio.wait_for(work, 60)

    return event_loop.run(main())


def test_what_arrives_during_a_turn_shares_the_next_up_to_a_number() -> None:
    gate = Gate()

    async def scenario() -> list[int | None]:
        shared = Turns(gate, most=3)
        tasks = [asyncio.create_task(shared.result(1))]
        await began(gate)
        tasks += [asyncio.create_task(shared.result(item)) for item in range(2, 7)]
        await asyncio.sleep(0.01)
        gate.open.set()
        return await asyncio.gather(*tasks)

    assert run(scenario()) == [10, 20, 30, 40, 50, 60]
    assert gate.turns == [[1], [2, 3, 4], [5, 6]]


def test_a_turn_waits_briefly_for_the_callers_that_its_predecessor_has_answered(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(turns, "GATHER_SECONDS", 0.3)
    gate = Gate()

    async def scenario() -> list[int | None]:
        shared = Turns(gate, most=3)

        async def in_turn(*items: int, pause: float) -> None:
            for item in items:
                await shared.result(item)
                await asyncio.sleep(pause)  # before the caller sends the next one

        callers = [asyncio.create_task(in_turn(1, 2, pause=0))]
        await began(gate)
        callers.append(asyncio.create_task(in_turn(3, 4, pause=0.03)))
        await asyncio.sleep(0.01)
        gate.open.set()
        await asyncio.gather(*callers)
        return [await shared.result(5)]

    assert run(scenario()) == [50]
    assert [sorted(turn) for turn in gate.turns] == [[1], [2, 3], [4], [5]]  # 4 waited in vain


def test_a_turn_that_fails_gives_none_and_the_next_one_works() -> None:
    gate = Gate()
    gate.open.set()

    async def scenario() -> list[int | None]:
        shared = Turns(gate, most=3)
        return [await shared.result(-1), await shared.result(2)]

    assert run(scenario()) == [None, 20]


def test_a_key_waits_for_its_own_turns_only() -> None:
    gate, other = Gate(), Gate()
    other.open.set()

    async def scenario() -> tuple[list[int | None], int | None, bool, bool]:
        lanes = Lanes(lambda items: (other if items[0] >= 100 else gate)(items), most=2, threads=2)
        tasks = [asyncio.create_task(lanes.result("busy", item)) for item in range(1, 4)]
        await began(gate)
        elsewhere = await lanes.result("idle", 100)
        was_busy = "busy" in lanes
        gate.open.set()
        return await asyncio.gather(*tasks), elsewhere, was_busy, "busy" in lanes

    assert run(scenario()) == ([10, 20, 30], 1000, True, False)
    assert gate.turns == [[1], [2, 3]]


def test_a_key_whose_turn_fails_pauses_with_all_that_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turns, "PAUSE_SECONDS", 300.0)
    gate = Gate()

    async def scenario() -> list[int | None]:
        lanes = Lanes(gate, most=2, threads=1)
        tasks = [asyncio.create_task(lanes.result("stuck", item)) for item in (-1, 2, 3)]
        await began(gate)
        gate.open.set()
        results = await asyncio.gather(*tasks)
        results.append(await lanes.result("stuck", 4))
        results.append(await lanes.result("other", 5))
        monkeypatch.setattr(turns, "PAUSE_SECONDS", 0.05)
        results.append(await lanes.result("other", -1))
        while (result := await lanes.result("other", 6)) is None:  # until the pause is over
            await asyncio.sleep(0.01)
        return [*results, result, await lanes.result("stuck", 7)]

    assert run(scenario()) == [None, None, None, None, 50, None, 60, None]
