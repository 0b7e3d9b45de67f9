"""What corrections store, answer and repeat, and which entries they write."""

import datetime as dt
import uuid
from typing import Any

import pytest

from billing import ledger
from billing.ledger.models import Correction, Entry, Grant, Wallet
from core.amounts import plain
from tests.billing.ledger.conftest import DAY, NOON, D, give, hold, new_account, owe, spend
from tests.billing.ledger.state import broken
from tests.billing.ledger.statement import amounts, entries, grants

pytestmark = pytest.mark.django_db
HOUR, INSTANT = dt.timedelta(hours=1), dt.timedelta(microseconds=1)
PURCHASE, OTHER = uuid.UUID(int=3), uuid.UUID(int=4)
LATER = NOON + HOUR


def of(account, **terms: Any) -> dict[str, Any]:
    return {"account_id": account, "reason": "why", "actor": "staff:ada", "now": LATER} | terms


def reverse(account, charged, amount: str | None = None, key: str = "key", **terms: Any):
    credits = None if amount is None else D(amount)
    return ledger.reverse(charge_id=charged.charge_id, credits=credits, key=key, **of(account, **terms))


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


class Made:
    """Each kind of correction once, on an account whose purchase gave 10, of which 4 are spent."""

    @staticmethod
    def reverse(account, charged, **terms):
        return reverse(account, charged, "3", **terms)

    @staticmethod
    def claw_back(account, charged, **terms):
        return claw_back(account, **terms)

    @staticmethod
    def restore(account, charged, **terms):
        if not Correction.objects.filter(kind="claw_back").exists():
            claw_back(account)
        return restore(account, **terms)

    @staticmethod
    def adjust(account, charged, **terms):
        return adjust(account, "2", **terms)

    @staticmethod
    def taken(account, charged, **terms):
        return adjust(account, "-2", **terms)


EXPECTED = {
    # credits, debt, balance after, lines
    "reverse": ("3", "0", "9", [("pack", "3", "0")]),
    "claw_back": ("6", "4", "0", [("pack", "6", "4")]),
    "restore": ("6", "-4", "6", [("pack", "6", "-4")]),
    "adjust": ("2", "0", "8", [("Adjustment", "2", "0")]),
    "taken": ("-2", "0", "4", [("pack", "-2", "0")]),
}
EACH = pytest.mark.parametrize("way", list(EXPECTED))


@pytest.fixture
def charged(account):
    give(account, "10", "pack", label="pack", purchase_id=PURCHASE)
    return spend(account, "4", "charge")


@EACH
def test_every_column_and_figure(account, charged, way):
    made = getattr(Made, way)(account, charged, fingerprint=b"body")
    credits, debt, balance, lines = EXPECTED[way]
    kind = "adjust" if way == "taken" else way
    row = Correction.objects.get(kind=kind)
    assert (plain(made.credits), plain(made.debt), plain(made.balance_after)) == (credits, debt, balance)
    assert (plain(row.credits), plain(row.debt), plain(row.balance_after)) == (credits, debt, balance)
    assert parts(made.detail) == parts(row.detail) == lines
    assert (row.pk, row.account_id, row.idempotency_key, bytes(row.fingerprint)) == (
        made.correction_id, account, "key", b"body",
    )  # fmt: skip
    assert (row.reason, row.actor, row.created_at, made.created_at) == ("why", "staff:ada", LATER, LATER)
    assert row.charge_id == (charged.charge_id if way == "reverse" else None)
    assert row.purchase_id == (PURCHASE if way in {"claw_back", "restore"} else None)
    assert row.undone_by_id is None
    if way == "restore":
        assert Correction.objects.get(kind="claw_back").undone_by_id == row.pk
    own = Entry.objects.filter(account_id=account).order_by("seq").last()
    assert (own.kind, own.credits, own.grant_id, own.reason, own.actor, own.created_at) == (
        "correct", 0, None, "why", "staff:ada", LATER,
    )  # fmt: skip
    assert own.charge_id == row.charge_id
    assert made.replayed is False
    assert broken([account]) == []


