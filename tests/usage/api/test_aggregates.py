"""GET /usage: credits and charges per group and interval."""

from datetime import UTC, datetime
from typing import Any

import pytest

from accounts.models import Account
from tests.usage.api.conftest import give, use


@pytest.fixture
def spent(api: Any, account: Account, clock: Any) -> str:
    """Charges around midnight of several zones; the project of one of them."""
    give(account, "500")
    project: str = api.post("projects", {"name": "web"}).json()["id"]
    moments = {
        "2026-11-20T18:14:59Z": use(5000),  # 23:59:59 in Kathmandu
        "2026-11-20T18:15:00Z": use(2500, project=project, conversation="c-1"),  # midnight there
        "2026-11-20T23:59:59Z": use(5000) | {"service": "claude-opus-4"},
        "2026-11-21T00:00:00Z": use(500),
        "2026-11-21T10:00:00Z": use(50, conversation="c-1"),  # midnight of the 22nd in Kiritimati
    }
    for number, (moment, body) in enumerate(moments.items()):
        clock.move_to(datetime.fromisoformat(moment))
        api.post("charges", body, key=f"k{number}")
    clock.move_to(datetime(2026, 11, 22, tzinfo=UTC))
    return project


@pytest.mark.fault("T8", "I6")
@pytest.mark.parametrize(
    ("zone", "days"),
    [
        ("UTC", {"2026-11-20T00:00:00Z": "69.5", "2026-11-21T00:00:00Z": "1.21"}),
        ("Asia/Kathmandu", {"2026-11-19T18:15:00Z": "11", "2026-11-20T18:15:00Z": "59.71"}),
        ("Pacific/Kiritimati", {"2026-11-20T10:00:00Z": "70.6", "2026-11-21T10:00:00Z": "0.11"}),
    ],
)
def test_days_begin_at_midnight_of_the_time_zone(
    api: Any, spent: str, zone: str, days: dict[str, str]
) -> None:
    response = api.get("usage", interval="day", timezone=zone).json()
    assert {item["start"]: item["credits"] for item in response["data"]} == days
    assert response["total"] == {"credits": "70.71", "charges": 5}
    assert response["timezone"] == zone


@pytest.mark.requirement("FLICK-07", "FLOW-07", "APIN-06")
def test_sums_are_grouped_by_the_requested_dimension(api: Any, spent: str) -> None:
    def groups(**query: str) -> dict[str, tuple[str, int]]:
        sums = api.get("usage", **query).json()["data"]
        return {item["group"]: (item["credits"], item["charges"]) for item in sums}

    assert groups(group_by="service") == {"claude-opus-4": ("53", 1), "claude-sonnet-4": ("17.71", 4)}
    assert groups(group_by="project") == {"": ("65.21", 4), spent: ("5.5", 1)}
    assert groups(group_by="conversation") == {"": ("65.1", 3), "c-1": ("5.61", 2)}
    assert len(groups(group_by="member")) == len(groups(group_by="api_key")) == 1
    sums = api.get("usage", group_by="service", interval="day", timezone="UTC").json()["data"]
    assert [(item["start"][:10], item["group"], item["credits"]) for item in sums] == [
        ("2026-11-20", "claude-opus-4", "53"),
        ("2026-11-20", "claude-sonnet-4", "16.5"),
        ("2026-11-21", "claude-sonnet-4", "1.21"),
    ]


def test_reversed_credits_are_not_counted(api: Any, platform_api: Any, account: Account, spent: str) -> None:
    [newest] = api.get("charges", limit="1").json()["data"]
    body = {"account": account.public_id}
    platform_api.post(f"charges/{newest['id']}/reversals", body, key="r1")
    assert api.get("usage").json()["total"]["credits"] == "70.6"


def test_a_period_includes_its_start_and_excludes_its_end(api: Any, spent: str) -> None:
    query = {"from": "2026-11-20T18:15:00Z", "to": "2026-11-21T00:00:00Z"}
    assert api.get("usage", **query).json()["total"] == {"credits": "58.5", "charges": 2}


@pytest.mark.fault("I4")
@pytest.mark.parametrize(
    ("query", "field"),
    [
        ({"from": "0000-01-01T00:00:00Z"}, "from"),
        ({"from": "0001-01-01T00:00:00Z"}, "from"),
        ({"from": "2015-01-01T00:00:00Z"}, "from"),
        ({"from": "2026-01-01T00:00:00Z", "interval": "hour"}, "from"),
        ({"from": "2030-01-01T00:00:00Z"}, "to"),
        ({"to": "yesterday"}, "to"),
        ({"timezone": "Mars/Olympus"}, "timezone"),
        ({"timezone": "Etc/GMT+5"}, "timezone"),
        ({"timezone": "posix/Europe/Berlin"}, "timezone"),
        ({"timezone": "right/UTC"}, "timezone"),
        ({"timezone": "../etc/passwd"}, "timezone"),
        ({"group_by": "grant"}, "group_by"),
        ({"interval": "second"}, "interval"),
        ({"what": "ever"}, "what"),
    ],
)
def test_an_invalid_query_names_the_parameter(api: Any, query: dict[str, str], field: str) -> None:
    response = api.get("usage", **query)
    assert response.status_code == 400
    assert [error["field"] for error in response.json()["errors"]] == [field]
