"""Draws histories of moves (see `moves.py`): a situation, moves that concern it, then moves by weight.

Most rules concern a state that random moves seldom reach: debt, an ended grant of which credits are held, a
limit that is nearly used up. So each history begins in one of SITUATIONS, and the next situation is the one
that leads most often to the rule with the fewest visits. The same seed draws the same histories.
"""

import random
from collections import Counter
from collections.abc import Iterator
from typing import Any

from tests.billing.ledger.situations import SITUATIONS, Step

USES = [
    "0",
    "micro",
    "1",
    "3",
    "7.25",
    "some",
    "some",
    "first",
    "first+",
    "two",
    "all",
    "all",
    "all+",
    "limit",
    "limit+",
    "threshold",
    "threshold+",
]
GIVEN = ["micro", "0.5", "1", "3", "7.25", "40", "150", "debt", "debt+", "debt-"]
HELD = ["0", "micro", "third", "held", "held", "held+", "all", "all+"]
ENDS = ["release", "release", "release", "capture_estimate", "capture_reported"]
SCOPES = [None, None, None, ["gpt-4o"], ["tag:image"], ["tag:text", "x"]]
ZONES = ["UTC", "Asia/Kathmandu", "America/New_York", "Pacific/Kiritimati"]
WEIGHTS = {
    **{"grant": 6, "buy": 4, "owe": 1, "charge": 12, "charge_again": 2, "charge_many": 3, "hold": 10},
    **{"capture": 10, "release": 3, "reverse": 8, "adjust": 4, "claw_back": 5, "restore": 4, "plan": 4},
    **{"child": 8, "report": 2},
    **{"limit": 3, "warn": 2, "request_again": 4, "wait": 4, "wait_for": 7, "move_to": 1},
}


def histories(
    seed: Any, rules: frozenset[str], visits: Counter[str], *, least: int, number: int
) -> Iterator[tuple[str, list[Step]]]:
    """Draw histories (zone, moves) until the caller's count of visits is `least` for each of the rules.

    At least `number` histories are drawn. Each situation is taken once; from then on the one that led most
    often to the rule with the fewest visits.
    """
    led: dict[str, Counter[str]] = {name: Counter() for name in SITUATIONS}
    taken: Counter[str] = Counter()
    waiting = list(SITUATIONS)
    while waiting or sum(taken.values()) < number or min(visits[rule] for rule in rules) < least:
        rarest = min(sorted(rules), key=lambda rule: visits[rule])
        tried = [name for name in SITUATIONS if taken[name]]
        chances = {name: (led[name][rarest] + 0.1) / (taken[name] + 0.5) for name in tried}
        name = waiting.pop() if waiting else max(chances, key=lambda name: chances[name])
        before = Counter(visits)
        yield history(f"{seed}:{sum(taken.values())}", name)
        taken[name] += 1
        led[name] += visits - before


def history(seed: str, situation: str) -> tuple[str, list[Step]]:
    """Draw one history that begins in the situation: its zone and its moves."""
    generator = random.Random(f"{seed}:{situation}")
    steps, then = SITUATIONS[situation]
    some = generator.choices(then, k=2) if then else []
    others = generator.choices(list(WEIGHTS), list(WEIGHTS.values()), k=generator.choice([0, 0, 3, 6]))
    more = [(move, drawn(move, generator)) for move in others]
    first = generator.choice([0, 0, 1])
    small = [("sizes", {})] if generator.random() < 0.2 else []
    every = [*small, *more[:first], *steps, *some, *more[first:]]
    return generator.choice(ZONES), [(move, _with_choice(given, generator)) for move, given in every]


def _with_choice(given: dict[str, Any], generator: random.Random) -> dict[str, Any]:
    return given | {"which": generator.randint(0, 30)} if given.get("which", 0) is None else given


def drawn(move: str, generator: random.Random) -> dict[str, Any]:
    """Draw the parameters of a move; `which` is drawn by the caller."""
    pick, which = generator.choice, {"which": None}
    use = {"credits": pick(USES), "covers": pick(["text", "text", "image", "nothing"])}
    use |= {"by": pick(["", "", "p", "m", "pk", "pmk"]), "files": pick([0, 0, 0, 1, 2])}
    use |= {"covered": pick([False] * 4 + [True])}
    one = {"credits": pick(USES), "by": pick(["", "p", "m"]), "files": pick([0, 0, 1])}
    given: dict[str, dict[str, Any]] = {
        "grant": {
            **{"credits": pick(GIVEN), "days": pick([None, None, 0.5, 1, 20, 0]), "of": pick(SCOPES)},
            **{"kind": pick(["bonus", "top_up", "promotion"]), "priority": pick([None, None, None, 5, 20])},
            "same_instant": pick([False, False, True]),
        },
        "buy": {
            **{"credits": pick(["1", "7.25", "40"]), "days": pick([None, 1, 20])},
            **{"bonus": pick([False, False, True]), "first": pick([False, True])},
        },
        "owe": {"credits": pick(["1", "6", "150"])},
        "charge": use,
        "charge_again": which | {"body": pick([b"", b"", b"other"]), "credits": pick(["1", "all+"])},
        "charge_many": {"wanted": [one, use, one][: pick([1, 2, 3])], "repeat": pick([False, True])},
        "hold": use
        | {
            "minutes": pick([1, 90, 1440, 3000]),
            "most": pick([None, None, None, 2]),
            "at_expiry": pick(ENDS),
        },
        "child": which
        | {"credits": pick(["0", "micro", "third", "third", "rest", "rest+"]), "covers": use["covers"]}
        | {"by": use["by"], "files": use["files"], "minutes": pick([1, 60, 3000]), "at_expiry": pick(ENDS)}
        | {"most": pick([None, None, None, 2])},
        "report": which | {"credits": pick(["0", "third", "held", "held+"]), "files": pick([None, 0, 2])},
        "capture": which
        | {"credits": pick(HELD), "files": pick([None] * 3 + [0, 2]), "covered": pick([False] * 6 + [True])},
        "release": which,
        "reverse": which | {"credits": pick(["left", "left", "third", "last", "left+", "micro", "whole"])},
        "adjust": {
            "credits": pick(["1", "some", "first+", "all", "all+", "debt"]),
            "take": pick([False, True]),
        },
        "claw_back": which
        | {
            "credits": pick(["", "", "unspent", "unspent+", "half", "1"]),
            **{"unspent_only": pick([False, False, True]), "named": pick([False] * 4 + [True])},
        },
        "restore": which,
        "plan": {
            **{
                "name": pick(["none", "free", "pro", "max", "lasting", "trial", "monthly"]),
                "carry": pick([False, True]),
            },
            **{"anchor_days": pick([-9, -9, 0, 3]), "days": pick([None, None, 3])},
        },
        "limit": {
            "kind": pick(["project", "project", "member", "key", "quota", "account"]),
            **{
                "period": pick(["day", "day", "month", "ever"]),
                "maximum": pick(["3", "40", "40", "some", "used", None]),
            },
        },
        "warn": {"below": pick(["1", "7.25", "40", "now", "now+", None])},
        "request_again": which | {"body": pick([b"", b"", b"other"])},
        "wait": {"hours": pick([0.01, 1, 7, 24, 40, 80, 24 * 70])},
        "wait_for": {
            "what": pick(["grant", "grant", "hold", "hold", "window", "renewal"]),
            "micros": pick([0, 0, -1, 1]),
        },
        "move_to": {"zone": pick(ZONES)},
    }
    return given[move]
