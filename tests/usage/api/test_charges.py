"""POST /charges: a use is charged once and itemized, or refused with the reason and the options."""

import json
from decimal import Decimal
from typing import Any

import pytest
from django.utils import timezone

from accounts.models import Account, ApiKey, Membership, Project, User
from billing import ledger
from billing.models import Charge, Entry
from billing.subscriptions import plan_terms
from tests.usage.api.conftest import give, use


def test_a_field_that_is_null_is_left_out(api: Any) -> None:
    nulls = dict.fromkeys(("account", "action", "project", "conversation", "member", "options", "metadata"))
    for path in ("charges", "holds"):
        made = api.post(path, use() | nulls | {"estimate": None}, key=path)
        assert (made.status_code, made.json()["conversation"]) == (201, None), made.content
        assert (made.json()["action"], made.json()["options"], made.json()["metadata"]) == (None, {}, {})


@pytest.mark.requirement("CORE-04", "REFLY-14")
def test_a_charge_is_itemized(api: Any, account: Account) -> None:
    response = api.post("charges", use(2500, conversation="c-81", metadata={"any": 1}), key="k1")
    charge = response.json()
    assert response.status_code == 201
    assert charge["id"].startswith("chg_")
    assert charge["status"] == "charged"
    assert charge["credits"] == "5.5"
    assert charge["service"] == "claude-sonnet-4"
    assert charge["covered_by"] is None
    assert charge["uncollected"] == "0"
    assert charge["conversation"] == "c-81"
    assert charge["project"] is None
    assert charge["metadata"] == {"any": 1}
    assert (charge["balance_before"], charge["balance_after"]) == ("100", "94.5")
    [line] = charge["lines"]
    assert line["meter"] == "tokens"
    assert line["quantity"] == 2500
    assert line["unit_credits"] == "11"
    assert line["per"] == 5000
    assert line["credits"] == "5.5"
    assert set(charge["rate"]) == {"version", "effective_at"}
    [drawn] = charge["drawn"]
    assert drawn["grant"].startswith("grant_")
    assert (drawn["kind"], drawn["credits"]) == ("daily", "5.5")
    assert charge["created_at"].endswith("Z")
    assert api.get(f"charges/{charge['id']}").json()["lines"] == charge["lines"]


@pytest.mark.requirement("RECR-04")
def test_a_charge_spends_grants_in_order(api: Any, account: Account) -> None:
    give(account, "50")
    charge = api.post("charges", use(50_000), key="k1").json()
    assert [(part["kind"], part["credits"]) for part in charge["drawn"]] == [
        ("daily", "100"),
        ("top_up", "10"),
    ]


@pytest.mark.requirement("CORE-02")
def test_the_same_key_returns_the_first_response_byte_for_byte(api: Any) -> None:
    first = api.post("charges", use(), key="k1")
    again = api.post("charges", use(), key="k1")
    assert "Idempotent-Replayed" not in first
    assert again["Idempotent-Replayed"] == "true"
    assert (again.status_code, again.content) == (201, first.content)
    assert Charge.objects.count() == 1


@pytest.mark.requirement("CORE-02")
def test_a_replay_returns_the_first_response_after_a_reversal(
    api: Any, platform_api: Any, account: Account
) -> None:
    first = api.post("charges", use(), key="k1")
    body = {"account": account.public_id}
    platform_api.post(f"charges/{first.json()['id']}/reversals", body, key="r1")
    assert api.post("charges", use(), key="k1").content == first.content
    assert api.get(f"charges/{first.json()['id']}").json()["status"] == "reversed"


@pytest.mark.requirement("CORE-02")
def test_a_replay_does_not_need_the_project_to_exist_still(api: Any, account: Account) -> None:
    project = api.post("projects", {"name": "web"}).json()["id"]
    first = api.post("charges", use(project=project), key="k1")
    api.patch(f"projects/{project}", {"archived": True})
    again = api.post("charges", use(project=project), key="k1")
    assert (again.status_code, again.content) == (201, first.content)
    assert again["Idempotent-Replayed"] == "true"
    assert api.post("charges", use(project=project), key="k2").status_code == 404
    assert api.post("charges", use(7000, project=project), key="k1").status_code == 422


