"""Every field of every object: each field of a request has its own value, and answers are compared whole."""

from typing import Any

import pytest
from django.utils import timezone

from accounts.models import Account, ApiKey, User
from tests.usage.api.conftest import give
from usage.charges import reports
from usage.models import ChargeReport

pytestmark = pytest.mark.usefixtures("workshop")

NOON = "2026-11-20T12:00:00Z"
RATE = {"version": "2026-01-01", "effective_at": "2026-01-01T00:00:00Z"}
FACTORS = {"action=sketch": "2", "quality=high": "1.5"}


def line(meter: str, quantity: int, unit: str, credits: str) -> dict[str, Any]:
    price = {"meter": meter, "quantity": quantity, "unit_credits": unit, "per": 1000, "credits": credits}
    return price | {"multipliers": FACTORS}


class Desk:
    """Alice's team with 10 daily credits and a pack of 50, and her client; Bob is a member."""

    def __init__(self, team: Account, alice: User, bob: User, api: Any) -> None:
        self.team, self.alice, self.bob, self.api = team, alice, bob, api
        give(team, "50", label="Large pack")
        grants = {grant["kind"]: grant["id"] for grant in api.get("grants").json()["data"]}
        self.daily, self.pack = grants["daily"], grants["top_up"]
        self.project = api.post("projects", {"name": "web", "daily_limit": "90.5"}).json()
        self.key = ApiKey.objects.get(account=team).public_id

    @property
    def use(self) -> dict[str, Any]:
        """(3,000 / 1,000 * 1 + 500 / 1,000 * 4) * 2 (action) * 1.5 (quality) = 15 credits."""
        return {
            "service": "writer",
            "action": "sketch",
            "usage": {"input_tokens": 3000, "output_tokens": 500},
            "options": {"quality": "high"},
            "project": self.project["id"],
            "conversation": "c-1",
            "member": self.bob.public_id,
            "metadata": {"note": ["a", 1.5]},
        }

    @property
    def attribution(self) -> dict[str, Any]:
        names = ("service", "action", "project", "conversation", "member")
        return {"account": self.team.public_id} | {name: self.use[name] for name in names}

    def expected_charge(self, **changes: Any) -> dict[str, Any]:
        return {
            **self.attribution,
            "status": "charged",
            "credits": "15",
            "created_at": NOON,
            "covered_by": None,
            "uncollected": "0",
            "returned": "0",
            "drawn": [self.part(self.daily, "daily", "10"), self.part(self.pack, "top_up", "5")],
            "balance_before": "60",
            "balance_after": "45",
            "hold": None,
            "lines": [line("input_tokens", 3000, "1", "9"), line("output_tokens", 500, "4", "6")],
            "rate": RATE,
            "usage": self.use["usage"],
            "options": self.use["options"],
            "metadata": self.use["metadata"],
            "api_key": self.key,
        } | changes

    @staticmethod
    def part(grant: str, kind: str, credits: str) -> dict[str, str]:
        return {"grant": grant, "kind": kind, "credits": credits}


@pytest.fixture
def desk(clock: Any, team: Account, alice: User, bob: User, api_of: Any) -> Desk:
    return Desk(team, alice, bob, api_of(alice, account=team))


def without_id(body: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in body.items() if name != "id"}


def test_a_charge_has_every_field_of_its_use_and_price(desk: Desk) -> None:
    charge = desk.api.post("charges", desk.use, key="k1").json()
    assert without_id(charge) == desk.expected_charge()
    assert desk.api.get("charges").json()["data"] == [charge]
    assert desk.api.get(f"charges/{charge['id']}").json() == charge | {"report": None}
    [item] = desk.api.post("charges/batch", {"data": [desk.use | {"idempotency_key": "k1"}]}).json()["data"]
    assert item == {"status": 201, "charge": charge, "replayed": True}


def test_an_item_of_a_batch_has_every_field_of_its_use_and_price(desk: Desk) -> None:
    [item] = desk.api.post("charges/batch", {"data": [desk.use | {"idempotency_key": "k1"}]}).json()["data"]
    assert item.keys() == {"status", "charge"}
    assert without_id(item["charge"]) == desk.expected_charge()


