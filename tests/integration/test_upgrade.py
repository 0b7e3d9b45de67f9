"""Rows of the release before webhooks and child holds, taken through the migrations since.

An empty database has applied the migration that replaces billing 0001 to 0031; an older one applies these.
"""

import datetime as dt
import uuid
from collections.abc import Iterator

import pytest
from django.db import connection
from django.db.migrations.executor import MigrationExecutor
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.writer import MigrationWriter

from accounts import encryption
from accounts.models import Account, WebhookEndpoint, WebhookEvent
from accounts.webhook_endpoints import endpoints
from billing import ledger
from billing.ledger.models import Hold, Limit
from core import database_roles
from tests.billing.ledger.conftest import NOON, D, capture, charge_request, give, hold, new_account, spend
from tests.billing.ledger.state import broken
from tests.roles import RUNTIME_ROLE

pytestmark = [pytest.mark.usefixtures("committed"), pytest.mark.owner]
BEFORE = [("accounts", "0003_members"), ("billing", "0020_key_limits")]
BETWEEN = [("accounts", "0004_webhooks"), ("billing", "0024_children_of_holds")]
SQUASHED = ("billing", "0001_squashed_0031_further_thresholds")
HOUR = dt.timedelta(hours=1)


def migrate(targets: list[tuple[str, str]] | None = None) -> list[tuple[str, str]]:
    """Migrate to these migrations, or to the newest ones as `migrate` does; returns what was applied."""
    executor = MigrationExecutor(connection)
    if targets:  # one of the replaced migrations is a target only where the migration beside them is not used
        executor.loader.replace_migrations = False
        executor.loader.build_graph()
    plan = executor.migration_plan(targets or executor.loader.graph.leaf_nodes())
    executor.migrate(targets or executor.loader.graph.leaf_nodes(), plan)
    return [(migration.app_label, migration.name) for migration, backwards in plan if not backwards]


def recorded() -> list[tuple[str, str]]:
    with connection.cursor() as cursor:
        cursor.execute("select app, name from django_migrations")
        return cursor.fetchall()


def run(statement: str, *parameters: object) -> None:
    with connection.cursor() as cursor:
        cursor.execute(statement, parameters)


@pytest.fixture
def newest_afterwards() -> Iterator[None]:
    yield
    migrate()
    if RUNTIME_ROLE:  # the rights of tables that were created again
        database_roles.apply(database_roles.statements(runtime=RUNTIME_ROLE))
    WebhookEndpoint.objects.all().delete()
    WebhookEvent.objects.all().delete()


def test_holds_limits_and_secrets_of_earlier_releases_are_kept(newest_afterwards: None) -> None:
    account, ours, theirs = new_account(), uuid.uuid4(), uuid.uuid4()
    give(account, "100")
    ledger.set_limit(
        account_id=account, kind="project", subject=str(ours), period="day", maximum=D("60"), now=NOON
    )
    spend(account, "10", project_id=ours)
    root = hold(account, "40", until=NOON + HOUR, project_id=ours)

    run("delete from django_migrations where app = %s and name = %s", *SQUASHED)  # an old release has none
    migrate(BEFORE)
    for column in ("parent_id", "depth", "reserved", "at_expiry", "reported"):
        run(f"alter table billing_hold drop column {column} cascade")

    migrate(BETWEEN)
    request = charge_request(account, "30", "child", project_id=theirs)
    child = ledger.hold(request, expires_at=NOON + HOUR, now=NOON, parent=root.hold_id)
    # as it was counted then: without the child
    run("update billing_limit set used = 20 where account_id = %s", account)
    run(
        "insert into accounts_webhookendpoint(id, account_id, url, description, events, secret,"
        " previous_secret, previous_until, created_at, disabled_reason, failures) values"
        " (%s, %s, 'https://hooks.example.com/', '', array['balance.depleted'], %s, %s, %s, %s, '', 0)",
        *(uuid.uuid4(), account, encryption.encrypt("new"), encryption.encrypt("old"), NOON + HOUR, NOON),
    )

    replaced = MigrationLoader(None).replacements[SQUASHED].replaces
    applied = migrate()
    assert ("accounts", "0006_former_secrets") in applied
    assert [one for one in applied if one in {SQUASHED, *replaced}] == replaced[24:]
    assert sorted(one for one in recorded() if one in {SQUASHED, *replaced}) == sorted([SQUASHED, *replaced])
    assert migrate() == []

    endpoint = WebhookEndpoint.objects.get()
    assert endpoints.secrets_of(endpoint, NOON) == ["new", "old"]
    assert endpoints.secrets_of(endpoint, NOON + HOUR) == ["new"]
    assert Limit.objects.get().used == D("50")
    assert Hold.objects.get(pk=root.hold_id).at_expiry == "release"
    capture(account, child, "5", "child's")
    capture(account, root, "35", "root's")
    assert Limit.objects.get().used == D("45")
    spend(account, "50", "rest")
    assert [event.type for event in WebhookEvent.objects.all()] == ["balance.depleted"]
    assert broken([account]) == []
    assert Account.objects.get(pk=account).webhook_endpoints.count() == 1


def test_an_installation_of_the_last_release_applies_nothing_again() -> None:
    run("delete from django_migrations where app = %s and name = %s", *SQUASHED)
    assert migrate() == []
    assert recorded().count(SQUASHED) == 1


def test_an_empty_database_gets_the_tables_of_an_older_one() -> None:
    ends = [MigrationLoader(None, replace_migrations=replace).project_state() for replace in (True, False)]
    new, old = ({key: model for key, model in end.models.items() if key[0] == "billing"} for end in ends)
    assert new.keys() == old.keys()
    for key, model in new.items():
        fields, former = (
            [(name, MigrationWriter.serialize(field)) for name, field in one.fields.items()]
            for one in (model, old[key])
        )
        assert fields == former, key  # in the order of the columns
        assert model.options == old[key].options, key
