"""The transaction history: entries, filters, pages, CSV export and statement."""

import csv
import io
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from accounts.models import Account, User
from billing import ledger
from billing.models import Entry
from core.ids import new_id
from tests.usage.spending import give, spend
from usage import periods
from usage.dashboard import aggregates
from usage.history import pages, statements

AccountOf = Callable[[User], Account]
SignedIn = Callable[[User], Client]


def rows_in(client: Client, path: str) -> str:
    response = client.get(path)
    assert response.status_code == 200
    return response.content.decode()


def exported(client: Client, path: str = "/history/export.csv") -> list[dict[str, str]]:
    response = client.get(path)
    assert response["Content-Type"].startswith("text/csv")
    text = b"".join(response.streaming_content).decode("utf-8-sig")  # type: ignore[attr-defined]
    return list(csv.DictReader(io.StringIO(text)))


@pytest.mark.requirement("REFLY-07")
def test_every_grant_charge_and_expiry_has_a_line(
    clock: object, alice: User, account_of: AccountOf, signed_in: SignedIn
) -> None:
    account = account_of(alice)
    give(account, "50", timezone.now(), label="Holiday gift", kind="bonus")
    spend(account, "10", timezone.now())
    clock.shift(86_400)  # type: ignore[attr-defined] - the daily credits expire and are granted again
    page = rows_in(signed_in(alice), "/history/")
    assert page.count('id="entry-') == Entry.objects.filter(account=account).exclude(grant=None).count()
    for words in ("Holiday gift", "+50", "Claude Sonnet 4", "−10", "Expired", "−90", "Granted", "+100"):
        assert words in page, words


@pytest.mark.requirement("RECR-04")
def test_a_charge_over_two_grants_has_a_line_for_each(
    alice: User, account_of: AccountOf, signed_in: SignedIn
) -> None:
    account = account_of(alice)
    give(account, "50", timezone.now())
    spend(account, "120", timezone.now())
    page = rows_in(signed_in(alice), "/history/?kind=charge")
    assert page.count('id="entry-') == 2
    assert "−100" in page and "−20" in page


@pytest.mark.parametrize(
    ("query", "count"),
    [
        ("kind=charge", 3),
        ("kind=grant", 4),
        ("kind=charge&since=2026-11-21", 2),
        ("since=2026-11-21&until=2026-11-21", 3),
        ("kind=nonsense", 9),
    ],
)
def test_filters_narrow_the_list(
    clock: Any, alice: User, account_of: AccountOf, signed_in: SignedIn, query: str, count: int
) -> None:
    """Three days with a charge each; on the second and third the daily credits expire and are granted."""
    account = account_of(alice)
    give(account, "50", timezone.now())
    for days in (0, 1, 1):
        clock.shift(timedelta(days=days))
        spend(account, "1", timezone.now())
    assert rows_in(signed_in(alice), f"/history/?{query}").count('id="entry-') == count


def test_entries_of_a_grant_are_shown_to_its_own_account_only(
    alice: User, charlie: User, account_of: AccountOf, signed_in: SignedIn
) -> None:
    given = give(account_of(alice), "50", timezone.now(), label="Followed pack")
    path = f"/history/?grant=grant_{given.grant_id.hex}"
    assert rows_in(signed_in(alice), path).count('id="entry-') == 1
    assert rows_in(signed_in(charlie), path).count('id="entry-') == 0


@pytest.mark.parametrize(
    ("query", "sentence"),
    [
        ("since=2026-11-10&until=2026-11-01", "The end date is before the start date."),
        ("since=1815-01-01", "Choose a date between 2000 and today."),
        ("since=yesterday", "Enter a valid date."),
        ("grant=grant_1", "This grant does not exist."),
    ],
)
def test_an_invalid_filter_has_an_error_message(
    alice: User, signed_in: SignedIn, query: str, sentence: str
) -> None:
    assert sentence in rows_in(signed_in(alice), f"/history/?{query}")


