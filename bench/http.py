"""The measurements over HTTP: the web server of the Procfile under wrk, in turn with the floor."""

import statistics
import uuid

from django.test import Client
from django.utils import timezone

from accounts import api_keys, registration
from accounts.models import ApiKey, User
from bench import pgbench, scripts, web
from bench.measures import Measure, warm_up
from bench.world import ACCOUNTS, HOT

ROUNDS = 5
MANY, FEW = 64, 16  # connections
MEMORY_REQUESTS = 100_000


def platform_key() -> str:
    """The secret of a new platform key."""
    issued = api_keys.issue(
        kind=ApiKey.Kind.PLATFORM, name="bench", scopes=["read", "spend", "manage"], now=timezone.now()
    )
    return issued.secret


def http_uniform(seconds: int) -> dict[str, Measure]:
    """Charges over many accounts with 64 connections over the floor, and balance reads over these charges."""
    floors: list[float] = []
    charges: list[float] = []
    balances: list[float] = []
    variables = _variables(ACCOUNTS)
    warm_up(scripts.CHARGE)
    with web.serving() as server:
        _warm(server, variables)
        for _ in range(ROUNDS):
            floors.append(_floor(clients=8, hi=ACCOUNTS, seconds=seconds))
            for rates, script in ((charges, "charges.lua"), (balances, "balances.lua")):
                load = server.load(script=script, connections=MANY, seconds=seconds, variables=variables)
                rates.append(load.per_second)
    return {
        "http_uniform": _ratio(charges, floors, "the floor"),
        "http_balance": _ratio(balances, charges, "charges"),
    }


def http_hot(seconds: int) -> Measure:
    return _over_floor(seconds, "charges.lua", accounts=HOT, clients=16, connections=MANY)


def http_batch(seconds: int) -> Measure:
    """Uses in batches of 1,000 over the floor."""
    return _over_floor(seconds, "batches.lua", accounts=ACCOUNTS, clients=8, connections=4, each=1000)


def _over_floor(
    seconds: int, script: str, *, accounts: int, clients: int, connections: int, each: int = 1
) -> Measure:
    variables = _variables(accounts)
    floors: list[float] = []
    rates: list[float] = []
    warm_up(scripts.CHARGE)
    with web.serving() as server:
        _warm(server, variables)
        for _ in range(ROUNDS):
            floors.append(_floor(clients=clients, hi=accounts, seconds=seconds))
            load = server.load(script=script, connections=connections, seconds=seconds, variables=variables)
            rates.append(load.per_second * each)
    return _ratio(rates, floors, "the floor")


def http_p99_ms(seconds: int) -> Measure:
    """The 99th percentile of a charge with 16 connections: the median of the rounds."""
    variables = _variables(ACCOUNTS)
    with web.serving() as server:
        _warm(server, variables)
        loads = [
            server.load(script="charges.lua", connections=FEW, seconds=seconds, variables=variables)
            for _ in range(ROUNDS)
        ]
    rate = statistics.median(load.per_second for load in loads)
    return statistics.median(load.p99_ms for load in loads), f"at {rate:,.0f} charges/s"


def http_ordinary(seconds: int) -> Measure:
    """The price list of the API and the dashboard through the front, over Django behind WSGI: the smaller ratio."""
    key, session = platform_key(), _session()
    ratios: list[float] = []
    details: list[str] = []
    with web.serving() as front, web.serving(wsgi=True) as alone:
        for path in ("/api/v1/services", "/"):
            rounds: list[float] = []
            for _ in range(ROUNDS + 1):
                rates = []
                for server in (front, alone):
                    cookie = {"Cookie": f"{server.session_cookie}={session}"}
                    headers = cookie if path == "/" else {"Authorization": f"Bearer {key}"}
                    load = server.load(path, headers=headers, connections=FEW, seconds=seconds)
                    rates.append(load.per_second)
                rounds.append(rates[0] / rates[1])
            ratios.append(statistics.median(rounds[1:]))  # the first round warms up
            details.append(f"{path} {ratios[-1]:.2f}")
    return min(ratios), ", ".join(details)


def web_mb(seconds: int) -> Measure:
    """The memory of the larger web process after 100,000 charges."""
    variables = _variables(ACCOUNTS)
    answers = 0
    with web.serving() as server:
        while answers < MEMORY_REQUESTS:
            answers += server.load(
                script="charges.lua", connections=MANY, seconds=seconds, variables=variables
            ).answers
        return server.largest_mb(), f"after {answers:,} charges"


def _variables(accounts: int) -> dict[str, str]:
    """What the scripts of wrk read from the environment."""
    return {"KEY": platform_key(), "ACCOUNTS": str(accounts)}


def _warm(server: web.Server, variables: dict[str, str]) -> None:
    server.load(script="charges.lua", connections=MANY, seconds=2, variables=variables)
    server.load(script="balances.lua", connections=MANY, seconds=1, variables=variables)


def _floor(*, clients: int, hi: int, seconds: int) -> float:
    return pgbench.run(scripts.FLOOR, clients=clients, seconds=seconds, lo=1, hi=hi).tps


def _ratio(own: list[float], base: list[float], named: str) -> Measure:
    ratios = [mine / other for mine, other in zip(own, base, strict=True)]
    detail = f"{statistics.median(own):,.0f}/s, {named} {statistics.median(base):,.0f}/s"
    return statistics.median(ratios), detail


def _session() -> str:
    """The session of a new user."""
    user = User.objects.create_user(f"bench-{uuid.uuid4().hex}@example.org")
    registration.open_personal_account(user, timezone.now())
    client = Client()
    client.force_login(user)
    return client.session.session_key or ""
