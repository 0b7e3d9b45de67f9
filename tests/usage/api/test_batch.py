"""POST /charges/batch: up to 1,000 uses, each accepted or refused independently."""

from functools import partial
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from accounts import authentication
from accounts.models import Account, User
from billing.models import Charge
from billing.subscriptions import plan_terms
from core import idempotency, prepared
from tests.usage.api.conftest import use


@pytest.mark.requirement("APIN-13")
def test_each_use_is_accepted_or_refused_independently(api: Any) -> None:
    items = [
        use(5000, idempotency_key="b1"),
        use(500_000, idempotency_key="b2"),
        use(5000) | {"service": "no-such", "idempotency_key": "b3"},
        use(-1, idempotency_key="b4"),
        use(5000),
        use(2500, idempotency_key="b5", conversation="c-1"),
        "nonsense",
        use(1, idempotency_key="b6", surprise=1),
    ]
    response = api.post("charges/batch", {"data": items})
    assert response.status_code == 200
    results = response.json()["data"]
    assert [result["status"] for result in results] == [201, 402, 404, 400, 400, 201, 400, 400]
    assert results[0]["charge"]["credits"] == "11"
    assert results[1]["error"]["code"] == "insufficient_credits"
    assert results[1]["error"]["needed"] == "1100"
    assert results[1]["error"]["ways_on"]
    assert results[2]["error"]["code"] == "unknown_service"
    assert results[3]["error"]["errors"][0]["field"] == "usage.tokens"
    assert results[4]["error"]["code"] == "idempotency_key_required"
    assert results[5]["charge"]["conversation"] == "c-1"
    assert results[7]["error"]["errors"][0]["code"] == "unknown_field"
    assert Charge.objects.count() == 2


@pytest.mark.requirement("APIN-13", "CORE-02")
def test_a_repeated_batch_charges_nothing(api: Any) -> None:
    items = [use(100, idempotency_key=f"b{n}") for n in range(60)]
    first = api.post("charges/batch", {"data": items}).json()["data"]
    again = api.post("charges/batch", {"data": items}).json()["data"]
    assert [item["charge"] for item in again] == [item["charge"] for item in first]
    assert all(item["replayed"] for item in again)
    assert Charge.objects.count() == 60


def test_a_key_of_a_single_charge_is_replayed_in_a_batch_and_vice_versa(api: Any) -> None:
    single = api.post("charges", use(100), key="k1")
    [result] = api.post("charges/batch", {"data": [use(100, idempotency_key="k1")]}).json()["data"]
    assert (result["charge"], result["replayed"]) == (single.json(), True)
    api.post("charges/batch", {"data": [use(200, idempotency_key="k2")]})
    assert api.post("charges", use(200), key="k2")["Idempotent-Replayed"] == "true"


def test_a_platform_key_charges_several_accounts_in_one_batch(
    platform_api: Any, account: Account, charlie: User
) -> None:
    other_account = Account.objects.get(person=charlie)
    items = [
        use(5000, idempotency_key="b1", account=account.public_id),
        use(5000, idempotency_key="b1", account=other_account.public_id),
        use(5000, idempotency_key="b2", account="acct_" + "0" * 32),
        use(5000, idempotency_key="b3"),
    ]
    results = platform_api.post("charges/batch", {"data": items}).json()["data"]
    assert [result["status"] for result in results] == [201, 201, 404, 400]
    assert results[2]["error"]["code"] == "unknown_account"


