"""Lists of charges and transactions: every filter alone and with others, bounds of time, and pages."""

from datetime import UTC, datetime, timedelta
from itertools import combinations
from typing import Any

import pytest

from accounts.models import Account, User
from tests.usage.api.conftest import give

pytestmark = pytest.mark.usefixtures("workshop")

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)


def words(tokens: int = 1000, **fields: Any) -> dict[str, Any]:
    """A use of Writer: one credit for 1,000 tokens."""
    return {"service": "writer", "usage": {"input_tokens": tokens, "output_tokens": 0}, **fields}


class Ledger:
    """Charges in every state, one a second from noon; `charges` are their ids by name, oldest first."""

    def __init__(self, clock: Any, team: Account, bob: User, api: Any, platform_api: Any) -> None:
        self.clock, self.api, self.platform, self.keys = clock, api, platform_api, 0
        self.web, self.bot = (api.post("projects", {"name": name}).json()["id"] for name in ("web", "bot"))
        self.bob = bob.public_id
        give(team, "50")
        self.charges: dict[str, str] = {}
        self.charge("reversed", words(project=self.web, conversation="c-1"), reverse="all")
        self.charge("partly", words(action="sketch", conversation="c-1", member=self.bob), reverse="0.5")
        free = {"service": "gift", "usage": {"uses": 1}, "project": self.web, "conversation": "c-2"}
        self.charge("free", free)
        self.charge("kept", words(project=self.bot, conversation="c-1"))
        self.charge("uncollected_reversed", words(100_000, project=self.web), reverse="all", hold=True)
        self.charge("uncollected_partly", words(100_000, conversation="c-2"), reverse="20", hold=True)
        self.charge("uncollected", words(100_000, project=self.bot), hold=True)

    def charge(self, name: str, use: dict[str, Any], *, reverse: str = "", hold: bool = False) -> None:
        key = name
        if hold:  # a small hold, captured for more than there is
            held = self.api.post("holds", use | words(1), key=f"hold-{key}").json()["id"]
            answer = self.api.post(f"holds/{held}/capture", {"usage": use["usage"]}, key=key)
        else:
            answer = self.api.post("charges", use, key=key)
        assert answer.status_code == 201, answer.content
        self.charges[name] = answer.json()["id"]
        if reverse:
            body = {} if reverse == "all" else {"credits": reverse}
            back = self.platform.post(f"charges/{self.charges[name]}/reversals", body, key=key)
            assert back.status_code == 201, back.content
        self.clock.shift(1)

    def listed(self, **query: str) -> list[str]:
        """The names of the listed charges."""
        names = {charge_id: name for name, charge_id in self.charges.items()}
        return [names[charge["id"]] for charge in self.api.get("charges", **query).json()["data"]]


@pytest.fixture
def ledger(clock: Any, team: Account, alice: User, bob: User, api_of: Any, platform_api: Any) -> Ledger:
    return Ledger(clock, team, bob, api_of(alice, account=team), platform_api)


def filters_of(ledger: Ledger) -> dict[str, tuple[str, set[str]]]:
    """The value of each filter, and the charges that it keeps."""
    return {
        "service": ("writer", {*ledger.charges} - {"free"}),
        "action": ("sketch", {"partly"}),
        "project": (ledger.web, {"reversed", "free", "uncollected_reversed"}),
        "conversation": ("c-1", {"reversed", "partly", "kept"}),
        "member": (ledger.bob, {"partly"}),
        "status": ("reversed", {"reversed", "uncollected_reversed"}),
        "from": ("2026-11-20T12:00:01Z", {*ledger.charges} - {"reversed"}),
        "to": ("2026-11-20T12:00:04Z", {"reversed", "partly", "free", "kept"}),
    }


def test_each_filter_keeps_its_charges_alone_and_with_each_other_filter(ledger: Ledger) -> None:
    newest_first = [*reversed(ledger.charges)]
    assert ledger.listed() == newest_first
    filters = filters_of(ledger)
    for size in (1, 2):
        for names in combinations(filters, size):
            kept = set.intersection(*(filters[name][1] for name in names))
            query = {name: filters[name][0] for name in names}
            assert ledger.listed(**query) == [name for name in newest_first if name in kept], query


STATES = {
    "charged": ["uncollected", "kept", "free"],
    "partly_reversed": ["uncollected_partly", "partly"],
    "reversed": ["uncollected_reversed", "reversed"],
}


def test_the_status_filter_agrees_with_the_status_of_free_and_uncollected_charges(ledger: Ledger) -> None:
    charges = ledger.api.get("charges").json()["data"]
    for status, names in STATES.items():
        assert ledger.listed(status=status) == names
        shown = [charge["id"] for charge in charges if charge["status"] == status]
        assert [ledger.charges[name] for name in names] == shown
    assert sum(len(names) for names in STATES.values()) == len(charges)


BOUNDS: list[tuple[dict[str, str], list[str]]] = [
    ({"from": "2026-11-20T12:00:02Z", "to": "2026-11-20T12:00:03Z"}, ["free"]),
    ({"from": "2026-11-20T12:00:02.000001Z", "to": "2026-11-20T12:00:03.000001Z"}, ["kept"]),
    ({"from": "2026-11-20T13:00:02+01:00", "to": "2026-11-20T13:00:03+01:00"}, ["free"]),
    ({"from": "2026-11-20T12:00:02.000000999Z", "to": "2026-11-20 12:00:03Z"}, ["free"]),
    ({"from": "2026-11-20T13:00:02 01:00", "to": "2026-11-20T06:00:03-06:00"}, ["free"]),
    ({"to": "2026-11-20T12:00:00Z"}, []),
    ({"to": "2026-11-20T12:00:00.000001Z"}, ["reversed"]),
    ({"from": "2026-11-20T12:00:06Z"}, ["uncollected"]),
    ({"from": "2026-11-20T12:00:06.000001Z"}, []),
    ({"project": "proj_nonsense"}, []),
    ({"project": "user_" + "0" * 32}, []),
    ({"member": "user_nonsense"}, []),
    ({"member": "proj_" + "0" * 32}, []),
    ({"action": "writer"}, []),
]


