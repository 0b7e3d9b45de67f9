"""The circumstances in which each move is made: functions that prepare a World."""

from collections.abc import Callable

from tests.moves.usage.world import World


def plain(world: World) -> None:
    """100 credits and nothing in the way."""


def unlimited(world: World) -> None:
    world.plan("flat")


def project_limit_left(world: World) -> None:
    world.project("100")


def in_debt(world: World) -> None:
    refund = world.sell("30", label="sold")
    world.spend(3)
    world.meanwhile = refund


def replayed(world: World) -> None:
    world.repeats = "same"


def replayed_with_another_body(world: World) -> None:
    world.repeats = "other"


CIRCUMSTANCES: dict[str, Callable[[World], None]] = {
    one.__name__: one
    for one in (plain, unlimited, project_limit_left, in_debt, replayed, replayed_with_another_body)
}
