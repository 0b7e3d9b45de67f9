"""/keys: limits by day and month, expiry, and that no key leaves the bounds of its creator."""

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from accounts import api_keys
from accounts.models import Account, ApiKey, Membership, User
from billing.models import Limit
from tests.api import Api
from tests.usage.api.conftest import give, use

pytestmark = pytest.mark.requirement("APIN-12")


def create(api: Any, **fields: Any) -> tuple[dict[str, Any], Any]:
    """A new key, and a client with it."""
    response = api.post("keys", {"name": "agent", "scopes": ["read", "spend"]} | fields)
    assert response.status_code == 201, response.content
    return response.json(), Api(response.json()["secret"])


def code_of(response: Any) -> tuple[int, str]:
    return response.status_code, response.json()["code"]


@pytest.mark.fault("W9")
def test_the_secret_is_in_one_response_only(api: Any, alice: User) -> None:
    made, program = create(api, daily_limit="5", monthly_limit="50.5")
    assert made["id"].startswith("key_") and made["secret"].startswith(made["prefix"])
    assert (made["daily_limit"], made["monthly_limit"]) == ("5", "50.5")
    assert (made["member"], made["expires_at"], made["revoked_at"]) == (alice.public_id, None, None)
    assert program.get("balance").status_code == 200
    newest, other = api.get("keys").json()["data"]
    assert newest["id"] == made["id"] and "secret" not in newest
    assert made["secret"] not in api.get("keys").content.decode()
    assert api.get("keys", limit=1).json()["has_more"] and other["id"] != made["id"]


class TestALimit:
    def test_of_a_day_and_of_a_month_are_counted_each(self, api: Any, account: Account, clock: Any) -> None:
        give(account, "1000")
        _made, program = create(api, daily_limit="22", monthly_limit="30")
        assert program.post("charges", use(10_000), key="a").status_code == 201
        refused = program.post("charges", use(1), key="b")
        assert (code_of(refused), refused.json()["limit"]) == ((429, "limit_reached"), "key")
        assert refused.json()["resets_at"] == "2026-11-21T00:00:00Z"
        assert program.post("holds", use(1), key="h").json()["limit"] == "key"
        assert api.post("charges", use(1), key="c").status_code == 201, "other keys go on"
        clock.shift(86_400)
        refused = program.post("charges", use(5000), key="d")
        assert (refused.json()["maximum"], refused.json()["used"]) == ("30", "22")
        assert refused.json()["resets_at"] == "2026-12-01T00:00:00Z"
        assert program.post("charges", use(2500), key="e").status_code == 201

    def test_that_changes_while_its_window_runs_keeps_what_was_counted(
        self, api: Any, account: Account
    ) -> None:
        give(account, "1000")
        made, program = create(api, daily_limit="11")
        path = f"keys/{made['id']}"
        assert program.post("charges", use(5000), key="a").status_code == 201
        assert api.patch(path, {"daily_limit": "12.1"}).json()["daily_limit"] == "12.1"
        assert program.post("charges", use(1000), key="b").status_code == 429
        assert program.post("charges", use(500), key="b").status_code == 201
        assert api.patch(path, {"monthly_limit": "12.1"}).json()["daily_limit"] == "12.1"
        assert api.patch(path, {"daily_limit": None}).json()["daily_limit"] is None
        assert program.post("charges", use(1), key="c").status_code == 429, "the month counts earlier uses"
        assert [one.period for one in Limit.objects.filter(kind="key")] == ["month"]
        assert api.patch(path, {"monthly_limit": None}).status_code == 200
        assert program.post("charges", use(1), key="c").status_code == 201

    def test_counts_in_a_batch(self, api: Any, account: Account) -> None:
        give(account, "1000")
        _made, program = create(api, daily_limit="22")
        items = [use(5000, idempotency_key=f"i{number}") for number in range(4)]
        answers = program.post("charges/batch", {"data": items}).json()["data"]
        assert [one["status"] for one in answers] == [201, 201, 429, 429]
        assert answers[2]["error"]["limit"] == "key"


@pytest.mark.fault("Z5")
class TestAnEnd:
    def test_of_its_time_refuses_a_key_from_that_instant_on_although_it_is_cached(
        self, api: Any, clock: Any
    ) -> None:
        ends = timezone.now() + timedelta(seconds=60)
        made, program = create(api, expires_at=ends.isoformat())
        assert made["expires_at"] == "2026-11-20T12:01:00Z"
        clock.shift(59.999999)
        assert program.get("balance").status_code == 200
        clock.shift(0.000001)
        for answer in (program.get("balance"), program.post("charges", use(), key="a")):
            assert code_of(answer) == (401, "unauthenticated")
        assert api.patch(f"keys/{made['id']}", {"expires_at": None}).status_code == 200
        assert program.get("balance").status_code == 200

    def test_brought_forward_or_of_a_scope_is_effective_when_the_change_has_been_answered(
        self, api: Any, clock: Any
    ) -> None:
        made, program = create(api)
        assert program.get("balance").status_code == 200
        assert api.patch(f"keys/{made['id']}", {"scopes": ["spend"]}).json()["scopes"] == ["spend"]
        assert program.get("balance").status_code == 403
        soon = (timezone.now() + timedelta(seconds=5)).isoformat()
        assert api.patch(f"keys/{made['id']}", {"expires_at": soon}).status_code == 200
        clock.shift(5)
        assert program.get("balance").status_code == 401

    def test_by_revocation_is_final(self, api: Any) -> None:
        made, program = create(api)
        path = f"keys/{made['id']}"
        assert program.get("balance").status_code == 200
        assert (api.delete(path).status_code, api.delete(path).status_code) == (204, 204)
        assert program.get("balance").status_code == 401
        assert code_of(api.patch(path, {"name": "again"})) == (409, "key_revoked")
        assert api.get("keys").json()["data"][0]["revoked_at"]


