"""The beat job settles what is due: how many, in which order, up to which number; and balances and spans."""

import datetime as dt
import uuid

import pytest

from billing import ledger
from billing.ledger.models import Grant, Wallet
from core.amounts import plain
from tests.billing.ledger.conftest import DAY, NOON, D, allowance, give, hold, new_account, owe, spend
from tests.billing.ledger.statement import amounts

pytestmark = pytest.mark.django_db
HOUR, INSTANT = dt.timedelta(hours=1), dt.timedelta(microseconds=1)


def ending(*hours: int) -> list[uuid.UUID]:
    """An account for each number of hours, after which its credits end."""
    accounts = [new_account() for _ in hours]
    for account, hour in zip(accounts, hours, strict=True):
        give(account, "5", expires_at=NOON + hour * HOUR)
    return accounts


def left(accounts: list[uuid.UUID]) -> list[str]:
    return [amounts(account)[0] for account in accounts]


class TestTheBeatJob:
    def test_settles_what_is_due_at_this_instant_and_nothing_later(self, db):
        accounts = ending(1, 2, 3)
        assert ledger.settle_due(NOON + HOUR - INSTANT) == 0
        assert ledger.settle_due(NOON + 2 * HOUR) == 2
        assert left(accounts) == ["0", "0", "5"]
        assert ledger.settle_due(NOON + 2 * HOUR) == 0

    @pytest.mark.parametrize("chunk", [1, 2, 500])
    def test_up_to_a_number_the_longest_due_first(self, db, chunk):
        accounts = ending(3, 1, 4, 2)
        assert ledger.settle_due(NOON + DAY, limit=3, chunk=chunk) == 3
        assert left(accounts) == ["0", "0", "5", "0"]
        assert ledger.settle_due(NOON + DAY, limit=0) == 0
        assert ledger.settle_due(NOON + DAY, limit=3, chunk=chunk) == 1

    def test_settles_only_the_accounts_that_are_named_and_due(self, db):
        accounts = ending(1, 1, 9)
        assert ledger.settle([accounts[0], accounts[2]], NOON + 2 * HOUR) == 1
        assert left(accounts) == ["0", "5", "5"]
        assert ledger.settle([], NOON + DAY) == 0

    def test_each_settled_wallet_is_due_at_its_next_effect(self, db):
        account = new_account()
        give(account, "5", "a", expires_at=NOON + HOUR)
        give(account, "5", "b", expires_at=NOON + 5 * HOUR)
        ledger.set_allowances(account_id=account, allowances=[allowance("day", "1")], now=NOON)
        hold(account, "2", until=NOON + 2 * HOUR, key="first")
        due = []
        for _ in range(5):
            due.append(Wallet.objects.get().next_due_at)
            ledger.settle_due(due[-1])
        assert due == [NOON + HOUR, NOON + 2 * HOUR, NOON + 5 * HOUR, NOON + 12 * HOUR, NOON + 36 * HOUR]


class TestABalance:
    def test_is_that_of_the_wallet_at_this_instant(self, db):
        account = new_account()
        give(account, "10", "a", label="a")
        give(account, "4", "b", label="b", services=["veo"], expires_at=NOON + HOUR)
        owe(account, "3")
        give(account, "1", "c", label="c")  # repays one
        balance = ledger.balance(account, NOON)
        assert (balance.account_id, balance.as_of, balance.version) == (
            account, NOON, Wallet.objects.get().seq,
        )  # fmt: skip
        figures = [balance.available, balance.total, balance.held, balance.debt, balance.limited]
        assert [plain(one) for one in figures] == ["10", "14", "0", "2", "4"]
        assert (balance.low, balance.warn_below) == (False, None)
        assert ledger.balance(account, NOON + HOUR - INSTANT).total == D("14")
        assert ledger.balance(account, NOON + HOUR).total == D("10")

    def test_includes_no_spent_grants_and_no_other_accounts(self, db):
        account, other = new_account(), new_account()
        give(account, "10", "a", label="a")
        give(account, "4", "b", label="b", priority=1)
        give(other, "7", "c", label="c")
        spend(account, "4")
        balance = ledger.balance(account, NOON)
        assert [grant.label for grant in balance.grants] == ["a"]

    def test_of_a_low_wallet(self, db):
        account = new_account()
        give(account, "10")
        ledger.set_warning(account_id=account, below=D("10.5"), now=NOON)
        balance = ledger.balance(account, NOON)
        assert (balance.low, balance.warn_below) == (True, D("10.5"))

    def test_of_an_unknown_account(self, db):
        with pytest.raises(ledger.UnknownWallet):
            ledger.balance(uuid.uuid4(), NOON)

    def test_settling_for_a_read_settles_what_is_due(self, db):
        accounts = ending(1, 2)
        for account in accounts:
            ledger.settle_for_read(account, NOON + HOUR)
        assert left(accounts) == ["0", "5"]
        assert not Grant.objects.get(account_id=accounts[0]).open


class TestASpan:
    """Entries 1 to 5 at noon and at each of the following hours."""

    @pytest.fixture
    def account(self, db):
        account = new_account()
        for n in range(5):
            give(account, "1", f"grant {n}", now=NOON + n * HOUR)
        return account

    @pytest.mark.parametrize(
        ("start", "end", "expected"),
        [
            (None, None, (0, 5)),
            (NOON, NOON + HOUR, (0, 1)),
            (NOON + INSTANT, NOON + HOUR + INSTANT, (1, 2)),
            (NOON + 2 * HOUR, NOON + 4 * HOUR, (2, 4)),
            (NOON + 3 * HOUR, None, (3, 5)),
            (None, NOON + 3 * HOUR, (0, 3)),
            (NOON + 4 * HOUR, NOON + 9 * HOUR, (4, 5)),
            (NOON + 9 * HOUR, NOON + 10 * HOUR, (5, 5)),
            (NOON - HOUR, NOON, (0, 0)),
        ],
    )
    def test_contains_the_start_and_not_the_end(self, account, start, end, expected):
        span = ledger.span(account, start=start, end=end)
        assert (span.after, span.until) == expected

    def test_of_entries_at_one_instant(self, account):
        for n in range(3):
            give(account, "1", f"more {n}", now=NOON + 4 * HOUR)
        assert ledger.span(account, start=NOON + 4 * HOUR, end=None).after == 4
        assert ledger.span(account, start=None, end=NOON + 4 * HOUR + INSTANT).until == 8

    def test_of_a_wallet_without_entries(self, account):
        empty = ledger.span(new_account(), start=NOON, end=NOON + DAY)
        assert (empty.after, empty.until) == (0, 0)