@pytest.mark.requirement("CORE-02")
def test_the_same_key_with_another_body_is_refused(api: Any) -> None:
    api.post("charges", use(5000), key="k1")
    response = api.post("charges", use(5001), key="k1")
    assert response.status_code == 422
    assert response.json()["code"] == "idempotency_key_reused"


def test_field_order_and_spacing_do_not_change_the_fingerprint(api: Any) -> None:
    body = use(conversation="c-1")
    api.post("charges", body, key="k1")
    text = json.dumps(dict(reversed(body.items())), indent=3)
    again = api.client.post(
        "/api/v1/charges", text, content_type="application/json", headers={"Idempotency-Key": "k1"}
    )
    assert again["Idempotent-Replayed"] == "true"


def test_a_charge_requires_an_idempotency_key(api: Any) -> None:
    response = api.post("charges", use())
    assert (response.status_code, response.json()["code"]) == (400, "idempotency_key_required")
    assert Charge.objects.count() == 0


@pytest.mark.fault("I2")
@pytest.mark.parametrize("key", ["k" * 256, "k" * 300, "with space", "é", ""])
def test_an_invalid_idempotency_key_is_refused(api: Any, key: str) -> None:
    response = api.post("charges", use(), key=key)
    assert (response.status_code, response.json()["code"]) == (400, "idempotency_key_invalid")


@pytest.mark.requirement("CORE-01", "FLICK-06")
def test_insufficient_credits_are_refused_with_the_amounts_and_options(api: Any, account: Account) -> None:
    response = api.post("charges", use(50_000), key="k1")
    problem = response.json()
    assert response.status_code == 402
    assert response["Content-Type"] == "application/problem+json"
    assert problem["code"] == "insufficient_credits"
    assert (problem["needed"], problem["available"]) == ("110", "100")
    options = {option["kind"]: option for option in problem["ways_on"]}
    assert set(options) == {"upgrade", "wait", "buy"}
    assert options["upgrade"]["plan"] and options["buy"]["pack"]
    assert options["buy"]["url"].startswith("http")
    assert options["wait"]["until"].endswith("Z")
    assert ledger.balance(account.pk, timezone.now()).available == 100


@pytest.mark.requirement("CORE-02")
@pytest.mark.fault("L8")
def test_a_refused_charge_does_not_use_up_its_key(api: Any, account: Account) -> None:
    assert api.post("charges", use(50_000), key="k1").status_code == 402
    assert api.post("charges", use(50_000), key="k1").status_code == 402
    give(account, "10")
    response = api.post("charges", use(50_000), key="k1")
    assert response.status_code == 201
    assert "Idempotent-Replayed" not in response


def test_an_unknown_service_is_404(api: Any) -> None:
    response = api.post("charges", use() | {"service": "no-such"}, key="k1")
    assert (response.status_code, response.json()["code"]) == (404, "unknown_service")


def test_a_service_without_a_price_is_409(api: Any) -> None:
    from pricing.catalogue import cache as catalogue_cache
    from pricing.models import Service

    Service.objects.create(key="unpriced", name="Unpriced", kind="model", modality="text")
    catalogue_cache.changed()
    response = api.post("charges", use() | {"service": "unpriced"}, key="k1")
    assert (response.status_code, response.json()["code"]) == (409, "service_unpriced")
    catalogue_cache.forget()


