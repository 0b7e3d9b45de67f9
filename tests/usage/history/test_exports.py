"""Exports in the background: what the file has, its progress, its end, and who gets it."""

import csv
import io
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.core import mail
from django.test import Client
from django.utils import timezone, translation

from accounts.models import Account, Membership, User
from billing import ledger
from billing.notifications import emails
from tests.usage.spending import give, spend
from usage.history import exports, pages
from usage.history.pages import Filter
from usage.models import Export, ExportPart

pytestmark = pytest.mark.usefixtures("clock")
AccountOf = Callable[[User], Account]
SignedIn = Callable[[User], Client]


@pytest.fixture
def account(alice: User, account_of: AccountOf, monkeypatch: pytest.MonkeyPatch) -> Account:
    monkeypatch.setattr(exports, "PORTION", 3)
    monkeypatch.setattr(exports, "DIRECT_ENTRIES", 5)
    account = account_of(alice)
    give(account, "50", timezone.now(), label="Pack")
    for number in range(6):
        spend(account, "1", timezone.now(), conversation=f"c-{number}")
    return account


def rows_of(export: Export) -> list[list[str]]:
    text = b"".join(exports.text_of(export)).decode("utf-8-sig")
    return list(csv.reader(io.StringIO(text)))


@pytest.mark.parametrize("filters", [{}, {"kind": "charge"}, {"search": "c-3"}, {"kind": "expire"}])
def test_the_file_has_the_rows_of_the_direct_export(
    account: Account, alice: User, filters: dict[str, str]
) -> None:
    export = exports.request(account, alice, Filter(**filters), timezone.now())
    expected = list(pages.csv_rows(account, Filter(**filters)))
    spend(account, "1", timezone.now(), conversation="c-3 later")
    exports.write_waiting(timezone.now())
    export.refresh_from_db()
    assert rows_of(export) == expected, "entries that arrive later are not part of it"
    assert (export.state, export.rows) == ("ready", len(expected) - 1)
    assert export.expires_at == timezone.now() + exports.KEPT


def test_an_export_goes_on_where_a_worker_has_died(account: Account, alice: User) -> None:
    export = exports.request(account, alice, Filter(), timezone.now())
    assert export.percent == 0
    assert exports.write_portion(export.pk, timezone.now())
    export.refresh_from_db()
    assert (export.state, export.rows, export.parts.count()) == ("waiting", 3, 1)
    assert 0 < export.percent < 100
    assert exports.write_waiting(timezone.now()) == 2
    export.refresh_from_db()
    assert (export.state, export.percent) == ("ready", 100)
    assert rows_of(export) == list(pages.csv_rows(account, Filter()))
    assert exports.write_waiting(timezone.now()) == 0


def test_the_member_who_asked_gets_one_e_mail(account: Account, bob: User) -> None:
    """And the owner of the account none."""
    Membership.objects.create(account=account, user=bob, role="member", created_at=timezone.now())
    exports.request(account, bob, Filter(kind="charge"), timezone.now())
    exports.write_waiting(timezone.now())
    exports.write_waiting(timezone.now())
    emails.send_due(timezone.now())
    [sent] = mail.outbox
    assert sent.to == [bob.email]
    assert "has 6 rows" in str(sent.body) and "/exports/" in str(sent.body)


