"""Claw-backs and their restorations over several grants of a purchase."""

import datetime as dt
import uuid
from typing import Any

import pytest

from billing import ledger
from billing.ledger.models import Grant, Wallet
from core.amounts import plain
from tests.billing.ledger.conftest import DAY, NOON, D, give, hold, new_account, spend
from tests.billing.ledger.state import broken
from tests.billing.ledger.statement import amounts, grants

pytestmark = pytest.mark.django_db
HOUR, INSTANT = dt.timedelta(hours=1), dt.timedelta(microseconds=1)
PURCHASE, OTHER = uuid.UUID(int=3), uuid.UUID(int=4)
LATER = NOON + HOUR


def of(account, **terms: Any) -> dict[str, Any]:
    return {"account_id": account, "reason": "why", "actor": "staff:ada", "now": LATER} | terms


def claw_back(account, key: str = "key", amount: str | None = None, **terms: Any):
    credits = None if amount is None else D(amount)
    return ledger.claw_back(key=key, credits=credits, **of(account, **{"purchase_id": PURCHASE} | terms))


def restore(account, key: str = "key", undo: str = "key", **terms: Any):
    return ledger.restore(claw_back_key=undo, key=key, **of(account, **terms))


def adjust(account, amount: str, key: str = "key", **terms: Any):
    return ledger.adjust(credits=D(amount), key=key, **of(account, **terms))


def parts(detail: list[dict[str, str]]) -> list[tuple[str, str, str]]:
    """Label of the grant, credits and debt of each line."""
    labels = {str(one.pk): one.label for one in Grant.objects.all()}
    return [(labels[line["grant"]], plain(D(line["credits"])), plain(D(line["debt"]))) for line in detail]


@pytest.fixture
def charged(account):
    give(account, "10", "pack", label="pack", purchase_id=PURCHASE)
    return spend(account, "4", "charge")


class TestClawBack:
    @pytest.fixture
    def account(self, db):
        """A purchase with three grants, of which some is spent, held and left; and credits of others."""
        account = new_account()
        for n, (label, amount) in enumerate([("first", "10"), ("second", "6"), ("third", "4")]):
            terms = {"purchase_id": PURCHASE, "priority": n, "now": NOON + n * INSTANT}
            give(account, amount, label, label=label, **terms)
        give(account, "7", "other", label="other", purchase_id=OTHER)
        give(account, "5", "none", label="none")
        spend(account, "8", "spent")
        hold(account, "3", until=NOON + DAY)  # 2 of the first, 1 of the second
        return account

    @pytest.mark.parametrize(
        ("amount", "lines", "taken", "owed"),
        [
            ("3", [("second", "3", "0")], "3", "0"),
            ("5", [("second", "5", "0")], "5", "0"),
            ("6", [("second", "5", "0"), ("third", "1", "0")], "6", "0"),
            ("9", [("second", "5", "0"), ("third", "4", "0")], "9", "0"),
            ("10", [("first", "0", "1"), ("second", "5", "0"), ("third", "4", "0")], "9", "1"),
            ("19", [("first", "0", "10"), ("second", "5", "0"), ("third", "4", "0")], "9", "10"),
            (None, [("first", "0", "10"), ("second", "5", "1"), ("third", "4", "0")], "9", "11"),
            ("500", [("first", "0", "10"), ("second", "5", "1"), ("third", "4", "0")], "9", "11"),
        ],
    )
    def test_takes_what_is_left_of_each_grant_before_anything_is_owed(
        self, account, amount, lines, taken, owed
    ):
        made = claw_back(account, amount=amount)
        assert (plain(made.credits), plain(made.debt), parts(made.detail)) == (taken, owed, lines)
        assert plain(made.balance_after) == plain(D("21") - D(taken))
        assert amounts(account) == (plain(D("21") - D(taken)), "3", owed)
        assert {name: grants(account)[name][0] for name in ("other", "none")} == {"other": "7", "none": "5"}

    @pytest.mark.parametrize(("amount", "taken"), [("4", "4"), (None, "9")])
    def test_of_the_unspent_only_owes_nothing(self, account, amount, taken):
        made = claw_back(account, amount=amount, unspent_only=True)
        assert (plain(made.credits), made.debt) == (taken, 0)
        assert amounts(account)[2] == "0"

    def test_of_another_account_takes_nothing(self, account):
        other = new_account()
        give(other, "5", "pack")
        made = claw_back(other)
        assert (made.credits, made.debt, made.detail, made.balance_after) == (0, 0, [], D("5"))
        assert amounts(account) == ("21", "3", "0")

    @pytest.mark.parametrize("amount", ["0", "-1", "0.0000001"])
    def test_of_no_amount_is_refused(self, account, amount):
        with pytest.raises(ledger.AmountInvalid):
            claw_back(account, amount=amount)

    def test_in_parts_takes_and_owes_the_same_as_in_one(self, account):
        for n, amount in enumerate(["4", "7", "5", None]):
            claw_back(account, f"part {n}", amount)
        assert amounts(account) == ("12", "3", "11")
        assert claw_back(account, "again").credits == 0
        assert broken([account]) == []


