"""The usage page: totals by day and by dimension, and the charges behind them."""

from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from urllib.parse import quote

import pytest
from django.test import Client
from django.utils import timezone

from accounts.models import Account, Project, User
from billing import ledger
from tests.usage.spending import give, spend
from usage import periods
from usage.charges import listing
from usage.dashboard import aggregates

AccountOf = Callable[[User], Account]
SignedIn = Callable[[User], Client]


def text_of(client: Client, path: str) -> str:
    response = client.get(path)
    assert response.status_code == 200, path
    return " ".join(response.content.decode().split())


def group_table(page: str) -> str:
    start = page.index('id="groups-title"')
    return page[start : page.index("</section>", start)]


@pytest.mark.requirement("FLOW-07")
def test_it_shows_the_total_of_each_project(alice: User, account_of: AccountOf, signed_in: SignedIn) -> None:
    account, now = account_of(alice), timezone.now()
    notes = Project.objects.create(account=account, name="Research notes", created_at=now)
    spend(account, "12.5", now, project_id=notes.pk)
    spend(account, "1", now)
    client = signed_in(alice)
    table = group_table(text_of(client, "/usage/?by=project"))
    assert "Research notes" in table and "12.5" in table
    assert "No canvas" in table
    only = text_of(client, f"/usage/?by=project&only={notes.public_id}")
    assert '<span class="stat-figure">12.5</span>' in only


@pytest.mark.requirement("FLICK-07")
def test_it_shows_the_total_of_each_conversation(
    alice: User, account_of: AccountOf, signed_in: SignedIn
) -> None:
    account, now = account_of(alice), timezone.now()
    give(account, "100", now)
    for credits in ("5", "7.25"):
        spend(account, credits, now, conversation="c 81/ü&x")
    spend(account, "1", now, conversation="c-82")
    client = signed_in(alice)
    assert "12.25" in group_table(text_of(client, "/usage/?by=conversation"))
    only = text_of(client, f"/usage/?by=conversation&only={quote('c 81/ü&x', safe='')}")
    assert '<span class="stat-figure">12.25</span>' in only
    assert only.count('href="/charges/') == 2


@pytest.mark.parametrize("by", ["service", "project", "conversation", "member", "api_key"])
def test_group_totals_add_up_to_the_same_sum_by_every_dimension(
    alice: User, account_of: AccountOf, signed_in: SignedIn, by: str
) -> None:
    account, now = account_of(alice), timezone.now()
    spend(account, "10", now, member_id=alice.pk, conversation="a")
    spend(account, "2.5", now, service="gpt-4o")
    period = periods.latest_days(account, days=7, now=now)
    groups = aggregates.group_totals(account, period, dimension=by)
    assert sum(group.credits for group in groups) == Decimal("12.5")
    assert sum(group.calls for group in groups) == 2


def test_returned_credits_do_not_count_as_spent(alice: User, account_of: AccountOf) -> None:
    account, now = account_of(alice), timezone.now()
    charged = spend(account, "20", now)
    ledger.reverse(
        account_id=account.pk,
        charge_id=charged.charge_id,
        credits=None,
        key="back",
        reason="",
        actor="",
        now=now,
    )
    period = periods.latest_days(account, days=1, now=now)
    assert [amount for _, amount in aggregates.daily_totals(account, period)] == [Decimal(0)]


@pytest.mark.parametrize(("days", "bars"), [("7", 7), ("30", 30), ("90", 90), ("1000", 30), ("x", 30)])
def test_the_preset_range_is_one_of_three(
    alice: User, account_of: AccountOf, signed_in: SignedIn, days: str, bars: int
) -> None:
    spend(account_of(alice), "1", timezone.now())
    page = text_of(signed_in(alice), f"/usage/?days={days}")
    assert page.count('class="chart-point"') == bars


@pytest.mark.fault("I4")
@pytest.mark.parametrize(
    "query",
    [
        "since=0001-01-01",
        "since=2000-01-01&until=2026-11-20",
        "since=2026-11-20&until=2026-11-01",
        "until=9999-12-31",
        "by=grant&only=1",
        "by=project&only=proj_0",
        "by=member&only=%00",
        "before=chg_%00",
        "only=" + "x" * 5000,
    ],
)
def test_an_invalid_range_or_selection_is_ignored(
    alice: User, account_of: AccountOf, signed_in: SignedIn, query: str
) -> None:
    spend(account_of(alice), "1", timezone.now())
    page = text_of(signed_in(alice), f"/usage/?{query}")
    assert page.count('class="chart-point"') <= periods.MAX_DAYS


def test_days_are_whole_across_a_clock_change(alice: User, account_of: AccountOf) -> None:
    account = account_of(alice)
    Account.objects.filter(pk=account.pk).update(zone="Europe/Berlin")
    account.refresh_from_db()
    now = timezone.now().replace(year=2026, month=10, day=26, hour=12)
    period = periods.latest_days(account, days=3, now=now)
    assert [day.isoformat() for day in period.days] == ["2026-10-24", "2026-10-25", "2026-10-26"]
    assert (period.end - period.start) == timedelta(days=3)  # wall time; one of the days has 25 hours
    assert (period.end.timestamp() - period.start.timestamp()) == 73 * 3600


def test_pages_of_charges_have_no_gap(alice: User, account_of: AccountOf) -> None:
    account, now = account_of(alice), timezone.now()
    charge_ids = [spend(account, "1", now).charge_id for _ in range(7)]  # all in the same instant
    period = periods.latest_days(account, days=1, now=now)
    seen, after = [], ""
    while True:
        page = listing.page_of(account, period, {}, after=after, size=3)
        seen += [charge_row.charge.pk for charge_row in page.charge_rows]
        after = page.before
        if not after:
            break
    assert sorted(seen) == sorted(charge_ids)
    assert len(seen) == 7


@pytest.mark.fault("Z1")
def test_data_of_other_accounts_is_not_shown(
    alice: User, charlie: User, account_of: AccountOf, signed_in: SignedIn
) -> None:
    account, now = account_of(alice), timezone.now()
    project = Project.objects.create(account=account, name="Secret project", created_at=now)
    spend(account, "5", now, project_id=project.pk, member_id=alice.pk, conversation="secret")
    spend(account_of(charlie), "1", now)
    client = signed_in(charlie)
    for query in (
        f"by=project&only={project.public_id}",
        f"by=member&only={alice.public_id}",
        "by=conversation&only=secret",
    ):
        page = text_of(client, f"/usage/?{query}")
        assert "Secret project" not in page
        assert "alice@example.org" not in page
        assert 'href="/charges/' not in page
