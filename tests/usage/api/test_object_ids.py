"""For a platform key an id that names one object needs no account beside it."""

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from django.utils import timezone

from accounts import provider_keys
from accounts.models import Account, User
from billing.models import Purchase
from tests.usage.api.conftest import use

Call = tuple[str, str, dict[str, Any]]


@pytest.fixture
def other(bob: User, account_of: Callable[[User], Account]) -> Account:
    return account_of(bob)


@pytest.fixture
def calls(api: Any, platform_api: Any, account: Account) -> list[Call]:
    """A request for each endpoint whose path names one object: method, path, body."""
    named = {"account": account.public_id}
    charge = api.post("charges", use(), key="c1").json()["id"]
    holds = [
        platform_api.post("holds", use(100, **named), key=f"h{number}").json()["id"] for number in range(3)
    ]
    project = api.post("projects", {"name": "p"}).json()["id"]
    key = provider_keys.store(
        account=account, provider="openai", secret="sk-12345678", now=timezone.now()
    ).public_id
    purchase = Purchase.objects.create(
        account=account,
        kind=Purchase.Kind.PACK,
        origin=Purchase.Origin.API,
        offer="pack",
        label="Pack",
        credits=Decimal(10),
        amount=100,
        list_amount=100,
        currency="usd",
        idempotency_key="p",
        created_at=timezone.now(),
    ).public_id
    return [
        ("get", f"charges/{charge}", {}),
        ("post", f"charges/{charge}/reports", {"reason": "wrong"}),
        ("post", f"charges/{charge}/reversals", {"credits": "1"}),
        ("get", f"holds/{holds[0]}", {}),
        ("post", f"holds/{holds[1]}/capture", {"usage": {"tokens": 10}}),
        ("post", f"holds/{holds[2]}/release", {}),
        ("patch", f"projects/{project}", {"name": "q"}),
        ("delete", f"provider-keys/{key}", {}),
        ("get", f"purchases/{purchase}", {}),
        ("post", f"purchases/{purchase}/refund-requests", {}),
    ]


def send(client: Any, call: Call, account: str | None = None) -> int:
    method, path, body = call
    named = {"account": account} if account else {}
    if method == "get":
        return int(client.get(path, **named).status_code)
    if method == "delete":
        return int(client.delete(f"{path}?account={account}" if account else path).status_code)
    key = {"key": f"{path}:{account}"} if method == "post" else {}
    return int(getattr(client, method)(path, body | named, **key).status_code)


def test_a_platform_key_names_an_object_by_its_id_alone(calls: list[Call], platform_api: Any) -> None:
    assert [send(platform_api, call) for call in calls] == [200, 201, 201, 200, 201, 200, 200, 204, 200, 409]


@pytest.mark.fault("Z1")
def test_an_account_that_is_named_must_be_the_objects_own(
    calls: list[Call], platform_api: Any, other: Account, account: Account
) -> None:
    assert [send(platform_api, call, other.public_id) for call in calls] == [404] * len(calls)
    assert [send(platform_api, call, "acct_unknown") for call in calls] == [404] * len(calls)
    named = [send(platform_api, call, account.public_id) for call in calls]
    assert named == [200, 201, 201, 200, 201, 200, 200, 204, 200, 409]


@pytest.mark.fault("Z1")
def test_an_account_key_finds_objects_of_its_own_account_only(
    calls: list[Call], api_of: Any, bob: User, other: Account
) -> None:
    bobs = api_of(bob)
    found = [send(bobs, call) for call in calls]
    assert found == [404, 404, 403, 404, 404, 404, 404, 404, 404, 404], "a reversal needs a platform key"


def test_objects_of_an_erased_account_are_not_found(
    calls: list[Call], platform_api: Any, account: Account
) -> None:
    Account.objects.filter(pk=account.pk).update(erased_at=timezone.now())
    assert [send(platform_api, call) for call in calls] == [404] * len(calls)


def test_an_unknown_or_malformed_id_is_not_found(platform_api: Any) -> None:
    for unknown in ("chg_" + "0" * 32, "chg_x", "acct_" + "0" * 32):
        assert platform_api.get(f"charges/{unknown}").status_code == 404
