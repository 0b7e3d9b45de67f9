"""Pages of an account with many charges: few queries, as many as for an account with few charges."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from accounts.models import Account, Project, User
from bench import portal
from billing.models import Wallet
from tests.usage.spending import give
from usage.sums import folding

PAGES = [
    "/",
    "/usage/",
    "/usage/?by=conversation",
    "/usage/?by=conversation&only=conversation%2018",
    "/usage/?by=member",
    "/usage/?since={today}&until={today}",
    "/usage/forecast/",
    "/usage/plans/",
    "/usage/swap/?service=kimi-k2&other=gpt-4o",
    "/refusals/",
    "/billing/budget/",
    "/history/",
    "/history/?kind=charge",
    "/history/?q=kimi",
    "/history/statement/?since={month_ago}",
    "/history/statement/?since={month_ago}&page=2",
    "/projects/",
    "/projects/{project}/?days=90",
    "/members/",
    "/budgets/",
    "/exports/",
    "/billing/",
    "/billing/purchases/",
    "/billing/subscription/",
    "/plans/",
    "/pricing/",
]
MOST_QUERIES = 20


def charge(account: Account, user: User, first: int, last: int, *, of: int) -> None:
    """Write charges with their entries, which lie in the last 30 days, and sum them."""
    values: dict[str, Any] = {"account": account.pk, "member": user.pk, "charges": of}
    with connection.cursor() as cursor:
        cursor.execute(portal.ROWS, values | {"first": first, "last": last})
        cursor.execute(portal.MOVED, values)
    folding.fold(account.pk)


@pytest.fixture
def queries(alice: User, signed_in: Callable[[User], Client]) -> Callable[[str], int]:
    """How many queries a page takes when its process has read the catalogue and the plan."""
    client = signed_in(alice)

    def count(path: str) -> int:
        counts = []
        for _ in range(4):  # once a second a page reads whether the catalogue has changed
            with CaptureQueriesContext(connection) as captured:
                assert client.get(path).status_code == 200
            counts.append(len(captured))
        return min(counts)

    return count


def test_pages_take_few_queries_whatever_the_number_of_charges(
    alice: User, account_of: Callable[[User], Account], queries: Callable[[str], int]
) -> None:
    account = account_of(alice)
    give(account, "100000", timezone.now(), kind="top_up")
    with connection.cursor() as cursor:
        cursor.execute(portal.PROJECTS, {"account": account.pk})
    # the number of an entry is 10 + that of its charge
    newest = Wallet.objects.get(account=account).seq
    charge(account, alice, newest - 9, 400, of=4000)
    month_ago = (timezone.now() - timedelta(days=31)).date().isoformat()
    today = timezone.now().date().isoformat()
    project = Project.objects.filter(account=account)[0].public_id
    paths = [path.format(month_ago=month_ago, today=today, project=project) for path in PAGES]
    few = {path: queries(path) for path in paths}
    assert max(few.values()) < MOST_QUERIES, few
    charge(account, alice, 401, 4000, of=4000)
    many = {path: queries(path) for path in paths}
    # two more: the positions of a statement's page are not read where they are those of the statement
    assert {path: number for path, number in many.items() if number > few[path] + 2} == {}
    assert max(many.values()) < MOST_QUERIES, many
