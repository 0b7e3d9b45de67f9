"""Corrections: reversals, claw-backs, restorations, adjustments."""

import uuid

import pytest

from billing import ledger
from billing.ledger.models import Charge, Entry, Grant
from tests.billing.ledger.conftest import DAY, NOON, D, give, spend

pytestmark = pytest.mark.django_db


def reverse(account, charged, amount: str | None = None, key: str = "reverse", now=NOON):
    asked = None if amount is None else D(amount)
    return ledger.reverse(
        account_id=account, charge_id=charged.charge_id, credits=asked, key=key, reason="failed call", now=now
    )


def claw_back(account, purchase, key: str = "refund", **terms):
    return ledger.claw_back(
        account_id=account, purchase_id=purchase, key=key, reason="refunded", now=NOON, **terms
    )


def restore(account, key: str = "won", undo: str = "refund"):
    return ledger.restore(account_id=account, claw_back_key=undo, key=key, reason="won", now=NOON)


def remaining() -> dict[str, object]:
    return {grant.label: grant.remaining for grant in Grant.objects.all()}


class TestReverse:
    def test_gives_the_credits_back_to_the_grants_they_came_from_last_drawn_first(self, account):
        give(account, "3", "a", label="a", expires_at=NOON + DAY)
        give(account, "5", "b", label="b")
        charged = spend(account, "7")
        reverse(account, charged, "5")
        assert remaining() == {"a": D("1"), "b": D("5")}
        assert Charge.objects.get().status == "partly_reversed"
        reverse(account, charged, key="rest")
        assert remaining() == {"a": D("3"), "b": D("5")}
        assert Charge.objects.get().status == "reversed"

    def test_gives_a_fresh_grant_where_the_old_one_has_expired(self, account):
        give(account, "5", services=["gpt-4o"], expires_at=NOON + DAY)
        charged = spend(account, "4")
        later = NOON + 2 * DAY
        reverse(account, charged, now=later)
        grant = ledger.balance(account, later).grants[0]
        assert (grant.kind, grant.remaining, grant.services) == ("adjustment", D("4"), ["gpt-4o"])
        assert grant.expires_at == later + 30 * DAY

    def test_is_made_once_for_its_key_and_never_beyond_the_charge(self, account):
        give(account, "5")
        charged = spend(account, "4")
        assert reverse(account, charged).balance_after == D("5")
        assert reverse(account, charged).replayed
        with pytest.raises(ledger.NotReversible) as refusal:
            reverse(account, charged, "0.000001", "again")
        assert refusal.value.left == 0
        with pytest.raises(ledger.UnknownCharge):
            ledger.reverse(account_id=account, charge_id=uuid.uuid4(), key="x", reason="r", now=NOON)


@pytest.mark.fault("P13")
class TestClawBack:
    def test_takes_the_unspent_and_books_the_rest_as_debt_that_stops_spending(self, account):
        purchase = uuid.uuid4()
        give(account, "100", purchase_id=purchase, now=NOON - DAY)
        give(account, "10", "other")
        spend(account, "70")
        taken = claw_back(account, purchase)
        assert (taken.credits, taken.debt, taken.balance_after) == (D("30"), D("70"), D("10"))
        with pytest.raises(ledger.InDebt):
            spend(account, "1", "next")

    def test_new_credits_repay_the_debt_first(self, account):
        purchase = uuid.uuid4()
        give(account, "100", purchase_id=purchase)
        spend(account, "70")
        claw_back(account, purchase)
        granted = give(account, "50", "first")
        assert (granted.repaid, granted.balance_after) == (D("50"), 0)
        granted = give(account, "50", "second")
        assert (granted.repaid, granted.balance_after) == (D("20"), D("30"))
        assert ledger.balance(account, NOON).debt == 0
        assert spend(account, "30", "free again").balance_after == 0

    def test_a_replayed_grant_answers_what_it_repaid_and_the_balance_then(self, account):
        purchase = uuid.uuid4()
        give(account, "100", purchase_id=purchase)
        spend(account, "70")
        claw_back(account, purchase)
        first = give(account, "90", "new")
        spend(account, "5", "later")
        again = give(account, "90", "new")
        assert (again.repaid, again.balance_after, again.replayed) == (D("70"), D("20"), True)
        assert (again.grant_id, again.repaid) == (first.grant_id, first.repaid)

    @pytest.mark.fault("P14")
    def test_restoring_undoes_exactly_that(self, account):
        purchase = uuid.uuid4()
        give(account, "100", purchase_id=purchase)
        spend(account, "70")
        claw_back(account, purchase)
        give(account, "50", "newer")
        back = restore(account)
        balance = ledger.balance(account, NOON)
        assert (balance.total, balance.debt) == (D("80"), 0), "30 unspent and 50 that had repaid"
        assert back.credits == D("80")
        assert restore(account).replayed
        with pytest.raises(ledger.AlreadyRestored, match="has been restored already"):
            restore(account, "twice")
        with pytest.raises(ledger.UnknownClawBack):
            restore(account, "x", undo="nothing")

    @pytest.mark.fault("P12", "P14")
    def test_a_second_claw_back_of_the_purchase_takes_only_what_the_first_left(self, account):
        purchase = uuid.uuid4()
        give(account, "100", purchase_id=purchase)
        spend(account, "70")
        first = claw_back(account, purchase, "partial", credits=D("50"))
        assert (first.credits, first.debt) == (D("30"), D("20"))
        second = claw_back(account, purchase, "dispute")
        assert (second.credits, second.debt) == (0, D("50"))
        assert claw_back(account, purchase, "again").debt == 0

    def test_only_the_unspent_can_be_asked_for(self, account):
        purchase = uuid.uuid4()
        give(account, "100", purchase_id=purchase)
        spend(account, "70")
        taken = claw_back(account, purchase, unspent_only=True)
        assert (taken.credits, taken.debt) == (D("30"), 0)

    def test_held_credits_of_a_refunded_purchase_repay_when_they_come_back(self, account):
        import datetime as dt

        from tests.billing.ledger.conftest import charge_request

        purchase = uuid.uuid4()
        give(account, "100", purchase_id=purchase)
        soon = NOON + dt.timedelta(minutes=1)
        ledger.hold(charge_request(account, "40", "hold"), expires_at=soon, now=NOON)
        assert claw_back(account, purchase).debt == D("40")
        balance = ledger.balance(account, soon)
        assert (balance.total, balance.debt) == (0, 0)