def test_bounds_of_time_and_ids_that_match_nothing(ledger: Ledger) -> None:
    for query, names in BOUNDS:
        assert ledger.listed(**query) == names, query
    assert ledger.api.get("charges", conversation="").status_code == 400


def test_a_member_and_the_charges_of_another_account_are_not_mixed(
    ledger: Ledger, alice: User, api_of: Any
) -> None:
    own = api_of(alice)
    mine = own.post("charges", words(conversation="c-1"), key="mine").json()
    assert [charge["id"] for charge in own.get("charges", conversation="c-1").json()["data"]] == [mine["id"]]
    assert own.get("charges", member=ledger.bob).json()["data"] == []
    assert len(ledger.listed()) == len(ledger.charges)
    assert len(own.get("transactions", kind="charge").json()["data"]) == 1


@pytest.mark.parametrize("limit", ["1", "2", "3", "6", "7"])
def test_pages_of_charges_of_one_instant_have_every_charge_once(clock: Any, api: Any, limit: str) -> None:
    items = [words(1, idempotency_key=f"b{number}", conversation="c-1") for number in range(6)]
    api.post("charges/batch", {"data": items})
    api.post("charges", words(1), key="of-no-conversation")
    every = [charge["id"] for charge in api.get("charges", conversation="c-1").json()["data"]]
    assert len(every) == len(set(every)) == 6
    seen, query = [], {"limit": limit, "conversation": "c-1"}
    while True:
        page = api.get("charges", **query).json()
        assert 1 <= len(page["data"]) <= int(limit)
        seen += [charge["id"] for charge in page["data"]]
        assert page["has_more"] == (len(seen) < 6) == (page["next_cursor"] is not None)
        if not page["has_more"]:
            break
        query["cursor"] = page["next_cursor"]
    assert seen == every


def test_a_page_has_25_rows_unless_1_to_100_are_requested(clock: Any, api: Any) -> None:
    items = [words(1, idempotency_key=f"b{number}") for number in range(101)]
    api.post("charges/batch", {"data": items})
    page = api.get("charges").json()
    assert (len(page["data"]), page["has_more"]) == (25, True)
    assert len(api.get("charges", limit="100").json()["data"]) == 100
    for limit in ("0", "101", "-1", "x", "2.5", "", "5.0", " 5", "+5", "1_0", "\u0663"):
        refused = api.get("charges", limit=limit)
        assert (refused.status_code, refused.json()["errors"][0]["field"]) == (400, "limit"), limit
    for path in ("transactions", "grants"):
        other = api.get(path, cursor=page["next_cursor"])
        codes = [(error["field"], error["code"]) for error in other.json()["errors"]]
        assert (other.status_code, codes) == (400, [("cursor", "invalid_cursor")])


def test_a_period_must_end_after_it_begins(api: Any) -> None:
    at = "2026-11-20T12:00:00Z"
    for path in ("charges", "transactions", "usage"):
        for query in ({"from": at, "to": at}, {"from": "2026-11-20T12:00:00.000001Z", "to": at}):
            refused = api.get(path, **query).json()
            assert [error["field"] for error in refused["errors"]] == ["to"], (path, query)
        assert api.get(path, **{"from": at, "to": "2026-11-20T12:00:00.000001Z"}).status_code == 200


def test_transactions_are_narrowed_by_kind_grant_and_time_together(ledger: Ledger) -> None:
    grants = {grant["kind"]: grant["id"] for grant in ledger.api.get("grants").json()["data"]}
    every = ledger.api.get("transactions", limit="100").json()["data"]
    assert len(every) > 15
    second = "2026-11-20T12:00:04Z"
    tests = {
        "kind": ("charge", lambda entry: entry["kind"] == "charge"),
        "grant": (grants["top_up"], lambda entry: entry["grant"] == grants["top_up"]),
        "from": (second, lambda entry: entry["created_at"] >= second),
        "to": (second, lambda entry: entry["created_at"] < second),
    }
    chosen = [names for size in (1, 2, 3) for names in combinations(tests, size)]
    for names in [names for names in chosen if not {"from", "to"} <= set(names)]:
        query = {name: tests[name][0] for name in names}
        expected = [entry for entry in every if all(tests[name][1](entry) for name in names)]
        assert expected or len(names) > 1
        assert ledger.api.get("transactions", limit="100", **query).json()["data"] == expected, query
    for kind in ("grant", "hold", "release", "reverse"):
        found = ledger.api.get("transactions", limit="100", kind=kind).json()["data"]
        assert found == [entry for entry in every if entry["kind"] == kind] != []
    assert ledger.api.get("transactions", grant="grant_nonsense").json()["data"] == []
    balances = [entry["balance_after"] for entry in every]
    assert balances[0] == ledger.api.get("balance").json()["available"]


def test_a_charge_is_listed_with_its_time_and_not_that_of_its_hold(clock: Any, api: Any) -> None:
    hold = api.post("holds", words(1), key="h").json()["id"]
    clock.shift(timedelta(minutes=5))
    charge = api.post(f"holds/{hold}/capture", {"credits": "0.5"}, key="c").json()
    later = {"from": "2026-11-20T12:05:00Z"}
    assert [one["id"] for one in api.get("charges", **later).json()["data"]] == [charge["id"]]