@pytest.mark.one_database
def test_the_accounts_of_a_batch_are_read_together(
    platform_api: Any, account: Account, charlie: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = Account.objects.get(person=charlie)
    statements: list[str] = []
    execute = prepared.execute

    def recorded(cursor: Any, statement: str, parameters: Any) -> Any:
        statements.append(statement)  # Django's cursor does not run the prepared ones
        return execute(cursor, statement, parameters)

    monkeypatch.setattr(prepared, "execute", recorded)

    def queries(names: Any, run: str) -> list[str]:
        authentication._account_ids.clear()  # as after two seconds
        plan_terms.forget_all()
        statements.clear()
        items = [use(1, idempotency_key=f"{run}{n}", account=name) for n, name in enumerate(names)]
        with CaptureQueriesContext(connection) as queries:
            results = platform_api.post("charges/batch", {"data": items}).json()["data"]
        assert [result["status"] for result in results] == [201 if isinstance(n, str) else 400 for n in names]
        assert not [query for query in queries if "from accounts_account" in query["sql"]]
        return list(statements)

    platform_api.post("charges/batch", {"data": [use(1, idempotency_key="k", account=account.public_id)]})
    one = queries([account.public_id, ["a list"]], "a")
    assert len(one) == 4  # the accounts, their plans, the lock of the wallets, the charges
    assert queries([account.public_id, other.public_id, other.public_id, {"an": "object"}], "b") == one


def test_an_account_key_cannot_charge_another_account_in_a_batch(api: Any, charlie: User) -> None:
    other_account = Account.objects.get(person=charlie)
    items = [use(1, idempotency_key="b1", account=other_account.public_id)]
    [result] = api.post("charges/batch", {"data": items}).json()["data"]
    assert (result["status"], result["error"]["code"]) == (404, "unknown_account")


@pytest.mark.parametrize("data", [None, [], {}, "x", [{"idempotency_key": "k"}] * 1001])
def test_an_empty_or_too_large_batch_is_refused(api: Any, data: Any) -> None:
    response = api.post("charges/batch", {"data": data})
    assert response.status_code == 400
    assert response.json()["errors"][0]["field"] == "data"


def test_a_thousand_uses_fit_in_one_batch(api: Any) -> None:
    items = [use(10, idempotency_key=f"b{n}", metadata={"note": "x" * 200}) for n in range(1000)]
    results = api.post("charges/batch", {"data": items}).json()["data"]
    assert {result["status"] for result in results} == {201}
    assert results[-1]["charge"]["balance_after"] == "78"


def test_items_may_have_fractions_and_an_item_of_another_type_affects_no_other(api: Any) -> None:
    seedance = {"service": "seedance-1-lite", "usage": {"seconds": 1.5}, "metadata": {"ratio": 0.25}}
    items = [seedance | {"idempotency_key": "b1"}, None, 5, ["x"], {"idempotency_key": "b2"}]
    results = api.post("charges/batch", {"data": items}).json()["data"]
    assert [result["status"] for result in results] == [201, 400, 400, 400, 400]
    assert (results[0]["charge"]["credits"], results[0]["charge"]["usage"]) == ("14.7", {"seconds": "1.5"})
    assert results[0]["charge"]["metadata"] == {"ratio": 0.25}
    codes = [result["error"]["errors"][0]["code"] for result in results[1:]]
    assert codes == ["not_an_object", "not_an_object", "not_an_object", "required"]


@pytest.mark.parametrize("key", [None, 5, "", "a b", "é", "x" * 256])
def test_an_invalid_key_of_an_item_has_the_code_that_it_has_in_the_header(api: Any, key: Any) -> None:
    [result] = api.post("charges/batch", {"data": [use(1, idempotency_key=key)]}).json()["data"]
    error = result["error"]
    assert (result["status"], error["code"]) == (400, "idempotency_key_invalid")
    assert [item["field"] for item in error["errors"]] == ["idempotency_key"]


@pytest.mark.requirement("CORE-02", "APIN-13")
def test_an_item_is_retried_alone_however_its_account_is_named(platform_api: Any, account: Account) -> None:
    Account.objects.filter(pk=account.pk).update(external_id="user-81")
    body = {"account": "user-81", "data": [use(100, idempotency_key="b1")]}
    first = platform_api.post("charges/batch", body).json()["data"][0]["charge"]
    for name in ("user-81", account.public_id):
        single = platform_api.post("charges", use(100, account=name), key="b1")
        assert (single.status_code, single.json(), single["Idempotent-Replayed"]) == (201, first, "true")
        assert platform_api.post("charges", use(200, account=name), key="b1").status_code == 422
        item = use(100, account=name, idempotency_key="b1")
        [result] = platform_api.post("charges/batch", {"data": [item]}).json()["data"]
        assert (result["charge"], result["replayed"]) == (first, True)
    assert Charge.objects.count() == 1


@pytest.mark.requirement("CORE-02")
def test_a_charge_of_an_earlier_version_is_replayed(
    platform_api: Any, account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its fingerprint has the account of the body in it."""
    body = use(100, account=account.public_id)
    with monkeypatch.context() as earlier:
        fingerprint = partial(idempotency.fingerprint, "/api/v1/charges")
        earlier.setattr("usage.api.charges.fingerprint_of", fingerprint)
        charge = platform_api.post("charges", body, key="k1").json()
    single = platform_api.post("charges", body, key="k1")
    assert (single.json(), single["Idempotent-Replayed"]) == (charge, "true")
    items = [body | {"idempotency_key": "k1"}, use(200, account=account.public_id, idempotency_key="k1")]
    results = platform_api.post("charges/batch", {"data": items}).json()["data"]
    assert (results[0]["charge"], results[0]["replayed"]) == (charge, True)
    assert (results[1]["status"], results[1]["error"]["code"]) == (422, "idempotency_key_reused")