class TestAdjust:
    def test_gives_or_takes_with_a_reason_and_an_actor(self, account):
        ledger.adjust(account_id=account, credits=D("5"), key="a", reason="goodwill", actor="staff", now=NOON)
        ledger.adjust(account_id=account, credits=D("-2"), key="b", reason="mistake", actor="staff", now=NOON)
        assert ledger.balance(account, NOON).total == D("3")
        entry = Entry.objects.filter(grant__isnull=False).order_by("seq").last()
        assert (entry.kind, entry.credits, entry.reason, entry.actor) == (
            "adjust",
            D("-2"),
            "mistake",
            "staff",
        )

    def test_never_takes_more_than_the_balance(self, account):
        with pytest.raises(ledger.InsufficientCredits):
            ledger.adjust(account_id=account, credits=D("-2"), key="b", reason="r", actor="s", now=NOON)

    def test_needs_a_reason(self, account):
        with pytest.raises(ValueError, match="reason"):
            ledger.adjust(account_id=account, credits=D("2"), key="b", reason=" ", actor="s", now=NOON)


def test_a_restoration_cancels_the_open_debt_before_it_returns_credits_to_their_grants(account):
    purchase, later = uuid.uuid4(), NOON + 4 * DAY
    give(account, "1", "pack", label="pack", purchase_id=purchase)
    give(account, "2", "bonus", label="bonus", kind="bonus", purchase_id=purchase, expires_at=NOON + DAY)
    charged = spend(account, "1")
    reverse(account, charged, now=later)  # the bonus has ended: its credit comes back as a new grant
    spend(account, "1", "again", now=later)
    take = {"account_id": account, "purchase_id": purchase, "reason": "dispute"}
    ledger.claw_back(key="dispute", now=later, **take)
    ledger.restore(account_id=account, claw_back_key="dispute", key="won", reason="won", now=later)
    grants = Grant.objects.order_by("created_at", "id")
    assert [grant.remaining for grant in grants] == [1, 0, 0]  # the pack, the bonus, the returned credit
    assert ledger.balance(account, later).debt == 0


def test_the_same_key_of_two_kinds_makes_two_corrections(account):
    """Each kind has its own keys: an adjustment is not taken for the replay of a reversal."""
    purchase = uuid.uuid4()
    give(account, "10", purchase_id=purchase)
    charged = spend(account, "4")
    assert reverse(account, charged, key="same").credits == D("4")
    terms = {"key": "same", "reason": "goodwill", "actor": "staff", "now": NOON}
    adjusted = ledger.adjust(account_id=account, credits=D("5"), **terms)
    assert (adjusted.credits, adjusted.replayed, adjusted.balance_after) == (D("5"), False, D("15"))
    assert claw_back(account, purchase, "same").credits == D("10")
    assert restore(account, "same", undo="same").credits == D("10")
    assert reverse(account, charged, key="same").replayed
    assert ledger.adjust(account_id=account, credits=D("5"), **terms).replayed


def test_a_reversal_and_a_restoration_with_one_key_each_open_their_own_grant(account):
    purchase, later = uuid.uuid4(), NOON + 2 * DAY
    give(account, "10", purchase_id=purchase, expires_at=NOON + DAY)
    charged = spend(account, "4")
    claw_back(account, purchase)
    ledger.reverse(account_id=account, charge_id=charged.charge_id, key="same:1", reason="r", now=later)
    ledger.restore(account_id=account, claw_back_key="refund", key="same", reason="won", now=later)
    assert ledger.balance(account, later).total == D("10")