def test_an_export_that_fails_delays_no_other_and_is_given_up(
    account: Account, alice: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    bad = exports.request(account, alice, Filter(kind="grant"), timezone.now())
    good = exports.request(account, alice, Filter(), timezone.now())
    real = pages.page_of

    def page_of(account: Account, filters: Filter, **more: Any) -> pages.Page:
        if filters.kind:
            raise RuntimeError("broken")
        return real(account, filters, **more)

    monkeypatch.setattr(pages, "page_of", page_of)
    for _ in range(exports.MOST_ATTEMPTS - 1):
        exports.write_waiting(timezone.now())
    bad.refresh_from_db()
    good.refresh_from_db()
    assert (bad.state, good.state) == ("waiting", "ready")
    exports.write_waiting(timezone.now())
    bad.refresh_from_db()
    assert (bad.state, bad.expires_at) == ("failed", timezone.now() + exports.KEPT)


def test_an_export_is_given_up_after_failures_in_a_row(
    account: Account, alice: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    export = exports.request(account, alice, Filter(), timezone.now())

    def fail(*_: Any, **__: Any) -> None:
        raise RuntimeError("broken")

    with monkeypatch.context() as broken:
        broken.setattr(pages, "page_of", fail)
        for _ in range(exports.MOST_ATTEMPTS - 1):
            exports.write_waiting(timezone.now())
    assert exports.write_portion(export.pk, timezone.now())
    monkeypatch.setattr(pages, "page_of", fail)
    exports.write_waiting(timezone.now())
    export.refresh_from_db()
    assert (export.state, export.attempts) == ("waiting", 1)


def test_the_name_of_the_file_has_the_day_of_the_account(account: Account, alice: User) -> None:
    Account.objects.filter(pk=account.pk).update(zone="Asia/Kathmandu")
    evening = datetime(2026, 11, 20, 18, 15, tzinfo=UTC)
    export = exports.request(Account.objects.get(pk=account.pk), alice, Filter(), evening)
    assert exports.file_name(export) == "history-2026-11-21.csv"


def test_the_file_is_in_the_language_of_its_request(account: Account, alice: User) -> None:
    terms = {"key": "a", "reason": "r", "actor": "staff", "now": timezone.now()}
    ledger.adjust(account_id=account.pk, credits=Decimal(1), **terms)
    with translation.override("zh-hans"):
        support = translation.gettext("Support")
        export = exports.request(account, alice, Filter(), timezone.now())
    exports.write_waiting(timezone.now())
    assert support != "Support" and support in rows_of(export)[1]


def test_an_account_waits_for_few_exports_at_a_time(
    account: Account, alice: User, charlie: User, account_of: AccountOf
) -> None:
    for asked in (account_of(charlie), account):
        for _ in range(exports.MOST_WAITING):
            exports.request(asked, alice, Filter(), timezone.now())
    with pytest.raises(exports.TooManyExports):
        exports.request(account, alice, Filter(), timezone.now())
    exports.write_waiting(timezone.now())
    exports.request(account, alice, Filter(), timezone.now())


def test_expired_files_are_deleted(account: Account, alice: User) -> None:
    exports.request(account, alice, Filter(), timezone.now())
    exports.write_waiting(timezone.now())
    exports.delete_expired(timezone.now() + exports.KEPT - timedelta(seconds=1))
    assert ExportPart.objects.exists()
    exports.delete_expired(timezone.now() + exports.KEPT)
    assert not ExportPart.objects.exists() and not Export.objects.exists()


def test_a_large_history_is_exported_from_its_page(
    clock: Any, account: Account, alice: User, signed_in: SignedIn
) -> None:
    client = signed_in(alice)
    page = client.get("/history/?kind=charge").content.decode()
    assert 'action="/exports/?kind=charge"' in page and "export.csv" not in page
    response = client.post("/exports/?kind=charge", follow=True)
    assert response.redirect_chain == [("/exports/", 302)]
    assert "hx-trigger" in response.content.decode() and "0%" in response.content.decode()
    exports.write_waiting(timezone.now())
    page = client.get("/exports/").content.decode()
    export = Export.objects.get()
    assert f'href="/exports/{export.public_id}/history.csv"' in page and "every 2s" not in page
    download = client.get(f"/exports/{export.public_id}/history.csv")
    assert download["Content-Type"] == "text/csv; charset=utf-8"
    content = b"".join(download.streaming_content)  # type: ignore[attr-defined]
    assert content.count(b"\r\n") == 7
    Export.objects.update(state="failed")
    assert "history.csv" not in client.get("/exports/").content.decode()
    assert client.get(f"/exports/{export.public_id}/history.csv").status_code == 404
    Export.objects.update(state="ready")
    clock.shift(exports.KEPT)
    assert client.get(f"/exports/{export.public_id}/history.csv").status_code == 404
    assert "No exports" in client.get("/exports/").content.decode()


def test_a_small_history_is_downloaded_directly(
    account: Account, alice: User, signed_in: SignedIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exports, "DIRECT_ENTRIES", 100)
    page = signed_in(alice).get("/history/").content.decode()
    assert 'href="/history/export.csv?"' in page and 'action="/exports/' not in page


def test_the_page_says_that_other_exports_have_to_be_ready_first(
    account: Account, alice: User, signed_in: SignedIn
) -> None:
    client = signed_in(alice)
    for _ in range(exports.MOST_WAITING):
        client.post("/exports/")
    assert "still being written" in client.post("/exports/", follow=True).content.decode()
    assert Export.objects.count() == exports.MOST_WAITING
