"""Agents race in one tree of holds: it never spends more than its root reserved, to the last digit."""

import contextlib
import datetime as dt
import random
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal

import pytest
from django.db import connection

from billing import ledger
from billing.ledger.audit import wallets
from billing.ledger.models import Charge, Hold
from tests.billing.ledger.conftest import NOON, D, charge_request, give, new_account
from tests.billing.ledger.state import broken
from tests.integration.races.concurrency import of_kind, persistently

pytestmark = pytest.mark.usefixtures("committed")
END = NOON + dt.timedelta(minutes=15)
AGENTS, CONNECTIONS = 200, 16
ROOT = D("61.803399")


class Agent:
    """Asks for a budget, passes parts of it on, and captures about what it asked for, or more."""

    def __init__(self, account, root, number, now=NOON):
        self.account, self.root, self.number, self.now = account, root, number, now
        self.generator = random.Random(number)

    def __call__(self):
        try:
            return self.work(self.root, depth=2)
        except ledger.LedgerError as error:
            return error
        finally:
            connection.close()

    def some(self, most):
        return Decimal(self.generator.randint(1, int(most * 10**6))).scaleb(-6)

    def work(self, parent, depth):
        key, credits = f"agent {self.number} at {depth}", self.some(D("1.5"))
        request = charge_request(self.account, str(credits), key)
        held = persistently(lambda: ledger.hold(request, expires_at=END, now=self.now, parent=parent))
        if depth < 4 and self.generator.random() < 0.5:
            with contextlib.suppress(ledger.LedgerError):
                self.work(held.hold_id, depth + 1)
        used = self.some(credits * self.generator.choice([1, 1, 3]))
        which = {"account_id": self.account, "hold_id": held.hold_id, "now": self.now}
        if self.generator.random() < 0.15:
            return persistently(lambda: ledger.release(**which))
        return persistently(lambda: ledger.capture(credits=used, key=f"capture of {key}", detail={}, **which))


def race(calls):
    with ThreadPoolExecutor(CONNECTIONS) as threads:
        return [future.result() for future in [threads.submit(call) for call in calls]]


def closing(call):
    """The call, with its connection closed afterwards."""

    def closed():
        try:
            return persistently(call)
        except ledger.LedgerError as error:
            return error
        finally:
            connection.close()

    return closed


@pytest.fixture
def account():
    account = new_account()
    for number in range(3):
        give(account, "30", f"grant {number}")
    return account


@pytest.fixture
def root(account):
    return ledger.hold(charge_request(account, str(ROOT), "root"), expires_at=END, now=NOON)


def spent(account):
    return sum((one.credits - one.uncollected for one in Charge.objects.filter(account_id=account)), D("0"))


def require_sums(account, root):
    """What the tree has spent, what is left of it, and the balance add up to the last digit."""
    assert broken([account]) == []
    assert wallets.inspect(wallets.Portion(accounts=[account])).findings == []
    sums, balance = ledger.tree(account, root.hold_id)[root.hold_id], ledger.balance(account, NOON)
    assert sums.spent == spent(account) <= ROOT
    assert balance.total + balance.held == D("90") - sums.spent
    assert balance.held == sums.reserved + sums.remaining


def test_200_agents_in_one_tree_never_spend_more_than_its_root_reserved(account, root):
    outcomes = race([Agent(account, root.hold_id, number) for number in range(AGENTS)])
    require_sums(account, root)
    assert of_kind(outcomes, ledger.BudgetExceeded), "the budget was used up"
    assert not Hold.objects.filter(account_id=account, status="held").exclude(pk=root.hold_id).exists()
    rest = ledger.tree(account, root.hold_id)[root.hold_id].remaining
    assert spent(account) + rest == ROOT
    ledger.release(account_id=account, hold_id=root.hold_id, now=NOON)
    assert ledger.balance(account, NOON).available == D("90") - spent(account)


def test_a_parent_that_is_released_meanwhile_closes_only_between_its_children(account, root):
    release = closing(lambda: ledger.release(account_id=account, hold_id=root.hold_id, now=NOON))
    calls = [Agent(account, root.hold_id, number) for number in range(60)]
    for place in range(6, 60, 6):
        calls.insert(place, release)
    race(calls)
    require_sums(account, root)
    if Hold.objects.get(pk=root.hold_id).status == "held":
        ledger.release(account_id=account, hold_id=root.hold_id, now=NOON)
    assert isinstance(Agent(account, root.hold_id, number=60)(), ledger.HoldClosed), "one who comes later"
    assert ledger.balance(account, NOON).held == 0
    require_sums(account, root)
    assert not Hold.objects.filter(account_id=account, status="held").exclude(pk=root.hold_id).exists()


def test_a_tree_that_ends_meanwhile_gives_back_exactly_what_it_did_not_spend(account, root):
    calls = [Agent(account, root.hold_id, number, END if number > 50 else NOON) for number in range(90)]
    outcomes = race(calls)
    ledger.settle([account], END)
    require_sums(account, root)
    assert of_kind(outcomes, ledger.HoldClosed), "those who came after the end"
    assert set(Hold.objects.filter(account_id=account, status="held")) == set()
    assert ledger.balance(account, END).available == D("90") - spent(account)
