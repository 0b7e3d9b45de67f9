"""Moves over more than 48 grants, which one statement for each table writes, write what smaller ones do."""

import uuid
from importlib import import_module
from typing import Any

import pytest

from billing import ledger
from billing.ledger.models import Entry, Grant, Wallet
from core.amounts import plain
from tests.billing.ledger.conftest import (
    DAY,
    NOON,
    D,
    capture,
    give,
    hold,
    new_account,
    owe,
    release,
    spend,
)
from tests.billing.ledger.state import broken
from tests.billing.ledger.statement import amounts, entries, notices

pytestmark = pytest.mark.django_db
PURCHASE = uuid.UUID(int=3)
TERMS: dict[str, Any] = {"reason": "why", "actor": "staff", "now": NOON}


@pytest.fixture
def account(db: None) -> uuid.UUID:
    """Sixty grants of 1 of one purchase, in the order of their numbers."""
    account = new_account()
    for n in range(60):
        ends = NOON + DAY if n == 30 else None
        terms = {"purchase_id": PURCHASE, "priority": n, "expires_at": ends}
        give(account, "1", f"grant {n}", label=f"{n}", **terms)
    return account


def figures(account, name: str) -> list[str]:
    found = Grant.objects.filter(account_id=account, label__regex=r"^\d+$").order_by("priority")
    return [plain(value) for value in found.values_list(name, flat=True)]


def is_sound(account) -> bool:
    assert broken([account]) == []
    assert ledger.audit.run(now=NOON + DAY).findings == []
    moves = Entry.objects.filter(account_id=account, grant__isnull=False).order_by("seq")
    newest = dict(moves.values_list("grant", "seq"))
    assert newest == dict(Grant.objects.filter(account_id=account).values_list("pk", "last_seq"))
    assert all(one.open == (one.remaining > 0) for one in Grant.objects.filter(account_id=account))
    return True


def test_its_balance_is_read_with_others_up_to_a_number_of_grants(account, monkeypatch):
    found = []
    for most in (59, 60):
        monkeypatch.setattr(import_module("billing.ledger.balances"), "MOST_GRANTS", most)
        found.append([plain(one.total) for one in ledger.balances([account], NOON).values()])
    assert found == [[], ["60"]]


def test_a_charge(account):
    charged = spend(account, "55.5")
    assert (charged.balance_before, charged.balance_after, len(charged.drawn)) == (D("60"), D("4.5"), 56)
    assert amounts(account) == ("4.5", "0", "0")
    assert figures(account, "remaining") == ["0"] * 55 + ["0.5"] + ["1"] * 4
    assert figures(account, "spent") == ["1"] * 55 + ["0.5"] + ["0"] * 4
    written = entries(account, after=60)
    assert written[:2] == ["0 charge 0 -1 = 0 / 59 charge use", "0 charge 1 -1 = 0 / 58 charge use"]
    assert written[-1] == "0 charge 55 -0.5 = 0.5 / 4.5 charge use"
    assert (len(written), Wallet.objects.get().seq, Wallet.objects.get().moved_at) == (56, 116, NOON)
    assert is_sound(account)


@pytest.mark.parametrize(
    ("ends", "balance", "spent"),
    [("released", "60", 0), ("captured", "30", 30), ("captured whole", "5", 55), ("expired", "59", 0)],
)
def test_a_hold_and_its_end(account, ends, balance, spent):
    held = hold(account, "55", until=NOON + 2 * DAY)
    assert amounts(account) == ("5", "55", "0")
    assert figures(account, "held") == ["1"] * 55 + ["0"] * 5
    if ends == "released":
        release(account, held)
    elif ends == "expired":
        ledger.settle([account], NOON + 2 * DAY)  # a day after the end of grant 30
    else:
        capture(account, held, str(spent))
    assert amounts(account) == (balance, "0", "0")
    assert figures(account, "held") == ["0"] * 60
    assert figures(account, "spent") == ["1"] * spent + ["0"] * (60 - spent)
    assert Wallet.objects.get().running_holds == 0
    assert is_sound(account)


def test_a_release_in_debt_repays_with_each_part(account):
    held = hold(account, "60", until=NOON + DAY / 2)
    owe(account, "7.5")
    release(account, held)
    assert amounts(account) == ("52.5", "0", "0")
    assert figures(account, "remaining") == ["0"] * 7 + ["0.5"] + ["1"] * 52
    assert is_sound(account)


def test_a_reversal_in_parts(account):
    charged = spend(account, "60")
    for n, part in enumerate(["59.5", "0.5"]):
        terms = {"charge_id": charged.charge_id, "credits": D(part), "key": f"{n}"}
        made = ledger.reverse(account_id=account, **terms, **TERMS)
        assert plain(made.credits) == part
    assert amounts(account) == ("60", "0", "0")
    assert figures(account, "spent") == ["0"] * 60
    assert is_sound(account)


def test_a_claw_back_and_its_restoration(account):
    spend(account, "4.5")
    terms = {"account_id": account, "purchase_id": PURCHASE}
    made = ledger.claw_back(key="refund", **terms, **TERMS)
    assert (plain(made.credits), plain(made.debt), len(made.detail)) == ("55.5", "4.5", 60)
    assert amounts(account) == ("0", "0", "4.5")
    assert figures(account, "spent") == ["0"] * 60, "what is owed is not counted as spent too"
    assert is_sound(account)
    ledger.restore(account_id=account, claw_back_key="refund", key="won", **TERMS)
    assert amounts(account) == ("55.5", "0", "0")
    assert figures(account, "remaining") == ["0"] * 4 + ["0.5"] + ["1"] * 55
    assert figures(account, "spent") == ["1"] * 4 + ["0.5"] + ["0"] * 55
    assert is_sound(account)


def test_an_adjustment(account):
    made = ledger.adjust(account_id=account, credits=D("-50.25"), key="taken", **TERMS)
    assert (plain(made.balance_after), len(made.detail)) == ("9.75", 51)
    assert figures(account, "remaining") == ["0"] * 50 + ["0.75"] + ["1"] * 9
    assert entries(account, after=60)[0] == "0 adjust 0 -1 = 0 / 59 because why by staff"
    assert is_sound(account)


def test_the_threshold_is_compared_after_the_whole_move(account):
    ledger.set_warning(account_id=account, below=D("20"), now=NOON)
    spend(account, "40", "to the threshold")
    assert notices(account) == []
    give(account, "60", "more", priority=0)
    spend(account, "60", "from one")
    charged = hold(account, "20", until=NOON + DAY / 2)
    assert charged.balance_after == 0
    assert notices(account) == [("depleted", "0", "20")]


def test_the_first_entry_of_each_grant_carries_its_digest(account):
    """Sixty grants that are returned to after they ended are opened and filled by one move."""
    ended = new_account()
    for n in range(60):
        give(ended, "1", f"grant {n}", label=f"{n}", priority=n, expires_at=NOON + DAY)
    charged = spend(ended, "60")
    terms = {"reason": "r", "now": NOON + 2 * DAY}
    ledger.reverse(account_id=ended, charge_id=charged.charge_id, key="late", **terms)
    fresh = Grant.objects.filter(account_id=ended, label="Returned credits")
    assert (fresh.count(), amounts(ended)) == (60, ("60", "0", "0"))
    for grant in fresh:
        entry = Entry.objects.get(grant=grant)
        assert (entry.seq, entry.digest is not None) == (grant.first_seq, True)
    assert broken([ended]) == []
    assert ledger.audit.run(now=NOON + 3 * DAY).findings == []
