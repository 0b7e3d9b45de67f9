"""A page of the history of a wallet with 600,000 entries is found by an index, whatever the filter."""

import itertools
import time
from collections.abc import Iterator
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from django.db import connection, transaction
from django.db.models import Count, Max, Sum

from accounts.models import Account
from billing import ledger
from billing.models import Entry, Grant, Wallet
from tests.billing.ledger.conftest import NOON, spend
from tests.billing.ledger.member_of_years import DAYS, ENTRIES, grant_of, years_of_use
from usage import selectors
from usage.history import pages

LIMIT_SECONDS = 0.05  # measured: at most 12 ms

pytestmark = pytest.mark.django_db


@pytest.fixture(scope="module")
def wallet_of_years(django_db_setup: None, django_db_blocker: Any) -> Iterator[UUID]:
    """One wallet for the module, because writing it takes seconds."""
    with django_db_blocker.unblock():
        with transaction.atomic():
            yield years_of_use(charges=False)
            transaction.set_rollback(True)
        connection.close()


def seconds(read: Any) -> float:
    """The shortest of three readings, or of more: the machine may be busy with something else during some."""
    times: list[float] = []
    while len(times) < 3 or (min(times) > LIMIT_SECONDS and len(times) < 20):
        began = time.perf_counter()
        read()
        times.append(time.perf_counter() - began)
    return min(times)


GRANTS = ["", "pack 0", "pack 24", "day 0", "day 749"]


@pytest.mark.parametrize("source", GRANTS)
def test_a_page_of_each_filter_takes_less_than_50_ms(wallet_of_years: UUID, source: str) -> None:
    account = Account.objects.get(pk=wallet_of_years)
    grant_id = grant_of(wallet_of_years, source) if source else None
    slow = {}
    for kind, older_than in itertools.product(["", *Entry.Kind.values], (None, ENTRIES // 2)):
        filters = pages.Filter(kind=kind, grant_id=grant_id)
        taken = seconds(lambda: pages.page_of(account, filters, older_than=older_than))  # noqa: B023
        if taken > LIMIT_SECONDS:
            slow[kind, older_than] = taken
    assert slow == {}


@pytest.mark.parametrize("kind", ["expire", "adjust", "charge"])
def test_the_api_reads_by_the_same_indexes(wallet_of_years: UUID, kind: str) -> None:
    grant = Grant.public_id_of(grant_of(wallet_of_years, "pack 1"))
    for query in ({"kind": kind}, {"kind": kind, "grant": grant}, {"grant": grant}):
        rows = selectors.entries(wallet_of_years, query).order_by("-seq")
        assert seconds(lambda: list(rows[:26])) < LIMIT_SECONDS  # noqa: B023


def test_pages_hold_the_entries_that_match(wallet_of_years: UUID) -> None:
    account = Account.objects.get(pk=wallet_of_years)
    period = {"start": NOON - timedelta(days=600), "end": NOON - timedelta(days=590)}
    assert len(pages.page_of(account, pages.Filter(kind="expire", **period)).lines) == 10
    oldest = pages.Filter(grant_id=grant_of(wallet_of_years, "pack 0"))
    lines = pages.page_of(account, oldest, older_than=10 * ENTRIES // DAYS).lines
    assert [line.kind for line in lines] == ["charge"] * 10 + ["grant"]


def test_the_wallet_of_years_adds_up_and_can_be_charged(wallet_of_years: UUID) -> None:
    moved = Entry.objects.filter(account=wallet_of_years).aggregate(
        n=Count("*"), last=Max("seq"), sum=Sum("credits")
    )
    wallet = Wallet.objects.get(pk=wallet_of_years)
    assert (moved["n"], moved["last"], moved["sum"]) == (ENTRIES, ENTRIES, wallet.balance)
    spend(wallet_of_years, "1", "next")
    assert ledger.balance(wallet_of_years, NOON).total == wallet.balance - 1