@EACH
def test_the_same_key_answers_the_same_and_another_body_is_refused(account, charged, way):
    first = getattr(Made, way)(account, charged, fingerprint=b"one")
    give(account, "50", "later", now=LATER)
    seq = Wallet.objects.get().seq
    again = getattr(Made, way)(account, charged, fingerprint=b"one", now=LATER + HOUR)
    assert again.replayed
    for name in ("correction_id", "credits", "debt", "balance_after", "detail", "created_at"):
        assert getattr(again, name) == getattr(first, name), name
    with pytest.raises(ledger.KeyReused):
        getattr(Made, way)(account, charged, fingerprint=b"two")
    assert Wallet.objects.get().seq == seq


@EACH
def test_the_keys_of_another_account_are_its_own(account, charged, way):
    getattr(Made, way)(account, charged, fingerprint=b"one")
    other = new_account()
    give(other, "10", "pack", label="pack", purchase_id=OTHER)
    used = spend(other, "4", "charge")
    terms = {} if way in {"adjust", "taken", "reverse"} else {"purchase_id": OTHER}
    if way == "restore":
        claw_back(other, **terms)
        assert restore(other).credits == D("6")
    else:
        assert not getattr(Made, way)(other, used, fingerprint=b"two", **terms).replayed
    assert Correction.objects.filter(account_id=other).exists()


class TestEntries:
    def test_of_a_reversal(self, account, charged):
        reverse(account, charged)
        assert entries(account, after=2) == [
            "60 reverse pack 4 = 10 / 10 charge charge because why by staff:ada"
        ]
        assert grants(account)["pack"] == ("10", "0", "0", True)

    def test_of_a_claw_back_and_its_restoration(self, account, charged):
        claw_back(account)
        restore(account, now=LATER + HOUR)
        assert entries(account, after=2) == [
            "60 claw_back pack -6 = 0 / 0 debt 4 because why by staff:ada",
            "120 restore pack 0 = 0 / 0 debt -4 because why by staff:ada",
            "120 restore pack 6 = 6 / 6 because why by staff:ada",
        ]
        assert grants(account)["pack"] == ("6", "0", "4", True)

    def test_of_an_adjustment_that_repays_debt(self, account):
        owe(account, "5")
        since = Wallet.objects.get().seq
        made = adjust(account, "7")
        assert (plain(made.credits), plain(made.balance_after), parts(made.detail)) == (
            "7", "2", [("Adjustment", "7", "0")],
        )  # fmt: skip
        assert entries(account, since) == [
            "60 adjust Adjustment 7 = 7 / 7 because why by staff:ada",
            "60 repay Adjustment -5 = 2 / 2 debt -5",
        ]

    def test_of_a_reversal_in_debt(self, account, charged):
        give(account, "3", "own", label="own")
        claw_back(account, "refund")
        reverse(account, charged, "3")
        assert entries(account, after=5) == [
            "60 reverse pack 3 = 3 / 6 charge charge because why by staff:ada",
            "60 repay pack -3 = 0 / 3 debt -3",
        ]
        assert amounts(account) == ("3", "0", "1")


class TestAdjust:
    def test_given_credits_are_a_grant_of_their_own(self, account):
        adjust(account, "5")
        row = Grant.objects.get()
        assert (row.kind, row.label, row.priority, row.expires_at, row.services, row.purchase_id) == (
            "adjustment", "Adjustment", 35, None, None, None,
        )  # fmt: skip
        assert (row.credits, row.remaining, row.reason, row.actor, row.created_at) == (
            D("5"), D("5"), "why", "staff:ada", LATER,
        )  # fmt: skip
        assert row.idempotency_key == "adjust:key"

    def test_taken_credits_come_from_every_grant_in_spending_order(self, account):
        give(account, "2", "a", label="day", kind="daily")
        give(account, "3", "b", label="images", kind="bonus", services=["tag:image"])
        give(account, "4", "c", label="pack")
        made = adjust(account, "-6")
        assert parts(made.detail) == [("day", "-2", "0"), ("images", "-3", "0"), ("pack", "-1", "0")]
        assert entries(account, after=3) == [
            "60 adjust day -2 = 0 / 7 because why by staff:ada",
            "60 adjust images -3 = 0 / 4 because why by staff:ada",
            "60 adjust pack -1 = 3 / 3 because why by staff:ada",
        ]
        assert grants(account)["pack"] == ("3", "0", "0", True), "what staff take is not spent"

    def test_that_exceeds_the_balance_is_refused_with_both_figures(self, account):
        give(account, "5", "pack")
        hold(account, "2", until=NOON + DAY)
        with pytest.raises(ledger.InsufficientCredits) as refusal:
            adjust(account, "-3.000001")
        assert (refusal.value.needed, refusal.value.available) == (D("3.000001"), D("3"))
        assert adjust(account, "-3").balance_after == 0
        assert amounts(account) == ("0", "2", "0")

    def test_credits_that_ended_cannot_be_taken(self, account):
        give(account, "5", "pack", expires_at=LATER)
        with pytest.raises(ledger.InsufficientCredits) as refusal:
            adjust(account, "-1")
        assert refusal.value.available == 0

    def test_nothing_is_no_amount(self, account):
        for amount in "0", "-0.0000001":
            with pytest.raises(ledger.AmountInvalid):
                adjust(account, amount)

    @pytest.mark.parametrize("reason", ["", "  "])
    def test_needs_a_reason(self, account, reason):
        with pytest.raises(ValueError, match="reason"):
            adjust(account, "1", reason=reason)


