"""The verifiable statement: what it contains, and that the program in clients/ verifies it."""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from django.core.cache import cache
from django.db import connection
from django.test import Client
from django.utils import timezone
from structlog.testing import capture_logs

from accounts.models import Account, User
from billing import ledger
from clients.verify_statement import PENDING, VERIFIED, decoded, key_id, verify
from tests.usage.spending import spend
from usage.history import statements

pytestmark = pytest.mark.usefixtures("clock")
START = datetime(2026, 11, 20, 12, tzinfo=UTC)
DAY = timedelta(days=1)


@pytest.fixture
def account(alice: User, account_of: Callable[[User], Account]) -> Account:
    return account_of(alice)


@pytest.fixture
def unsigned(monkeypatch: pytest.MonkeyPatch) -> None:
    """No request for a statement takes a checkpoint."""
    monkeypatch.setattr(statements, "request_signature", lambda statement: None)


def document(account: Account, start: datetime = START, end: datetime = START + DAY) -> Any:
    """The statement's JSON of a period, by default the first day."""
    return json.loads("".join(statements.as_json(statements.of_period(account, start=start, end=end))))


def checkpoint() -> None:
    assert ledger.checkpoints.take(timezone.now())


def download(client: Client, query: str = "since=2026-11-20&until=2026-11-20") -> Any:
    response = client.get(f"/history/statement.json?{query}")
    assert response.status_code == 200
    return json.loads(b"".join(response.streaming_content))  # type: ignore[attr-defined]


def test_a_signed_statement_is_verified(account: Account) -> None:
    spend(account, "30", START)
    checkpoint()
    found = document(account)
    status, lines = verify(found)
    assert status == VERIFIED
    assert (found["opening"]["balance"], found["closing"]["balance"]) == ("0.000000", "70.000000")
    assert [entry["credits"] for entry in found["entries"] if entry["credits"] != "0.000000"] == [
        "100.000000",
        "-30.000000",
    ]
    assert "Complete until 2026-11-20T12:00:00.000000Z" in lines[-1]


def test_it_begins_at_the_opening_position_and_reaches_the_first_signed_one(
    account: Account, clock: Any
) -> None:
    spend(account, "1", START)
    clock.shift(DAY)
    spend(account, "2", timezone.now())
    clock.shift(DAY)
    spend(account, "3", timezone.now())
    checkpoint()
    clock.shift(DAY)
    spend(account, "4", timezone.now())
    checkpoint()
    middle = document(account, START + DAY, START + 2 * DAY)
    status, lines = verify(middle)
    assert status == VERIFIED and lines[-1] == "Complete: no entry of the period is missing."
    assert len(middle["before"]) == 1 and middle["after"]
    assert middle["proof"]["checkpoint"]["number"] == 1
    assert middle["after"][-1]["seq"] == middle["proof"]["head"]["seq"]


@pytest.mark.usefixtures("unsigned")
def test_entries_after_the_last_checkpoint_are_named_as_not_signed(account: Account, clock: Any) -> None:
    spend(account, "1", START)
    assert verify(document(account))[0] == PENDING  # no checkpoint at all
    checkpoint()
    clock.shift(1)
    spend(account, "2", timezone.now())
    status, lines = verify(document(account))
    assert status == PENDING and "the newest 1 entries" in lines[-1]

    clock.shift(DAY)
    spend(account, "3", timezone.now())
    later = document(account, START + DAY, START + 2 * DAY)
    status, lines = verify(later)  # the signed position is before the period
    assert status == PENDING
    assert later["start"]["seq"] == later["proof"]["head"]["seq"]


def test_an_account_without_entries_has_a_statement(account: Account) -> None:
    empty = Account.objects.create(name="Empty")
    ledger.open_wallet(empty.pk, START)
    checkpoint()
    assert verify(document(empty))[0] == VERIFIED
    assert verify(document(account, START - DAY, START))[0] == VERIFIED  # a period before the first entry


def test_a_long_statement_is_read_in_chunks(
    account: Account, monkeypatch: pytest.MonkeyPatch, django_assert_max_num_queries: Any
) -> None:
    for _ in range(7):
        spend(account, "1", START)
    checkpoint()
    monkeypatch.setattr(statements, "CHUNK", 3)
    with django_assert_max_num_queries(14):
        found = document(account)
    assert [entry["seq"] for entry in found["entries"]] == list(range(1, found["closing"]["seq"] + 1))
    assert verify(found)[0] == VERIFIED


def test_a_download_has_the_missing_checkpoint_taken(
    alice: User, account: Account, signed_in: Callable[[User], Client]
) -> None:
    spend(account, "1", START)
    client = signed_in(alice)
    assert verify(download(client))[0] == PENDING
    assert verify(download(client))[0] == VERIFIED

    spend(account, "1", START)
    assert verify(download(client))[0] == PENDING
    assert verify(download(client))[0] == PENDING  # at most one request in half a minute
    cache.clear()
    download(client)
    assert verify(download(client))[0] == VERIFIED