@pytest.mark.parametrize(
    ("usage", "field"),
    [
        ({}, "usage.tokens"),
        ({"images": 1}, "usage.tokens"),
        ({"tokens": 5, "images": 1}, "usage.images"),
        ({"tokens": -1}, "usage.tokens"),
        ({"tokens": 1.5}, "usage.tokens"),
        ({"tokens": True}, "usage.tokens"),
        ({"tokens": None}, "usage.tokens"),
        ({"tokens": "१०"}, "usage.tokens"),
        ({"tokens": 2**63}, "usage.tokens"),
        ({"tokens": 0}, "usage"),
        ([], "usage"),
        ("5", "usage"),
        (None, "usage"),
    ],
)
@pytest.mark.fault("I1")
def test_an_invalid_usage_names_its_field(api: Any, usage: Any, field: str) -> None:
    response = api.post("charges", {"service": "claude-sonnet-4", "usage": usage}, key="k1")
    problem = response.json()
    assert response.status_code == 400
    assert [error["field"] for error in problem["errors"]] == [field]
    assert Charge.objects.count() == 0


@pytest.mark.requirement("REFLY-10")
def test_a_use_of_an_unlimited_service_is_recorded_and_costs_nothing(api: Any, account: Account) -> None:
    from billing.subscriptions import lifecycle

    lifecycle.assign_plan(account=account, plan_key="early-bird", actor="test", now=timezone.now())
    plan_terms.forget(account.pk)
    charge = api.post("charges", use(500_000), key="k1").json()
    assert (charge["credits"], charge["covered_by"], charge["drawn"]) == ("0", "unlimited", [])
    assert charge["balance_before"] == charge["balance_after"]
    assert api.get("charges").json()["data"][0]["covered_by"] == "unlimited"
    balance = api.get("balance").json()
    assert "claude-sonnet-4" in balance["unlimited_services"]
    opus = api.post("charges", use() | {"service": "claude-opus-4"}, key="k2").json()
    assert (opus["credits"], opus["covered_by"]) == ("53", None)


@pytest.mark.requirement("REFLY-18")
def test_a_use_beyond_the_quota_is_refused(api: Any) -> None:
    response = api.post("charges", {"service": "file-upload", "usage": {"uses": 100}}, key="k1")
    assert response.status_code == 201
    response = api.post("charges", {"service": "file-upload", "usage": {"uses": 1}}, key="k2")
    problem = response.json()
    assert (response.status_code, problem["code"]) == (403, "quota_reached")
    assert (problem["quota"], problem["maximum"], problem["used"]) == ("files", "100", "100")


@pytest.mark.requirement("FLOW-09")
def test_a_project_at_its_daily_limit_is_refused_with_the_reset_time(api: Any, account: Account) -> None:
    limited = api.post("projects", {"name": "web", "daily_limit": "20"}).json()["id"]
    other = api.post("projects", {"name": "bot"}).json()["id"]
    assert api.post("charges", use(project=limited), key="k1").status_code == 201
    response = api.post("charges", use(project=limited), key="k2")
    problem = response.json()
    assert (response.status_code, problem["code"], problem["limit"]) == (429, "limit_reached", "project")
    assert problem["resets_at"].endswith("T00:00:00Z")
    assert int(response["Retry-After"]) > 0
    assert api.post("charges", use(project=other), key="k3").status_code == 201
    assert api.patch(f"projects/{limited}", {"daily_limit": "22"}).json()["daily_limit"] == "22"
    assert api.post("charges", use(project=limited), key="k2").status_code == 201


@pytest.mark.requirement("APIN-12")
def test_a_key_charges_for_its_creator_and_not_for_another_member(
    team: Account, alice: User, bob: User, api_of: Any, catalogue: None
) -> None:
    bobs, alices = api_of(bob, account=team), api_of(alice, account=team)
    assert bobs.post("charges", use(), key="k1").json()["member"] == bob.public_id
    response = bobs.post("charges", use(member=alice.public_id), key="k2")
    assert (response.status_code, response.json()["code"]) == (403, "missing_scope")
    assert alices.post("charges", use(member=bob.public_id), key="k3").json()["member"] == bob.public_id


