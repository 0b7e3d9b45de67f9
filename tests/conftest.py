"""The cast and the stage: alice owns, bob is on her team, charlie must see nothing, staff run the house.

Everybody has a personal account with the catalogue's free plan, as after a real sign-up.
"""

import socket
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import hypothesis
import pytest
import time_machine
from django.apps import apps
from django.conf import settings
from django.core.cache import cache
from django.core.management import call_command
from django.db import connection, transaction
from django.db.backends.postgresql.operations import DatabaseOperations
from django.test import Client
from django.utils import timezone

from accounts import api_keys, authentication, registration
from accounts.models import Account, Membership, User
from billing import provisioning
from config.supervisor import embedded_postgres
from pricing.catalogue import cache as catalogue_cache
from pricing.models import Service
from tests import clock as run_clock

# Time limits of Hypothesis would make tests fail on a loaded machine.
hypothesis.settings.register_profile(
    "refill", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("refill")

PASSWORD = "correct horse battery staple"
LOOPBACK = ("127.", "::1", "localhost", "0.0.0.0")
# Before every moment that a test may begin at, and after the dates of the catalogues' rates.
CATALOGUE_LOADED_AT = datetime(2026, 6, 15, tzinfo=UTC)


def pytest_configure() -> None:
    try:
        run_clock.start()
    except ValueError as error:
        raise pytest.UsageError(f"DATE: {error}") from error


def pytest_report_header() -> str:
    return run_clock.header()


def pytest_terminal_summary(terminalreporter: Any, exitstatus: int, config: pytest.Config) -> None:
    """A failed run ends with the line that repeats its date and its order, also with -q."""
    if exitstatus == pytest.ExitCode.TESTS_FAILED:
        seed = config.getoption("randomly_seed", None)
        order = f' ARGS="--randomly-seed={seed}"' if seed is not None else ""
        terminalreporter.write_line(f"repeat with: DATE={run_clock.moment()} make test{order}")


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup() -> None:
    run_clock.restart()


def pytest_unconfigure() -> None:
    """Stop the suite's own PostgreSQL; one that somebody chose (REFILL_VAR, DATABASE_URL) is left running."""
    if getattr(settings, "DATABASE_IS_THE_SUITES_OWN", False):
        embedded_postgres.stop(settings.VAR_DIR / "postgres")


@pytest.fixture(scope="session", autouse=True)
def no_network() -> Iterator[None]:
    """A test that reaches for anything but this machine fails, and says where it wanted to go."""
    connect, look_up = socket.socket.connect, socket.getaddrinfo

    def guarded_connect(self: socket.socket, address: Any) -> None:
        if self.family != socket.AF_UNIX and not str(address[0]).startswith(LOOPBACK):
            raise AssertionError(f"A test reached for the network: {address}")
        connect(self, address)

    def guarded_look_up(host: Any, *arguments: Any, **options: Any) -> Any:
        name = host.decode() if isinstance(host, bytes) else host
        if name and not str(name).startswith(LOOPBACK):
            raise socket.gaierror(socket.EAI_NONAME, f"A test asked for the address of {name}")
        return look_up(host, *arguments, **options)

    patch = pytest.MonkeyPatch()
    patch.setattr(socket.socket, "connect", guarded_connect)
    patch.setattr(socket, "getaddrinfo", guarded_look_up)
    yield
    patch.undo()


@pytest.fixture(scope="session")
def django_db_setup(django_db_setup: None, django_db_blocker: Any) -> Iterator[None]:
    """The test database. PostgreSQL does not drop it while a session is open, such as that of a thread of the
    live server whose browser disconnected during a request."""
    yield
    with django_db_blocker.unblock(), connection.cursor() as cursor:
        cursor.execute(
            "select pg_terminate_backend(pid, 5000) from pg_stat_activity"
            " where datname = current_database() and usename = current_user and pid <> pg_backend_pid()"
        )


@pytest.fixture(scope="session", autouse=True)
def ledger_can_be_emptied() -> Iterator[None]:
    """After a test with real commits all tables are emptied. The database refuses that of the ledger's (L11),
    so this emptying, and nothing else in the suite, switches its triggers off."""
    empty = DatabaseOperations.execute_sql_flush

    def without_triggers(self: DatabaseOperations, statements: list[str]) -> Any:
        return empty(self, ["SET LOCAL session_replication_role = replica", *statements])

    patch = pytest.MonkeyPatch()
    patch.setattr(DatabaseOperations, "execute_sql_flush", without_triggers)
    yield
    patch.undo()


@pytest.fixture(autouse=True)
def clock_is_set_first(request: pytest.FixtureRequest) -> None:
    """A test that sets the clock sets it before anything else is made, accounts included."""
    for name in {"clock", "noon"} & set(request.fixturenames):
        request.getfixturevalue(name)


@pytest.fixture(autouse=True)
def nothing_remembered(request: pytest.FixtureRequest, django_db_blocker: Any) -> Iterator[None]:
    """What a process remembers of keys, and real commits to the cache, must not reach the next test."""
    yield
    api_keys._leases.clear()
    authentication._account_ids.clear()
    catalogue_cache.forget()
    if "transactional_db" in request.fixturenames or "live_server" in request.fixturenames:
        with django_db_blocker.unblock():
            cache.clear()


@pytest.fixture
def catalogue(db: None) -> None:
    """The services, rates, plans and packs of the default catalogue (Refly)."""
    if Service.objects.exists():
        return
    if settings.CATALOGUE not in _catalogue_rows:
        before = _counts()
        with time_machine.travel(CATALOGUE_LOADED_AT):
            call_command("load_catalogue", verbosity=0)
        changed = [table for table, count in _counts().items() if count != before[table]]
        _catalogue_rows[settings.CATALOGUE] = {table: _copied(table) for table in changed}
    else:
        _put_back(_catalogue_rows[settings.CATALOGUE])
        catalogue_cache.forget()


# The rows that loading a catalogue makes, by table: loaded by the real command once in a run, then put back
# as they were, which takes a tenth of the time and is needed by nearly every test.
_catalogue_rows: dict[str, dict[str, bytes]] = {}


def _counts() -> dict[str, int]:
    models = [model for model in apps.get_models() if model._meta.managed]
    return {model._meta.db_table: model._base_manager.count() for model in models}


def _copied(table: str) -> bytes:
    with connection.cursor() as cursor, cursor.copy(f'copy "{table}" to stdout') as rows:
        return b"".join(rows)


def _put_back(tables: dict[str, bytes]) -> None:
    with transaction.atomic(), connection.cursor() as cursor:
        # The rows were right when they were copied; published cards accept none by the usual way.
        cursor.execute("set local session_replication_role = replica")
        for table, rows in tables.items():
            with cursor.copy(f'copy "{table}" from stdin') as copy:
                copy.write(rows)
        cursor.execute("set local session_replication_role = origin")


def person(name: str, **fields: Any) -> User:
    """Somebody who has signed up: a user and a personal account."""
    user = User.objects.create_user(f"{name}@example.org", PASSWORD, first_name=name.title(), **fields)
    registration.open_personal_account(user, timezone.now())
    return user


@pytest.fixture
def alice(catalogue: None) -> User:
    return person("alice")


@pytest.fixture
def bob(catalogue: None) -> User:
    """Bob has an account of his own, and is a member of alice's team where a test asks for `team`."""
    return person("bob")


@pytest.fixture
def charlie(catalogue: None) -> User:
    return person("charlie")


@pytest.fixture
def staff(catalogue: None) -> User:
    return person("staff", is_staff=True, is_superuser=True)


@pytest.fixture
def account_of() -> Callable[[User], Account]:
    """The personal account of somebody: `account_of(alice)`."""

    def find(user: User) -> Account:
        return Account.objects.get(person=user)

    return find


@pytest.fixture
def team(alice: User, bob: User) -> Account:
    """A team that alice owns and bob is a plain member of."""
    now = timezone.now()
    account = Account.objects.create(name="Wonderland", kind=Account.Kind.TEAM, created_at=now)
    for user, role in ((alice, Membership.Role.OWNER), (bob, Membership.Role.MEMBER)):
        Membership.objects.create(account=account, user=user, role=role, created_at=now)
    provisioning.open_account(account=account, user=alice, now=now)
    return account


@pytest.fixture
def signed_in() -> Callable[[User], Client]:
    """A browser in which somebody has signed in: `signed_in(alice).get("/")`."""

    def client(user: User) -> Client:
        browser = Client()
        browser.force_login(user, backend="allauth.account.auth_backends.AuthenticationBackend")
        return browser

    return client


class Api:
    """A program that speaks to the REST API with a key: `api.post("charges", {...}, key="order-1")`."""

    def __init__(self, secret: str) -> None:
        self.secret = secret
        self.client = Client(headers={"authorization": f"Bearer {secret}"} if secret else {})

    def get(self, path: str, **query: Any) -> Any:
        return self.client.get(self._url(path), query)

    def post(self, path: str, body: Any = None, *, key: str | None = None, **headers: str) -> Any:
        return self._send("post", path, body, key, headers)

    def put(self, path: str, body: Any = None, *, key: str | None = None, **headers: str) -> Any:
        return self._send("put", path, body, key, headers)

    def patch(self, path: str, body: Any = None, *, key: str | None = None, **headers: str) -> Any:
        return self._send("patch", path, body, key, headers)

    def delete(self, path: str) -> Any:
        return self.client.delete(self._url(path))

    def _send(self, method: str, path: str, body: Any, key: str | None, headers: dict[str, str]) -> Any:
        if key is not None:
            headers["Idempotency-Key"] = key
        data = {} if body is None else body
        return getattr(self.client, method)(
            self._url(path), data=data, content_type="application/json", headers=headers
        )

    @staticmethod
    def _url(path: str) -> str:
        return path if path.startswith("/") else f"/api/v1/{path}"


ALL_SCOPES = ("read", "spend", "manage")


@pytest.fixture
def platform_api(catalogue: None) -> Api:
    """The AI product's own backend: it acts on any account."""
    issued = api_keys.issue(kind="platform", name="backend", scopes=ALL_SCOPES, now=timezone.now())
    return Api(issued.secret)


@pytest.fixture
def api_of() -> Callable[..., Api]:
    """A member's own program: `api_of(alice)`, or `api_of(bob, account=team, scopes=["read"])`."""

    def make(user: User, *, scopes: Any = ALL_SCOPES, account: Account | None = None) -> Api:
        owner = account or Account.objects.get(person=user)
        issued = api_keys.issue(
            kind="account", name="program", scopes=scopes, account=owner, created_by=user, now=timezone.now()
        )
        return Api(issued.secret)

    return make


@pytest.fixture
def anonymous_api() -> Api:
    return Api("")


@pytest.fixture
def clock() -> Iterator[time_machine.Traveller]:
    """A clock that stands at noon of 20 November 2026, UTC, until a test moves it: `clock.shift(86_400)`."""
    with time_machine.travel(datetime(2026, 11, 20, 12, tzinfo=UTC), tick=False) as traveller:
        yield traveller


@pytest.fixture
def noon() -> Iterator[None]:
    """Begin at noon of the run's date: for a test whose minutes must lie within one day and month."""
    with time_machine.travel(run_clock.parsed(run_clock.moment()).replace(hour=12, minute=0)):
        yield