class TestRestore:
    def test_of_somebody_elses_claw_back_is_unknown(self, account, charged):
        claw_back(account)
        with pytest.raises(ledger.UnknownClawBack):
            restore(new_account())
        with pytest.raises(ledger.UnknownClawBack):
            restore(account, undo="another")
        adjust(account, "1", "an adjustment")
        with pytest.raises(ledger.UnknownClawBack):
            restore(account, undo="an adjustment")

    @pytest.mark.parametrize(
        ("repaid", "given", "lifted", "after"),
        [
            ("0", "6", "4", ("6", "0", "0")),
            ("3", "9", "1", ("9", "0", "0")),
            ("9", "10", "0", ("15", "0", "0")),
        ],
    )
    def test_cancels_what_is_owed_and_returns_what_was_taken_or_repaid(
        self, account, charged, repaid, given, lifted, after
    ):
        """6 were taken and 4 owed; newer credits have repaid none, 3 or all of them."""
        claw_back(account)
        if repaid != "0":
            give(account, repaid, "newer", label="newer")
        made = restore(account)
        assert (plain(made.credits), plain(-made.debt)) == (given, lifted)
        assert amounts(account) == after
        assert parts(made.detail) == [("pack", given, plain(-D(lifted)))]
        with pytest.raises(ledger.AlreadyRestored):
            restore(account, "twice")
        assert broken([account]) == []

    @pytest.mark.parametrize(
        ("repaid", "first", "second"),
        [
            ("0", ("0", "-5"), ("0", "-7")),
            ("8", ("1", "-4"), ("7", "0")),
            ("5", ("0", "-5"), ("5", "-2")),
        ],
    )
    def test_of_two_grants_cancels_the_debt_that_is_left_once(self, account, repaid, first, second):
        """5 and 7 are owed, of which newer credits have repaid a part."""
        for label, amount in (("first", "5"), ("second", "7")):
            give(account, amount, label, label=label, purchase_id=PURCHASE)
        spend(account, "12")
        claw_back(account)
        if repaid != "0":
            give(account, repaid, "newer")
        assert parts(restore(account).detail) == [("first", *first), ("second", *second)]
        assert amounts(account) == (repaid, "0", "0")
        assert broken([account]) == []

    def test_of_two_grants_repays_the_debt_of_another_claw_back_once(self, account):
        for label, amount in (("first", "5"), ("second", "7")):
            give(account, amount, label, label=label, purchase_id=PURCHASE)
        claw_back(account)
        give(account, "9", "other", label="other", purchase_id=OTHER)
        spend(account, "9", "spent")
        claw_back(account, "other", purchase_id=OTHER)
        assert amounts(account) == ("0", "0", "9")
        restore(account)
        assert amounts(account) == ("3", "0", "0"), "5 and 4 of the 12 that return repay"
        assert broken([account]) == []

    def test_repays_the_debt_of_another_claw_back(self, account, charged):
        claw_back(account)  # 6 taken, 4 owed
        owe_more = {"purchase_id": OTHER}
        give(account, "9", "other", label="other", **owe_more)  # repays 4
        spend(account, "5", "spent")
        claw_back(account, "other", **owe_more)
        assert amounts(account) == ("0", "0", "9")
        restore(account)
        assert amounts(account) == ("1", "0", "0"), "4 are lifted; 6 return, of which 5 repay"

    def test_after_the_grant_ended_opens_one_for_thirty_days(self, account):
        give(account, "10", "pack", services=["gpt-4o"], purchase_id=PURCHASE, expires_at=NOON + DAY)
        claw_back(account)
        restore(account, now=NOON + DAY)
        row = Grant.objects.get(label="Returned credits")
        assert (row.kind, row.remaining, row.services, row.purchase_id, row.expires_at) == (
            "adjustment", D("10"), ["gpt-4o"], PURCHASE, NOON + 31 * DAY,
        )  # fmt: skip
        assert (row.reason, row.actor) == ("why", "staff:ada")
        assert Wallet.objects.get().next_due_at == NOON + 31 * DAY

    def test_makes_the_purchase_claimable_again(self, account, charged):
        claw_back(account)
        restore(account)
        again = claw_back(account, "again")
        assert (plain(again.credits), plain(again.debt)) == ("6", "4")
        with pytest.raises(ledger.AlreadyRestored):
            restore(account, "late")
        assert restore(account, "second", undo="again").credits == D("6")