def test_a_project_or_member_of_another_account_is_unknown(api: Any, charlie: User) -> None:
    other_account = Account.objects.get(person=charlie)
    project = Project.objects.create(account=other_account, name="secret")
    assert api.post("charges", use(project=project.public_id), key="k1").json()["code"] == "unknown_project"
    assert api.post("charges", use(member=charlie.public_id), key="k2").json()["code"] == "unknown_member"
    assert Membership.objects.filter(account=other_account, user=charlie).exists()


@pytest.mark.requirement("CORE-06")
def test_an_estimate_pins_the_rate_of_a_charge(api: Any) -> None:
    estimate = api.post("estimates", use()).json()
    charge = api.post("charges", use(estimate=estimate["id"]), key="k1").json()
    assert charge["rate"] == estimate["rate"]
    other = api.post("charges", use(estimate=estimate["id"]) | {"service": "claude-opus-4"}, key="k2")
    assert other.json()["errors"][0]["field"] == "estimate"
    forged = api.post("charges", use(estimate=estimate["id"] + "x"), key="k3")
    assert forged.json()["errors"][0]["field"] == "estimate"


def test_charges_are_listed_newest_first_and_filtered(api: Any, platform_api: Any, account: Account) -> None:
    project = api.post("projects", {"name": "web"}).json()["id"]
    ids = [api.post("charges", use(500), key=f"k{n}").json()["id"] for n in range(3)]
    named = api.post("charges", use(500, project=project, conversation="c-1"), key="k3").json()["id"]
    opus = api.post("charges", use(500) | {"service": "claude-opus-4"}, key="k4").json()["id"]
    body = {"account": account.public_id}
    platform_api.post(f"charges/{ids[0]}/reversals", {"credits": "0.1", **body}, key="r1")
    platform_api.post(f"charges/{ids[1]}/reversals", body, key="r2")

    def listed(**query: str) -> list[str]:
        return [charge["id"] for charge in api.get("charges", **query).json()["data"]]

    assert listed() == [opus, named, *reversed(ids)]
    assert listed(service="claude-opus-4") == [opus]
    assert listed(project=project) == [named]
    assert listed(conversation="c-1") == [named]
    assert listed(status="partly_reversed") == [ids[0]]
    assert listed(status="reversed") == [ids[1]]
    assert listed(status="charged") == [opus, named, ids[2]]
    assert listed(project="proj_" + "0" * 32) == []
    assert listed(to="2020-01-01T00:00:00Z") == []
    assert len(listed(**{"from": "2020-01-01T00:00:00Z"})) == 5


@pytest.mark.requirement("REFLY-07")
def test_each_charge_has_its_entries_in_the_transactions(api: Any) -> None:
    charge = api.post("charges", use(), key="k1").json()
    [entry] = api.get("transactions", kind="charge").json()["data"]
    assert (entry["charge"], entry["credits"], entry["balance_after"]) == (charge["id"], "-11", "89")
    assert entry["grant"] == charge["drawn"][0]["grant"]
    assert Entry.objects.filter(charge_id=Charge.uuid_of(charge["id"])).count() == 1


@pytest.mark.requirement("APIN-12")
@pytest.mark.parametrize("kind", ["member", "key"])
def test_limits_of_members_and_keys_are_enforced(api: Any, account: Account, alice: User, kind: str) -> None:
    subject = alice.pk if kind == "member" else ApiKey.objects.get(account=account).pk
    ledger.set_limit(
        account_id=account.pk,
        kind=kind,
        subject=str(subject),
        period="month",
        maximum=Decimal(20),
        now=timezone.now(),
    )
    assert api.post("charges", use(), key="k1").status_code == 201
    response = api.post("charges", use(), key="k2")
    problem = response.json()
    assert (response.status_code, problem["code"], problem["limit"]) == (429, "limit_reached", kind)
    assert (problem["maximum"], problem["used"]) == ("20", "11")
    assert int(response["Retry-After"]) > 0