def test_an_estimate_and_a_hold_show_the_figures_of_the_charge(desk: Desk, clock: Any) -> None:
    estimate = desk.api.post("estimates", desk.use).json()
    assert without_id(estimate) == {
        "credits": "15",
        "maximum": "15",
        "lines": desk.expected_charge()["lines"],
        "rate": RATE,
        "available": "60",
        "sufficient": True,
        "covered_by": None,
        "approximate": False,
        "valid_until": "2026-11-20T12:10:00Z",
    }
    body = desk.use | {"expires_in": 600, "estimate": estimate["id"]}
    hold = desk.api.post("holds", body, key="h1").json()
    expected = desk.expected_charge()
    names = ("credits", "created_at", "drawn", "lines", "rate", "usage", "options", "metadata")
    assert without_id(hold) == {
        **desk.attribution,
        **{name: expected[name] for name in names},
        "status": "held",
        "expires_at": "2026-11-20T12:10:00Z",
        "closed_at": None,
        "charge": None,
        **{"parent": None, "spent": "0", "reserved": "0", "remaining": "15", "children": []},
        **{"at_expiry": "release", "reported": None},
    }
    assert desk.api.get(f"holds/{hold['id']}").json() == hold
    clock.shift(60)
    captured = {"usage": {"input_tokens": 1000, "output_tokens": 0}, "metadata": {"more": 2}}
    charge = desk.api.post(f"holds/{hold['id']}/capture", captured, key="c1").json()
    assert without_id(charge) == desk.expected_charge(
        credits="3",
        created_at="2026-11-20T12:01:00Z",
        drawn=[desk.part(desk.daily, "daily", "3")],
        balance_before=charge["balance_before"],
        balance_after="57",
        hold=hold["id"],
        lines=[line("input_tokens", 1000, "1", "3"), line("output_tokens", 0, "4", "0")],
        usage=captured["usage"],
        metadata=desk.use["metadata"] | {"more": 2},
    )
    closed = {"status": "captured", "closed_at": "2026-11-20T12:01:00Z", "charge": charge["id"]}
    closed |= {"spent": "3", "remaining": "0"}
    assert desk.api.get(f"holds/{hold['id']}").json() == hold | closed
    assert desk.api.get(f"charges/{charge['id']}").json() == charge | {"report": None}


def test_a_capture_may_change_the_options_and_a_released_hold_has_its_time(desk: Desk, clock: Any) -> None:
    holds = [desk.api.post("holds", desk.use, key=f"h{n}").json() for n in range(2)]
    body = {"usage": {"input_tokens": 1000, "output_tokens": 0}, "options": {"quality": "low"}}
    reported = desk.api.put(f"holds/{holds[0]['id']}/usage", body).json()["reported"]
    assert reported == {"usage": body["usage"], "credits": "2"}
    charge = desk.api.post(f"holds/{holds[0]['id']}/capture", body, key="c1").json()
    assert (charge["credits"], charge["options"]) == ("2", {"quality": "low"})
    clock.shift(5)
    released = desk.api.post(f"holds/{holds[1]['id']}/release", {}, key="r1").json()
    closed = {"status": "released", "closed_at": "2026-11-20T12:00:05Z", "remaining": "0"}
    assert released == holds[1] | closed


def test_a_hold_of_an_amount_has_no_lines_and_its_capture_has_the_amount(desk: Desk) -> None:
    body = {name: value for name, value in desk.use.items() if name != "usage"} | {"credits": "12.5"}
    hold = desk.api.post("holds", body, key="h1").json()
    assert (hold["credits"], hold["lines"], hold["usage"], hold["rate"]) == ("12.5", [], {}, RATE)
    assert hold["expires_at"] == "2026-11-20T12:15:00Z"
    assert (hold["options"], hold["metadata"]) == (desk.use["options"], desk.use["metadata"])
    charge = desk.api.post(f"holds/{hold['id']}/capture", {"credits": "4.25"}, key="c1").json()
    assert without_id(charge) == desk.expected_charge(
        credits="4.25",
        drawn=[desk.part(desk.daily, "daily", "4.25")],
        balance_before=charge["balance_before"],
        balance_after="55.75",
        hold=hold["id"],
        lines=[],
        usage={},
    )


