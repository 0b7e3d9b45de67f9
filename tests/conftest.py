"""Fixtures of the whole suite: alice owns a team, bob is a member of it, charlie is not, staff use the admin.

Every user has a personal account with the catalogue's free plan, as after a real sign-up.
"""

import gc
import os
import socket
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import hypothesis
import hypothesis.configuration
import pytest
import time_machine
from django.conf import settings
from django.core.cache import cache
from django.core.management.commands import flush
from django.db import connection
from django.db.backends.postgresql.operations import DatabaseOperations
from django.test import Client
from django.utils import timezone
from psycopg._preparing import Prepare, PrepareManager
from psycopg.pq.abc import PGresult

from accounts import api_keys, authentication, registration
from accounts.models import Account, Membership, User
from billing import ledger, provisioning
from billing.subscriptions import plan_terms
from config.supervisor import embedded_postgres
from core import database_roles, rate_limit, refusals
from pricing.catalogue import cache as catalogue_cache
from pricing.models import Service
from tests import clock as run_clock
from tests import order, rewriting, saved_rows, template_database
from tests.api import ALL_SCOPES, Api
from tests.roles import RUNTIME_ROLE

# Each process has a directory: in a common one they delete each other's temporary directories.
hypothesis.configuration.set_hypothesis_home_dir(
    Path(".hypothesis") / os.environ.get("PYTEST_XDIST_WORKER", "alone")
)
# Time limits of Hypothesis would make tests fail on a loaded machine.
hypothesis.settings.register_profile(
    "refill", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("refill")

PASSWORD = "correct horse battery staple"
OF_MIGRATIONS = {"auth_group", "auth_group_permissions", "auth_permission", "django_content_type"}
LOOPBACK = ("127.", "::1", "localhost", "0.0.0.0")


def pytest_configure() -> None:
    gc.disable()  # while modules are imported, nothing becomes garbage: collections took half of that time
    try:
        run_clock.start()
    except ValueError as error:
        raise pytest.UsageError(f"DATE: {error}") from error


def pytest_report_header() -> str:
    return run_clock.header()


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    order.longest_first(items)


def pytest_terminal_summary(terminalreporter: Any, exitstatus: int, config: pytest.Config) -> None:
    """The slowest files; after a failure, the line that repeats the date and the order, also with -q."""
    if config.getoption("durations"):
        reports = [one for of_kind in terminalreporter.stats.values() for one in of_kind]
        terminalreporter.section("slowest files")
        for line in order.slowest_files([one for one in reports if hasattr(one, "duration")], 25):
            terminalreporter.write_line(line)
    if exitstatus == pytest.ExitCode.TESTS_FAILED:
        seed = config.getoption("randomly_seed", None)
        again = f' ARGS="--randomly-seed={seed}"' if seed is not None else ""
        terminalreporter.write_line(f"repeat with: DATE={run_clock.moment()} make test{again}")


@pytest.hookimpl(wrapper=True)
def pytest_sessionstart(session: pytest.Session) -> Iterator[None]:
    starts_others = bool(session.config.getoption("numprocesses", None))
    if starts_others:
        rewriting.compile_all(session.config)
    yield  # starts the other processes
    if starts_others and template_database.is_used(session.config):
        template_database.make(session.config)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup() -> None:
    run_clock.restart()


def pytest_unconfigure(config: pytest.Config) -> None:
    """Stop the suite's own PostgreSQL; one selected by REFILL_VAR or DATABASE_URL is left running."""
    template_database.drop(config)
    if getattr(settings, "DATABASE_IS_THE_SUITES_OWN", False):
        embedded_postgres.stop(settings.VAR_DIR / "postgres")


@pytest.fixture(scope="session", autouse=True)
def no_network() -> Iterator[None]:
    """A test that connects to another machine fails, and the error names the address."""
    connect, look_up = socket.socket.connect, socket.getaddrinfo

    def guarded_connect(self: socket.socket, address: Any) -> None:
        if self.family != socket.AF_UNIX and not str(address[0]).startswith(LOOPBACK):
            raise AssertionError(f"A test connected to the network: {address}")
        connect(self, address)

    def guarded_look_up(host: Any, *arguments: Any, **options: Any) -> Any:
        name = host.decode() if isinstance(host, bytes) else host
        if name and not str(name).startswith(LOOPBACK):
            raise socket.gaierror(socket.EAI_NONAME, f"A test looked up the address of {name}")
        return look_up(host, *arguments, **options)

    patch = pytest.MonkeyPatch()
    patch.setattr(socket.socket, "connect", guarded_connect)
    patch.setattr(socket, "getaddrinfo", guarded_look_up)
    yield
    patch.undo()


@pytest.fixture(autouse=True)
def database_role(request: pytest.FixtureRequest, django_db_blocker: Any) -> Iterator[None]:
    """A test marked `owner` runs as the owner of the tables: it installs or corrupts something."""
    if not RUNTIME_ROLE or request.node.get_closest_marker("owner") is None:
        yield
        return
    options = connection.settings_dict["OPTIONS"]
    role = options.pop("assume_role", None)
    switch_role("none", django_db_blocker)
    yield
    if role:
        options["assume_role"] = role
        switch_role(role, django_db_blocker)


def switch_role(role: str, django_db_blocker: Any) -> None:
    """Switch the role of the open connection; a transaction that fails or ends returns to its first role."""
    with django_db_blocker.unblock():
        if connection.connection is not None and not connection.needs_rollback:
            with connection.cursor() as cursor:
                cursor.execute(f"set role {role}")


@pytest.fixture(scope="session")
def django_db_modify_db_settings(django_db_modify_db_settings: None, pytestconfig: pytest.Config) -> None:
    if template_database.is_used(pytestconfig):
        connection.settings_dict["TEST"]["TEMPLATE"] = template_database.NAME


@pytest.fixture(scope="session")
def django_db_setup(django_db_setup: None, django_db_blocker: Any) -> Iterator[None]:
    """The test database. PostgreSQL does not drop it while a session is open, such as that of a thread of the
    live server whose browser disconnected during a request."""
    if "CITUS_URL" in os.environ:
        saved_rows.least_requests = float("inf")  # rows are restored without triggers, which copy accounts
        with django_db_blocker.unblock():
            ledger.distribution.distribute(shard_count=8)
    if RUNTIME_ROLE:
        with django_db_blocker.unblock():
            # the sessions belong to the owner, whose activity the role sees only with pg_read_all_stats
            grant = f"grant pg_read_all_stats to {RUNTIME_ROLE}"
            database_roles.apply([*database_roles.statements(runtime=RUNTIME_ROLE), grant])
            connection.settings_dict["OPTIONS"]["assume_role"] = RUNTIME_ROLE
            connection.close()
    yield
    connection.settings_dict["OPTIONS"].pop("assume_role", None)
    with django_db_blocker.unblock():
        connection.close()
    with django_db_blocker.unblock(), connection.cursor() as cursor:
        cursor.execute(
            "select pg_terminate_backend(pid, 5000) from pg_stat_activity"
            " where datname = current_database() and usename = current_user and pid <> pg_backend_pid()"
        )


@pytest.fixture(scope="session", autouse=True)
def fewer_garbage_collections() -> None:
    """Modules and settings live until the end: collections that look through them took 7 % of the time."""
    gc.freeze()
    gc.set_threshold(50_000, 20, 20)
    gc.enable()


@pytest.fixture(scope="session", autouse=True)
def rollbacks_keep_prepared_statements() -> Iterator[None]:
    """psycopg prepares all statements again after a rollback, which may have undone a CREATE; PostgreSQL does
    so where it is needed. Each test ends with a rollback, and planning took a third of the server's time."""
    discards = PrepareManager._should_discard

    def only_after_others(self: PrepareManager, prep: Prepare, results: Sequence[PGresult]) -> bool:
        return discards(self, prep, [one for one in results if one.command_status != b"ROLLBACK"])

    patch = pytest.MonkeyPatch()
    patch.setattr(PrepareManager, "_should_discard", only_after_others)
    yield
    patch.undo()


@pytest.fixture(scope="session", autouse=True)
def tables_are_emptied() -> Iterator[None]:
    """All tables are emptied after a test with real commits. Triggers of the ledger refuse that (L11); this
    statement, and no other of the suite, disables them. Deleting the few rows takes a tenth of the time of
    TRUNCATE, which replaces the files of every table. What migrations create stays; `flush` would create it
    again."""

    def statements(
        self: DatabaseOperations, _style: object, tables: list[str], **_options: object
    ) -> list[str]:
        names = [self.quote_name(table) for table in tables if table not in OF_MIGRATIONS]
        of_nodes = ["ledger_event", "ledger_account"] if "CITUS_URL" in os.environ else []
        return [
            "SET LOCAL ROLE NONE",
            "SET LOCAL citus.propagate_set_commands = 'local'",  # where there are several nodes
            "SET LOCAL session_replication_role = replica",
            f"LOCK TABLE {', '.join(names)}",  # waits for transactions of threads that outlive the test
            "; ".join(f"DELETE FROM {name}" for name in [*names, *of_nodes]),
        ]

    patch = pytest.MonkeyPatch()
    patch.setattr(DatabaseOperations, "sql_flush", statements)
    patch.setattr(flush, "emit_post_migrate_signal", lambda *_, **__: None)
    yield
    patch.undo()


@pytest.fixture(autouse=True)
def clock_is_set_first(request: pytest.FixtureRequest) -> None:
    """A test that sets the clock sets it before other fixtures create objects such as accounts."""
    for name in {"clock", "noon"} & set(request.fixturenames):
        request.getfixturevalue(name)


def forget_cached() -> None:
    """Forget what this process keeps of rows that are rolled back, except the catalogue with its stamp."""
    api_keys._leases.clear()
    authentication._account_ids.clear()
    rate_limit._leases.clear()
    refusals.counts.take(refusals.MOST_GROUPS)
    catalogue_cache._checked.clear()
    plan_terms.forget_all()


@pytest.fixture(autouse=True)
def caches_are_cleared(request: pytest.FixtureRequest, django_db_blocker: Any) -> Iterator[None]:
    """Caches of the process, and real commits to the cache table, must not affect the next test."""
    yield
    forget_cached()
    catalogue_cache.forget()
    if "transactional_db" in request.fixturenames or "live_server" in request.fixturenames:
        with django_db_blocker.unblock():
            cache.clear()


@pytest.fixture
def catalogue(db: None) -> None:
    """The services, rates, plans and packs of the default catalogue (Refly)."""
    if not Service.objects.exists():
        saved_rows.load_catalogue()


def person(name: str, **fields: Any) -> User:
    """A user who has signed up, with a personal account."""
    user = User.objects.create_user(f"{name}@example.org", PASSWORD, first_name=name.title(), **fields)
    registration.open_personal_account(user, timezone.now())
    return user


CAST: dict[str, Callable[[], User]] = {
    "alice": lambda: person("alice"),
    "bob": lambda: person("bob"),
    "charlie": lambda: person("charlie"),
    "staff": lambda: person("staff", is_staff=True, is_superuser=True),
}


def of_cast(name: str) -> User:
    if saved_rows.restore_of_cast(name, CAST):
        return User.objects.get(email=f"{name}@example.org")
    return CAST[name]()


@pytest.fixture
def alice(catalogue: None) -> User:
    return of_cast("alice")


@pytest.fixture
def bob(catalogue: None) -> User:
    """Bob has a personal account, and is a member of alice's team in tests that use `team`."""
    return of_cast("bob")


@pytest.fixture
def charlie(catalogue: None) -> User:
    return of_cast("charlie")


@pytest.fixture
def staff(catalogue: None) -> User:
    return of_cast("staff")


@pytest.fixture
def account_of() -> Callable[[User], Account]:
    """The personal account of a user: `account_of(alice)`."""

    def find(user: User) -> Account:
        return Account.objects.get(person=user)

    return find


@pytest.fixture
def team(alice: User, bob: User) -> Account:
    """A team with alice as owner and bob as member."""
    now = timezone.now()
    account = Account.objects.create(name="Wonderland", kind=Account.Kind.TEAM, created_at=now)
    for user, role in ((alice, Membership.Role.OWNER), (bob, Membership.Role.MEMBER)):
        Membership.objects.create(account=account, user=user, role=role, created_at=now)
    provisioning.open_account(account=account, user=alice, now=now)
    return account


@pytest.fixture
def signed_in() -> Callable[[User], Client]:
    """A client of a signed-in user: `signed_in(alice).get("/")`."""

    def client(user: User) -> Client:
        browser = Client()
        browser.force_login(user, backend="allauth.account.auth_backends.AuthenticationBackend")
        return browser

    return client


@pytest.fixture
def platform_api(catalogue: None) -> Api:
    """The AI product's backend with a platform key, which can act on any account."""
    issued = api_keys.issue(kind="platform", name="backend", scopes=ALL_SCOPES, now=timezone.now())
    return Api(issued.secret)


@pytest.fixture
def api_of() -> Callable[..., Api]:
    """A client with an account key: `api_of(alice)`, or `api_of(bob, account=team, scopes=["read"])`."""

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
    """Set the clock to noon of 20 November 2026, UTC; it does not advance until `clock.shift(86_400)`."""
    with time_machine.travel(datetime(2026, 11, 20, 12, tzinfo=UTC), tick=False) as traveller:
        yield traveller


@pytest.fixture
def noon() -> Iterator[None]:
    """Start at noon of the run's date, for a test that must not cross midnight."""
    with time_machine.travel(run_clock.noon()):
        yield


@pytest.fixture(autouse=True)
def sessions_send_calls(request: pytest.FixtureRequest, django_db_blocker: Any) -> Iterator[None]:
    """A session in which Citus has refused a statement sends no more calls: each test opens another one."""
    yield
    if "CITUS_URL" in os.environ:
        with django_db_blocker.unblock():
            connection.close()
