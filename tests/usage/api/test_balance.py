"""GET /balance, /grants, /transactions: available credits, their grants, the ledger entries."""

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.utils import timezone

from accounts.models import Account
from billing import ledger
from billing.models import Charge, Entry
from tests.usage.api.conftest import SONNET, give, use
from usage.history import pages


@pytest.mark.requirement("REFLY-12")
def test_the_balance_lists_its_grants_in_spending_order(api: Any, account: Account, clock: Any) -> None:
    give(account, "50.25")
    give(account, "30", kind="bonus", services=["tag:multimodal"], expires_at=timezone.now() + timedelta(9))
    balance = api.get("balance").json()
    assert set(balance) == {
        *("account", "available", "held", "debt", "as_of", "grants", "daily", "unlimited_services", "low")
    }
    assert balance["account"] == account.public_id
    assert (balance["available"], balance["held"], balance["debt"]) == ("150.25", "0", "0")
    assert balance["as_of"] == "2026-11-20T12:00:00Z"
    assert [grant["kind"] for grant in balance["grants"]] == ["daily", "bonus", "top_up"]
    bonus = balance["grants"][1]
    assert set(bonus) == {"id", "kind", "label", "granted", "remaining", "held", "expires_at", "services"}
    assert bonus["services"] == ["tag:multimodal"]
    assert bonus["expires_at"] == "2026-11-29T12:00:00Z"
    assert balance["grants"][2]["expires_at"] is None


@pytest.mark.requirement("REFLY-05")
def test_the_daily_allowance_has_its_remaining_credits_and_next_reset(api: Any, clock: Any) -> None:
    api.post("charges", use(5000), key="k1")
    clock.shift(3600)
    daily = api.get("balance").json()["daily"]
    assert daily == {"amount": "100", "remaining": "89", "resets_at": "2026-11-21T00:00:00Z"}
    clock.shift(timedelta(days=1))
    assert api.get("balance").json()["daily"]["remaining"] == "100"
    assert api.get("balance").json()["available"] == "100"


@pytest.mark.fault("L7")
def test_a_grant_past_its_expiry_is_listed_as_empty_and_not_in_the_balance(
    api: Any, account: Account, clock: Any
) -> None:
    give(account, "30", expires_at=timezone.now() + timedelta(minutes=1))
    clock.shift(60)
    assert api.get("balance").json()["available"] == "100"
    grants = {grant["kind"]: grant for grant in api.get("grants").json()["data"]}
    assert (grants["top_up"]["granted"], grants["top_up"]["remaining"]) == ("30", "0")
    assert grants["daily"]["remaining"] == "100"
    assert [entry["credits"] for entry in api.get("transactions", kind="expire").json()["data"]] == ["-30"]


@pytest.mark.requirement("REFLY-07")
def test_transactions_are_filtered_by_kind_grant_and_time(api: Any, account: Account, clock: Any) -> None:
    clock.shift(60)
    granted = give(account, "50")
    clock.shift(60)
    api.post("charges", use(50_000), key="k1")

    def listed(**query: str) -> list[tuple[str, str]]:
        entries = api.get("transactions", **query).json()["data"]
        return [(entry["kind"], entry["credits"]) for entry in entries]

    assert listed() == [("charge", "-10"), ("charge", "-100"), ("grant", "50"), ("grant", "100")]
    assert listed(kind="grant") == [("grant", "50"), ("grant", "100")]
    top_up = f"grant_{granted.grant_id.hex}"
    assert listed(grant=top_up) == [("charge", "-10"), ("grant", "50")]
    assert listed(**{"from": "2026-11-20T12:01:00Z", "to": "2026-11-20T12:02:00Z"}) == [("grant", "50")]
    assert listed(**{"from": "2026-11-20T13:01:00+01:00", "to": "2026-11-20T12:02:00Z"}) == [("grant", "50")]


def test_transactions_list_calls_without_credits_as_the_portal_does(
    api: Any, account: Account, clock: Any
) -> None:
    give(account, "50")
    covered = ledger.ChargeRequest(
        account_id=account.pk, credits=Decimal(0), key="own", service=SONNET, covered_by="own_key"
    )
    ledger.charge(covered, timezone.now())
    held = api.post("holds", {"service": SONNET, "credits": "5"}, key="h").json()["id"]
    api.post(f"holds/{held}/capture", {"usage": {"tokens": 0}}, key="c")
    api.post("charges", use(500), key="k")
    entries = api.get("transactions", limit="100").json()["data"]
    shown = pages.page_of(account, pages.Filter()).lines
    assert [entry["id"] for entry in entries] == [line.entry_id for line in shown]
    free = [entry for entry in entries if entry["grant"] is None]
    assert [(one["kind"], one["credits"], one["grant_after"]) for one in free] == [("charge", "0", "0")] * 2
    assert {one["charge"] for one in free} == {one.public_id for one in Charge.objects.filter(credits=0)}
    assert len(api.get("transactions", kind="charge").json()["data"]) == 3


@pytest.mark.requirement("CORE-05")
def test_pages_do_not_change_when_entries_are_added(api: Any, account: Account) -> None:
    for number in range(5):
        api.post("charges", use(100), key=f"k{number}")
    before = [entry["id"] for entry in api.get("transactions", limit="100").json()["data"]]
    first = api.get("transactions", limit="2").json()
    assert first["has_more"] is True
    api.post("charges", use(100), key="late")
    seen = [entry["id"] for entry in first["data"]]
    cursor = first["next_cursor"]
    while cursor:
        page = api.get("transactions", limit="2", cursor=cursor).json()
        seen += [entry["id"] for entry in page["data"]]
        cursor = page["next_cursor"]
    assert seen == before
    assert len(before) == Entry.objects.filter(account=account).exclude(grant=None).count() - 1


def test_staff_are_not_named_by_their_address(api: Any, account: Account) -> None:
    facts = {"account_id": account.pk, "credits": Decimal(5), "reason": "goodwill", "now": timezone.now()}
    ledger.adjust(key="a", actor="erin@staff.example", **facts)
    ledger.adjust(key="b", actor="key_0123", **facts)
    entries = api.get("transactions", limit="2").json()["data"]
    assert [entry["actor"] for entry in entries] == ["key_0123", "staff"]


def test_ids_of_entries_cannot_be_counted(api: Any) -> None:
    [entry] = api.get("transactions").json()["data"]
    assert entry["id"].startswith("ent_")
    assert len(entry["id"]) == 36


def test_a_browser_session_can_read(account: Account, alice: Any, signed_in: Any) -> None:
    response = signed_in(alice).get("/api/v1/balance")
    assert (response.status_code, response.json()["account"]) == (200, account.public_id)
