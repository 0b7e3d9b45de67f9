"""/statement: the entries of a period in pages that add up; /statement.json: the signed document."""

import json
from datetime import timedelta
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from django.test import Client

from accounts.models import Account, User
from billing.models import Entry
from clients import verify_statement
from tests.usage.api.conftest import give, use
from tests.usage.history.test_statements import checkpoint
from usage.history import statements

pytestmark = [pytest.mark.usefixtures("clock"), pytest.mark.requirement("CORE-07")]


@pytest.fixture
def spent(account: Account, api: Any, clock: Any) -> Account:
    """Seven charges and a hold, one a second, after the daily credits and a pack."""
    give(account, "50")
    for number in range(7):
        clock.shift(1)
        api.post("charges", use(2500, conversation=f"c-{number}"), key=f"c{number}")
    clock.shift(1)
    api.post("holds", use(5000), key="h")
    clock.shift(1)
    return account


def pages_of(api: Any, **query: str) -> list[dict[str, Any]]:
    pages = [api.get("statement", **query).json()]
    while pages[-1]["has_more"]:
        pages.append(api.get("statement", **query, cursor=pages[-1]["next_cursor"]).json())
    return pages


def total(lines: list[dict[str, str]]) -> Decimal:
    return sum((Decimal(line["credits"]) for line in lines), Decimal(0))


def adds_up(part: Any, lines: list[dict[str, str]]) -> bool:
    return Decimal(part["opening_balance"]) + total(lines) == Decimal(part["closing_balance"])


def test_without_dates_it_is_the_current_month(spent: Account, api: Any) -> None:
    shown = api.get("statement").json()
    assert (shown["from"], shown["to"]) == ("2026-11-01T00:00:00Z", "2026-11-21T00:00:00Z")
    assert (shown["account"], shown["zone"]) == (spent.public_id, "UTC")
    assert (shown["opening_balance"], shown["closing_balance"]) == ("0", "100.5")
    assert shown["movements"] == [
        {"kind": "charge", "credits": "-38.5"},
        {"kind": "grant", "credits": "150"},
        {"kind": "hold", "credits": "-11"},
    ]
    assert (shown["has_more"], shown["archived"]) == (False, None)
    newest = shown["data"][1]
    charge = api.get(f"charges/{newest['charge']}").json()
    assert newest == {
        "id": newest["id"],
        "kind": "charge",
        "title": "Claude Sonnet 4",
        "credits": "-5.5",
        "balance_after": "111.5",
        "grant": charge["drawn"][0]["grant"],
        "grant_kind": "daily",
        "charge": charge["id"],
        "covered_by": None,
        "service": "claude-sonnet-4",
        "action": None,
        "conversation": "c-6",
        "actor": newest["actor"],
        "created_at": "2026-11-20T12:00:07Z",
    }


def test_the_month_is_that_of_the_account(spent: Account, api: Any) -> None:
    Account.objects.filter(pk=spent.pk).update(zone="Pacific/Auckland")
    shown = api.get("statement").json()
    assert (shown["from"], shown["to"]) == ("2026-10-31T11:00:00Z", "2026-11-21T11:00:00Z")
    before = api.get("statement", to="2026-10-31T11:00:00Z").json()
    assert before["from"] == "2026-09-30T11:00:00Z", "the month of the last instant of the period"


@pytest.mark.parametrize("limit", ["1", "2", "3", "100"])
def test_every_page_adds_up_and_continues_the_one_before(spent: Account, api: Any, limit: str) -> None:
    whole = api.get("statement", limit="100").json()
    pages = pages_of(api, limit=limit)
    assert [line for page in pages for line in page["data"]] == whole["data"]
    assert all(adds_up(page["page"], page["data"]) for page in pages)
    assert all(adds_up(page, page["movements"]) for page in pages)
    figures = ("opening_balance", "closing_balance", "movements")
    assert [[page[name] for name in figures] for page in pages] == [[whole[name] for name in figures]] * len(
        pages
    )
    assert pages[0]["page"]["closing_balance"] == whole["closing_balance"]
    assert pages[-1]["page"]["opening_balance"] == whole["opening_balance"]
    for newer, older in pairwise(pages):
        assert newer["page"]["opening_balance"] == older["page"]["closing_balance"]


def test_entries_that_arrive_meanwhile_change_no_page(spent: Account, api: Any) -> None:
    api.get("statement")  # has its checkpoint taken
    before = pages_of(api, limit="3")
    first = api.get("statement", limit="3").json()
    api.post("charges", use(), key="meanwhile")
    second = api.get("statement", limit="3", cursor=first["next_cursor"]).json()
    assert [first, second] == before[:2]
    assert api.get("statement").json()["closing_balance"] == "89.5"


