"""Very many very small charges: the sum is exact to the last digit, whatever their number."""

import os
from decimal import Decimal

import pytest

from billing import ledger
from billing.ledger.models import Charge
from tests.billing.ledger.conftest import NOON, D, charge_request, give, new_account

# In the suite so many as fit in seconds; all million: CHARGES=1000000 (some minutes).
CHARGES = int(os.environ.get("CHARGES") or 5_000)
BATCH = 1000


@pytest.mark.fault("L12")
def test_very_many_charges_of_0_0022_are_exact_to_the_last_digit(db):
    account, price = new_account(), D("0.0022")
    give(account, str(CHARGES * price + D("0.000001")))
    for first in range(0, CHARGES, BATCH):
        uses = [
            charge_request(account, "0.0022", str(n), detail={})
            for n in range(first, min(first + BATCH, CHARGES))
        ]
        outcomes = ledger.charge_many(uses, NOON)
        spent = (first + len(uses)) * price
        assert outcomes[-1].balance_after == CHARGES * price + D("0.000001") - spent
    assert ledger.balance(account, NOON).total == D("0.000001")
    assert Charge.objects.filter(account_id=account).count() == CHARGES
    assert ledger.charge(charge_request(account, "0.000001", "the last"), NOON).balance_after == 0


@pytest.mark.fault("L12")
@pytest.mark.parametrize("amount", ["0.000001", "0.1", "0.3", "1.1", "999999999.999999"])
def test_an_amount_is_read_as_it_was_written(db, amount):
    account = new_account()
    give(account, amount)
    charged = ledger.charge(charge_request(account, amount, "all"), NOON)
    assert (charged.credits, charged.balance_before, charged.balance_after) == (Decimal(amount),) * 2 + (0,)
    back = ledger.reverse(
        account_id=account, charge_id=charged.charge_id, key="back", reason="failed", now=NOON
    )
    assert back.balance_after == Decimal(amount)