class TestReverse:
    def test_of_somebody_elses_charge_is_unknown(self, account, charged):
        with pytest.raises(ledger.UnknownCharge):
            reverse(new_account(), charged)

    @pytest.mark.parametrize(
        ("returned", "left"),
        [
            (["1"], {"a": "0", "b": "0", "c": "8"}),
            (["2"], {"a": "0", "b": "0", "c": "9"}),
            (["2", "3"], {"a": "0", "b": "3", "c": "9"}),
            (["3", "3"], {"a": "1", "b": "3", "c": "9"}),
            (["1", "3", "3"], {"a": "2", "b": "3", "c": "9"}),
        ],
    )
    def test_parts_return_from_the_last_drawn_to_the_first(self, account, returned, left):
        """A charge of 7 drew 2, 3 and 2."""
        for label, amount, priority in ("a", "2", 1), ("b", "3", 2), ("c", "9", 3):
            give(account, amount, label, label=label, priority=priority)
        charged = spend(account, "7")
        for n, part in enumerate(returned):
            assert plain(reverse(account, charged, part, f"part {n}").credits) == part
        assert {name: row[0] for name, row in grants(account).items()} == left
        open_ = D("7") - sum(map(D, returned))
        with pytest.raises(ledger.NotReversible) as refusal:
            reverse(account, charged, str(open_ + D("0.000001")), "too much")
        assert refusal.value.left == open_
        assert broken([account]) == []

    @pytest.mark.parametrize("now", [NOON + DAY - INSTANT, NOON + DAY])
    def test_at_the_end_of_the_grant(self, account, now):
        """In the instant of its end a grant takes no credits back."""
        give(
            account, "5", "pack", label="pack", services=["gpt-4o"], expires_at=NOON + DAY, purchase_id=OTHER
        )
        reverse(account, spend(account, "4"), now=now)
        if now < NOON + DAY:
            assert grants(account) == {"pack": ("5", "0", "0", True)}
            return
        row = Grant.objects.get(label="Returned credits")
        assert (row.kind, row.credits, row.remaining, row.priority) == ("adjustment", D("4"), D("4"), 35)
        assert (row.expires_at, row.services, row.purchase_id) == (now + 30 * DAY, ["gpt-4o"], OTHER)
        assert (row.reason, row.actor, row.created_at) == ("why", "staff:ada", now)
        assert grants(account)["pack"] == ("0", "0", "0", False), "it has no longer spent them"
        assert Wallet.objects.get().next_due_at == now + 30 * DAY
        assert ledger.balance(account, now + 30 * DAY).total == 0

    def test_a_very_long_key_has_new_grants_too(self, account):
        give(account, "5", "pack", expires_at=NOON + DAY)
        charged = spend(account, "4")
        for n in range(2):
            reverse(account, charged, "1", "k" * 254 + str(n), now=NOON + DAY)
        reverse(account, charged, "1", "k" * 200, now=NOON + DAY)
        returned = Grant.objects.filter(label="Returned credits")
        assert returned.count() == 3
        assert max(len(one.idempotency_key) for one in returned) <= 300
