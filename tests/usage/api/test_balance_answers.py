"""The balance object of every state of an account is the one that its rows imply."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext

from accounts.models import Account
from billing.models import Grant, Wallet
from billing.subscriptions import plan_terms
from core.fields import instant
from tests.billing.ledger.conftest import DAY, NOON, give, hold, new_account, spend
from tests.billing.ledger.drawing import history
from tests.billing.ledger.examples import SEED
from tests.billing.ledger.moves import Moves
from tests.billing.ledger.situations import SITUATIONS
from usage.api.balance import balance_answer, balance_answers

NEVER = datetime(9999, 1, 1, tzinfo=UTC)
FOUND = [
    ("199", "two debts"),  # reads the balance on the last day of a plan
    ("99", "a tree that is captured at its end"),  # reverses a charge that reading the balance has made
]


def text(credits: Decimal) -> str:
    """An amount as the contract writes it: plain notation without trailing zeros."""
    return str(int(credits)) if credits == credits.to_integral() else f"{credits:f}".rstrip("0")


def implied(account_id: UUID, now: datetime) -> dict[str, Any]:
    """The balance object that the rows of a settled account imply, read row by row."""
    wallet = Wallet.objects.get(pk=account_id)
    grants = [
        grant
        for grant in Grant.objects.filter(account_id=account_id)
        if (grant.remaining or grant.held) and (grant.expires_at is None or grant.expires_at > now)
    ]
    grants.sort(key=lambda grant: (grant.priority, grant.expires_at or NEVER, grant.created_at, grant.pk))
    with connection.cursor() as cursor:
        cursor.execute(
            "select key, credits, least(next_at, ends_at) from billing_allowance where account_id = %s and"
            " period = 'day' and next_at is not null and (ends_at is null or ends_at > %s)"
            " order by next_at, id limit 1",
            [account_id, now],
        )
        daily = cursor.fetchone()
    return {
        "account": f"acct_{account_id.hex}",
        "available": text(sum((each.remaining for each in grants if each.services is None), Decimal(0))),
        "held": text(wallet.held),
        "debt": text(wallet.debt),
        "as_of": instant(now),
        "grants": [
            {
                "id": f"grant_{grant.pk.hex}",
                "kind": grant.kind,
                "label": grant.label,
                "granted": text(grant.credits),
                "remaining": text(grant.remaining),
                "held": text(grant.held),
                "expires_at": instant(grant.expires_at) if grant.expires_at else None,
                "services": grant.services,
            }
            for grant in grants
        ],
        "daily": daily
        and {
            "amount": text(daily[1]),
            "remaining": text(
                sum((each.remaining for each in grants if each.allowance == daily[0]), Decimal(0))
            ),
            "resets_at": instant(daily[2]),
        },
        "unlimited_services": [],
        "low": wallet.is_low,
    }


def facts(answer: Any) -> set[str]:
    """What the answer shows, of the things that some account must have shown in the end."""
    grants = answer["grants"]
    found = {name for name in ("held", "debt") if answer[name] != "0"}
    found |= {name for name in ("daily", "low") if answer[name]}
    found |= {name for name in ("services", "expires_at") for grant in grants if grant[name]}
    return found | {"held whole" for grant in grants if grant["remaining"] == "0"}


def shown_in(situation: str, seed: str = str(SEED)) -> set[str]:
    """Compare the answers after every move of a history. Returns which facts they have shown."""
    shown: set[str] = set()
    zone, steps = history(seed, situation)
    moves = Moves(zone)
    for name, parameters in steps:
        if name == "sizes":
            continue  # changes the database for all accounts
        getattr(moves, name)(**parameters)
        answer = balance_answer(moves.account, moves.now)
        moves.book.settle(moves.now)  # as the answer has settled the wallet
        assert answer == implied(moves.account, moves.now), (seed, situation, name)
        assert balance_answers([moves.account], moves.now) == {moves.account: answer}
        shown |= facts(answer)
    return shown


@pytest.mark.requirement("REFLY-12")
def test_the_balance_of_generated_accounts_is_the_one_that_their_rows_imply(db: None) -> None:
    """Scoped and expiring grants, holds, debt, limits, allowances, clocks that differ; singly and shared."""
    unseen = {"held", "debt", "daily", "services", "expires_at", "held whole", "low"}
    for seed, situation in [*FOUND, *((str(SEED), situation) for situation in SITUATIONS)]:
        with transaction.atomic():  # the ids of a history's records are the same in each
            unseen -= shown_in(situation, seed)
            transaction.set_rollback(True)
    assert not unseen


def test_accounts_that_are_unknown_or_due_are_left_out_of_a_shared_answer(db: None) -> None:
    account, due, plain = new_account(), new_account(), new_account()
    give(due, "5", expires_at=NOON + DAY)
    give(plain, "7")
    later = NOON + DAY
    answers = balance_answers([account, due, plain, uuid4()], later)
    assert answers == {each: balance_answer(each, later) for each in (account, plain)}
    assert balance_answer(due, later)["grants"] == []
    assert balance_answers([due], later)[due] == balance_answer(due, later)


def test_a_shared_answer_takes_as_many_queries_as_one(db: None) -> None:
    accounts = [new_account() for _ in range(20)]
    with CaptureQueriesContext(connection) as one:
        balance_answers(accounts[:1], NOON)
    with CaptureQueriesContext(connection) as many:
        balance_answers(accounts, NOON)
    assert len(many) == len(one)


@pytest.mark.fault("L7")
def test_a_grant_that_is_held_whole_is_listed(db: None) -> None:
    """The contract leaves out grants that are spent or expired: the credits of this one are neither."""
    account = new_account()
    given = give(account, "10", expires_at=NOON + DAY)
    give(account, "4", "spent", priority=1)
    spend(account, "4")
    hold(account, "6", "first")
    hold(account, "4", "second", until=NOON + 3 * DAY)
    balance = balance_answer(account, NOON)
    assert (balance["available"], balance["held"]) == ("0", "10")
    [listed] = balance["grants"]
    assert (listed["id"], listed["remaining"], listed["held"]) == (f"grant_{given.grant_id.hex}", "0", "10")
    afterwards = balance_answer(account, NOON + DAY)
    assert (afterwards["held"], afterwards["grants"]) == ("4", []), "expired: only its hold keeps its credits"


def test_unlimited_services_are_those_of_the_plan(api: Any, account: Account) -> None:
    answer = api.get("balance").json()
    assert answer["unlimited_services"] == sorted(plan_terms.get(account.pk).unlimited_services)
