"""Balances in shared calls: the answers are those of Django, and accounts delay one another in nothing."""

import json
import random
import threading
from datetime import timedelta
from decimal import Decimal
from typing import Any
from urllib.parse import urlencode

import pytest
from django.db import connection, transaction
from django.test import Client
from django.utils import timezone

from accounts import api_keys, key_format
from accounts.models import Account, ApiKey
from billing import ledger
from billing.models import Wallet
from config.front.turns import Turns
from tests.config.front.rsgi import Front, Response
from tests.conftest import person

BALANCE = "/api/v1/balance"
Read = tuple[str, str]  # the secret of a key, and the query

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def accounts(catalogue: None, clock: Any, settings: Any) -> list[Account]:
    """With a scoped grant, a hold, twelve grants, none (two), a wallet that is due, and an erased one."""
    settings.API_RATE = ""
    owned = [Account.objects.get(person=person(f"person-{number}")) for number in range(7)]
    for number, account in enumerate(owned):
        account.external_id = f"user:{number}@product"
        account.save()
    give(owned[0], services=["gpt-4o"], expires_at=timezone.now() + timedelta(days=9))
    use = ledger.ChargeRequest(account_id=owned[1].pk, credits=Decimal("1.5"), key="h", service="gpt-4o")
    ledger.hold(use, expires_at=timezone.now() + timedelta(hours=1), now=timezone.now(), most_running=10)
    for number in range(12):
        give(owned[2], key=f"pack {number}")
    give(owned[5], expires_at=timezone.now() + timedelta(seconds=30))
    clock.shift(60)
    owned[6].erased_at = timezone.now()
    owned[6].save()
    return owned


def give(account: Account, key: str = "pack", **terms: Any) -> None:
    terms |= {"kind": "top_up", "label": "Päck", "key": key}
    ledger.grant(account_id=account.pk, credits=Decimal("12.25"), now=timezone.now(), **terms)


def key_of(account: Account, scopes: list[str] | None = None) -> str:
    return api_keys.issue(
        kind=ApiKey.Kind.ACCOUNT, name="program", scopes=scopes or ["read"], account=account,
        created_by=account.person, now=timezone.now(),
    ).secret  # fmt: skip


@pytest.fixture
def platform(db: None) -> str:
    return api_keys.issue(kind="platform", name="product", scopes=["read"], now=timezone.now()).secret


