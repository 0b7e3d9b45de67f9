"""Pages of an account whose wallet another transaction has locked."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.core.management import call_command
from django.db import connection, transaction
from django.test import Client
from django.utils import timezone

from accounts.models import Account, User
from billing.ledger import waiting
from tests.conftest import person
from tests.integration.races.concurrency import BackgroundCall
from tests.usage.spending import give
from usage import live_updates, projects
from usage.dashboard import balance_summary

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def alice(transactional_db: None) -> User:
    call_command("load_catalogue", verbosity=0)
    return person("alice")


def locked(account: Account, call: Callable[[], Any]) -> Any:
    """The result of a call while another transaction holds the account's wallet."""

    def with_short_timeout() -> Any:
        with connection.cursor() as cursor:
            cursor.execute("set lock_timeout = '200ms'")  # a web process waits for three seconds
        return call()

    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("select 1 from billing_wallet where account_id = %s for update", [account.pk])
        thread = BackgroundCall(with_short_timeout)
        thread.start()
        return thread.outcome()


@pytest.mark.fault("L16")
def test_a_page_that_waits_too_long_for_a_lock_offers_to_try_again(
    alice: User, signed_in: Callable[[User], Client]
) -> None:
    account = Account.objects.get(person=alice)
    browser = signed_in(alice)
    assert locked(account, lambda: browser.get("/")).status_code == 200, "nothing is due: no lock"

    give(account, "5", timezone.now(), kind="bonus", expires_at=timezone.now() + timedelta(milliseconds=50))
    while live_updates.version_of(account.pk, timezone.now()) != live_updates.DUE:
        pass  # until the credits are due to expire
    page = locked(account, lambda: browser.get("/history/?kind=charge&x=%22"))
    assert (page.status_code, page["Retry-After"]) == (503, "5")
    content = page.content.decode()
    assert "Try again in a moment" in content and 'href="/history/?kind=charge&amp;x=%22"' in content

    project = projects.create(account_id=account.pk, name="p", daily_limit=None, now=timezone.now())
    path = f"/projects/{project.public_id}/"
    posted = locked(account, lambda: browser.post(path, {"name": "p", "daily_limit": "5"}))
    assert (posted.status_code, posted["Retry-After"]) == (503, "5")
    assert "before you repeat it" in posted.content.decode()


def test_other_errors_of_the_database_keep_the_error_page(
    alice: User, signed_in: Callable[[User], Client], monkeypatch: pytest.MonkeyPatch
) -> None:
    browser = signed_in(alice)
    browser.raise_request_exception = False

    def fail(*_: Any) -> None:
        with connection.cursor() as cursor:
            cursor.execute("select 1 / 0")

    monkeypatch.setattr(balance_summary, "settle", fail)
    assert browser.get("/history/").status_code == 500

    def refuse(*_: Any) -> None:
        raise waiting.WalletLocked("the wallet is locked")

    monkeypatch.setattr(balance_summary, "settle", refuse)
    assert browser.get("/history/").status_code == 503
