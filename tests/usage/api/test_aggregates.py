"""GET /usage: credits and charges per group and interval."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from accounts.models import Account, ApiKey, User
from core.fields import instant
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
    def groups(**query: str) -> dict[str | None, tuple[str, int]]:
        sums = api.get("usage", **query).json()["data"]
        return {item["group"]: (item["credits"], item["charges"]) for item in sums}

    assert groups(group_by="service") == {"claude-opus-4": ("53", 1), "claude-sonnet-4": ("17.71", 4)}
    assert groups(group_by="project") == {None: ("65.21", 4), spent: ("5.5", 1)}
    assert groups(group_by="conversation") == {None: ("65.1", 3), "c-1": ("5.61", 2)}
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


def test_uncollected_credits_are_not_counted(api: Any, account: Account, clock: Any) -> None:
    hold = api.post("holds", use(500), key="h").json()["id"]
    api.post(
        f"holds/{hold}/capture", {"usage": {"tokens": 50_000}}, key="c"
    )  # 110 credits, of which 100 paid
    clock.shift(1)
    answer = api.get("usage", group_by="conversation").json()
    assert answer["data"] == [{"start": None, "group": None, "credits": "100", "charges": 1}]
    assert answer["total"] == {"credits": "100", "charges": 1}


def test_the_groups_of_members_and_keys_are_their_ids(
    team: Account, alice: User, bob: User, api_of: Any, clock: Any
) -> None:
    alices, bobs = api_of(alice, account=team), api_of(bob, account=team)
    alices.post("charges", use(1000), key="k1")
    alices.post("charges", use(500, member=bob.public_id), key="k2")
    bobs.post("charges", use(2000), key="k3")
    api_of(bob).post("charges", use(5000), key="of-another-account")
    clock.shift(1)
    keys = {key.created_by_id: key.public_id for key in ApiKey.objects.filter(account=team)}

    def rows(**query: str) -> list[tuple[str, str, int]]:
        answer = alices.get("usage", **query).json()
        return [(row["group"], row["credits"], row["charges"]) for row in answer["data"]]

    assert rows(group_by="member") == [(bob.public_id, "5.5", 2), (alice.public_id, "2.2", 1)]
    assert rows(group_by="api_key") == [(keys[bob.pk], "4.4", 1), (keys[alice.pk], "3.3", 2)]
    assert alices.get("usage").json() == {
        "data": [{"start": None, "group": None, "credits": "7.7", "charges": 3}],
        "has_more": False,
        "next_cursor": None,
        "total": {"credits": "7.7", "charges": 3},
        "timezone": "UTC",
    }


def test_intervals_are_hours_days_and_months_in_order(api: Any, account: Account, clock: Any) -> None:
    Account.objects.filter(pk=account.pk).update(zone="Asia/Kathmandu")  # 5:45 ahead of UTC
    give(account, "500")
    for number, moment in enumerate(
        ("2026-11-30T18:14:59Z", "2026-11-30T18:15:00Z", "2026-11-30T19:14:59Z", "2026-11-30T19:15:00Z")
    ):
        clock.move_to(datetime.fromisoformat(moment))
        api.post("charges", use(500 * (number + 1), conversation=f"c-{number % 2}"), key=f"k{number}")
    clock.move_to(datetime(2026, 12, 1, tzinfo=UTC))

    def rows(**query: str) -> list[tuple[str, ...]]:
        answer = api.get("usage", **query).json()
        assert answer["timezone"] == query.get("timezone", "Asia/Kathmandu")
        return [(row["start"], row["credits"]) for row in answer["data"]]

    hours = ["2026-11-30T17:15:00Z", "2026-11-30T18:15:00Z", "2026-11-30T19:15:00Z"]
    assert rows(interval="hour") == list(zip(hours, ["1.1", "5.5", "4.4"], strict=True))
    assert rows(interval="hour", timezone="UTC") == [
        ("2026-11-30T18:00:00Z", "3.3"),
        ("2026-11-30T19:00:00Z", "7.7"),
    ]
    assert rows(interval="month") == [("2026-10-31T18:15:00Z", "1.1"), ("2026-11-30T18:15:00Z", "9.9")]
    assert rows(interval="month", timezone="UTC") == [("2026-11-01T00:00:00Z", "11")]
    grouped = api.get("usage", interval="day", group_by="conversation").json()["data"]
    assert [(row["start"][:10], row["group"], row["credits"]) for row in grouped] == [
        ("2026-11-29", "c-0", "1.1"),
        ("2026-11-30", "c-1", "6.6"),
        ("2026-11-30", "c-0", "3.3"),
    ]


def test_the_last_30_days_are_summed_unless_a_period_is_given(api: Any, account: Account, clock: Any) -> None:
    give(account, "500")
    start = datetime(2026, 11, 20, 12, tzinfo=UTC)
    for number, seconds in enumerate((0, 1, 3600)):
        clock.move_to(start + timedelta(seconds=seconds))
        api.post("charges", use(500), key=f"k{number}")
    clock.move_to(start + timedelta(days=30, seconds=1))
    assert api.get("usage").json()["total"] == {"credits": "2.2", "charges": 2}
    assert api.get("usage", to="2026-11-20T13:00:00Z").json()["total"]["charges"] == 2
    assert api.get("usage", **{"from": "2026-11-20T12:00:00Z"}).json()["total"]["charges"] == 3


@pytest.mark.parametrize(
    ("interval", "days"),
    [({"interval": "hour"}, 31), ({"interval": "day"}, 400), ({"interval": "month"}, 3700), ({}, 3700)],
)
def test_a_period_of_the_longest_length_is_summed_and_a_longer_one_refused(
    api: Any, clock: Any, interval: dict[str, str], days: int
) -> None:
    end = datetime(2026, 11, 20, tzinfo=UTC)
    longest = {"from": instant(end - timedelta(days=days)), "to": instant(end)}
    assert api.get("usage", **interval, **longest).status_code == 200
    longer = longest | {"to": instant(end + timedelta(microseconds=1))}
    problem = api.get("usage", **interval, **longer).json()
    assert [(error["field"], error["code"]) for error in problem["errors"]] == [("from", "range_too_long")]
    assert str(days) in problem["detail"]


def test_a_result_of_too_many_rows_is_refused(
    api: Any, account: Account, spent: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("usage.dashboard.aggregates.MAX_ROWS", 2)
    assert len(api.get("usage", group_by="service").json()["data"]) == 2
    monkeypatch.setattr("usage.dashboard.aggregates.MAX_ROWS", 1)
    problem = api.get("usage", group_by="service").json()
    assert [(error["field"], error["code"]) for error in problem["errors"]] == [("from", "range_too_long")]
