"""How much longer charges of other accounts take while one account's wallet is locked."""

import statistics
import threading
import time
from contextlib import closing

from django.db import connections
from django.db.utils import OperationalError
from django.utils import timezone

from bench.measures import Measure, charge_request, direct, warm_up
from bench.scripts import CHARGE
from billing import ledger

LOCKED = 1
OTHERS = range(2, 10)
AT_ONCE = 16  # requests for the locked wallet
ROUNDS = 3


def isolation_ms(seconds: int) -> Measure:
    """Return the 99th percentile beside a locked wallet less that without one: the worst of the rounds.

    Eight threads charge an account each; sixteen more charge the locked one and try again after a second.
    """
    warm_up(CHARGE)
    _waits(1)
    extra, details = [], []
    for _ in range(ROUNDS):
        alone = _percentile(_waits(seconds))
        with closing(direct()) as other, other.transaction():
            other.execute(
                "select from billing_wallet where account_id = %s for update",
                [charge_request(LOCKED).account_id],
            )
            beside = _percentile(_waits(seconds, beside_locked=True))
        extra.append(beside - alone)
        details.append(f"{alone:.1f} and {beside:.1f}")
    worst = max(extra)
    return worst, f"99th percentile in ms, alone and beside: {', '.join(details)}"


def _percentile(taken: list[float]) -> float:
    return statistics.quantiles(taken, n=100)[98] * 1000


def _waits(seconds: int, *, beside_locked: bool = False) -> list[float]:
    """The seconds that charges of the other accounts took."""
    taken: list[float] = []
    end = time.monotonic() + seconds

    def others(number: int) -> None:
        while time.monotonic() < end:
            began = time.perf_counter()
            ledger.charge(charge_request(number), timezone.now())
            taken.append(time.perf_counter() - began)
        connections.close_all()

    def blocked() -> None:
        while time.monotonic() < end:
            try:
                ledger.charge(charge_request(LOCKED), timezone.now())
            except OperationalError:
                time.sleep(1)
        connections.close_all()

    threads = [threading.Thread(target=others, args=(number,)) for number in OTHERS]
    if beside_locked:
        threads += [threading.Thread(target=blocked) for _ in range(AT_ONCE)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return taken
