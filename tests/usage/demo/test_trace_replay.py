"""Replaying a trace over HTTP charges exact credits, and never charges a call twice."""

import csv
import io
from collections.abc import Callable
from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db.models import Sum
from django.utils import timezone

from accounts import api_keys
from accounts.models import Account, User
from billing import ledger
from billing.models import Charge, Entry
from usage.demo import trace_replay

SERVICE, CREDITS_FOR_5000 = "claude-sonnet-4", Decimal(11)
CALLS = 60


def independent_sum(file: Path, calls: int) -> Decimal:
    """The price of the first calls, computed from the file without code of the product."""
    total = Decimal(0)
    with file.open(newline="") as rows:
        for number, row in enumerate(csv.DictReader(rows)):
            if number == calls:
                break
            tokens = int(row["ContextTokens"]) + int(row["GeneratedTokens"])
            total += (CREDITS_FOR_5000 * tokens / 5000).quantize(Decimal("0.000001"), ROUND_HALF_UP)
    return total


@pytest.fixture
def run(transactional_db: None, catalogue: None, live_server: Any) -> Callable[..., str]:
    """`run(account, limit=10)` replays the slice against the running portal; returns what was printed."""
    scopes, now = ("read", "spend", "manage"), timezone.now()
    key = api_keys.issue(kind="platform", name="backend", scopes=scopes, now=now).secret

    def replay(account: Account, file: Path = trace_replay.SLICE, **options: Any) -> str:
        output = io.StringIO()
        options = {"service": SERVICE, "url": live_server.url, "key": key, "limit": CALLS} | options
        call_command("replay_trace", str(file), account=account.public_id, stdout=output, **options)
        return output.getvalue()

    return replay


def fill(account: Account, credits: int) -> None:
    ledger.grant(
        account_id=account.pk,
        credits=Decimal(credits),
        kind="top_up",
        label="",
        key="fill",
        now=timezone.now(),
    )


def spent(account: Account) -> Decimal:
    rows = Entry.objects.filter(account_id=account.pk, kind="charge")
    return -(rows.aggregate(total=Sum("credits"))["total"] or Decimal(0))


def test_the_ledger_total_equals_an_independent_sum(
    run: Callable[..., str], alice: User, account_of: Callable[[User], Account]
) -> None:
    account = account_of(alice)
    fill(account, 10_000)
    output = run(account)
    expected = independent_sum(trace_replay.SLICE, CALLS)
    assert spent(account) == expected
    assert f"credits           {format(expected.normalize(), 'f')}\n" in output
    assert f"calls             {CALLS}\n" in output and "refusals          0\n" in output
    assert "calls per second" in output


def test_running_it_again_charges_nothing_twice(
    run: Callable[..., str], alice: User, account_of: Callable[[User], Account]
) -> None:
    account = account_of(alice)
    fill(account, 10_000)
    run(account, limit=10)
    output = run(account, limit=15)
    assert "charged           15 (10 of them by an earlier run)" in output
    assert Charge.objects.filter(account_id=account.pk).count() == 15
    assert spent(account) == independent_sum(trace_replay.SLICE, 15)


def test_calls_that_the_balance_cannot_pay_are_counted_as_refusals(
    run: Callable[..., str], alice: User, account_of: Callable[[User], Account]
) -> None:
    account = account_of(alice)  # a new account has 100 daily credits
    output = run(account, concurrency=1)
    charged = Charge.objects.filter(account_id=account.pk).count()
    assert 0 < charged < CALLS
    assert f"refusals          {CALLS - charged} ({CALLS - charged} insufficient_credits)" in output
    assert spent(account) <= 100


def test_an_unknown_service_stops_the_replay_with_the_error_of_the_api(
    run: Callable[..., str], alice: User, account_of: Callable[[User], Account]
) -> None:
    with pytest.raises(CommandError, match="Row 1 failed with status 404"):
        run(account_of(alice), service="no-such-model", concurrency=1)


def test_an_unreachable_portal_stops_the_replay_with_an_error(
    run: Callable[..., str],
    alice: User,
    account_of: Callable[[User], Account],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("usage.demo.trace_replay.MAX_ATTEMPTS", 1)
    with pytest.raises(CommandError, match=r"was not charged in 1 attempts\. Last error: ConnectionRefused"):
        run(account_of(alice), url="http://127.0.0.1:9", limit=1)


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("a,b\n1,2\n", "no column TIMESTAMP, ContextTokens, GeneratedTokens"),
        (
            "TIMESTAMP,ContextTokens,GeneratedTokens\n2023-11-16 18:17:03.9799600,-1,2\n",
            "line 2: ContextTokens is '-1'",
        ),
        ("TIMESTAMP,ContextTokens,GeneratedTokens\nyesterday,1,2\n", "line 2"),
        ("TIMESTAMP,ContextTokens,GeneratedTokens\n2023-11-16 18:17:03.9799600,1\n", "line 2"),
        ("TIMESTAMP,ContextTokens,GeneratedTokens\n2023-11-16 18:17:03.9799600,1,१\n", "GeneratedTokens"),
    ],
)
def test_an_invalid_file_is_rejected_with_the_line_number(tmp_path: Path, text: str, error: str) -> None:
    file = tmp_path / "trace.csv"
    file.write_text(text)
    with pytest.raises(trace_replay.TraceInvalid, match=error):
        list(trace_replay.read(file))
