"""The usage page: totals by day and by dimension, and the charges behind them."""

from collections.abc import Callable
from urllib.parse import quote

import pytest
from django.test import Client
from django.utils import timezone

from accounts.models import Account, Project, User
from tests.usage.spending import give, spend
from usage import periods

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
        "since=2026-11-21",
        "since=2026-11-21&days=7",
        "by=grant&only=1",
        "by=project&only=proj_0",
        "by=member&only=%00",
        "before=chg_%00",
        "only=" + "x" * 5000,
    ],
)
def test_an_invalid_range_or_selection_is_ignored(
    clock: object, alice: User, account_of: AccountOf, signed_in: SignedIn, query: str
) -> None:
    spend(account_of(alice), "1", timezone.now())
    page = text_of(signed_in(alice), f"/usage/?{query}")
    assert page.count('class="chart-point"') <= periods.MAX_DAYS


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
