"""Reversals and reports of charges."""

from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from accounts import api_keys
from accounts.models import Account, User
from billing import ledger
from billing.models import Charge
from tests.api import Api
from tests.usage.api.conftest import give, use
from usage.charges import reports
from usage.models import ChargeReport


@pytest.fixture
def charge(api: Any) -> dict[str, Any]:
    return api.post("charges", use(), key="k1").json()


@pytest.fixture
def reverse(platform_api: Any, account: Account, charge: dict[str, Any]) -> Callable[..., Any]:
    """Reverse the charge with a platform key: `reverse(credits="4", key="r1")`."""

    def post(*, key: str | None = "r1", **body: Any) -> Any:
        path = f"charges/{charge['id']}/reversals"
        return platform_api.post(path, {"account": account.public_id, **body}, key=key)

    return post


def test_a_charge_is_reversed_in_part_and_then_in_full(
    api: Any, charge: dict[str, Any], reverse: Callable[..., Any]
) -> None:
    answer = reverse(credits="4", reason="Half failed")
    reversal = answer.json()
    assert answer.status_code == 201
    assert (reversal["charge"], reversal["credits"], reversal["balance_after"]) == (charge["id"], "4", "93")
    assert reversal["returned_to"] == [{"grant": charge["drawn"][0]["grant"], "credits": "4"}]
    updated = api.get(f"charges/{charge['id']}").json()
    assert (updated["status"], updated["returned"]) == ("partly_reversed", "4")
    assert reverse(key="r2").json()["credits"] == "7"
    assert api.get(f"charges/{charge['id']}").json()["status"] == "reversed"
    assert api.get("balance").json()["available"] == "100"


@pytest.mark.requirement("CORE-02")
def test_an_idempotency_key_reverses_once(
    api: Any, platform_api: Any, account: Account, reverse: Callable[..., Any]
) -> None:
    assert reverse(credits="4", key=None).json()["code"] == "idempotency_key_required"
    first = reverse(credits="4")
    again = reverse(credits="4")
    assert (again.status_code, again.content, again["Idempotent-Replayed"]) == (201, first.content, "true")
    assert reverse(credits="5").status_code == 422
    other = api.post("charges", use(), key="k2").json()
    path = f"charges/{other['id']}/reversals"
    body = {"account": account.public_id, "credits": "4"}
    assert platform_api.post(path, body, key="r1").json()["code"] == "idempotency_key_reused"
    assert api.get("balance").json()["available"] == "82"


def test_no_more_than_the_charge_is_reversed(reverse: Callable[..., Any]) -> None:
    answer = reverse(credits="11.000001")
    assert (answer.status_code, answer.json()["code"], answer.json()["left"]) == (409, "not_reversible", "11")


def test_only_a_platform_key_with_the_scope_manage_reverses(account: Account, charge: dict[str, Any]) -> None:
    issued = api_keys.issue(kind="platform", name="spender", scopes=["read", "spend"], now=timezone.now())
    spender = Api(issued.secret)
    body = {"account": account.public_id}
    answer = spender.post(f"charges/{charge['id']}/reversals", body, key="r1")
    assert (answer.status_code, answer.json()["code"], answer.json()["scope"]) == (
        403,
        "missing_scope",
        "manage",
    )


@pytest.mark.fault("Z9")
def test_an_account_key_or_a_session_does_not_reverse_a_charge(
    api: Any, charge: dict[str, Any], alice: User, signed_in: Callable[[User], Client]
) -> None:
    path = f"/api/v1/charges/{charge['id']}/reversals"
    by_key = api.post(path, {}, key="r1")
    by_session = signed_in(alice).post(
        path, {}, content_type="application/json", headers={"Idempotency-Key": "r1"}
    )
    for answer in (by_key, by_session):
        assert (answer.status_code, answer.json()["code"]) == (403, "platform_key_required")
    assert api.get("balance").json()["available"] == "89"


def test_a_charge_of_another_account_is_404(
    api: Any, charge: dict[str, Any], charlie: User, api_of: Any, account_of: Any, platform_api: Any
) -> None:
    charlies_api, their_account = api_of(charlie), {"account": account_of(charlie).public_id}
    assert charlies_api.get(f"charges/{charge['id']}").status_code == 404
    path = f"charges/{charge['id']}/reversals"
    assert platform_api.post(path, their_account, key="r1").status_code == 404
    assert charlies_api.post(f"charges/{charge['id']}/reports", {"reason": "?"}).status_code == 404
    assert api.get("charges/chg_nonsense").status_code == 404


@pytest.mark.requirement("FLICK-10")
def test_a_report_is_answered_and_its_credits_are_returned(
    api: Any, charge: dict[str, Any], staff: User, account: Account
) -> None:
    answer = api.post(f"charges/{charge['id']}/reports", {"reason": "The call failed"})
    assert (answer.status_code, answer.json()["status"]) == (201, "open")
    again = api.post(f"charges/{charge['id']}/reports", {"reason": "Hello?"})
    assert (again.status_code, again.json()["code"]) == (409, "already_reported")

    report = ChargeReport.objects.get()
    reports.answer(report.pk, text="You are right.", by=staff, return_credits=True, now=timezone.now())
    with pytest.raises(reports.AlreadyAnswered):
        reports.answer(report.pk, text="Again.", by=staff, return_credits=True, now=timezone.now())
    updated = api.get(f"charges/{charge['id']}").json()
    assert (updated["status"], updated["report"]["status"], updated["report"]["answer"]) == (
        "reversed",
        "returned",
        "You are right.",
    )
    assert api.get("balance").json()["available"] == "100"
    [entry] = api.get("transactions", kind="reverse").json()["data"]
    assert (entry["reason"], entry["actor"]) == ("You are right.", staff.public_id)


@pytest.mark.requirement("FLICK-10")
def test_a_report_can_be_answered_without_credits(api: Any, charge: dict[str, Any], staff: User) -> None:
    api.post(f"charges/{charge['id']}/reports", {"reason": "Too dear"})
    report = ChargeReport.objects.get()
    reports.answer(report.pk, text="This is its price.", by=staff, now=timezone.now())
    updated = api.get(f"charges/{charge['id']}").json()
    assert (updated["status"], updated["report"]["status"]) == ("charged", "answered")
    assert api.post(f"charges/{charge['id']}/reports", {"reason": "No"}).status_code == 201


def test_an_account_in_debt_cannot_charge(api: Any, account: Account) -> None:
    from core.ids import new_id

    purchase = new_id()
    give(account, "50", purchase_id=purchase)
    api.post("charges", use(60_000), key="k1")
    ledger.claw_back(
        account_id=account.pk, purchase_id=purchase, key="refund", reason="refund", now=timezone.now()
    )
    answer = api.post("charges", use(), key="k2")
    problem = answer.json()
    assert (answer.status_code, problem["code"], problem["debt"]) == (402, "insufficient_credits", "32")
    assert api.get("balance").json()["debt"] == "32"
    assert Charge.objects.filter(account=account).count() == 1
