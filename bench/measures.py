"""The measurements: each function returns (value, detail) for one line of the table."""

import random
import statistics
import threading
import time
import uuid
from collections.abc import Callable
from decimal import Decimal

import psycopg
from django.db import connection, connections
from django.utils import timezone

from bench import pgbench, scripts
from bench.world import ACCOUNTS, HOT
from billing import ledger

Measure = tuple[float, str]
ROUNDS = 5


def against_floor(
    script: str, *, clients: int, hi: int, seconds: int, own_clients: int = 0, each: int = 1
) -> Measure:
    """Return throughput over the floor's, measured in turn: the median of the rounds' ratios."""
    ratios, floors, own = [], [], []
    warm_up(script)
    for _ in range(ROUNDS):
        floor = pgbench.run(scripts.FLOOR, clients=clients, seconds=seconds, lo=1, hi=hi).tps
        tps = pgbench.run(script, clients=clients, seconds=seconds, lo=1, hi=hi).tps
        floors.append(floor)
        own.append(tps)
        ratios.append(tps / floor)
    detail = f"{statistics.median(own):,.0f}/s over a floor of {statistics.median(floors):,.0f}/s"
    return statistics.median(ratios), detail


def warm_up(*statements: str) -> None:
    """Add some rows and analyse them: the planner reads an empty table whole, and sessions keep that plan."""
    for script in (scripts.FLOOR, *statements):
        pgbench.run(script, clients=4, seconds=1)
    with connection.cursor() as cursor:
        cursor.execute("vacuum (analyze)")


def sql_uniform(seconds: int) -> Measure:
    return against_floor(scripts.CHARGE, clients=8, hi=ACCOUNTS, seconds=seconds)


def sql_hot(seconds: int) -> Measure:
    return against_floor(scripts.CHARGE, clients=16, hi=HOT, seconds=seconds)


def sql_batch(seconds: int) -> Measure:
    """Return uses per second in calls of 1,000 over mixed accounts on one connection, over the floor's."""
    ratios, rates, floors = [], [], []
    warm_up(scripts.CHARGE)
    for _ in range(ROUNDS):
        floor = pgbench.run(scripts.FLOOR, clients=8, seconds=seconds, lo=1, hi=ACCOUNTS).tps
        rate = _batches(seconds)
        floors.append(floor)
        rates.append(rate)
        ratios.append(rate / floor)
    detail = f"{statistics.median(rates):,.0f}/s over a floor of {statistics.median(floors):,.0f}/s"
    return statistics.median(ratios), detail


def _batches(seconds: int) -> float:
    """Make calls with arguments built beforehand."""
    arguments = [scripts.batch(random.Random(), accounts=ACCOUNTS) for _ in range(20 * seconds)]
    done = 0
    with direct() as own:
        started = time.perf_counter()
        for argument in arguments:
            own.execute(
                "select * from ledger_charge_many(%s::jsonb, now())", [argument], prepare=True
            ).fetchall()
            done += 1000
            if time.perf_counter() - started > seconds:
                break
        return done / (time.perf_counter() - started)


def hold_capture(seconds: int) -> Measure:
    return against_floor(scripts.HOLD_CAPTURE, clients=8, hi=ACCOUNTS, seconds=seconds)


def python_uniform(seconds: int) -> Measure:
    return _python(seconds, accounts=ACCOUNTS, floor_clients=8)


def python_hot(seconds: int) -> Measure:
    return _python(seconds, accounts=HOT, floor_clients=16)


def _python(seconds: int, *, accounts: int, floor_clients: int) -> Measure:
    """Measure the public function in one process with 16 threads, in turn with the floor."""
    ratios, rates, floors = [], [], []
    warm_up(scripts.CHARGE)
    for _ in range(ROUNDS):
        floor = pgbench.run(scripts.FLOOR, clients=floor_clients, seconds=seconds, lo=1, hi=accounts).tps
        rate = _threads(seconds, accounts)
        floors.append(floor)
        rates.append(rate)
        ratios.append(rate / floor)
    detail = f"{statistics.median(rates):,.0f}/s over a floor of {statistics.median(floors):,.0f}/s"
    return statistics.median(ratios), detail


def _threads(seconds: int, accounts: int, threads: int = 16) -> float:
    counts = [0] * threads
    end = time.monotonic() + seconds

    def work(place: int) -> None:
        number = place
        while time.monotonic() < end:
            number = (number * 7919 + 1) % accounts if accounts > 1 else 0
            ledger.charge(charge_request(number + 1), timezone.now())
            counts[place] += 1
        connections.close_all()

    workers = [threading.Thread(target=work, args=(place,)) for place in range(threads)]
    started = time.monotonic()
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    return sum(counts) / (time.monotonic() - started)


def charge_request(number: int) -> ledger.ChargeRequest:
    """Return a use of account `number` that costs 0.25 and belongs to its limited project."""
    return ledger.ChargeRequest(
        account_id=uuid.UUID(f"00000000-0000-7000-8000-{number:012}"),
        credits=Decimal("0.25"),
        key=str(uuid.uuid4()),
        service="gpt-4o",
        covers=("gpt-4o", "tag:text"),
        fingerprint=b"\0" * 32,
        project_id=uuid.UUID(f"00000000-0000-7000-9000-{number:012}"),
        conversation="c-81",
        detail={
            "lines": [{"meter": "tokens", "quantity": 1840, "credits": "0.25"}],
            "usage": {"tokens": 1840},
        },
    )


def median_ms(call: Callable[[], object], times: int = 1500) -> float:
    """Return the median time of one call, in milliseconds."""
    taken = []
    for _ in range(times):
        start = time.perf_counter()
        call()
        taken.append(time.perf_counter() - start)
    return statistics.median(taken) * 1000


def charge_ms(number: int) -> float:
    return median_ms(lambda: ledger.charge(charge_request(number), timezone.now()))


def balance_ms(number: int) -> float:
    account = uuid.UUID(f"00000000-0000-7000-8000-{number:012}")
    return median_ms(lambda: ledger.balance(account, timezone.now()), times=500)


def direct() -> psycopg.Connection:
    """Return a separate connection in autocommit."""
    settings = connection.settings_dict
    return psycopg.connect(
        host=settings["HOST"], user=settings["USER"], dbname=settings["NAME"], autocommit=True
    )
