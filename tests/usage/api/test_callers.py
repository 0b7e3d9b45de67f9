"""Who makes a request: attribution to keys and members, and repeated requests of other callers."""

from collections.abc import Callable
from decimal import Decimal
from typing import Any

from django.test import Client
from django.utils import timezone

from accounts import api_keys
from accounts.models import Account, ApiKey, User
from billing import ledger
from core.ids import new_id
from tests.api import Api
from tests.usage.api.conftest import give, use


def test_a_use_is_attributed_to_the_key_and_its_maker_the_session_or_the_member_it_names(
    team: Account, alice: User, bob: User, api_of: Any, platform_api: Any, signed_in: Callable[[User], Client]
) -> None:
    bobs = api_of(bob, account=team, scopes=["spend"])
    key = ApiKey.objects.get(account=team).public_id
    platform_key = ApiKey.objects.get(kind=ApiKey.Kind.PLATFORM).public_id
    named = {"member": alice.public_id, "account": team.public_id}

    def session(body: Any, number: str) -> Any:
        path = f"/api/v1/charges?account={team.public_id}"
        headers = {"Idempotency-Key": number}
        return signed_in(bob).post(path, body, content_type="application/json", headers=headers)

    answers = [
        (bobs.post("charges", use(1), key="k1"), bob.public_id, key),
        (bobs.post("charges", use(1, member=bob.public_id), key="k2"), bob.public_id, key),
        (platform_api.post("charges", use(1, account=team.public_id), key="k3"), None, platform_key),
        (platform_api.post("charges", use(1, **named), key="k4"), alice.public_id, platform_key),
        (session(use(1), "k5"), bob.public_id, None),
    ]
    for answer, member, by in answers:
        charge = answer.json()
        assert (answer.status_code, charge["member"], charge["api_key"]) == (201, member, by)
        stored = platform_api.get(f"charges/{charge['id']}").json()
        assert (stored["member"], stored["api_key"]) == (member, by)
    for refused in (
        bobs.post("charges", use(1, member=alice.public_id), key="k6"),
        bobs.post("holds", use(1, member=alice.public_id), key="k6"),
        session(use(1, member=alice.public_id), "k6"),
    ):
        problem = refused.json()
        assert (problem["status"], problem["code"], problem["scope"]) == (403, "missing_scope", "manage")


def test_a_key_of_an_account_names_no_other_account(api: Any, account: Account, charlie: User) -> None:
    Account.objects.filter(pk=account.pk).update(external_id="u-1")
    other = Account.objects.get(person=charlie).public_id
    for name in (account.public_id, "u-1"):
        assert api.get("balance", account=name).json()["account"] == account.public_id
        assert api.post("estimates", use(account=name)).status_code == 200
    for answer in (
        api.get("balance", account=other),
        api.get("charges", account=other),
        api.get("usage", account=other),
        api.get("services", account=other),
        api.get("services/gpt-4o", account=other),
        api.post("estimates", use(account=other)),
        api.post("holds", use(account=other), key="h"),
        api.post("projects", {"name": "x", "account": other}),
    ):
        assert (answer.status_code, answer.json()["code"]) == (404, "unknown_account")


def test_a_repeated_hold_or_capture_that_is_refused_by_now_is_compared_with_its_first_body(api: Any) -> None:
    project = api.post("projects", {"name": "web"}).json()["id"]
    body = use(project=project)
    first = api.post("holds", body, key="h1")
    api.patch(f"projects/{project}", {"archived": True})
    again = api.post("holds", body, key="h1")
    assert (again.status_code, again.content, again["Idempotent-Replayed"]) == (201, first.content, "true")
    other = api.post("holds", use(4000, project=project), key="h1")
    assert (other.status_code, other.json()["code"]) == (422, "idempotency_key_reused")
    assert api.post("holds", body, key="h2").json()["code"] == "unknown_project"
    path = f"holds/{first.json()['id']}"
    capture = {"usage": {"tokens": 5000}}
    captured = api.post(f"{path}/capture", capture, key="c1")
    assert api.post(f"{path}/capture", capture, key="c1").content == captured.content
    for changed in ({"usage": {"tokens": 5001}}, {"usage": {"images": 1}}, capture | {"metadata": {}}):
        refused = api.post(f"{path}/capture", changed, key="c1")
        assert (refused.status_code, refused.json()["code"]) == (422, "idempotency_key_reused"), changed


def test_a_release_is_repeated_with_its_own_body_only(api: Any, account: Account) -> None:
    hold = api.post("holds", use(), key="h1").json()["id"]
    assert api.post(f"holds/{hold}/release", {}, key="r1").status_code == 200
    other = api.post(f"holds/{hold}/release", {"account": account.public_id}, key="r1")
    assert (other.status_code, other.json()["code"]) == (422, "idempotency_key_reused")


def test_keys_of_the_platform_have_idempotency_keys_of_their_own_for_new_accounts(platform_api: Any) -> None:
    issued = api_keys.issue(kind="platform", name="other", scopes=["manage"], now=timezone.now())
    body = {"name": "Ada"}
    ids = {
        client.post("accounts", body, key="a1").json()["id"] for client in (platform_api, Api(issued.secret))
    }
    assert len(ids) == 2
    without_key = {platform_api.post("accounts", body).json()["id"] for _ in range(2)}
    assert len(without_key) == 2
    assert platform_api.post("accounts", body, key="a 1").json()["code"] == "idempotency_key_invalid"


def test_a_grant_that_repays_debt_has_the_rest(api: Any, platform_api: Any, account: Account) -> None:
    purchase = new_id()
    give(account, "20", purchase_id=purchase, priority=1)
    api.post("charges", use(), key="k1")  # 11 of the 20
    terms = {"key": "refund", "reason": "", "now": timezone.now()}
    ledger.claw_back(account_id=account.pk, purchase_id=purchase, **terms)
    api.post("charges", use(), key="k2")
    assert api.get("balance").json()["debt"] == "11"
    path = f"accounts/{account.public_id}/grants"
    small = platform_api.post(path, {"credits": "4", "kind": "bonus"}, key="g1").json()
    large = platform_api.post(path, {"credits": "30", "kind": "bonus"}, key="g2").json()
    assert (small["granted"], small["remaining"], large["granted"], large["remaining"]) == (
        "4",
        "0",
        "30",
        "23",
    )
    assert api.get("balance").json()["debt"] == "0"


def test_the_balance_is_low_below_its_threshold(api: Any, account: Account) -> None:
    ledger.set_warning(account_id=account.pk, below=Decimal(95), now=timezone.now())
    assert api.get("balance").json()["low"] is False
    api.post("charges", use(), key="k1")
    assert api.get("balance").json()["low"] is True
