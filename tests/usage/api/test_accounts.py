"""/accounts: a platform key creates accounts and grants credits."""

from typing import Any

import pytest

import pricing.selectors
from accounts.models import Account
from billing.ledger.models import Wallet
from billing.models import Grant
from core.amounts import LARGEST_BALANCE
from tests.usage.api.conftest import use


@pytest.mark.requirement("REFLY-18", "CORE-07")
def test_an_account_is_created_with_the_free_plan_and_its_credits(platform_api: Any) -> None:
    response = platform_api.post("accounts", {"external_id": "user-81", "name": "Ada"})
    account = response.json()
    assert response.status_code == 201
    assert account["id"].startswith("acct_")
    assert (account["external_id"], account["name"], account["plan"]) == ("user-81", "Ada", "free-trial")
    for name in (account["id"], "user-81"):
        assert platform_api.get(f"accounts/{name}").json() == account
        assert platform_api.get("balance", account=name).json()["available"] == "100"
    charge = platform_api.post("charges", use(account="user-81"), key="k1")
    assert (charge.status_code, charge.json()["account"]) == (201, account["id"])


def test_an_external_id_is_unique(platform_api: Any) -> None:
    first = platform_api.post("accounts", {"external_id": "user-81"}).json()
    again = platform_api.post("accounts", {"external_id": "user-81"})
    assert (again.status_code, again.json()["code"]) == (409, "external_id_taken")
    assert again.json()["account"] == first["id"]
    assert Account.objects.filter(external_id="user-81").count() == 1


@pytest.mark.requirement("CORE-02")
def test_an_idempotency_key_creates_one_account(platform_api: Any) -> None:
    first = platform_api.post("accounts", {"name": "Ada"}, key="a1")
    again = platform_api.post("accounts", {"name": "Ada"}, key="a1")
    assert (again.content, again.status_code, again["Idempotent-Replayed"]) == (first.content, 201, "true")
    assert platform_api.post("accounts", {"name": "Bea"}, key="a1").status_code == 422
    assert Account.objects.filter(name="Ada").count() == 1


def test_a_grant_can_be_limited_in_time_and_services(
    platform_api: Any, account: Account, clock: object
) -> None:
    body = {
        "credits": "30.5",
        "kind": "promotion",
        "expires_at": "2027-01-01T00:00:00+01:00",
        "services": ["tag:multimodal"],
        "reason": "Sorry for the delay",
    }
    response = platform_api.post(f"accounts/{account.public_id}/grants", body, key="g1")
    grant = response.json()
    assert response.status_code == 201
    assert grant["id"].startswith("grant_")
    assert (grant["kind"], grant["granted"], grant["remaining"]) == ("promotion", "30.5", "30.5")
    assert grant["expires_at"] == "2026-12-31T23:00:00Z"
    assert (grant["services"], grant["reason"]) == (["tag:multimodal"], "Sorry for the delay")
    balance = platform_api.get("balance", account=account.public_id).json()
    assert balance["available"] == "100"
    assert grant["id"] in [listed["id"] for listed in balance["grants"]]
    entries = platform_api.get("transactions", account=account.public_id, grant=grant["id"]).json()["data"]
    assert entries[0]["reason"] == "Sorry for the delay"
    assert entries[0]["actor"].startswith("key_")


@pytest.mark.requirement("CORE-02")
def test_an_idempotency_key_grants_once(platform_api: Any, account: Account) -> None:
    path = f"accounts/{account.public_id}/grants"
    body = {"credits": "30", "kind": "bonus"}
    first = platform_api.post(path, body, key="g1")
    platform_api.post("charges", use(50_000, account=account.public_id), key="k1")
    again = platform_api.post(path, body, key="g1")
    assert (again.status_code, again.content, again["Idempotent-Replayed"]) == (201, first.content, "true")
    assert platform_api.post(path, body | {"credits": "31"}, key="g1").status_code == 422
    assert platform_api.post(path, body).json()["code"] == "idempotency_key_required"
    assert platform_api.get("balance", account=account.public_id).json()["available"] == "20"


