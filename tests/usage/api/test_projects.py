"""/projects and /provider-keys: settings of an account."""

from typing import Any

import pytest

from accounts.models import Account, ProviderKey, User
from tests.usage.api.conftest import use


@pytest.mark.requirement("FLOW-09")
def test_a_project_is_created_renamed_limited_and_archived(api: Any) -> None:
    response = api.post("projects", {"name": "web", "daily_limit": "12.5"})
    project = response.json()
    assert response.status_code == 201
    assert project["id"].startswith("proj_")
    assert (project["name"], project["daily_limit"], project["archived"]) == ("web", "12.5", False)
    path = f"projects/{project['id']}"
    assert api.patch(path, {"name": "site"}).json()["daily_limit"] == "12.5"
    assert api.patch(path, {"daily_limit": None}).json() == project | {"name": "site", "daily_limit": None}
    assert api.patch(path, {"archived": True}).json()["archived"] is True
    assert [row["name"] for row in api.get("projects").json()["data"]] == ["site"]


def test_project_names_are_unique(api: Any) -> None:
    first = api.post("projects", {"name": "web"}).json()
    again = api.post("projects", {"name": "web"})
    assert (again.status_code, again.json()["code"]) == (409, "name_taken")
    other = api.post("projects", {"name": "bot"}).json()
    assert api.patch(f"projects/{other['id']}", {"name": "web"}).status_code == 409
    api.patch(f"projects/{first['id']}", {"archived": True})
    assert api.patch(f"projects/{other['id']}", {"name": "web"}).status_code == 200


def test_a_new_limit_counts_the_credits_already_spent_today(api: Any) -> None:
    project = api.post("projects", {"name": "web"}).json()["id"]
    api.post("charges", use(project=project), key="k1")
    api.patch(f"projects/{project}", {"daily_limit": "20"})
    response = api.post("charges", use(project=project), key="k2")
    assert (response.status_code, response.json()["used"]) == (429, "11")


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"name": ""}, "name"),
        ({"name": " \n"}, "name"),
        ({"name": 5}, "name"),
        ({"name": "x" * 101}, "name"),
        ({"name": "x", "daily_limit": "0"}, "daily_limit"),
        ({"name": "x", "daily_limit": 5}, "daily_limit"),
        ({"name": "x", "account_id": "y"}, "account_id"),
    ],
)
def test_an_invalid_project_names_the_field(api: Any, body: Any, field: str) -> None:
    response = api.post("projects", body)
    assert response.status_code == 400
    assert [error["field"] for error in response.json()["errors"]] == [field]


def test_a_project_of_another_account_is_404(api: Any, charlie: User, api_of: Any) -> None:
    project = api.post("projects", {"name": "web"}).json()["id"]
    charlies_api = api_of(charlie)
    assert charlies_api.patch(f"projects/{project}", {"name": "mine"}).status_code == 404
    assert charlies_api.get("projects").json()["data"] == []


@pytest.fixture
def flowly(db: None) -> None:
    """A catalogue that supports provider keys of five providers."""
    from django.core.management import call_command

    from pricing.catalogue import cache as catalogue_cache

    call_command("load_catalogue", "flowly", verbosity=0)
    catalogue_cache.forget()


@pytest.mark.requirement("FLOW-02")
def test_a_use_with_a_provider_key_costs_nothing_and_is_recorded(
    flowly: None, account: Account, alice: User, api_of: Any
) -> None:
    from pricing.catalogue import cache as catalogue_cache

    service = next(
        facts for facts in catalogue_cache.current().services.values() if "anthropic" in facts.providers
    )
    api = api_of(alice)
    body = {"service": service.key, "usage": {"messages": 1}, "own_key": True}
    body["usage"] = {line["meter"]: 10 for line in api.get(f"services/{service.key}").json()["lines"]}
    refused = api.post("charges", body, key="k1")
    assert (refused.status_code, refused.json()["code"]) == (409, "provider_key_missing")

    response = api.post("provider-keys", {"provider": "anthropic", "key": "sk-ant-0123456789abcd"})
    stored = response.json()
    assert (response.status_code, stored["provider"], stored["last_four"]) == (201, "anthropic", "abcd")
    assert b"0123456789" not in response.content
    assert b"0123456789" not in bytes(ProviderKey.objects.get().encrypted)
    charge = api.post("charges", body, key="k1").json()
    assert (charge["credits"], charge["covered_by"]) == ("0", "own_key")
    assert api.get("charges").json()["data"][0]["covered_by"] == "own_key"

    [listed] = api.get("provider-keys").json()["data"]
    assert listed == stored
    assert api.delete(f"provider-keys/{stored['id']}").status_code == 204
    assert api.delete(f"provider-keys/{stored['id']}").status_code == 404
    assert api.post("charges", body, key="k2").status_code == 409
    catalogue_cache.forget()


def test_an_unsupported_provider_is_refused(api: Any) -> None:
    response = api.post("provider-keys", {"provider": "acme", "key": "sk-0123456789"})
    assert response.json()["errors"][0]["field"] == "provider"
