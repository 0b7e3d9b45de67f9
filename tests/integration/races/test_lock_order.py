"""Pages and payments of one account lock its rows in one order and never deadlock.

The order is in docs/decisions/0070-order-of-locks.md.
"""

import re
import uuid
from collections.abc import Iterator
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from django.apps import apps
from django.conf import settings
from django.core.management import call_command
from django.db import transaction
from django.utils import timezone

from accounts.models import Account, Project
from billing import ledger
from billing.models import AutoTopUp, Mail, Purchase
from billing.notifications import emails
from billing.payments import fulfilment
from tests.billing.ledger.conftest import NOON, give, new_account
from tests.conftest import person
from tests.integration.races.concurrency import BackgroundCall, at_once
from usage import projects

ATTEMPTS = 10


@pytest.fixture
def account(transactional_db: None) -> Account:
    call_command("load_catalogue", verbosity=0)
    return Account.objects.get(person=person("alice"))


def open_purchase(account: Account) -> Purchase:
    return Purchase.objects.create(
        account=account,
        kind=Purchase.Kind.PACK,
        offer="pack",
        label="Pack",
        credits=Decimal(10),
        amount=100,
        list_amount=100,
        currency="usd",
        idempotency_key=uuid.uuid4().hex,
        created_at=timezone.now(),
    )


def pay(purchase: Purchase) -> str:
    payment = fulfilment.Payment(amount=100, currency="usd", payment_id=f"pi_{uuid.uuid4().hex}")
    return str(fulfilment.record_payment(purchase.pk, payment, timezone.now()).status)


def new_project(account: Account, name: str, limit: Decimal | None = None) -> Project:
    return projects.create(account_id=account.pk, name=name, daily_limit=limit, now=timezone.now())


def set_daily_limit(project_id: uuid.UUID, account: Account, limit: int) -> str:
    terms = {"account_id": account.pk, "project_id": project_id, "daily_limit": Decimal(limit)}
    return projects.change(**terms, now=timezone.now()).name


@pytest.mark.django_db(transaction=True)
@pytest.mark.fault("L10")
def test_a_paid_purchase_completes_while_a_project_limit_waits_for_its_wallet(
    account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = new_project(account, "p")
    change = BackgroundCall(lambda: set_daily_limit(project.pk, account, 5))
    queue = emails.queue

    def queue_while_the_change_waits(**terms: Any) -> None:
        """Runs after the credits are granted: the wallet is locked, and the e-mail refers to the account."""
        change.start()
        assert change.is_blocked()
        queue(**terms)

    monkeypatch.setattr(emails, "queue", queue_while_the_change_waits)
    assert pay(open_purchase(account)) == "paid"
    assert change.outcome() == "p"
    assert Mail.objects.filter(template="receipt").count() == 1


@pytest.mark.django_db(transaction=True)
@pytest.mark.fault("L10")
def test_project_limits_purchases_and_new_projects_at_once_do_not_deadlock(account: Account) -> None:
    project = new_project(account, "p")

    def attempt(number: int) -> list[Any]:
        purchases = [open_purchase(account) for _ in range(2)]
        return at_once(
            [
                lambda: set_daily_limit(project.pk, account, number),
                lambda: pay(purchases[0]),
                lambda: pay(purchases[1]),
                lambda: new_project(account, f"p{number}", limit=Decimal(1)).name,
            ]
        )

    for number in range(1, ATTEMPTS + 1):
        assert attempt(number) == ["p", "paid", "paid", f"p{number}"]


@pytest.mark.fault("P16")
def test_the_event_of_a_top_up_locks_the_settings_before_the_purchase(account: Account) -> None:
    AutoTopUp.objects.create(account=account, enabled=True, pack="pack", currency="usd")
    purchase = open_purchase(account)
    Purchase.objects.filter(pk=purchase.pk).update(origin=Purchase.Origin.AUTO_TOP_UP)
    intent = {"id": "pi_1", "status": "canceled", "metadata": {"purchase": purchase.public_id}}
    with transaction.atomic():
        AutoTopUp.objects.select_for_update(no_key=True).get()
        event = BackgroundCall(lambda: fulfilment.apply_payment_intent(intent, timezone.now()))
        event.start()
        assert event.is_blocked()
        assert Purchase.objects.select_for_update(no_key=True, nowait=True).get().status == "created"
    assert event.outcome().purchase.status == "failed"


@pytest.mark.usefixtures("committed")
@pytest.mark.fault("L10")
def test_reading_a_balance_that_is_due_and_moving_it_in_one_transaction_does_not_deadlock() -> None:
    """Settling locks in the same order as a move: a transaction that settled holds what its move needs."""
    account = new_account()
    give(account, "10", "ends", kind="bonus", expires_at=NOON + timedelta(hours=1))
    give(account, "10", "stays")
    later = NOON + timedelta(hours=2)
    with transaction.atomic():
        assert ledger.balance(account, later).total == 10
        other = BackgroundCall(lambda: give(account, "1", "other", now=later))
        other.start()
        assert other.is_blocked()
        give(account, "5", "more", now=later)
    assert isinstance(other.outcome(), ledger.Granted)
    assert ledger.balance(account, later).total == 16


def sources() -> Iterator[tuple[Path, str]]:
    for app in ("accounts", "billing", "core", "pricing", "usage"):
        for path in (Path(settings.BASE_DIR) / app).rglob("*"):
            if path.suffix in {".py", ".sql"}:
                lines = path.read_text().splitlines()
                yield path, "\n".join(line for line in lines if not line.lstrip().startswith(("#", "--")))


def test_no_code_locks_rows_against_foreign_keys() -> None:
    """FOR UPDATE conflicts with the FOR KEY SHARE of every row that refers to the locked one.

    NO KEY UPDATE does not, and excludes other writers as well
    (https://www.postgresql.org/docs/current/explicit-locking.html#LOCKING-ROWS).
    """
    found = []
    for path, text in sources():
        calls = re.findall(r"select_for_update\(((?:[^()]|\([^()]*\))*)\)", text)
        found += [str(path) for arguments in calls if "no_key=True" not in arguments]
        found += [str(path)] * len(re.findall(r"\bfor\s+update\b", text, re.IGNORECASE))
    assert found == []


def test_update_or_create_is_used_only_where_no_foreign_key_points() -> None:
    """Django's update_or_create locks the row FOR UPDATE and takes no other lock."""
    names = {
        name
        for _path, text in sources()
        for name in re.findall(r"\b(\w+)\.objects\s*\.(?:\w+\([^()]*\)\s*\.)*update_or_create\(", text)
    }
    models = {model.__name__: model for model in apps.get_models()}
    referred = {
        name
        for name in names
        for relation in models[name]._meta.related_objects
        if getattr(relation.field, "db_constraint", True)
    }
    assert names >= {"StripePrice", "AlertSettings"}
    assert referred == set()
