"""Which refusal a use gets where several apply: limits in their order, then debt, then the balance."""

import uuid

import pytest

from billing import ledger
from core.amounts import plain
from tests.billing.ledger.conftest import NOON, D, give, new_account, spend
from tests.billing.ledger.statement import used
from tests.billing.ledger.test_limit_windows import limit, of

pytestmark = pytest.mark.django_db


def test_the_first_limit_in_the_order_of_kinds_is_named(account):
    give(account, "10")
    for kind in ("quota", "project", "member", "key"):
        limit(account, kind, "1")
    terms = of("project") | of("member") | of("key") | {"quota": ("files", 2)}
    named = []
    for kind in ("key", "member", "project", "quota"):
        with pytest.raises((ledger.LimitReached, ledger.QuotaReached)) as refusal:
            spend(account, "2", "use", **terms)
        named.append(getattr(refusal.value, "limit", "quota"))
        limit(account, kind, "10")
    assert named == ["key", "member", "project", "quota"]
    assert plain(spend(account, "2", "use", **terms).credits) == "2"


def test_a_limit_is_checked_before_debt_and_debt_before_the_balance(db):
    account, purchase = new_account(), uuid.uuid4()
    limit(account, "project", "1")
    give(account, "3", purchase_id=purchase)
    spend(account, "3", "spent")
    ledger.claw_back(account_id=account, purchase_id=purchase, key="r", reason="r", now=NOON)
    with pytest.raises(ledger.LimitReached):
        spend(account, "2", "use", **of("project"))
    with pytest.raises(ledger.InDebt) as refusal:
        spend(account, "1", "use", **of("project"))
    assert (refusal.value.needed, refusal.value.debt) == (D("1"), D("3"))
    give(account, "3", "repays")
    with pytest.raises(ledger.InsufficientCredits) as without:
        spend(account, "1", "use", **of("project"))
    assert (without.value.needed, without.value.available) == (D("1"), 0)
    assert used(account) == {"project": "0"}, "refused uses do not count"