def test_a_period_has_its_entries_and_balances(spent: Account, api: Any) -> None:
    period = {"from": "2026-11-20T12:00:02Z", "to": "2026-11-20T12:00:05Z"}
    shown = api.get("statement", **period).json()
    assert [line["conversation"] for line in shown["data"]] == ["c-3", "c-2", "c-1"]
    assert (shown["opening_balance"], shown["closing_balance"]) == ("144.5", "128")
    assert shown["movements"] == [{"kind": "charge", "credits": "-16.5"}]
    empty = api.get("statement", **{"from": "2026-11-01T00:00:00Z", "to": "2026-11-02T00:00:00Z"}).json()
    assert (empty["data"], empty["movements"], empty["closing_balance"]) == ([], [], "0")


def test_a_cursor_of_another_statement_is_refused(spent: Account, api: Any) -> None:
    cursor = api.get("statement", limit="2").json()["next_cursor"]
    period = {"from": "2026-11-20T12:00:02Z", "to": "2026-11-20T12:00:05Z"}
    of_list = api.get("transactions", limit="1").json()["next_cursor"]
    for query in ({"cursor": cursor, **period}, {"cursor": of_list}, {"cursor": "x"}):
        refused = api.get("statement", **query)
        assert (refused.status_code, refused.json()["errors"][0]["code"]) == (400, "invalid_cursor"), query


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ({"from": "2026-11-25T00:00:00Z"}, "to"),
        ({"from": "2026-11-05T00:00:00Z", "to": "2026-11-05T00:00:00Z"}, "to"),
        ({"from": "2026-11-05"}, "from"),
        ({"since": "2026-11-05"}, "since"),
    ],
)
@pytest.mark.parametrize("path", ["statement", "statement.json"])
def test_an_invalid_period_is_named(api: Any, path: str, query: dict[str, str], field: str) -> None:
    refused = api.get(path, **query)
    assert refused.status_code == 400
    assert [error["field"] for error in refused.json()["errors"]] == [field]


def test_the_signed_statement_is_that_of_the_portal_and_can_be_verified(
    spent: Account, alice: User, api: Any, clock: Any, tmp_path: Path
) -> None:
    clock.shift(timedelta(days=1))
    api.get("balance")  # settles what is due
    checkpoint()
    period = {"from": "2026-11-01T00:00:00Z", "to": "2026-11-21T00:00:00Z"}
    assert api.get("statement", **period).json()["signed"] is True
    document = b"".join(api.get("statement.json", **period).streaming_content)
    browser = Client()
    browser.force_login(alice, backend="allauth.account.auth_backends.AuthenticationBackend")
    page = browser.get("/history/statement.json", {"since": "2026-11-01", "until": "2026-11-20"})
    assert json.loads(b"".join(page.streaming_content)) == json.loads(document)  # type: ignore[attr-defined]
    (tmp_path / "statement.json").write_bytes(document)
    assert verify_statement.main([str(tmp_path / "statement.json")]) == verify_statement.VERIFIED


def test_a_statement_that_is_not_signed_yet_says_so_and_asks_for_a_checkpoint(
    spent: Account, api: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []
    monkeypatch.setattr(statements, "request_signature", asked.append)
    assert api.get("statement").json()["signed"] is False
    api.get("statement.json")
    assert len(asked) == 2


def test_a_period_that_is_archived_is_named_with_its_archive(
    spent: Account, api: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive = {
        "archive": 7,
        "file": "ledger-7.jsonl.gz",
        "before": "2026-12-01T00:00:00.000000Z",
        "sha256": "0" * 64,
    }
    monkeypatch.setattr(statements, "archive_of", lambda _statement: archive)
    assert api.get("statement").json()["archived"] == archive
    monkeypatch.setattr(statements.Statement, "all_archived", True)
    refused = api.get("statement.json")
    assert (refused.status_code, refused.json()["code"]) == (410, "archived")
    assert refused.json().items() >= archive.items()


def test_a_plain_member_may_read_it_and_charlie_gets_the_own_one(
    team: Account, alice: User, bob: User, charlie: User, api_of: Any, platform_api: Any
) -> None:
    give(team, "7")
    of_bob = api_of(bob, account=team, scopes=["read"]).get("statement").json()
    assert (
        of_bob["closing_balance"]
        == platform_api.get("statement", account=team.public_id).json()["closing_balance"]
    )
    stranger = api_of(charlie)
    for path in ("statement", "statement.json"):
        refused = stranger.get(path, account=team.public_id)
        assert (refused.status_code, refused.json()["code"]) == (404, "unknown_account")
    assert stranger.get("statement").json()["account"] != team.public_id


def test_what_a_tree_of_holds_moves_is_in_the_sums(spent: Account, api: Any) -> None:
    root = api.post("holds", {"service": "claude-sonnet-4", "credits": "20"}, key="r").json()["id"]
    child = {"service": "claude-sonnet-4", "credits": "5", "parent": root}
    hold = api.post("holds", child, key="child").json()["id"]
    api.post(f"holds/{hold}/capture", {"credits": "3"}, key="capture")
    pages = pages_of(api, limit="2")
    assert all(adds_up(page["page"], page["data"]) for page in pages)
    assert all(adds_up(page, page["movements"]) for page in pages)
    assert Entry.objects.filter(account=spent, kind="transfer").exists()
