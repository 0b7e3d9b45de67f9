"""Child holds over the API: budgets of agents, what their branches spent, and usage that is reported."""

from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from typing import Any
from uuid import uuid4

import pytest

from accounts.models import Account, User
from billing.models import Charge, Hold
from pricing.catalogue import cache as catalogue_cache
from tests.usage.api.conftest import SONNET, give, use
from usage import charging
from usage.charging import Use


def opened(api: Any, credits: str, key: str, **fields: Any) -> Any:
    response = api.post("holds", {"service": SONNET, "credits": credits, **fields}, key=key)
    assert response.status_code == 201, response.content
    return response.json()


def figures(api: Any, hold: str) -> tuple[str, str, str]:
    shown = api.get(f"holds/{hold}").json()
    return shown["spent"], shown["reserved"], shown["remaining"]


def test_a_tree_of_holds_shows_what_its_branches_spent(api: Any) -> None:
    root = opened(api, "60", "root")
    assert (root["parent"], root["spent"], root["reserved"], root["remaining"]) == (None, "0", "0", "60")
    task = opened(api, "30", "task", parent=root["id"])
    step = opened(api, "20", "step", parent=task["id"])
    assert (task["parent"], step["remaining"], step["children"]) == (root["id"], "20", [])
    assert api.get("balance").json()["available"] == "40"
    assert figures(api, root["id"]) == ("0", "30", "30")
    [child] = api.get(f"holds/{root['id']}").json()["children"]
    assert (child["id"], child["reserved"], child["remaining"]) == (task["id"], "20", "10")

    api.post(f"holds/{step['id']}/capture", {"usage": {"tokens": 5000}}, key="c1")
    assert figures(api, root["id"]) == ("11", "19", "30")
    assert figures(api, task["id"]) == ("11", "0", "19")
    api.post(f"holds/{task['id']}/release", {}, key="r1")
    shown = api.get(f"holds/{root['id']}").json()
    assert (shown["spent"], shown["reserved"], shown["remaining"]) == ("11", "0", "49")
    assert [(one["id"], one["status"], one["spent"]) for one in shown["children"]] == [
        (task["id"], "released", "11")
    ]
    released = api.post(f"holds/{root['id']}/release", {}, key="r2").json()
    assert (released["spent"], released["remaining"]) == ("11", "0")
    assert api.get("balance").json()["available"] == "89"


def test_a_child_that_asks_for_more_is_refused_with_what_remains(api: Any) -> None:
    root = opened(api, "10", "root")
    body = {"service": SONNET, "credits": "10.5", "parent": root["id"]}
    refused = api.post("holds", body, key="a")
    problem = refused.json()
    assert (refused.status_code, problem["code"]) == (402, "budget_exceeded")
    assert (problem["needed"], problem["remaining"]) == ("10.5", "10")
    root = opened(api, "20", "another-root")
    again = api.post("holds", body | {"parent": root["id"]}, key="a")
    assert again.status_code == 201, "a refusal does not burn the key"


def test_a_parent_closes_after_its_children_and_a_tree_is_four_deep(api: Any) -> None:
    holds = [opened(api, "10", "root")["id"]]
    for number in range(3):
        holds.append(opened(api, "5", f"child-{number}", parent=holds[-1])["id"])
    for way, body in (("release", {}), ("capture", {"credits": "1"})):
        refused = api.post(f"holds/{holds[0]}/{way}", body, key=f"{way}-early")
        assert (refused.status_code, refused.json()["code"]) == (409, "children_open")
        assert refused.json()["children"] == 1
    deep = api.post("holds", {"service": SONNET, "credits": "1", "parent": holds[-1]}, key="too-deep")
    assert (deep.status_code, deep.json()["code"], deep.json()["most"]) == (409, "tree_too_deep", 4)
    for hold in reversed(holds):
        assert api.post(f"holds/{hold}/release", {}, key=f"release-{hold}").status_code == 200
    closed = api.post("holds", {"service": SONNET, "credits": "1", "parent": holds[0]}, key="too-late")
    assert (closed.status_code, closed.json()["code"]) == (409, "hold_closed")


