"""The page of refused calls: reasons, figures, what mends them, and who sees what."""

from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from accounts import api_keys, spending_limits
from accounts.models import Account, ApiKey, Membership, User
from billing import ledger
from core import refusals
from core.refusals import Group
from tests.usage.spending import give
from usage import projects
from usage.refusals import storing

SONNET = {"service": "claude-sonnet-4"}  # 11 credits for 5,000 tokens
SignedIn = Callable[[User], Client]


def use(credits: int = 1, **fields: Any) -> dict[str, Any]:
    return SONNET | {"usage": {"tokens": credits * 5000 // 11 + 1}} | fields


def text_of(client: Client, path: str = "/refusals/") -> str:
    storing.store_counted()
    response = client.get(path)
    assert response.status_code == 200, response
    return " ".join(response.content.decode().split())


def rows_of(page: str) -> list[str]:
    return [row.split("</tr>")[0] for row in page.split("<tbody>")[1].split("<tr>")[1:]]


@pytest.fixture
def api(team: Account, alice: User, api_of: Any) -> Any:
    give(team, "50", timezone.now())
    return api_of(alice, account=team)


@pytest.fixture
def of_team(team: Account, signed_in: SignedIn) -> Callable[[User], Client]:
    def browser(user: User) -> Client:
        client = signed_in(user)
        client.post(f"/switch/{team.public_id}/")
        return client

    return browser


def test_calls_without_credits_are_one_row_with_the_last_figures_and_a_way_to_buy(
    api: Any, alice: User, of_team: Any
) -> None:
    for number in (300, 400):
        assert api.post("charges", use(number), key=f"c{number}").status_code == 402
    assert api.post("holds", SONNET | {"credits": "500"}, key="h").status_code == 402
    [row] = rows_of(text_of(of_team(alice)))
    assert "Not enough credits" in row and "The last call needed 500 credits" in row
    assert '<td class="number">3</td>' in row
    assert "Claude Sonnet 4" in row and "program" in row
    assert 'href="/billing/buy/">Buy credits' in row


def test_each_limit_is_named_and_linked_to_the_page_that_raises_it(
    api: Any, alice: User, bob: User, team: Account, of_team: Any, api_of: Any
) -> None:
    now = timezone.now()
    project = projects.create(account_id=team.pk, name="Website", daily_limit=Decimal(1), now=now)
    api.post("charges", use(2, project=project.public_id), key="p")
    key = ApiKey.objects.get(account=team)
    spending_limits.set_limit(key, period="day", maximum=Decimal(1), now=now)
    api.post("charges", use(2), key="k")
    bobs = Membership.objects.get(account=team, user=bob)
    spending_limits.set_limit(bobs, period="month", maximum=Decimal(1), now=now)
    api_of(bob, account=team).post("charges", use(2), key="m")

    page = text_of(of_team(alice))
    rows = {name: next(row for row in rows_of(page) if name in row) for name in ("canvas", "member", "key")}
    assert "Limit of a canvas reached" in rows["canvas"] and "Website" in rows["canvas"]
    assert "0 of 1 credit was used" in rows["canvas"] and "The limit resets" in rows["canvas"]
    assert f'href="/projects/{project.public_id}/">Raise limit' in rows["canvas"]
    assert f'href="/keys/{key.public_id}/">Raise limit' in page
    assert f'href="/members/{bobs.public_id}/">Raise limit' in page


def test_items_of_a_batch_count_and_replays_do_not(api: Any, alice: User, of_team: Any) -> None:
    items = [use(1), use(400), use(500)]
    data = [item | {"idempotency_key": str(number)} for number, item in enumerate(items)]
    for _time in range(2):
        statuses = [one["status"] for one in api.post("charges/batch", {"data": data}).json()["data"]]
        assert statuses == [201, 402, 402]
    [row] = rows_of(text_of(of_team(alice)))
    assert '<td class="number">4</td>' in row


def test_too_many_requests_and_missing_scopes_are_listed(
    alice: User, team: Account, of_team: Any, api_of: Any, settings: Any
) -> None:
    reader = api_of(alice, account=team, scopes=["read"])
    assert reader.post("charges", use(), key="s").status_code == 403
    settings.API_RATE = "1/3600"
    for _time in range(4):
        reader.get("balance")
    page = text_of(of_team(alice))
    assert "The call needs the scope “spend”." in page and 'href="/keys/">Create API key' in page
    [row] = [row for row in rows_of(page) if "Too many requests" in row]
    assert 'href="/documentation/">' in row


def test_the_hold_of_an_agent_that_asks_for_too_much_leads_to_the_budgets(
    api: Any, alice: User, of_team: Any
) -> None:
    root = api.post("holds", SONNET | {"credits": "5"}, key="root").json()["id"]
    assert api.post("holds", SONNET | {"credits": "9", "parent": root}, key="child").status_code == 402
    [row] = rows_of(text_of(of_team(alice)))
    assert "Budget of an agent exceeded" in row and "5 remained of its hold" in row
    assert 'href="/budgets/">View budgets' in row


def test_a_platform_key_is_refused_for_the_account_that_it_names(
    platform_api: Any, team: Account, alice: User, of_team: Any, signed_in: SignedIn
) -> None:
    platform_api.post("charges", use(900, account=team.public_id), key="1")
    storing.store_counted()
    [row] = rows_of(text_of(of_team(alice)))
    assert "Not enough credits" in row and "backend" in row


def test_members_see_their_own_calls_and_whom_to_ask(
    api: Any, alice: User, bob: User, team: Account, of_team: Any, api_of: Any
) -> None:
    api.post("charges", use(300), key="a")
    api_of(bob, account=team).post("charges", use(400), key="b")
    page = text_of(of_team(bob))
    [row] = rows_of(page)
    assert "needed 400" in row and "Buy credits" not in row
    assert "Ask an owner or billing member" in page
    assert len(rows_of(text_of(of_team(alice)))) == 2


def test_other_accounts_see_nothing(api: Any, charlie: User, signed_in: SignedIn) -> None:
    api.post("charges", use(300), key="a")
    page = text_of(signed_in(charlie))
    assert "No refused calls" in page and "<tbody>" not in page


def test_the_page_is_filtered_by_time_reason_and_key(
    api: Any, alice: User, team: Account, of_team: Any, clock: Any, api_of: Any
) -> None:
    api.post("charges", use(300), key="old")
    text_of(of_team(alice))
    clock.shift(timedelta(days=2))
    other = api_of(alice, account=team, scopes=["read"])
    other.post("charges", use(), key="new")
    client = of_team(alice)
    assert len(rows_of(text_of(client))) == 2, "the last seven days"
    [row] = rows_of(text_of(client, "/refusals/?days=1"))
    assert "scope" in row
    [row] = rows_of(text_of(client, "/refusals/?days=30&reason=insufficient_credits"))
    assert "Not enough credits" in row
    key = ApiKey.objects.get(account=team, scopes=["read"])
    [row] = rows_of(text_of(client, f"/refusals/?key={key.public_id}"))
    assert "scope" in row
    assert len(rows_of(text_of(client, "/refusals/?days=x&reason=nothing&key=1"))) == 2


def test_the_dashboard_says_how_many_calls_were_refused_today(
    api: Any, alice: User, of_team: Any, clock: Any
) -> None:
    assert "refused in the last 24 hours" not in text_of(of_team(alice), "/")
    for number in range(3):
        api.post("charges", use(300), key=str(number))
    page = text_of(of_team(alice), "/")
    assert "3 calls were refused in the last 24 hours." in page and 'href="/refusals/?days=1"' in page
    clock.shift(timedelta(hours=25))
    assert "refused in the last 24 hours" not in text_of(of_team(alice), "/")


def test_a_removed_project_has_no_limit_to_raise(api: Any, alice: User, team: Account, of_team: Any) -> None:
    project = projects.create(account_id=team.pk, name="Website", daily_limit=Decimal(1), now=timezone.now())
    api.post("charges", use(2, project=project.public_id), key="p")
    projects.change(account_id=team.pk, project_id=project.pk, archived=True, now=timezone.now())
    [row] = rows_of(text_of(of_team(alice)))
    assert "Limit of a canvas reached" in row and "Raise limit" not in row


def test_a_revoked_key_has_no_limit_to_raise(api: Any, alice: User, team: Account, of_team: Any) -> None:
    key, now = ApiKey.objects.get(account=team), timezone.now()
    limit = {"kind": "key", "subject": str(key.pk), "period": "day", "maximum": Decimal(1)}
    ledger.set_limit(account_id=team.pk, now=now, **limit)
    api.post("charges", use(2), key="k")
    api_keys.revoke(key, now)
    [row] = rows_of(text_of(of_team(alice)))
    assert "Limit of an API key reached" in row and "Raise limit" not in row


def test_a_refused_charge_writes_nothing_more_in_its_request(api: Any) -> None:
    api.post("charges", use(300), key="warm")
    with CaptureQueriesContext(connection) as queries:
        api.post("charges", use(300), key="again")
    assert not [one for one in queries.captured_queries if "refusedcalls" in one["sql"]]


@pytest.mark.django_db
def test_the_page_takes_few_queries_for_many_groups(alice: User, team: Account, of_team: Any) -> None:
    now, figures = timezone.now(), {"needed": "5", "available": "1"}
    for number in range(150):
        group = Group(team.pk, refusals.hour_of(now), "insufficient_credits", service=f"model-{number}")
        refusals.counts.add(group, figures, now)
    client = of_team(alice)
    storing.store_counted()
    with CaptureQueriesContext(connection) as queries:
        assert len(rows_of(text_of(client))) == 100
    assert len(queries) <= 20


def test_a_revoked_key_keeps_its_name(api: Any, alice: User, team: Account, of_team: Any) -> None:
    api.post("charges", use(300), key="a")
    api_keys.revoke(ApiKey.objects.get(account=team), timezone.now())
    assert "program" in rows_of(text_of(of_team(alice)))[0]
