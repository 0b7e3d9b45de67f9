"""GET /usage: what was spent, by what and when."""

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
def test_days_begin_where_the_zone_says(api: Any, spent: str, zone: str, days: dict[str, str]) -> None:
    answer = api.get("usage", interval="day", timezone=zone).json()
    assert {row["start"]: row["credits"] for row in answer["data"]} == days
    assert answer["total"] == {"credits": "70.71", "charges": 5}
    assert answer["timezone"] == zone


@pytest.mark.requirement("FLICK-07", "FLOW-07", "APIN-06")
def test_sums_are_taken_apart_by_what_was_asked(api: Any, spent: str) -> None:
    def groups(**query: str) -> dict[str, tuple[str, int]]:
        rows = api.get("usage", **query).json()["data"]
        return {row["group"]: (row["credits"], row["charges"]) for row in rows}

    assert groups(group_by="service") == {"claude-opus-4": ("53", 1), "claude-sonnet-4": ("17.71", 4)}
    assert groups(group_by="project") == {"": ("65.21", 4), spent: ("5.5", 1)}
    assert groups(group_by="conversation") == {"": ("65.1", 3), "c-1": ("5.61", 2)}
    assert len(groups(group_by="member")) == len(groups(group_by="api_key")) == 1
    rows = api.get("usage", group_by="service", interval="day", timezone="UTC").json()["data"]
    assert [(row["start"][:10], row["group"], row["credits"]) for row in rows] == [
        ("2026-11-20", "claude-opus-4", "53"),
        ("2026-11-20", "claude-sonnet-4", "16.5"),
        ("2026-11-21", "claude-sonnet-4", "1.21"),
    ]


def test_what_was_given_back_is_not_spent(api: Any, platform_api: Any, account: Account, spent: str) -> None:
    [newest] = api.get("charges", limit="1").json()["data"]
    body = {"account": account.public_id}
    platform_api.post(f"charges/{newest['id']}/reversals", body, key="r1")
    assert api.get("usage").json()["total"]["credits"] == "70.6"


def test_a_range_is_half_open(api: Any, spent: str) -> None:
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
        ({"timezone": "../etc/passwd"}, "timezone"),
        ({"group_by": "grant"}, "group_by"),
        ({"interval": "second"}, "interval"),
        ({"what": "ever"}, "what"),
    ],
)
def test_a_question_that_cannot_be_answered_names_the_parameter(
    api: Any, query: dict[str, str], field: str
) -> None:
    answer = api.get("usage", **query)
    assert answer.status_code == 400
    assert [error["field"] for error in answer.json()["errors"]] == [field]
