"""Rows of the release before webhooks and child holds, taken through the migrations since."""

import datetime as dt
import uuid
from collections.abc import Iterator

import pytest
from django.db import connection
from django.db.migrations.executor import MigrationExecutor

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
HOUR = dt.timedelta(hours=1)


def migrate(targets: list[tuple[str, str]] | None = None) -> None:
    """Migrate to these migrations, or to the newest ones."""
    executor = MigrationExecutor(connection)
    executor.migrate(targets or executor.loader.graph.leaf_nodes())


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

    migrate()
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