@pytest.fixture
def endpoint_calls(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The queries of requests that their endpoint handles."""
    from usage.api.balance import Balance

    calls, get = list[str](), Balance.get

    def counted(self: Any, request: Any) -> Any:
        calls.append(request.query_params.urlencode())
        return get(self, request)

    monkeypatch.setattr(Balance, "get", counted)
    return calls


def headers(read: Read, **more: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {read[0]}", "X-Request-Id": "r-1"} | more


def target(read: Read) -> str:
    return f"{BALANCE}?{read[1]}".rstrip("?")


def send(front: Front, *reads: Read, **more: str) -> list[Response]:
    return front.send_together([("GET", target(read), headers(read, **more), b"") for read in reads])


def verified(front: Front, *secrets: str) -> None:
    """Let the process verify the keys, and see them again: then requests with them share calls."""
    for secret in secrets:
        send(front, (secret, "account=nobody"))
        send(front, (secret, "account=nobody"))


def comparable(response: Response) -> tuple[int, list[tuple[str, str]], bytes]:
    return response.status, sorted((name.lower(), value) for name, value in response.headers), response.body


def usual_reads(accounts: list[Account], platform: str) -> list[Read]:
    """Every account by both names, and its own key with and without its name."""
    reads: list[Read] = []
    for account in accounts:
        secret, name = key_of(account), f"account={account.public_id}"
        reads += [
            (platform, name),
            (platform, f"account={account.external_id}"),
            (secret, ""),
            (secret, name),
        ]
    return reads


def odd_reads(accounts: list[Account], platform: str, revoked: str) -> list[Read]:
    secret, no_scope = key_of(accounts[0]), key_of(accounts[0], ["spend"])
    queries = ["", "account=nobody", "account=", "account=a&account=b", "unknown=1", f"account={'x' * 256}"]
    queries += ["account=user%3A0%40product", f"account={accounts[6].public_id}", "account=user:6@product"]
    others = [f"account={accounts[1].public_id}", f"account={accounts[0].external_id}", "account=nobody"]
    refused = [(no_scope, ""), (revoked, ""), ("rk_account_invented", "")]
    return [*((platform, query) for query in queries), *((secret, query) for query in others), *refused]


def test_reads_of_many_accounts_have_the_answers_of_django(
    front: Front, accounts: list[Account], platform: str, endpoint_calls: list[str]
) -> None:
    """Known, unknown and erased accounts, due wallets, refused keys and odd queries in any order."""
    revoked = key_of(accounts[0])
    verified(front, revoked)
    api_keys.revoke(ApiKey.objects.get(secret_hash=key_format.hash_of(revoked)), timezone.now())
    shared = usual_reads(accounts[:5], platform)
    left = usual_reads(accounts[5:6], platform) + odd_reads(accounts, platform, revoked)
    verified(front, *{secret for secret, _query in shared + left})
    endpoint_calls.clear()
    for reads in (shared, [*left, *left, *shared]):
        random.shuffle(reads)
        answers = send(front, *reads)
        if reads is shared:
            assert endpoint_calls == []
        for read, answer in zip(reads, answers, strict=True):
            expected = Client().get(target(read), headers=headers(read))
            assert comparable(answer) == comparable(
                Response(expected.content, expected.status_code, list(expected.items()))
            ), read


def test_a_large_answer_is_compressed_for_clients_that_accept_it(
    front: Front, accounts: list[Account], platform: str
) -> None:
    verified(front, platform)
    read = (platform, f"account={accounts[2].public_id}")
    [compressed] = send(front, read, **{"Accept-Encoding": "gzip"})
    [whole] = send(front, read)
    assert compressed.header("Content-Encoding") == "gzip" and whole.header("Content-Encoding") is None
    assert compressed.header("Vary") == whole.header("Vary") == "Accept-Encoding"
    assert len(json.loads(whole.body)["grants"]) >= 12 and len(whole.body) > 2 * len(compressed.body)


def test_reads_that_arrive_together_share_their_queries(
    front: Front, accounts: list[Account], platform: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many there are, and each account is read once."""
    from usage.api import fast_balances

    verified(front, platform)
    calls, read = list[list[Any]](), fast_balances.balance_answers
    arrived, result = threading.Semaphore(0), Turns.result

    async def noted(self: Any, item: Any) -> Any:
        arrived.release()
        return await result(self, item)

    def counted(account_ids: Any, now: Any) -> Any:
        calls.append(sorted(account_ids))
        if len(calls) == 1:
            assert all(arrived.acquire(timeout=60) for _ in range(60))
        return read(account_ids, now)

    monkeypatch.setattr(Turns, "result", noted)
    monkeypatch.setattr(fast_balances, "balance_answers", counted)
    names = [account.public_id for account in accounts[:3]] * 20
    answers = send(front, *((platform, f"account={name}") for name in names))
    assert {answer.status for answer in answers} == {200}
    assert len(calls) <= 3
    assert all(len(each) == len(set(each)) <= 3 for each in calls)


def test_an_account_with_very_many_grants_is_read_alone(
    front: Front, accounts: list[Account], platform: str, endpoint_calls: list[str]
) -> None:
    for number in range(101):
        give(accounts[3], key=f"pack {number}")
    verified(front, platform)
    endpoint_calls.clear()
    many, few = (f"account={account.public_id}" for account in (accounts[3], accounts[4]))
    answers = send(front, (platform, many), (platform, few))
    assert [answer.status for answer in answers] == [200, 200]
    assert endpoint_calls == [urlencode({"account": accounts[3].public_id})]


def test_a_locked_wallet_that_is_due_delays_no_other_account(
    front: Front, accounts: list[Account], platform: str
) -> None:
    verified(front, platform)
    due, other = (f"account={account.public_id}" for account in (accounts[5], accounts[4]))
    with transaction.atomic():
        Wallet.objects.select_for_update().get(account=accounts[5])
        assert [answer.status for answer in send(front, (platform, due), (platform, other))] == [503, 200]
        assert [answer.status for answer in send(front, (platform, other))] == [200]
    assert [answer.status for answer in send(front, (platform, due))] == [200]


def test_no_more_reads_pass_than_the_rate_of_the_key_allows(
    front: Front, accounts: list[Account], settings: Any
) -> None:
    settings.API_RATE = "5/60"
    read = (key_of(accounts[0]), "")
    statuses = [answer.status for answer in send(front, read)]
    statuses += [answer.status for answer in send(front, *[read] * 9)]
    assert sorted(statuses) == [200] * 5 + [429] * 5


def test_a_broken_connection_costs_no_answer(front: Front, accounts: list[Account], platform: str) -> None:
    verified(front, platform)
    read = (platform, f"account={accounts[0].public_id}")
    assert [answer.status for answer in send(front, read)] == [200]
    with connection.cursor() as cursor:
        cursor.execute(
            "select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database()"
            " and pid <> pg_backend_pid() and backend_type = 'client backend'"
        )
    assert [answer.status for answer in send(front, read, read)] == [200, 200]