@pytest.mark.requirement("CORE-02")
def test_a_repeated_grant_is_answered_when_its_tag_is_gone(
    platform_api: Any, account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, body = f"accounts/{account.public_id}/grants", {"credits": "5", "kind": "bonus"}
    first = platform_api.post(path, body | {"services": ["tag:advanced"]}, key="g1")
    monkeypatch.setattr(pricing.selectors, "scopes", set)
    again = platform_api.post(path, body | {"services": ["tag:advanced"]}, key="g1")
    assert (again.status_code, again.content) == (201, first.content)
    refused = platform_api.post(path, body | {"services": ["tag:advanced"]}, key="g2")
    assert refused.status_code == 400
    assert len(platform_api.get("grants", account=account.public_id).json()["data"]) == 2


@pytest.mark.fault("I1", "I3")
@pytest.mark.parametrize(
    ("change", "field"),
    [
        *(({"credits": bad}, "credits") for bad in ("-1", "0", "NaN", "1e400", "1e3", "", " 5", "+5", "१०")),
        *(({"credits": bad}, "credits") for bad in (5, 5.5, None, True, [], {}, "1.1234567", "9" * 15)),
        ({"kind": "gift"}, "kind"),
        ({"kind": None}, "kind"),
        ({"expires_at": "2020-01-01T00:00:00Z"}, "expires_at"),
        ({"expires_at": "2027-01-01"}, "expires_at"),
        ({"expires_at": "2027-01-01T00:00:00"}, "expires_at"),
        ({"expires_at": "2027-02-30T00:00:00Z"}, "expires_at"),
        ({"expires_at": "9999-12-31T23:59:59Z"}, "expires_at"),
        ({"expires_at": 1}, "expires_at"),
        ({"services": []}, "services"),
        ({"services": "all"}, "services"),
        ({"services": ["claude-sonnet-5", "claude-sonnet-4"]}, "services"),
        ({"services": ["tag:advancd"]}, "services"),
        ({"balance": "5"}, "balance"),
        ({"owner": "me"}, "owner"),
        ({"is_staff": True}, "is_staff"),
    ],
)
def test_an_invalid_grant_names_the_field(
    platform_api: Any, account: Account, change: dict[str, Any], field: str
) -> None:
    body = {"credits": "5", "kind": "bonus"} | change
    response = platform_api.post(f"accounts/{account.public_id}/grants", body, key="g1")
    assert response.status_code == 400
    assert field in [error["field"].partition("[")[0] for error in response.json()["errors"]]


def test_a_grant_beyond_the_maximum_balance_is_refused(platform_api: Any, account: Account) -> None:
    path, body = f"accounts/{account.public_id}/grants", {"credits": "9" * 14, "kind": "bonus"}
    assert platform_api.post(path, body, key="g1").status_code == 400
    assert platform_api.get("balance", account=account.public_id).json()["available"] == "100"


def test_accounts_require_a_platform_key(api: Any, account: Account, alice: Any, signed_in: Any) -> None:
    for response in (
        api.post("accounts", {}),
        api.get(f"accounts/{account.public_id}"),
        api.post(f"accounts/{account.public_id}/grants", {"credits": "5", "kind": "bonus"}, key="g1"),
        signed_in(alice).get(f"/api/v1/accounts/{account.public_id}"),
    ):
        assert (response.status_code, response.json()["code"]) == (403, "platform_key_required")


def test_a_platform_key_must_name_the_account(platform_api: Any) -> None:
    for response in (platform_api.get("balance"), platform_api.post("charges", use(), key="k1")):
        assert response.status_code == 400
        assert response.json()["errors"][0]["field"] == "account"
    for name in ("acct_" + "0" * 32, "unknown", "acct_x"):
        response = platform_api.get("balance", account=name)
        assert (response.status_code, response.json()["code"]) == (404, "unknown_account")


@pytest.mark.parametrize(
    "zone",
    [
        *("Mars/Olympus", "", "../../etc/passwd", "Europe", 5, "UTC\0"),
        *("Etc/GMT+5", "posix/Europe/Berlin", "right/UTC", "europe/berlin", "utc", "US/Eastern", "EST"),
    ],
)
def test_an_unknown_time_zone_is_refused(platform_api: Any, zone: Any) -> None:
    response = platform_api.post("accounts", {"zone": zone})
    assert response.status_code == 400


@pytest.mark.fault("L19")
def test_a_grant_above_the_largest_balance_is_refused_by_name(platform_api: Any, account: Account) -> None:
    path = f"accounts/{account.public_id}/grants"
    Wallet.objects.filter(account_id=account.pk).update(balance=LARGEST_BALANCE)
    refused = platform_api.post(path, {"credits": "1", "kind": "bonus"}, key="g1")
    problem = refused.json()
    assert (refused.status_code, problem["code"]) == (409, "balance_too_large")
    assert problem["largest_balance"] == "1000000000000"
    large = platform_api.post(path, {"credits": "1000000001", "kind": "bonus"}, key="g2").json()
    assert [(error["field"], error["code"]) for error in large["errors"]] == [("credits", "too_large")]


def test_an_account_with_very_many_open_grants_gets_no_more(
    platform_api: Any, account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    open_grants = Grant.objects.filter(account_id=account.pk, open=True).count()
    monkeypatch.setattr("usage.api.accounts.MOST_OPEN_GRANTS", open_grants + 1)
    path, body = f"accounts/{account.public_id}/grants", {"credits": "5", "kind": "bonus"}
    assert platform_api.post(path, body, key="first").status_code == 201
    refused = platform_api.post(path, body, key="second")
    assert (refused.status_code, refused.json()["code"]) == (409, "too_many_grants")
    assert refused.json()["most"] == open_grants + 1
    assert platform_api.post(path, body, key="first").status_code == 201, "a repeated request is answered"


@pytest.mark.fault("Z1")
def test_an_external_id_is_neither_an_id_of_ours_nor_a_part_of_a_path(
    platform_api: Any, account: Account
) -> None:
    def outcome(external_id: str) -> tuple[int, str]:
        response = platform_api.post("accounts", {"external_id": external_id})
        problem = response.json()
        return response.status_code, problem["errors"][0]["code"] if "errors" in problem else ""

    for taken in (account.public_id, "acct_" + "0" * 32, "hold_" + "f" * 32):
        assert outcome(taken) == (400, "own_id")
    assert outcome("team/1") == (400, "slash")
    assert outcome(".") == outcome("..") == (400, "dots"), "clients remove them from a path"
    for free in ("acct_1", "acct_" + "0" * 31, "ACCT_" + "0" * 32, "my-acct_" + "0" * 32, "a.b:c@d ü"):
        assert outcome(free) == (201, "")
        assert platform_api.get("balance", account=free).status_code == 200