@pytest.mark.parametrize(
    ("action", "status", "code"),
    [("nope", 404, "unknown_service"), ("painter", 400, "invalid_request"), ("sketch", 201, None)],
)
def test_a_hold_of_an_amount_refuses_the_actions_that_a_charge_refuses(
    desk: Desk, action: str, status: int, code: str | None
) -> None:
    by_amount = desk.api.post("holds", {"service": "writer", "action": action, "credits": "1"}, key="h1")
    by_usage = desk.api.post("holds", desk.use | {"action": action}, key="h2")
    for answer in (by_amount, by_usage):
        assert (answer.status_code, answer.json().get("code")) == (status, code)
    assert desk.api.post("holds", {"service": "frame", "action": "sketch", "credits": "1"}, key="h3").json()[
        "errors"
    ] == [
        {
            "field": "action",
            "code": "not_an_action",
            "message": "Send an action as `action` with its model as `service`, or alone as `service`.",
        }
    ]


def test_a_reversal_names_the_grants_it_returned_to_and_has_its_entries(
    desk: Desk, platform_api: Any, clock: Any
) -> None:
    charge = desk.api.post("charges", desk.use, key="k1").json()
    clock.shift(30)
    body = {"credits": "6", "reason": "Too slow"}
    reversal = platform_api.post(f"charges/{charge['id']}/reversals", body, key="r1").json()
    assert without_id(reversal) == {
        "charge": charge["id"],
        "credits": "6",
        "returned_to": [
            {"grant": desk.pack, "credits": "5"},
            {"grant": desk.daily, "credits": "1"},
        ],
        "reason": "Too slow",
        "balance_after": "51",
        "created_at": "2026-11-20T12:00:30Z",
    }
    answer = desk.api.get("transactions", kind="reverse").json()
    platform_key = ApiKey.objects.get(kind=ApiKey.Kind.PLATFORM).public_id
    common = {
        "kind": "reverse",
        "charge": charge["id"],
        "hold": None,
        "reason": "Too slow",
        "actor": platform_key,
        "created_at": "2026-11-20T12:00:30Z",
    }
    assert [without_id(entry) for entry in answer["data"]] == [
        common | {"grant": desk.daily, "credits": "1", "grant_after": "1", "balance_after": "51"},
        common | {"grant": desk.pack, "credits": "5", "grant_after": "50", "balance_after": "50"},
    ]
    changed = {"status": "partly_reversed", "returned": "6", "report": None}
    assert desk.api.get(f"charges/{charge['id']}").json() == charge | changed
    assert [without_id(entry) for entry in desk.api.get("transactions", kind="charge").json()["data"]] == [
        {
            **common,
            **{"kind": "charge", "reason": "", "actor": "", "created_at": NOON},
            **{"grant": grant, "credits": credits, "grant_after": left, "balance_after": balance},
        }
        for grant, credits, left, balance in (
            (desk.pack, "-5", "45", "45"),
            (desk.daily, "-10", "0", "50"),
        )
    ]


def test_the_entries_of_a_hold_name_it(desk: Desk) -> None:
    hold = desk.api.post("holds", desk.use, key="h1").json()
    entries = desk.api.get("transactions", kind="hold").json()["data"]
    assert [(entry["hold"], entry["charge"], entry["credits"]) for entry in entries] == [
        (hold["id"], None, "-5"),
        (hold["id"], None, "-10"),
    ]
    balance = desk.api.get("balance").json()
    assert (balance["available"], balance["held"]) == ("45", "15")
    assert [(grant["remaining"], grant["held"]) for grant in balance["grants"]] == [
        ("0", "10"),
        ("45", "5"),
    ]


def test_a_report_has_its_reason_and_then_its_answer(desk: Desk, staff: User, clock: Any) -> None:
    charge = desk.api.post("charges", desk.use, key="k1").json()
    report = desk.api.post(f"charges/{charge['id']}/reports", {"reason": "Empty answer"}).json()
    assert without_id(report) == {
        "charge": charge["id"],
        "status": "open",
        "reason": "Empty answer",
        "answer": "",
        "created_at": NOON,
        "answered_at": None,
    }
    stored = ChargeReport.objects.get()
    assert (stored.reporter, stored.account) == (desk.alice, desk.team)
    clock.shift(60)
    reports.answer(stored.pk, text="It was not.", by=staff, now=timezone.now())
    answered = report | {
        "status": "answered",
        "answer": "It was not.",
        "answered_at": "2026-11-20T12:01:00Z",
    }
    assert desk.api.get(f"charges/{charge['id']}").json()["report"] == answered
    clock.shift(60)
    second = desk.api.post(f"charges/{charge['id']}/reports", {"reason": "It was."}).json()
    assert desk.api.get(f"charges/{charge['id']}").json()["report"] == second, "the latest report"
    stored.refresh_from_db()
    assert stored.answered_by == staff


