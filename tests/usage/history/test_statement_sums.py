"""Opening balance + movements = closing balance: in every statement, export and list, for every period."""

import csv
import io
import json
import random
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import pairwise
from typing import Any
from unittest import mock

import pytest
from django.test import Client
from hypothesis import given, settings
from hypothesis import strategies as st

from accounts.models import Account, User
from billing import ledger
from billing.models import Entry
from tests.billing.ledger.conftest import NOON, allowance, charge_request, new_account
from tests.some import some
from usage import selectors
from usage.history import pages, statements

pytestmark = [pytest.mark.django_db, pytest.mark.fault("L21")]
MS = timedelta(milliseconds=1)
PERIODS = 6
SETTLED = timedelta(days=1, microseconds=1)  # after the last move: what is settled later is dated later


def a_history(choose: random.Random) -> tuple[Account, datetime]:
    """An account after random moves of two processes whose clocks are apart; and the last time."""
    account = new_account(now=NOON)
    ledger.set_allowances(account_id=account, allowances=[allowance("daily", "7")], now=NOON)
    apart, now = choose.choice([0, 2, 40, 90_000]) * MS, NOON
    for number in range(choose.randint(5, 40)):
        now += choose.choice([0, 0, 1, 3, 1000, 40_000_000]) * MS
        clock = now - choose.choice([0, 1]) * apart
        move = choose.choice(["give", "give", "spend", "hold", "warn"])
        if move == "give":
            terms = {
                "kind": "bonus",
                "label": "B",
                "expires_at": now + timedelta(hours=choose.randint(1, 30)),
            }
            credits = Decimal(choose.randint(1, 50))
            ledger.grant(account_id=account, credits=credits, key=f"g{number}", now=clock, **terms)
        elif move == "warn":
            ledger.set_warning(account_id=account, below=Decimal(number), now=clock)
        else:
            request = charge_request(account, str(choose.randint(0, 9)), f"{number}")
            try:
                if move == "spend":
                    ledger.charge(request, clock)
                else:
                    ledger.hold(request, expires_at=clock + timedelta(hours=2), now=clock)
            except ledger.InsufficientCredits:
                pass
    ledger.settle([account], now + timedelta(days=1))
    return Account.objects.get(pk=account), now


def bounds(choose: random.Random, account: Account, last: datetime) -> list[datetime]:
    """Random instants, many of them exactly at, just before or just after the time of an entry."""
    times = list(Entry.objects.filter(account=account).values_list("created_at", flat=True))
    near = [choose.choice(times) + choose.choice([-1, 0, 1]) * timedelta(microseconds=1) for _ in range(8)]
    spread = [NOON + choose.random() * (last - NOON) for _ in range(4)]
    return sorted([NOON - timedelta(days=1), *near, *spread, last + SETTLED])


@settings(max_examples=12)
@given(seed=st.integers(0, 2**32))
@mock.patch.object(pages, "STATEMENT_PAGE", 7)
def test_every_period_of_every_history_adds_up(seed: int) -> None:
    choose = random.Random(seed)
    account, last = a_history(choose)
    instants = bounds(choose, account, last)
    for start, end in [choose.sample(instants, 2) for _ in range(PERIODS)]:
        start, end = min(start, end), max(start, end)
        summary = pages.summary_of(statements.of_period(account, start=start, end=end))
        moved = sum((total for _kind, total in summary.by_kind), Decimal(0))
        assert summary.opening + moved == summary.closing
        filters = pages.Filter(start=start, end=end)
        lines = list(pages.all_lines(account, filters))
        api = selectors.entries(account.pk, {"from": start, "to": end})
        by_kind = Counter[str]()
        for entry in lines:
            by_kind[str(Entry.Kind(entry.kind).label)] += entry.credits
        if not by_kind[str(Entry.Kind.CHARGE.label)]:  # charges without credits are no line of the summary
            del by_kind[str(Entry.Kind.CHARGE.label)]
        assert dict(summary.by_kind) == by_kind
        for entries in (lines, list(api)):
            assert sum((entry.credits for entry in entries), Decimal(0)) == moved
        statement = statements.of_period(account, start=start, end=end)
        parts = [pages.statement_page(statement, None)]
        while parts[-1].number > 1:
            parts.append(pages.statement_page(statement, parts[-1].number - 1))
        assert [line for page in parts for line in page.lines] == lines
        assert [page.opening for page in parts[:-1]] == [page.closing for page in parts[1:]], "they meet"
        assert (parts[-1].opening, parts[0].closing) == (summary.opening, summary.closing)
        for page in parts:
            assert page.opening + page.moved == page.closing
        document = json.loads(
            "".join(statements.as_json(statements.of_period(account, start=start, end=end)))
        )
        assert Decimal(document["opening"]["balance"]) == summary.opening
        assert Decimal(document["closing"]["balance"]) == summary.closing
        assert sum(Decimal(entry["credits"]) for entry in document["entries"]) == moved
    edges = [ledger.span(account.pk, start=a, end=b) for a, b in pairwise(instants)]
    assert [one.after for one in edges[1:]] == [one.until for one in edges[:-1]], "periods meet"
    newest = Entry.objects.filter(account=account).order_by("-seq").values_list("seq", flat=True)[0]
    assert (edges[0].after, edges[-1].until) == (0, newest), "together they have every entry"