@pytest.mark.fault("Z4", "Z5")
class TestTheBounds:
    def test_of_a_key_are_the_scopes_of_its_creator(self, api: Any, alice: User, api_of: Any) -> None:
        manager = api_of(alice, scopes=["manage", "read"])
        refused = manager.post("keys", {"name": "k", "scopes": ["read", "spend"]})
        assert (code_of(refused), refused.json()["scope"]) == ((403, "missing_scope"), "spend")
        made, _program = create(manager, scopes=["read"])
        path = f"keys/{made['id']}"
        assert code_of(manager.patch(path, {"scopes": ["read", "spend"]})) == (403, "missing_scope")
        assert api.patch(path, {"scopes": ["read", "spend"]}).json()["scopes"] == ["read", "spend"]
        assert manager.patch(path, {"scopes": ["spend"]}).json()["scopes"] == ["spend"], "narrower"

    @pytest.mark.parametrize("bound", ["daily_limit", "monthly_limit", "expires_at"])
    def test_of_a_limited_key_hold_for_all_it_could_create(self, api: Any, bound: str) -> None:
        value = "2100-01-01T00:00:00Z" if bound == "expires_at" else "5"
        made, program = create(api, scopes=["read", "spend", "manage"], **{bound: value})
        refused = (403, "key_is_limited")
        assert code_of(program.post("keys", {"name": "k", "scopes": ["spend"]})) == refused
        assert code_of(program.patch(f"keys/{made['id']}", {bound: None})) == refused
        assert program.get("keys").status_code == 200
        assert program.delete(f"keys/{made['id']}").status_code == 204

    def test_of_an_owners_key_are_not_changed_by_a_billing_member(
        self, team: Account, alice: User, bob: User, charlie: User, api_of: Any, catalogue: None
    ) -> None:
        Membership.objects.filter(account=team, user=bob).update(role="billing")
        owner, billing = api_of(alice, account=team), api_of(bob, account=team)
        of_owner, _program = create(owner, scopes=["read"])
        change = {"scopes": ["read", "manage"]}
        assert code_of(billing.patch(f"keys/{of_owner['id']}", change)) == (403, "role_not_allowed")
        assert billing.delete(f"keys/{of_owner['id']}").status_code == 204, "anybody with manage may revoke"
        own, _program = create(billing)
        assert billing.patch(f"keys/{own['id']}", {"daily_limit": "5"}).status_code == 200
        assert owner.patch(f"keys/{own['id']}", {"daily_limit": None}).status_code == 200

    def test_of_an_account_hide_its_keys(self, api: Any, charlie: User, api_of: Any) -> None:
        made, _program = create(api)
        other = api_of(charlie)
        assert other.patch(f"keys/{made['id']}", {"name": "mine"}).status_code == 404
        assert other.delete(f"keys/{made['id']}").status_code == 404
        assert made["id"] not in other.get("keys").content.decode()

    def test_hide_platform_keys(self, api: Any, platform_api: Any, account: Account) -> None:
        platform_key = ApiKey.objects.get(kind="platform").public_id
        for caller, query in ((api, ""), (platform_api, ""), (platform_api, f"?account={account.public_id}")):
            assert caller.delete(f"keys/{platform_key}{query}").status_code == 404
        listed = platform_api.get("keys", account=account.public_id).json()["data"]
        assert platform_key not in {one["id"] for one in listed}


def test_the_platform_names_the_member_with_whom_the_key_ends(
    platform_api: Any, team: Account, bob: User, charlie: User
) -> None:
    body = {"account": team.public_id, "name": "k", "scopes": ["read", "manage"]}
    assert platform_api.post("keys", body).json()["errors"][0]["field"] == "member"
    answer = platform_api.post("keys", body | {"member": charlie.public_id})
    assert code_of(answer) == (404, "unknown_member")
    made, program = create(platform_api, **body | {"member": bob.public_id})
    assert program.get("balance").status_code == 200
    assert program.get("keys").status_code == 403, "a plain member's key does not manage"
    assert platform_api.patch(f"keys/{made['id']}", {"monthly_limit": "5"}).json()["monthly_limit"] == "5"


@pytest.mark.fault("I3")
@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"kind": "platform"}, "kind"),
        ({"scopes": []}, "scopes"),
        ({"scopes": ["admin"]}, "scopes.0"),
        ({"scopes": "read"}, "scopes"),
        ({"name": ""}, "name"),
        ({"daily_limit": "0"}, "daily_limit"),
        ({"monthly_limit": "NaN"}, "monthly_limit"),
        ({"expires_at": "tomorrow"}, "expires_at"),
        ({"expires_at": "2020-01-01T00:00:00Z"}, "expires_at"),
        ({"member": "user_" + "0" * 32}, "member"),
    ],
)
def test_an_invalid_field_is_named(api: Any, change: dict[str, Any], field: str) -> None:
    response = api.post("keys", {"name": "k", "scopes": ["read"]} | change)
    assert response.status_code == 400, response.content
    assert response.json()["errors"][0]["field"] == field
    assert not ApiKey.objects.filter(name="k").exists()


def test_an_account_has_a_bounded_number_of_keys(api: Any, monkeypatch: Any, clock: Any) -> None:
    monkeypatch.setattr(api_keys, "MOST_KEYS", 2)
    create(api, expires_at=(timezone.now() + timedelta(seconds=5)).isoformat())
    body = {"name": "k", "scopes": ["read"]}
    assert code_of(api.post("keys", body)) == (409, "too_many_keys")
    clock.shift(5)
    assert api.post("keys", body).status_code == 201, "an expired key does not count"