def test_a_grant_has_every_field_of_its_request(desk: Desk, platform_api: Any) -> None:
    body = {
        "credits": "30.5",
        "kind": "bonus",
        "label": "Birthday",
        "expires_at": "2027-01-01T00:00:00+01:00",
        "services": ["writer", "tag:art"],
        "reason": "Ten years",
    }
    path = f"accounts/{desk.team.public_id}/grants"
    grant = platform_api.post(path, body, key="g1").json()
    assert without_id(grant) == {
        "kind": "bonus",
        "label": "Birthday",
        "granted": "30.5",
        "remaining": "30.5",
        "held": "0",
        "expires_at": "2026-12-31T23:00:00Z",
        "services": ["writer", "tag:art"],
        "reason": "Ten years",
        "created_at": NOON,
    }
    assert grant in desk.api.get("grants").json()["data"]
    in_force = {name: value for name, value in grant.items() if name not in {"reason", "created_at"}}
    balance = desk.api.get("balance").json()
    assert [listed["id"] for listed in balance["grants"]] == [desk.daily, grant["id"], desk.pack]
    assert balance["grants"][1] == in_force
    [entry] = desk.api.get("transactions", grant=grant["id"]).json()["data"]
    assert (entry["kind"], entry["credits"], entry["reason"]) == ("grant", "30.5", "Ten years")
    plain = platform_api.post(path, {"credits": "1", "kind": "promotion"}, key="g2").json()
    names = ("label", "expires_at", "services", "reason")
    assert [plain[name] for name in names] == ["Promotion", None, None, ""]


def test_the_whole_balance(desk: Desk) -> None:
    desk.api.post("charges", desk.use | {"usage": {"input_tokens": 1000, "output_tokens": 0}}, key="k1")
    assert desk.api.get("balance").json() == {
        "account": desk.team.public_id,
        "available": "57",
        "held": "0",
        "debt": "0",
        "as_of": NOON,
        "grants": [
            {
                "id": desk.daily,
                "kind": "daily",
                "label": "Daily",
                "granted": "10",
                "remaining": "7",
                "held": "0",
                "expires_at": "2026-11-21T00:00:00Z",
                "services": None,
            },
            {
                "id": desk.pack,
                "kind": "top_up",
                "label": "Large pack",
                "granted": "50",
                "remaining": "50",
                "held": "0",
                "expires_at": None,
                "services": None,
            },
        ],
        "daily": {"amount": "10", "remaining": "7", "resets_at": "2026-11-21T00:00:00Z"},
        "unlimited_services": [],
        "low": False,
    }


def test_an_account_has_the_fields_of_its_request(platform_api: Any, clock: Any) -> None:
    body = {"external_id": "u-1", "name": "Ada", "zone": "Europe/Berlin"}
    expected = body | {"kind": "personal", "created_at": NOON, "plan": "free"}
    created = platform_api.post("accounts", body).json()
    assert without_id(created) == expected
    assert platform_api.get("accounts/u-1").json() == created
    nameless = platform_api.post("accounts", {"external_id": "u-2"}).json()
    assert (nameless["name"], nameless["zone"]) == ("u-2", "UTC")
    empty = platform_api.post("accounts", {}).json()
    assert (empty["name"], empty["external_id"]) == ("Account", None)
    taken = platform_api.post("accounts", {"external_id": "u-1"}).json()
    assert (taken["code"], taken["account"]) == ("external_id_taken", created["id"])


def test_a_project_has_the_fields_of_its_request(desk: Desk, clock: Any) -> None:
    assert without_id(desk.project) == {
        "name": "web",
        "daily_limit": "90.5",
        "archived": False,
        "created_at": NOON,
    }
    path = f"projects/{desk.project['id']}"
    assert desk.api.patch(path, {}).json() == desk.project, "no change"
    archived = desk.project | {"archived": True}
    assert desk.api.patch(path, {"archived": True}).json() == archived
    clock.shift(1)
    second = desk.api.post("projects", {"name": "bot"}).json()
    assert desk.api.get("projects").json()["data"] == [second, archived]
    assert desk.api.patch(path, {"archived": False, "name": "site"}).json() == desk.project | {"name": "site"}
