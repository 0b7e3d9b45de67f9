"""/settings over HTTP."""

from typing import Any

import pytest

from accounts.models import Account, User
from billing.models import BillingProfile, Subscription
from billing.subscriptions import plan_terms
from usage import memorial_wall

pytestmark = [pytest.mark.django_db, pytest.mark.requirement("CORE-07")]


def test_settings_are_changed_field_by_field(api: Any, account: Account) -> None:
    first = {
        "account": account.public_id,
        "name": account.name,
        "zone": "UTC",
        "invoice_name": "",
        "invoice_address": "",
        "tax_id": "",
        "on_memorial_wall": False,
    }
    assert api.get("settings").json() == first
    changed = {"name": "Analytical Engines", "zone": "Asia/Kathmandu"}
    assert api.patch("settings", changed).json() == first | changed
    invoice = {"invoice_name": "Ada Ltd", "tax_id": "GB1"}
    assert api.patch("settings", invoice).json() == first | changed | invoice
    assert api.patch("settings", {"tax_id": ""}).json() == first | changed | invoice | {"tax_id": ""}
    assert api.patch("settings", {}).json() == api.get("settings").json()
    account.refresh_from_db()
    assert (account.name, account.zone) == ("Analytical Engines", "Asia/Kathmandu")
    assert BillingProfile.objects.get(account=account).invoice_name == "Ada Ltd"


@pytest.mark.fault("I3", "T4")
@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"name": " "}, "name"),
        ({"name": "x" * 201}, "name"),
        ({"name": None}, "name"),
        ({"zone": "Mars/Olympus"}, "zone"),
        ({"zone": ""}, "zone"),
        ({"tax_id": "x" * 61}, "tax_id"),
        ({"on_memorial_wall": "yes"}, "on_memorial_wall"),
        ({"balance": "5"}, "balance"),
        ({"external_id": "mine"}, "external_id"),
    ],
)
def test_an_invalid_setting_names_the_field_and_changes_nothing(api: Any, body: Any, field: str) -> None:
    before = api.get("settings").json()
    refused = api.patch("settings", {"name": "Other", "zone": "Europe/Berlin"} | body)
    assert refused.status_code == 400
    assert [error["field"] for error in refused.json()["errors"]] == [field]
    assert api.get("settings").json() == before


@pytest.mark.requirement("REFLY-11")
def test_the_name_is_on_the_wall_of_members_of_a_plan_with_a_badge_only(api: Any, account: Account) -> None:
    refused = api.patch("settings", {"name": "Ada", "on_memorial_wall": True})
    assert (refused.status_code, refused.json()["code"]) == (409, "not_eligible")
    assert api.get("settings").json()["name"] == account.name, "nothing else was changed"
    Subscription.objects.filter(account=account).update(plan="early-bird")
    plan_terms.forget(account.pk)
    assert api.patch("settings", {"on_memorial_wall": True}).json()["on_memorial_wall"] is True
    assert [member.name for member in memorial_wall.members()] == [account.name]
    assert api.patch("settings", {"on_memorial_wall": False}).json()["on_memorial_wall"] is False


@pytest.mark.fault("Z1")
def test_a_platform_key_names_the_account(platform_api: Any, account: Account, bob: User) -> None:
    assert platform_api.get("settings").status_code == 400
    assert platform_api.get("settings", account=account.public_id).json()["account"] == account.public_id
    body = {"account": account.public_id, "name": "Renamed"}
    assert platform_api.patch("settings", body).json()["name"] == "Renamed"
