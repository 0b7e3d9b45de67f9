"""The ledger agrees with the reference model after every move, and the moves visit every rule of the model.

`make model EXAMPLES=5000 SEED=…` plays more histories. A failure prints the moves of the failed history,
without those that it does not need.
"""

import traceback
from collections import Counter

import pytest
from django.db import transaction

from billing import ledger
from tests.billing.ledger import rows
from tests.billing.ledger.drawing import histories
from tests.billing.ledger.examples import EXAMPLES, SEED
from tests.billing.ledger.moves import Moves
from tests.billing.ledger.rules import RULES
from tests.billing.ledger.situations import FOUND, Step
from tests.billing.ledger.state import broken

pytestmark = [pytest.mark.django_db, pytest.mark.fault("L3", "L7", "T7", "P12", "P13", "P14")]
LEAST = 30  # visits of each rule
MOST = max(EXAMPLES, 1200)  # histories


def play(steps: list[Step], zone: str) -> tuple[Counter[str], str]:
    """Make the moves on a new account in both. Returns the visits, and where the two differ."""
    with transaction.atomic():
        moves = Moves(zone)
        try:
            for name, parameters in steps:
                getattr(moves, name)(**parameters)
            moves.book.settle(moves.now)  # a history may end with time that passes
            rows.compare(moves.book, moves.account, moves.now)
            ledger.settle([moves.account], moves.now)  # nothing is due any more: it changes nothing
            rows.compare(moves.book, moves.account, moves.now)
            assert broken([moves.account]) == []
        except Exception:
            return moves.book.visits, traceback.format_exc(limit=-3)
        finally:
            transaction.set_rollback(True)
    return moves.book.visits, ""


def require_agreement(steps: list[Step], zone: str) -> Counter[str]:
    visits, difference = play(steps, zone)
    if not difference:
        return visits
    for place in reversed(range(len(steps))):
        shorter = steps[:place] + steps[place + 1 :]
        if play(shorter, zone)[1]:
            steps = shorter
    lines = "\n".join(f"    {step}," for step in steps)
    pytest.fail(f"in {zone}:\n[\n{lines}\n]\n{play(steps, zone)[1] or difference}", pytrace=False)


def test_the_ledger_and_the_model_agree_after_every_move(db):
    """Histories are drawn until each rule of the model has been visited LEAST times."""
    print(f"the run's seed: SEED={SEED}")
    visits: Counter[str] = Counter()
    for number, (zone, steps) in enumerate(
        histories(SEED, RULES, visits, least=LEAST, number=EXAMPLES), start=1
    ):
        visits.update(require_agreement(steps, zone))
        if number >= MOST:
            break
    print(f"{number} histories")
    print(*(f"{n:6} {rule}" for rule, n in sorted(visits.items())), sep="\n")
    seldom = {rule: visits[rule] for rule in sorted(RULES) if visits[rule] < LEAST}
    assert not seldom, f"visited fewer than {LEAST} times in {number} histories"


@pytest.mark.parametrize("rule", FOUND)
def test_they_agree_where_they_once_differed(db, rule):
    require_agreement(FOUND[rule], "UTC")
