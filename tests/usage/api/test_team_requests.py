"""/team-requests: a member asks for a family or business account and withdraws; staff decide in the admin."""

from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from accounts import team_requests
from accounts.models import Account, Membership, TeamRequest, User
from tests.billing.conftest import change_policies

pytestmark = [pytest.mark.usefixtures("catalogue"), pytest.mark.requirement("APIN-12", "CORE-07")]
ASKED = {"kind": "family", "name": "The Liddells", "note": "Three sisters"}


@pytest.fixture(autouse=True)
def teams(catalogue: None, clock: Any) -> None:
    change_policies(teams={"kinds": ["family", "business"]})


def code_of(response: Any) -> tuple[int, str]:
    return response.status_code, response.json()["code"]


def test_a_member_asks_and_sees_the_answer(api: Any, alice: User, staff: User) -> None:
    asked = api.post("team-requests", ASKED)
    assert (asked.status_code, asked.json()) == (
        201,
        ASKED
        | {
            "id": TeamRequest.objects.get().public_id,
            "status": "open",
            "answer": "",
            "account": None,
            "created_at": "2026-11-20T12:00:00Z",
            "answered_at": None,
        },
    )
    assert code_of(api.post("team-requests", ASKED)) == (409, "already_requested")
    team = team_requests.approve(TeamRequest.objects.get().pk, by=staff, answer="Welcome", now=timezone.now())
    [shown] = api.get("team-requests").json()["data"]
    assert (shown["status"], shown["answer"], shown["account"]) == ("approved", "Welcome", team.public_id)
    assert shown["answered_at"] == "2026-11-20T12:00:00Z"
    assert Membership.objects.get(account=team).user == alice


def test_an_open_request_is_withdrawn_once_and_another_may_follow(api: Any, staff: User) -> None:
    asked = api.post("team-requests", ASKED).json()["id"]
    assert api.delete(f"team-requests/{asked}").status_code == 204
    assert api.get("team-requests").json()["data"][0]["status"] == "withdrawn"
    assert code_of(api.delete(f"team-requests/{asked}")) == (409, "already_answered")
    withdrawn = TeamRequest.objects.get()
    with pytest.raises(team_requests.AlreadyAnswered):
        team_requests.approve(withdrawn.pk, by=staff, answer="", now=timezone.now())
    assert not Account.objects.filter(kind="team").exists()
    assert api.post("team-requests", {"kind": "business", "name": "Firm"}).json()["note"] == ""


@pytest.mark.parametrize(
    ("body", "field"),
    [
        (ASKED | {"kind": "club"}, "kind"),
        (ASKED | {"name": " "}, "name"),
        (ASKED | {"note": "x" * 2001}, "note"),
        ({"kind": "family"}, "name"),
        (ASKED | {"answer": "Yes"}, "answer"),
    ],
)
def test_an_invalid_request_names_the_field(api: Any, body: dict[str, str], field: str) -> None:
    refused = api.post("team-requests", body)
    assert refused.status_code == 400
    assert [error["field"] for error in refused.json()["errors"]] == [field]
    assert not TeamRequest.objects.exists()


def test_a_product_offers_its_kinds_only(api: Any) -> None:
    change_policies(teams={"kinds": ["business"]})
    refused = api.post("team-requests", ASKED).json()
    assert [(one["field"], one["code"]) for one in refused["errors"]] == [("kind", "not_offered")]
    assert "business" in refused["detail"]
    change_policies(teams=None)
    assert code_of(api.post("team-requests", ASKED)) == (404, "not_found")
    assert api.get("team-requests").json()["data"] == []


@pytest.mark.fault("Z1")
def test_requests_belong_to_the_member_and_not_to_the_account(
    team: Account, alice: User, bob: User, charlie: User, api_of: Any
) -> None:
    Membership.objects.filter(account=team, user=bob).update(role="billing")
    asked = api_of(alice, account=team).post("team-requests", ASKED).json()["id"]
    assert api_of(alice).get("team-requests").json()["data"][0]["id"] == asked
    for other in (api_of(bob, account=team), api_of(charlie)):
        assert other.get("team-requests").json()["data"] == []
        assert code_of(other.delete(f"team-requests/{asked}")) == (404, "not_found")
    assert TeamRequest.objects.get().status == "open"


@pytest.mark.fault("Z4", "Z5")
def test_a_browser_of_any_member_may_and_a_key_needs_manage(
    team: Account, bob: User, api_of: Any, signed_in: Any
) -> None:
    key = api_of(bob, account=team, scopes=["read", "spend"])
    assert code_of(key.get("team-requests")) == (403, "missing_scope")
    assert code_of(key.post("team-requests", ASKED)) == (403, "missing_scope")
    browser: Client = signed_in(bob)
    browser.post(f"/switch/{team.public_id}/")
    asked = browser.post("/api/v1/team-requests", ASKED, content_type="application/json")
    assert asked.status_code == 201
    assert len(browser.get("/api/v1/team-requests").json()["data"]) == 1
    assert browser.delete(f"/api/v1/team-requests/{asked.json()['id']}").status_code == 204
    assert browser.get("/api/v1/keys").status_code == 403, "what other members may not, stays so"


def test_a_platform_key_asks_for_the_person_of_the_account(
    platform_api: Any, account: Account, bob: User, account_of: Any, api: Any
) -> None:
    named = {"account": account.public_id}
    asked = platform_api.post("team-requests", ASKED | named).json()["id"]
    assert api.get("team-requests").json() == platform_api.get("team-requests", **named).json()
    other = account_of(bob).public_id
    assert platform_api.delete(f"team-requests/{asked}?account={other}").status_code == 404
    assert platform_api.delete(f"team-requests/{asked}").status_code == 204
    opened = platform_api.post("accounts", {"external_id": "user-1"}).json()["id"]
    refused = platform_api.post("team-requests", ASKED | {"account": opened})
    assert code_of(refused) == (409, "no_person")
    assert platform_api.get("team-requests", account=opened).json()["data"] == []
