"""GET /refusals: refused calls by hour and reason."""

from decimal import Decimal
from typing import Any

import pytest
from django.utils import timezone

from accounts import spending_limits
from accounts.models import Account, ApiKey, User
from tests.usage.api.conftest import give, use
from usage.refusals import storing


def refusals(api: Any, **query: Any) -> list[dict[str, Any]]:
    storing.store_counted()
    response = api.get("refusals", **query)
    assert response.status_code == 200, response.content
    data: list[dict[str, Any]] = response.json()["data"]
    return data


def test_a_row_has_reason_figures_and_what_was_called(api: Any, account: Account, clock: Any) -> None:
    assert refusals(api) == []
    for key in ("1", "2"):
        assert api.post("charges", use(500_000), key=key).status_code == 402
    [row] = refusals(api)
    key = ApiKey.objects.get(account=account)
    assert row == {
        "hour": "2026-11-20T12:00:00Z",
        "code": "insufficient_credits",
        "limit": None,
        "subject": None,
        "service": "claude-sonnet-4",
        "api_key": key.public_id,
        "member": User.public_id_of(key.created_by_id),
        "calls": 2,
        "first_at": "2026-11-20T12:00:00Z",
        "last_at": "2026-11-20T12:00:00Z",
        "needed": "1100",
        "available": "100",
        "maximum": None,
        "used": None,
        "resets_at": None,
    }


def test_a_limit_names_its_subject(api: Any, account: Account, clock: Any) -> None:
    key = ApiKey.objects.get(account=account)
    spending_limits.set_limit(key, period="day", maximum=Decimal(1), now=timezone.now())
    api.post("charges", use(), key="1")
    [row] = refusals(api)
    assert (row["code"], row["limit"], row["subject"]) == ("limit_reached", "key", key.public_id)
    assert (row["used"], row["maximum"], row["resets_at"]) == ("0", "1", "2026-11-21T00:00:00Z")


def test_rows_are_filtered_and_paged_newest_hours_first(api: Any, clock: Any) -> None:
    for _hour in range(3):
        api.post("charges", use(500_000), key="1")
        clock.shift(3600)
    api.post("holds", {"service": "claude-sonnet-4", "credits": "900"}, key="h")
    assert [row["hour"][11:13] for row in refusals(api)] == ["15", "14", "13", "12"]
    first = api.get("refusals", limit=3).json()
    assert first["has_more"]
    rest = api.get("refusals", limit=3, cursor=first["next_cursor"]).json()
    assert [row["hour"][11:13] for row in rest["data"]] == ["12"]
    assert refusals(api, code="limit_reached") == []
    assert len(refusals(api, code="insufficient_credits")) == 4
    assert refusals(api, api_key="nonsense") == []
    assert len(refusals(api, api_key=ApiKey.objects.get().public_id)) == 4


@pytest.mark.parametrize("scopes, seen", [(["read"], 1), (["read", "manage"], 2)])
def test_a_key_without_manage_sees_the_calls_of_its_member(
    team: Account, alice: User, bob: User, api_of: Any, scopes: list[str], seen: int
) -> None:
    give(team, "10")
    for user in (alice, bob):
        api_of(user, account=team).post("charges", use(500_000), key=user.email)
    assert len(refusals(api_of(alice, account=team, scopes=scopes))) == seen
    assert len(refusals(api_of(bob, account=team, scopes=["read", "manage"]))) == 1, "a plain member"


def test_a_platform_key_reads_those_of_the_account_that_it_names(
    platform_api: Any, account: Account, charlie: User
) -> None:
    platform_api.post("charges", use(500_000, account=account.public_id), key="1")
    assert len(refusals(platform_api, account=account.public_id)) == 1
    other = Account.objects.get(person=charlie)
    assert refusals(platform_api, account=other.public_id) == []