def test_only_the_kind_of_caller_that_made_a_hold_uses_it_as_a_parent(
    api: Any, account: Account, platform_api: Any, api_of: Any, charlie: User
) -> None:
    ours = opened(api, "10", "ours")["id"]
    platforms = opened(platform_api, "10", "platform", account=account.public_id)["id"]
    other = api_of(charlie)
    for caller, parent, more in (
        (api, platforms, {}),
        (platform_api, ours, {"account": account.public_id}),
        (other, ours, {}),
        (api, "hold_unknown", {}),
        (platform_api, platforms, {"account": Account.objects.get(person=charlie).public_id}),
    ):
        refused = caller.post("holds", {"service": SONNET, "credits": "1", "parent": parent, **more}, key="k")
        assert (refused.status_code, refused.json()["code"]) == (404, "not_found")
    assert Hold.objects.count() == 2


def test_a_child_inherits_project_and_conversation_and_ends_with_its_parent(api: Any) -> None:
    project = api.post("projects", {"name": "Research"}).json()["id"]
    root = opened(api, "10", "root", project=project, conversation="c-1", expires_in=600)
    child = opened(api, "5", "child", parent=root["id"], expires_in=3600)
    assert (child["project"], child["conversation"]) == (project, "c-1")
    assert child["expires_at"] == root["expires_at"]
    assert opened(api, "1", "own", parent=root["id"], conversation="c-2")["conversation"] == "c-2"


@pytest.mark.parametrize("name", ["project_id", "member_id", "conversation"])
def test_a_child_is_attributed_as_it_says_or_as_its_parent(name: str) -> None:
    own, of_parent = ("own", "parent") if name == "conversation" else (uuid4(), uuid4())
    use, parent = Use(account_id=uuid4(), service=SONNET), Hold(**{name: of_parent})
    assert getattr(charging.within(use, parent), name) == of_parent
    assert getattr(charging.within(replace(use, **{name: own}), parent), name) == own


def test_a_child_is_made_once_for_its_key_whatever_became_of_its_parent(api: Any) -> None:
    root = opened(api, "10", "root")["id"]
    body = use(500, parent=root)
    first = api.post("holds", body, key="child")
    api.post(f"holds/{first.json()['id']}/capture", {"credits": "1"}, key="c")
    api.post(f"holds/{root}/release", {}, key="r")
    again = api.post("holds", body, key="child")
    assert (again.status_code, again.content, again["Idempotent-Replayed"]) == (201, first.content, "true")
    assert api.post("holds", use(600, parent=root), key="child").status_code == 422


def test_the_end_of_the_root_closes_the_tree(api: Any, clock: Any) -> None:
    root = opened(api, "10", "root", expires_in=60)
    child = opened(api, "5", "child", parent=root["id"])
    clock.shift(60)
    assert [api.get(f"holds/{one['id']}").json()["status"] for one in (root, child)] == ["expired"] * 2
    assert api.get("balance").json()["available"] == "100"


def test_a_capture_above_its_child_never_takes_the_balance(api: Any) -> None:
    root = opened(api, "10", "root")
    child = opened(api, "5", "child", parent=root["id"])
    charge = api.post(f"holds/{child['id']}/capture", use(5000) | {}, key="c")
    assert charge.status_code == 400, "a capture names no service"
    charge = api.post(f"holds/{child['id']}/capture", {"usage": {"tokens": 5000}}, key="c").json()
    assert (charge["credits"], charge["uncollected"]) == ("11", "1")
    assert figures(api, root["id"]) == ("10", "0", "0"), "what was collected"
    assert api.get("balance").json()["available"] == "90"


