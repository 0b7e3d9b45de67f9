"""The usage page: totals by day and by dimension, and the charges behind them."""

import re
from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from urllib.parse import quote

import pytest
from django.test import Client
from django.utils import timezone

from accounts.models import Account, Project, User
from core.ids import public_id
from tests.usage.spending import give, spend
from usage import periods
from usage.views import charges

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


def test_the_figures_of_the_page_are_those_of_the_range_and_the_selection(
    clock: object, alice: User, account_of: AccountOf, signed_in: SignedIn
) -> None:
    account, now = account_of(alice), timezone.now()
    notes = Project.objects.create(account=account, name="Notes", created_at=now)
    give(account, "500", now - timedelta(days=40))
    spend(account, "64", now - timedelta(days=30), project_id=notes.pk)
    for days, credits in ((29, "8"), (6, "4"), (0, "2")):
        spend(account, credits, now - timedelta(days=days), project_id=notes.pk)
    spend(account, "1", now, service="gpt-4o")
    client = signed_in(alice)

    def shown(query: str) -> tuple[Decimal, list[tuple[str, Decimal]], int]:
        context = client.get(f"/usage/?{query}").context
        groups = [(group["name"], group["credits"]) for group in context["groups"]]
        return context["total"], groups, len(context["page"].charge_rows)

    assert shown("") == (15, [("Claude Sonnet 4", 14), ("GPT-4o", 1)], 4)
    assert shown("days=7") == (7, [("Claude Sonnet 4", 6), ("GPT-4o", 1)], 3)
    assert shown("days=7&only=gpt-4o") == (1, [("Claude Sonnet 4", 6), ("GPT-4o", 1)], 1)
    assert shown(f"by=project&only={notes.public_id}") == (14, [("Notes", 14), ("No canvas", 1)], 3)
    assert shown("since=2026-10-21&until=2026-10-22") == (72, [("Claude Sonnet 4", 72)], 2)
    context = client.get(f"/usage/?by=project&only={notes.public_id}").context
    assert (context["only_name"], context["groups_title"]) == ("Notes", "By canvas")
    assert client.get("/usage/?only=withdrawn").context["only_name"] == "withdrawn"


def test_rows_before_and_after_a_charge_are_fragments_for_htmx(
    alice: User, account_of: AccountOf, signed_in: SignedIn
) -> None:
    account, now = account_of(alice), timezone.now()
    ids = [
        public_id(
            prefix="chg", value=spend(account, "1", now - timedelta(seconds=n), service=service).charge_id
        )
        for n, service in enumerate(("gpt-4o", "claude-sonnet-4", "gpt-4o"))
    ]
    client = signed_in(alice)

    def rows(query: str, **headers: str) -> tuple[list[str], bool]:
        page = client.get(f"/usage/?{query}", headers=headers).content.decode()
        return [name for name in ids if f"/charges/{name}/" in page], "<html" in page

    assert rows(f"before={ids[0]}") == (ids[1:], True)
    assert rows(f"before={ids[0]}", **{"HX-Request": "true"}) == (ids[1:], False)
    assert rows(f"newer={ids[2]}", **{"HX-Request": "true"}) == (ids[:2], False)
    assert rows(f"newer={ids[2]}&only=gpt-4o", **{"HX-Request": "true"}) == (ids[:1], False)
    assert rows(f"newer={ids[0]}", **{"HX-Request": "true"}) == ([], False)
    assert rows("only=gpt-4o", **{"HX-Request": "true"}) == ([ids[0], ids[2]], True)


def test_one_day_is_shown_by_hour_with_the_day_before(
    clock: object, alice: User, account_of: AccountOf, signed_in: SignedIn
) -> None:
    account, now = account_of(alice), timezone.now()
    spend(account, "40", now - timedelta(days=1))
    spend(account, "2", now - timedelta(days=1), service="gpt-4o")
    spend(account, "2", now)
    spend(account, "1", now, service="gpt-4o")
    client = signed_in(alice)
    page = text_of(client, "/usage/?days=1")
    assert 'aria-label="12:00: 3 credits"' in page and "Credits spent by hour" in page
    assert "42 in the period before" in page and "chart-previous" in page
    only = text_of(client, "/usage/?days=1&only=gpt-4o")
    assert "2 in the period before" in only and "42 in" not in only


def test_bars_are_stacked_by_the_largest_groups_and_the_rest(
    alice: User, account_of: AccountOf, signed_in: SignedIn
) -> None:
    account, now = account_of(alice), timezone.now()
    for number in range(1, 8):
        spend(account, str(number), now, service=f"model-{number}")
    client = signed_in(alice)
    page = text_of(client, "/usage/")
    legend = page[page.index('class="chart-legend"') : page.index("</ul>", page.index("chart-legend"))]
    order = [legend.index(name) for name in ("model-7", "model-6", "model-5", "model-4", "model-3", "Other")]
    assert order == sorted(order) and "model-2" not in legend
    only = text_of(client, "/usage/?only=model-7")
    assert "chart-part" not in only, "one group has no parts"
    assert "chart-part-0" in text_of(client, "/usage/?by=member")
    assert "chart-part" not in text_of(client, "/usage/?by=conversation"), "there may be many each day"


def test_groups_beyond_those_listed_are_one_row_so_that_the_rows_are_all_that_was_spent(
    alice: User, account_of: AccountOf, signed_in: SignedIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(charges, "LISTED_GROUPS", 2)
    account, now = account_of(alice), timezone.now()
    for number, credits in enumerate(("8", "4", "2.5", "1")):
        spend(account, credits, now, conversation=f"c-{number}")
    client = signed_in(alice)
    table = group_table(text_of(client, "/usage/?by=conversation"))
    assert re.findall(r'data-pad="[0.]*" title="([0-9.]+)"', table) == ["8", "4", "3.5"]
    assert ">Other</span>" in table and "c-2" not in table
    assert "Other" not in group_table(text_of(client, "/usage/?by=service"))


@pytest.mark.parametrize(
    ("path", "since", "until"),
    [
        ("/usage/", "2026-10-22", "2026-11-20"),
        ("/usage/?days=7", "2026-11-14", "2026-11-20"),
        ("/usage/?since=2026-11-02", "2026-11-02", "2026-11-20"),
        ("/usage/?since=2026-11-02&until=2026-11-01", "2026-11-02", "2026-11-01"),
        ("/history/statement/", "2026-11-01", "2026-11-20"),
        ("/history/statement/?until=2026-10-15", "2026-10-01", "2026-10-15"),
    ],
)
def test_the_fields_of_the_period_show_the_dates_in_force(
    clock: object, alice: User, signed_in: SignedIn, path: str, since: str, until: str
) -> None:
    page = text_of(signed_in(alice), path)
    fields = {name: page[page.index(f'name="{name}"') :].partition(">")[0] for name in ("since", "until")}
    assert f'value="{since}"' in fields["since"] and f'value="{until}"' in fields["until"]
