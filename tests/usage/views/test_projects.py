"""Pages of projects: figures of the day, limits, usage, and who may change them."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.db.models import QuerySet
from django.test import Client
from django.utils import timezone

from accounts.models import Account, Project, User
from billing.models import Limit
from pricing.models import Service
from tests.usage.spending import give, spend

AccountOf = Callable[[User], Account]
SignedIn = Callable[[User], Client]


@pytest.fixture
def project(alice: User, account_of: AccountOf) -> Project:
    return Project.objects.create(account=account_of(alice), name="Mail server", created_at=timezone.now())


def text_of(client: Client, path: str) -> str:
    response = client.get(path)
    assert response.status_code == 200
    return " ".join(response.content.decode().split())


def limits() -> QuerySet[Limit]:
    return Limit.objects.filter(kind=Limit.Kind.PROJECT)


def address(project: Project) -> str:
    return f"/projects/{project.public_id}/"


@pytest.mark.requirement("FLOW-07")
def test_the_list_shows_what_each_has_spent_today(
    clock: Any, alice: User, account_of: AccountOf, signed_in: SignedIn, project: Project
) -> None:
    account, now = account_of(alice), timezone.now()
    give(account, "500", now)
    spend(account, "7.25", now - timedelta(days=1), project_id=project.pk)
    spend(account, "12.5", now, project_id=project.pk)
    spend(account, "3", now)
    page = text_of(signed_in(alice), "/projects/")
    row = page[page.index("Mail server") :]
    row = row[: row.index("</tr>")]
    assert ">12.5<" in row and "19.75" not in row and "No limit" in row


@pytest.mark.requirement("FLOW-07")
def test_the_project_page_shows_usage_by_day_and_by_model_and_charges(
    alice: User, account_of: AccountOf, signed_in: SignedIn, project: Project
) -> None:
    account, now = account_of(alice), timezone.now()
    give(account, "500", now)
    spend(account, "40", now - timedelta(days=3), project_id=project.pk, conversation="c-mine")
    spend(account, "2", now, project_id=project.pk, service="gpt-4o")
    spend(account, "9", now, conversation="c-another")
    page = text_of(signed_in(alice), address(project))
    assert ">42<" in page  # total of thirty days
    assert "GPT-4o" in page and "Claude Sonnet 4" in page
    assert "c-mine" in page and "c-another" not in page
    week = text_of(signed_in(alice), f"{address(project)}?days=7&before=chg_nothing")
    assert "c-mine" in week


def test_the_largest_models_and_the_others_are_all_of_a_projects_credits(
    alice: User, account_of: AccountOf, signed_in: SignedIn, project: Project
) -> None:
    for key in Service.objects.order_by("key").values_list("key", flat=True)[:10]:
        spend(account_of(alice), "10", timezone.now(), project_id=project.pk, service=key)
    page = text_of(signed_in(alice), address(project))
    assert page.count('10</span> <span class="faint">10%</span>') == 8
    assert "Other</span>" in page and '20</span> <span class="faint">20%</span>' in page


def test_older_charges_are_loaded_page_by_page(
    alice: User, account_of: AccountOf, signed_in: SignedIn, project: Project
) -> None:
    account, now = account_of(alice), timezone.now()
    for number in range(30):
        spend(
            account, "1", now - timedelta(minutes=number), project_id=project.pk, conversation=f"c-{number}-"
        )
    spend(account, "1", now - timedelta(minutes=40), conversation="c-another")
    client = signed_in(alice)
    before = client.get(address(project)).context["page"].before
    rows = client.get(f"{address(project)}?before={before}", headers={"HX-Request": "true"})
    text = rows.content.decode()
    assert "c-29-" in text and "c-24-" not in text and "c-another" not in text and "<html" not in text


@pytest.mark.requirement("FLOW-09")
def test_a_limit_set_on_the_page_refuses_calls_and_shows_when_it_resets(
    clock: Any, alice: User, signed_in: SignedIn, project: Project, api_of: Any
) -> None:
    client, api = signed_in(alice), api_of(alice)
    use = {"service": "claude-sonnet-4", "usage": {"tokens": 5000}, "project": project.public_id}
    spent = api.post("charges", use, key="1").json()["credits"]
    answer = client.post(address(project), {"name": "Mail server", "daily_limit": spent})
    assert answer.status_code == 302
    refused = api.post("charges", use, key="2")
    assert (refused.status_code, refused.json()["code"]) == (429, "limit_reached")
    page = text_of(client, address(project))
    assert "limit reached" in page and "resets" in page
    assert "limit reached" in text_of(client, "/projects/")
    # without the limit calls are charged again
    client.post(address(project), {"name": "Mail server", "daily_limit": ""})
    assert not limits().exists()
    assert api.post("charges", use, key="2").status_code == 201


@pytest.mark.requirement("FLOW-09")
def test_the_limit_window_of_yesterday_is_not_counted(
    clock: Any, alice: User, account_of: AccountOf, signed_in: SignedIn, project: Project
) -> None:
    client = signed_in(alice)
    client.post(address(project), {"name": project.name, "daily_limit": "20"})
    spend(account_of(alice), "15", timezone.now(), project_id=project.pk)
    assert "15 of 20 used today" in text_of(client, "/projects/")
    detail = text_of(client, address(project))
    assert '>15</span> <span class="soft">of 20 used today' in detail, "as in the list"
    clock.shift(24 * 3600)
    assert "0 of 20 used today" in text_of(client, "/projects/")


@pytest.mark.requirement("FLOW-07")
def test_a_project_is_created_renamed_archived_and_restored(alice: User, signed_in: SignedIn) -> None:
    client = signed_in(alice)
    answer = client.post("/projects/", {"name": "Chat bot", "daily_limit": "2.5"})
    project = Project.objects.get()
    assert answer["Location"] == address(project)
    assert (project.name, str(limits().get().maximum)) == ("Chat bot", "2.500000")
    client.post(address(project), {"name": "Chat", "daily_limit": "2.5"})
    assert "Archive “Chat”?" in text_of(client, f"{address(project)}archive/")
    client.post(f"{address(project)}archive/")
    project.refresh_from_db()
    assert (project.name, project.archived_at is not None) == ("Chat", True)
    assert "1 archived" in text_of(client, "/projects/")
    assert "Calls with its ID are refused" in text_of(client, address(project))
    client.post(f"{address(project)}restore/")
    assert Project.objects.get().archived_at is None


def test_names_are_unique_among_active_projects(alice: User, signed_in: SignedIn, project: Project) -> None:
    client = signed_in(alice)
    answer = client.post("/projects/", {"name": "Mail server"})
    assert answer.status_code == 422
    assert "A project with this name already exists" in answer.content.decode()
    client.post(f"{address(project)}archive/")
    client.post("/projects/", {"name": "Mail server"})
    page = client.post(f"{address(project)}restore/", follow=True).content.decode()
    assert "A project with this name already exists" in page
    assert Project.objects.filter(archived_at=None).count() == 1


@pytest.mark.parametrize("limit", ["0", "-1", "1,000", "1e3", "NaN", "many", "0.0000001", "9" * 20])
def test_an_invalid_limit_has_an_error_message(
    alice: User, signed_in: SignedIn, project: Project, limit: str
) -> None:
    answer = signed_in(alice).post(address(project), {"name": "Mail server", "daily_limit": limit})
    assert answer.status_code == 422
    assert f"“{limit}” is not a valid amount" in answer.content.decode()
    assert not limits().exists()


@pytest.mark.fault("Z4")
def test_a_member_without_the_buyer_role_cannot_change_projects(
    team: Account, alice: User, bob: User, signed_in: SignedIn
) -> None:
    project = Project.objects.create(account=team, name="Mail server", created_at=timezone.now())
    client = signed_in(bob)
    client.post(f"/switch/{team.public_id}/")
    for path in ("/projects/", address(project)):
        page = text_of(client, path)
        assert "Mail server" in page and "daily_limit" not in page and "Archive" not in page
        assert client.post(path, {"name": "Mine"}).status_code == 403
    for path in (f"{address(project)}archive/", f"{address(project)}restore/"):
        assert client.post(path).status_code == 403
    assert Project.objects.get().name == "Mail server"


@pytest.mark.fault("Z1")
def test_a_project_of_another_account_is_not_found(
    charlie: User, signed_in: SignedIn, project: Project
) -> None:
    client = signed_in(charlie)
    for path in ("", "archive/", "restore/"):
        assert client.post(address(project) + path, {"name": "Mine"}).status_code == 404
    assert client.get(address(project)).status_code == 404
    assert "Mail server" not in text_of(client, "/projects/")