@pytest.fixture
def ends(monkeypatch: pytest.MonkeyPatch, catalogue: None) -> Callable[..., None]:
    """Set what becomes of holds of a service when nobody captures them."""

    def set_to(at_expiry: str, service: str = SONNET) -> None:
        current = catalogue_cache.current()
        facts = replace(current.services[service], at_expiry=at_expiry)
        changed = replace(current, services={**current.services, service: facts})
        monkeypatch.setattr(catalogue_cache, "current", lambda: changed)

    return set_to


def test_the_usage_last_reported_is_charged_when_nobody_captures(api: Any, clock: Any, ends: Any) -> None:
    ends("capture_reported")
    hold = opened(api, "50", "h", expires_in=60, metadata={"run": 7})
    assert (hold["at_expiry"], hold["reported"]) == ("capture_reported", None)
    path = f"holds/{hold['id']}/usage"
    assert api.put(path, {"usage": {"tokens": 500}}).status_code == 200
    reported = api.put(path, {"usage": {"tokens": 5000}}).json()
    assert reported["reported"] == {"usage": {"tokens": 5000}, "credits": "11"}
    assert api.put(path, {"usage": {"images": 1}}).status_code == 400
    clock.shift(60)
    assert api.get("balance").json()["available"] == "89"
    shown = api.get(f"holds/{hold['id']}").json()
    charge = api.get(f"charges/{shown['charge']}").json()
    assert (shown["status"], charge["credits"], charge["lines"][0]["quantity"]) == ("captured", "11", 5000)
    assert (charge["metadata"], charge["created_at"]) == ({"run": 7}, hold["expires_at"])
    late = api.post(f"holds/{hold['id']}/capture", {"credits": "1"}, key="late")
    assert (late.status_code, late.json()["hold_status"]) == (409, "captured")
    assert api.put(path, {"usage": {"tokens": 1}}).json()["code"] == "hold_closed"


def test_usage_is_reported_when_the_service_counts_for_no_quota_any_more(
    api: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    current = catalogue_cache.current()
    for quota in ("answers", ""):
        facts = replace(current.services[SONNET], quota=quota)
        changed = replace(current, services={**current.services, SONNET: facts})
        monkeypatch.setattr(catalogue_cache, "current", lambda changed=changed: changed)
        if quota:
            hold = opened(api, "50", "h")
            assert api.put(f"holds/{hold['id']}/usage", {"usage": {"tokens": 1}}).status_code == 200
            assert Decimal(Hold.objects.get().reported["quota_count"]) == 1
    reported = api.put(f"holds/{hold['id']}/usage", {"usage": {"tokens": 5000}})
    assert (reported.status_code, Hold.objects.get().quota) == (200, "answers")


def test_what_was_held_is_charged_when_nobody_captures(api: Any, clock: Any, ends: Any) -> None:
    ends("capture_estimate")
    hold = api.post("holds", use(5000, expires_in=60), key="h").json()
    clock.shift(60)
    charged = api.get(f"holds/{hold['id']}").json()["charge"]
    charge = api.get(f"charges/{charged}").json()
    assert (charge["credits"], charge["uncollected"], charge["lines"]) == ("11", "0", hold["lines"])
    assert Charge.objects.count() == 1


def test_the_action_says_what_becomes_of_a_hold_that_nobody_captures(api: Any, ends: Any) -> None:
    ends("capture_estimate")
    ends("release", "workflow-run")
    made = [opened(api, "1", "model"), opened(api, "1", "action", action="workflow-run")]
    for shown in (made, [api.get(f"holds/{one['id']}").json() for one in made]):
        assert [one["at_expiry"] for one in shown] == ["capture_estimate", "release"]


def test_another_kind_of_caller_reports_nothing(api: Any, account: Account, platform_api: Any) -> None:
    give(account, "10")
    hold = opened(platform_api, "10", "h", account=account.public_id)["id"]
    assert api.put(f"holds/{hold}/usage", {"usage": {"tokens": 1}}).status_code == 404
    assert platform_api.put(f"holds/{hold}/usage", {"usage": {"tokens": 1}}).status_code == 200
