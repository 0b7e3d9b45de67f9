"""The circumstances in which each move is made: functions that prepare a World."""

from collections.abc import Callable

from tests.moves.usage.circumstances import counting, coverage, requests, trees, wallet
from tests.moves.usage.world import World

CIRCUMSTANCES: dict[str, Callable[[World], None]] = {
    circumstance.__name__: circumstance
    for module in (coverage, counting, wallet, trees, requests)
    for circumstance in module.ALL
}