def test_an_invalid_period_is_refused(alice: User, signed_in: Callable[[User], Client]) -> None:
    response = signed_in(alice).get("/history/statement.json?since=yesterday")
    assert response.status_code == 400 and "since" in response.json()["errors"]


@pytest.mark.requirement("REFLY-07")
def test_the_page_says_what_is_signed_and_links_the_download(
    alice: User, account: Account, signed_in: Callable[[User], Client]
) -> None:
    spend(account, "1", START)
    client = signed_in(alice)
    page = client.get("/history/statement/?since=2026-11-20&until=2026-11-20").content.decode()
    assert "Verified up to" not in page and "within a few minutes" in page
    page = client.get("/history/statement/?since=2026-11-20&until=2026-11-20").content.decode()
    assert "Verified up to" in page and "within a few minutes" not in page
    assert "/history/statement.json?since=2026-11-20&amp;until=2026-11-20" in page


def test_the_keys_and_the_program_are_public(client: Client, account: Account) -> None:
    checkpoint()
    published = client.get("/.well-known/refill-ledger-keys.json").json()
    keys = [decoded(key["public_key"]) for key in published["keys"]]
    assert verify(document(account), {key_id(key): key for key in keys})[0] == VERIFIED
    program = client.get("/clients/verify_statement.py")
    assert b"def verify(" in b"".join(program.streaming_content)  # type: ignore[attr-defined]


@pytest.fixture
def archived(account: Account, clock: Any, tmp_path: Path) -> Account:
    """Alice spent on three days; the entries of the first are archived."""
    for _ in range(3):
        spend(account, "1", timezone.now())
        checkpoint()
        clock.shift(DAY)
    before = (START + DAY).replace(hour=0)
    plan = ledger.archive.run(before=before, path=tmp_path / "2026-11-20.jsonl.gz", now=timezone.now())
    assert plan.entries > 0
    return account


@pytest.mark.owner
@pytest.mark.parametrize("which", ["opening", "closing", "before"])
def test_a_statement_that_would_not_add_up_is_refused(
    account: Account, alice: User, signed_in: Callable[[User], Client], clock: Any, which: str
) -> None:
    for _ in range(3):
        spend(account, "1", timezone.now())
        clock.shift(DAY)
    second = statements.of_period(account, start=START + DAY / 2, end=START + 3 * DAY / 2)
    positions = {
        "opening": second.opening.seq,
        "closing": second.closing.seq,
        "before": second.opening.seq - 1,
    }
    with connection.cursor() as cursor:
        cursor.execute("set constraints all immediate")
        cursor.execute("set local session_replication_role = replica")
        cursor.execute(
            "delete from billing_entry where account_id = %s and seq = %s", [account.pk, positions[which]]
        )
        cursor.execute("set local session_replication_role = origin")
    client, query = signed_in(alice), "since=2026-11-21&until=2026-11-21"
    with capture_logs() as logs:
        document = client.get(f"/history/statement.json?{query}")
        page = client.get(f"/history/statement/?{query}", follow=True)
    said = "entries of this account are missing"
    assert (document.status_code, said in document.content.decode()) == (409, True)
    assert (said in page.content.decode()) == (which != "before")
    alerts = {(log["event"], log["account"]) for log in logs if log.get("alert")}
    assert alerts == {("entries_missing", account.public_id)}


@pytest.mark.owner
def test_a_statement_after_an_archive_is_verified(archived: Account) -> None:
    first = (START + DAY).replace(hour=0)
    for start, end in ((first, first + DAY), (first + DAY, first + 2 * DAY), (first, first + 2 * DAY)):
        assert verify(document(archived, start, end))[0] == VERIFIED
    found = document(archived, first, first + DAY)
    assert found["archived"] is None and len(found["before"]) == 1


@pytest.mark.owner
def test_a_statement_over_an_archived_period_begins_after_it_and_names_the_archive(archived: Account) -> None:
    found = document(archived, START - DAY, START + 2 * DAY)
    assert verify(found)[0] == VERIFIED
    assert found["from"] == "2026-11-21T00:00:00.000000Z"
    assert found["archived"]["file"] == "2026-11-20.jsonl.gz" and found["archived"]["archive"] == 1
    assert found["opening"]["balance"] == "99.000000"


@pytest.mark.owner
def test_an_archived_period_has_no_statement_but_the_place_of_its_entries(
    archived: Account, alice: User, signed_in: Callable[[User], Client]
) -> None:
    client = signed_in(alice)
    response = client.get("/history/statement.json?since=2026-11-20&until=2026-11-20")
    assert response.status_code == 410
    assert response.json()["archived"]["before"] == "2026-11-21T00:00:00.000000Z"
    page = client.get("/history/statement/?since=2026-11-20&until=2026-11-20").content.decode()
    assert "are in archive 1 and not shown here" in page
    ended = START.replace(hour=0)  # a whole day before the end of what is archived
    statement = statements.of_period(archived, start=ended - DAY, end=ended)
    assert (statement.start, statement.end, statement.entries) == (ended, ended, 0)
    page = client.get("/history/statement/?since=2026-11-21&until=2026-11-21").content.decode()
    assert "are in archive 1" not in page
