"""The download of all data of a user: it is complete and contains no secret."""

import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from allauth.account.models import EmailAddress
from django.apps import apps
from django.test import Client
from django.utils import timezone

from accounts import provider_keys
from accounts.models import Account, Project, User
from tests.usage.spending import give, spend
from usage import personal_data
from usage.personal_data import parts

SignedIn = Callable[[User], Client]


def data_of(browser: Client) -> tuple[str, dict[str, Any]]:
    response = browser.get("/settings/data.json")
    assert response.status_code == 200
    assert response["Content-Disposition"].startswith('attachment; filename="my-data-')
    text = b"".join(response.streaming_content).decode()  # type: ignore[attr-defined]
    return text, json.loads(text)


def test_the_data_of_a_user_are_complete_and_contain_no_secret(
    alice: User, account_of: Callable[[User], Account], signed_in: SignedIn, api_of: Callable[..., Any]
) -> None:
    account, now = account_of(alice), timezone.now()
    EmailAddress.objects.get_or_create(user=alice, email=alice.email, defaults={"verified": True})
    project = Project.objects.create(account=account, name="Garden")
    give(account, "40", now - timedelta(hours=2), label="Launch week")
    charged = spend(account, "7.5", now - timedelta(hours=1), project_id=project.pk, conversation="talk-1")
    api = api_of(alice)
    provider_keys.store(account=account, provider="openai", secret="sk-very-secret-key", now=now)
    text, data = data_of(signed_in(alice))
    assert data["format"] == "refill-personal-data/1" and data["id"] == alice.public_id
    assert data["user"][0]["email"] == alice.email and data["addresses"][0]["email"] == alice.email
    assert data["account"][0]["id"] == account.public_id
    [charge] = data["charges"]
    assert (charge["service"], charge["credits"], charge["project"], charge["conversation"]) == (
        "claude-sonnet-4",
        "7.500000",
        project.public_id,
        "talk-1",
    )
    assert "Launch week" in [grant["label"] for grant in data["grants"]]
    assert charge["id"] in [entry["charge"] for entry in data["transactions"]]
    assert str(charged.charge_id) not in text
    assert [entry["seq"] for entry in data["transactions"]] == sorted(
        entry["seq"] for entry in data["transactions"]
    )
    assert [key["prefix"] for key in data["api_keys"]] and api.secret not in text
    assert data["provider_keys"][0]["provider"] == "openai" and "very-secret" not in text
    assert alice.password not in text


LEFT_OUT = {
    "admin.LogEntry": "acts of staff",
    "core.StaffAct": "only views of the account, which name nobody",
    "accounts.StaffNote": "notes of staff, which members do not see",
    "accounts.WebhookEvent": "repeats facts of the account, for some weeks",
    "billing.Wallet": "its balances are those after the last transaction",
    "billing.Notice": "a balance that fell, until its e-mail is queued",
    "billing.Head": "signatures of the transactions",
    "billing.ArchivedWallet": "signatures of the transactions",
    "billing.Allowance": "follows from the plan",
    "billing.Correction": "the transactions show it",
    "billing.Hold": "a reservation; the charge shows what was used",
    "billing.Limit": "counters of the limits of projects, keys and members",
    "billing.UseSum": "sums of the charges",
    "billing.CreditAdjustment": "the transactions show it",
    "billing.UnpaidDeduction": "the transactions show it",
    "billing.SurplusSubscription": "its purchase and refund show it",
    "usage.UsageSum": "sums of the charges",
    "usage.SummedAccount": "sums of the charges",
}


def test_every_table_of_a_user_or_account_is_in_it_or_left_out_for_a_reason(
    alice: User, account_of: Callable[[User], Account]
) -> None:
    named = set()
    for model in apps.get_models():
        fields = [field for field in model._meta.get_fields() if field.concrete]
        if {field.related_model for field in fields} & {Account, User} or "account_id" in {
            field.name for field in fields
        }:
            named.add(model._meta.label)
    contained = {rows.model._meta.label for _name, rows, _fields in parts(alice, account_of(alice))}
    assert named - contained - LEFT_OUT.keys() == set()
    assert LEFT_OUT.keys() <= named


@pytest.mark.fault("Z1")
def test_the_data_of_others_are_not_in_it(
    alice: User, bob: User, team: Account, account_of: Callable[[User], Account], signed_in: SignedIn
) -> None:
    now = timezone.now()
    give(account_of(alice), "40", now)
    spend(account_of(alice), "7.5", now, conversation="private")
    give(team, "5", now)
    spend(team, "1", now, conversation="of-the-team")
    browser = signed_in(bob)
    browser.post(f"/switch/{team.public_id}/")
    text, data = data_of(browser)
    assert "private" not in text and "of-the-team" not in text and alice.email not in text
    assert [one["role"] for one in data["memberships"]] == ["owner", "member"]


def test_many_rows_are_read_in_chunks(
    alice: User,
    account_of: Callable[[User], Account],
    signed_in: SignedIn,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(personal_data, "CHUNK", 2)
    for number in range(5):
        give(account_of(alice), "1", timezone.now(), label=f"Grant {number}")
    labels = [grant["label"] for grant in data_of(signed_in(alice))[1]["grants"]]
    assert {f"Grant {number}" for number in range(5)} <= set(labels)