@settings(max_examples=12)
@given(seed=st.integers(0, 2**32))
def test_a_period_has_exactly_the_entries_of_its_time_where_clocks_agree(seed: int) -> None:
    choose = random.Random(seed)
    account, last = a_history(choose)
    entries = list(Entry.objects.filter(account=account).order_by("seq"))
    times = [entry.created_at for entry in entries]
    for at in some(bounds(choose, account, last)):
        before = ledger.span(account.pk, start=None, end=at).until
        if times == sorted(times):
            assert before == sum(time < at for time in times)
        ledger.set_warning(account_id=account.pk, below=Decimal(1), now=last + timedelta(days=3))
        assert ledger.span(account.pk, start=None, end=at).until == before, "it never changes afterwards"


def test_a_period_includes_its_beginning_and_excludes_its_end() -> None:
    account = new_account(now=NOON)
    for hour in range(5):
        now = NOON + timedelta(hours=hour)
        ledger.grant(account_id=account, credits=Decimal(1), key=f"{hour}", kind="bonus", label="B", now=now)
    span = ledger.span(account, start=NOON + timedelta(hours=1), end=NOON + timedelta(hours=3))
    assert span == ledger.Span(after=1, until=3)
    assert ledger.span(account, start=None, end=NOON) == ledger.Span(after=0, until=0)
    assert ledger.span(account, start=NOON, end=None) == ledger.Span(after=0, until=5)


def test_the_page_the_export_and_the_api_agree(
    clock: Any,
    alice: User,
    account_of: Callable[[User], Account],
    signed_in: Callable[[User], Client],
    api_of: Any,
) -> None:
    account = account_of(alice)
    start = datetime(2026, 11, 20, 12, tzinfo=UTC)
    for number in range(4):
        for apart in (0, 2):
            now = start + timedelta(days=number) - apart * MS
            terms = {"kind": "bonus", "label": "B", "expires_at": now + timedelta(days=1)}
            key = f"{number} {apart}"
            ledger.grant(account_id=account.pk, credits=Decimal("5.5"), key=key, now=now, **terms)
    clock.shift(timedelta(days=5))
    browser, api = signed_in(alice), api_of(alice)
    days = {"since": "2026-11-21", "until": "2026-11-22"}
    page = browser.get("/history/statement/", days).context
    movements = sum((total for _kind, total in page["summary"].by_kind), Decimal(0))
    assert page["summary"].opening + movements == page["summary"].closing
    export = browser.get("/history/export.csv", days)
    text = b"".join(export.streaming_content).decode("utf-8-sig")  # type: ignore[attr-defined]
    rows = list(csv.DictReader(io.StringIO(text)))
    times = {"from": "2026-11-21T00:00:00Z", "to": "2026-11-23T00:00:00Z"}
    listed = api.get("transactions", limit="100", **times).json()["data"]
    assert len(rows) == len(listed) == len(page["page"].lines) > 4
    for entries in (rows, listed):
        assert sum(Decimal(entry["credits"]) for entry in entries) == movements
        assert Decimal(entries[0]["balance_after"]) == page["summary"].closing