@pytest.mark.parametrize("before", ["0", "-5", "abc", "9" * 40, "%00", "１"])
def test_an_invalid_cursor_is_ignored(alice: User, signed_in: SignedIn, before: str) -> None:
    assert signed_in(alice).get(f"/history/?before={before}").status_code == 200


def test_pages_have_no_gap_while_entries_arrive(alice: User, account_of: AccountOf) -> None:
    account, now = account_of(alice), timezone.now()
    for _ in range(9):
        spend(account, "1", now)
    first = pages.page_of(account, pages.Filter(), size=4)
    spend(account, "1", now)
    second = pages.page_of(account, pages.Filter(), older_than=first.older_than, size=4)
    third = pages.page_of(account, pages.Filter(), older_than=second.older_than, size=4)
    numbers = [line.seq for page in (first, second, third) for line in page.lines]
    assert numbers == sorted(numbers, reverse=True)
    assert len(numbers) == Entry.objects.filter(account=account).exclude(grant=None).count() - 1
    assert third.older_than is None


def test_older_rows_are_a_fragment_for_htmx_and_a_page_without_javascript(
    alice: User, account_of: AccountOf, signed_in: SignedIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    spend(account_of(alice), "1", timezone.now())
    client = signed_in(alice)
    newest = Entry.objects.get(kind="charge").seq
    assert "<html" in client.get(f"/history/?before={newest}").content.decode()
    part = client.get(f"/history/?before={newest}", headers={"HX-Request": "true"}).content.decode()
    assert "<html" not in part and part.count('id="entry-') == 1


def test_the_export_holds_every_entry_and_its_exact_figures(
    alice: User, account_of: AccountOf, signed_in: SignedIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pages, "EXPORT_CHUNK", 3)  # several chunks
    account, now = account_of(alice), timezone.now()
    for _ in range(7):
        spend(account, "0.000001", now)
    rows = exported(signed_in(alice))
    assert len(rows) == Entry.objects.filter(account=account).exclude(grant=None).count()
    assert sum(Decimal(row["credits"]) for row in rows) == ledger.balance(account.pk, now).total
    assert rows[0]["balance_after"] == "99.999993"


@pytest.mark.fault("W8")
@pytest.mark.parametrize("start", [*"=+-@\t\r", *"＝＋－＠", *"﹦﹢﹣﹫", " =", " ＝"])
def test_a_cell_cannot_become_a_formula(
    alice: User, account_of: AccountOf, signed_in: SignedIn, start: str
) -> None:
    formula = start + 'HYPERLINK("https://evil.example","click")'
    account, now = account_of(alice), timezone.now()
    spend(account, "1", now, conversation=formula)
    give(account, "1", now, label=formula, reason=formula)
    for row in exported(signed_in(alice)):
        for name, cell in row.items():
            if name not in {"credits", "balance_after"}:
                assert not cell.startswith(start), (name, cell)
    assert pages.escape_formula(formula) == "'" + formula


@pytest.mark.fault("Z2")
def test_the_export_contains_no_entries_of_other_accounts(
    alice: User, charlie: User, account_of: AccountOf, signed_in: SignedIn
) -> None:
    given = give(account_of(alice), "50", timezone.now(), label="Secret pack")
    rows = exported(signed_in(charlie), f"/history/export.csv?grant=grant_{given.grant_id.hex}")
    assert rows == []


@pytest.mark.fault("T8")
@pytest.mark.parametrize("zone", ["UTC", "Asia/Kathmandu", "Pacific/Kiritimati"])
def test_chart_export_and_ledger_agree_on_the_days(
    clock: object, alice: User, account_of: AccountOf, signed_in: SignedIn, zone: str
) -> None:

    account = account_of(alice)
    Account.objects.filter(pk=account.pk).update(zone=zone)
    account.refresh_from_db()
    give(account, "500", timezone.now())
    for hours in range(0, 60, 5):
        spend(account, "1.25", timezone.now() - timedelta(hours=hours))
    period = periods.latest_days(account, days=5, now=timezone.now())
    charted = {day.isoformat(): spent for day, spent in aggregates.daily_totals(account, period) if spent}
    listed: dict[str, Decimal] = {}
    for row in exported(signed_in(alice), "/history/export.csv?kind=charge"):
        listed[row["time_local"][:10]] = listed.get(row["time_local"][:10], Decimal(0)) - Decimal(
            row["credits"]
        )
    assert charted == listed
    assert sum(charted.values()) == Decimal(15)


def test_a_statement_shows_opening_balance_movements_and_closing_balance(
    clock: object, alice: User, account_of: AccountOf, signed_in: SignedIn
) -> None:
    account = account_of(alice)
    start = datetime(2026, 11, 20, 12, tzinfo=UTC)
    give(account, "50", start)
    clock.shift(86_400)  # type: ignore[attr-defined] - 100 daily credits expire, 100 are granted
    spend(account, "30", timezone.now())
    period = {"start": start + timedelta(hours=1), "end": start + timedelta(days=2)}
    statement = pages.summary_of(statements.of_period(account, **period))
    assert statement.opening == 150
    assert statement.closing == 120
    assert dict(statement.by_kind) == {"Charged": -30, "Expired": -100, "Granted": 100}
    page = rows_in(signed_in(alice), "/history/statement/?since=2026-11-21&until=2026-11-21")
    assert "Opening balance" in page and ">150</span>" in page and ">120</span>" in page


@pytest.mark.parametrize(
    "query", ["since=2026-11-21", "until=2026-10-31", "since=2026-11-20&until=2026-11-19"]
)
def test_a_statement_accepts_any_period(
    clock: object, alice: User, account_of: AccountOf, signed_in: SignedIn, query: str
) -> None:
    spend(account_of(alice), "30", timezone.now())
    assert signed_in(alice).get(f"/history/statement/?{query}").status_code == 200


@pytest.mark.fault("W7")
def test_text_from_users_is_escaped(alice: User, account_of: AccountOf, signed_in: SignedIn) -> None:
    account, now = account_of(alice), timezone.now()
    spend(account, "1", now, conversation="<script>alert(1)</script>")
    give(account, "1", now, label="<img src=x onerror=alert(1)>")
    for path in ("/", "/history/", "/usage/", "/history/statement/"):
        page = rows_in(signed_in(alice), path)
        assert "<script>alert" not in page and "<img src=x" not in page, path


def test_the_statement_and_its_entries_are_of_the_month_unless_days_are_given(
    clock: Any, alice: User, account_of: AccountOf, signed_in: SignedIn
) -> None:
    account = account_of(alice)
    clock.move_to(datetime(2026, 12, 3, 12, tzinfo=UTC))
    for at in (datetime(2026, 11, 30, 23, 59, tzinfo=UTC), datetime(2026, 12, 1, tzinfo=UTC)):
        give(account, "5", at, label=f"{at:%d %b}", expires_at=None)
    client = signed_in(alice)

    def shown(query: str) -> tuple[str, str, set[str]]:
        context = client.get(f"/history/statement/?{query}").context
        titles = {line.title for line in context["page"].lines if line.credits == 5}
        return context["since"].isoformat(), context["until"].isoformat(), titles

    assert shown("") == ("2026-12-01", "2026-12-03", {"01 Dec"})
    assert shown("until=2026-11-30") == ("2026-11-01", "2026-11-30", {"30 Nov"})
    assert shown("since=2026-11-30") == ("2026-11-30", "2026-12-03", {"30 Nov", "01 Dec"})
    download = client.get("/history/statement.json?since=2026-11-30&until=2026-12-01")
    assert 'filename="statement-2026-11-30-2026-12-01.json"' in download["Content-Disposition"]
    refused = client.get("/history/statement.json?since=2026-12-02&until=2026-12-01")
    assert (refused.status_code, list(refused.json()["errors"])) == (400, ["until"])
    export = client.get("/history/export.csv")
    assert export["Content-Disposition"] == 'attachment; filename="history-2026-12-03.csv"'


def test_filters_and_cursor_are_kept_in_the_links_of_the_page(
    alice: User, account_of: AccountOf, signed_in: SignedIn
) -> None:
    account, now = account_of(alice), timezone.now()
    for _ in range(3):
        spend(account, "1", now)
    sequence = Entry.objects.filter(account=account, kind="charge").order_by("-seq")
    newest, *older = sequence.values_list("seq", flat=True)
    context = signed_in(alice).get(f"/history/?kind=charge&before={newest}&seen=3").context
    assert (context["query"], context["cursor"]) == ("kind=charge", str(newest))
    assert [line.seq for line in context["page"].lines] == older
    newer = signed_in(alice).get(f"/history/newer?kind=charge&seen={newest - 1}").context
    assert ([line.seq for line in newer["lines"]], newer["newest"]) == ([newest], newest)
    none = signed_in(alice).get(f"/history/newer?seen={newest}")
    assert (none.context["lines"], none.context["newest"], none.context["query"]) == ([], str(newest), "")


def test_a_statement_of_many_entries_has_pages_that_add_up(
    alice: User, account_of: AccountOf, signed_in: SignedIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pages, "STATEMENT_PAGE", 3)
    account, now = account_of(alice), timezone.now()
    for _ in range(6):
        spend(account, "10", now)
    client = signed_in(alice)

    def figures(query: str) -> tuple[Any, ...]:
        page = client.get(f"/history/statement/{query}").context["page"]
        assert page.opening + page.moved == page.closing
        return page.number, page.opening, page.closing, len(page.lines)

    entries = Entry.objects.filter(account=account).count()
    last = client.get("/history/statement/").context["page"].count
    assert last == -(-entries // 3) > 2
    read = [figures(f"?page={number}") for number in range(1, last + 1)]
    assert [number for number, *_ in read] == list(range(1, last + 1))
    assert (read[0][1], read[-1][2]) == (0, 40)
    assert [opening for _, opening, *_ in read[1:]] == [closing for _, _, closing, _ in read[:-1]]
    assert sum(lines for *_, lines in read) == 7, "100 granted, and six charges"
    assert figures("") == figures("?page=99") == figures("?page=x") == read[-1]
    assert figures("?page=0") == read[0]
    newest = rows_in(client, "/history/statement/")
    assert f"Page {last} of {last}" in newest
    assert f"page={last - 1}#entries" in newest and f"page={last + 1}" not in newest
    oldest = rows_in(client, "/history/statement/?page=1")
    assert "page=2#entries" in oldest and "page=0" not in oldest


def test_all_entries_of_a_shorter_statement_are_streamed_on_one_page(
    alice: User, account_of: AccountOf, signed_in: SignedIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    account, now = account_of(alice), timezone.now()
    Account.objects.filter(pk=account.pk).update(zone="Asia/Kathmandu")
    client = signed_in(alice)
    for _ in range(6):
        spend(account, "10", now)
    assert not client.get("/history/statement/?all=1").streaming, "there is one page only"
    monkeypatch.setattr(pages, "STATEMENT_PAGE", 3)
    monkeypatch.setattr(pages, "EXPORT_CHUNK", 2)
    assert "Show all entries" in rows_in(client, "/history/statement/")
    response = client.get("/history/statement/?all=1")
    page = b"".join(response.streaming_content).decode()  # type: ignore[attr-defined]
    assert page.count('id="entry-') == 7 and page.rstrip().endswith("</html>")
    assert "+0545" in page, "times are in the zone of the account"
    monkeypatch.setattr(pages, "MOST_ON_ONE_PAGE", Entry.objects.filter(account=account).count() - 1)
    assert "Show all entries" not in rows_in(client, "/history/statement/?all=1")


def test_what_a_hold_reserves_from_another_hold_is_one_line_that_leaves_the_balance(
    alice: User, account_of: AccountOf, signed_in: SignedIn
) -> None:
    account, now = account_of(alice), timezone.now()
    request = ledger.ChargeRequest(account_id=account.pk, credits=Decimal(40), key="budget", service="gpt-4o")
    ends = now + timedelta(hours=1)
    root = ledger.hold(request, expires_at=ends, now=now)
    request = ledger.ChargeRequest(account_id=account.pk, credits=Decimal(15), key="child", service="gpt-4o")
    child = ledger.hold(request, expires_at=ends, now=now, parent=root.hold_id)

    def shown() -> list[tuple[str, Decimal, Decimal | None, Decimal]]:
        lines = pages.page_of(account, pages.Filter()).lines
        return [(line.kind, line.credits, line.within, line.balance_after) for line in lines]

    reserved = [("hold", 0, 15, 60), ("hold", -40, None, 60), ("grant", 100, None, 100)]
    assert shown() == reserved
    assert "15 of the budget reserved" in rows_in(signed_in(alice), "/history/")
    ledger.release(account_id=account.pk, hold_id=child.hold_id, now=now)
    assert shown() == [("release", 0, 15, 60), *reserved]
    assert "15 returned to the budget" in rows_in(signed_in(alice), "/history/")
    exported_kinds = [row["kind"] for row in exported(signed_in(alice))]
    assert exported_kinds == ["transfer", "release", "hold", "transfer", "hold", "grant"]


@pytest.mark.requirement("FLOW-02", "REFLY-10", "RECR-01")
def test_calls_without_credits_have_a_line_and_say_why(
    alice: User, account_of: AccountOf, signed_in: SignedIn
) -> None:
    account, now = account_of(alice), timezone.now()
    spend(account, "0", now, service="gpt-4o", covered_by="own_key", conversation="talk")
    spend(account, "0", now, service="kimi-k2", covered_by="unlimited")
    spend(account, "0", now, service="gpt-4.1")
    page = " ".join(rows_in(signed_in(alice), "/history/?kind=charge").split())
    assert page.count('id="entry-') == 3
    lines = {name: page[page.index(f">{name}</a>") :].partition("</tr>")[0] for name in ("GPT-4o", "Kimi K2")}
    assert (
        ">own key</span>" in lines["GPT-4o"] and '<td class="number" data-pad=".00">0</td>' in lines["GPT-4o"]
    )
    assert ">unlimited</span>" in lines["Kimi K2"]
    assert page.count("own key") == page.count("unlimited") == 1
    rows = exported(signed_in(alice))
    assert sorted(row["service"] for row in rows if row["credits"] == "0") == ["gpt-4.1", "gpt-4o", "kimi-k2"]
    assert {row["grant"] for row in rows if row["credits"] == "0"} == {""}


def test_a_use_without_credits_is_listed_once_on_the_dashboard(
    alice: User, account_of: AccountOf, signed_in: SignedIn
) -> None:
    charged = spend(account_of(alice), "0", timezone.now(), conversation="free")
    charge_id = f"/charges/chg_{charged.charge_id.hex}/"
    assert rows_in(signed_in(alice), "/").count(charge_id) == 1
    assert rows_in(signed_in(alice), "/history/").count(charge_id) == 1


def test_a_statement_until_today_names_the_debt(
    clock: object, alice: User, account_of: AccountOf, signed_in: SignedIn
) -> None:
    account, now, purchase = account_of(alice), timezone.now(), new_id()
    give(account, "50", now, purchase_id=purchase)
    spend(account, "130", now)
    ledger.claw_back(
        account_id=account.pk, purchase_id=purchase, key="back", credits=None, reason="", now=now
    )
    client, today = signed_in(alice), timezone.now().date()
    owed = "30 credits owed."
    assert client.get("/history/statement/").content.decode().count(owed) == 2, "and in the header's panel"
    past = client.get(f"/history/statement/?until={today - timedelta(days=2)}")
    assert past.content.decode().count(owed) == 1
