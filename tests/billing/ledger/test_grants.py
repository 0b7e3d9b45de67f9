"""Grants: what is stored of them, which are refused, the order in which they are spent, repayment of debt."""

import datetime as dt
import uuid
from decimal import Decimal

import pytest

from billing import ledger
from billing.ledger.models import Entry, Grant, Wallet
from core.amounts import plain
from tests.billing.ledger.conftest import DAY, NOON, D, give, hold, new_account, owe, spend
from tests.billing.ledger.state import broken
from tests.billing.ledger.statement import amounts, entries, grants

pytestmark = pytest.mark.django_db
HOUR, INSTANT = dt.timedelta(hours=1), dt.timedelta(microseconds=1)


def spent_first(account) -> list[str]:
    """The labels of the grants in spending order."""
    return [grant.label for grant in ledger.balance(account, NOON).grants]


class TestWhatIsStored:
    TERMS = {
        "kind": "promotion", "label": "Spring", "expires_at": NOON + DAY, "services": ["veo", "tag:video"],
        "priority": 7, "reason": "campaign", "purchase_id": uuid.UUID(int=3), "actor": "staff:ada",
        "fingerprint": b"body",
    }  # fmt: skip

    def test_every_column(self, account):
        granted = give(account, "12.5", "spring", **self.TERMS)
        row = Grant.objects.get()
        assert (row.pk, row.account_id, row.idempotency_key, bytes(row.fingerprint)) == (
            granted.grant_id, account, "spring", b"body",
        )  # fmt: skip
        assert (row.kind, row.label, row.priority, row.expires_at, row.services) == (
            "promotion", "Spring", 7, NOON + DAY, ["veo", "tag:video"],
        )  # fmt: skip
        assert (row.credits, row.remaining, row.held, row.spent, row.repaid, row.balance_after) == (
            D("12.5"), D("12.5"), 0, 0, 0, D("12.5"),
        )  # fmt: skip
        assert (row.reason, row.actor, row.purchase_id, row.allowance, row.created_at) == (
            "campaign", "staff:ada", uuid.UUID(int=3), "", NOON,
        )  # fmt: skip
        assert (row.open, row.first_seq, row.last_seq) == (True, 1, 1)
        assert entries(account) == ["0 grant Spring 12.5 = 12.5 / 12.5 because campaign by staff:ada"]
        assert Wallet.objects.get().next_due_at == NOON + DAY

    @pytest.mark.parametrize(
        ("kind", "priority"),
        [
            ("daily", 10), ("plan", 20), ("bonus", 30), ("promotion", 30), ("referral", 30),
            ("adjustment", 35), ("top_up", 40),
        ],
    )  # fmt: skip
    def test_the_priority_follows_the_kind_unless_it_is_given(self, account, kind, priority):
        give(account, "1", "by kind", kind=kind)
        give(account, "1", "given", kind=kind, priority=3)
        give(account, "1", "zero", kind=kind, priority=0)
        assert list(Grant.objects.order_by("first_seq").values_list("priority", flat=True)) == [
            priority,
            3,
            0,
        ]

    def test_a_balance_shows_what_is_stored(self, account):
        granted = give(account, "12.5", "spring", **self.TERMS)
        hold(account, "2", covers=("tag:video",))
        (grant,) = ledger.balance(account, NOON).grants
        assert (grant.id, grant.public_id) == (granted.grant_id, Grant.objects.get().public_id)
        assert (grant.kind, grant.label, grant.credits, grant.remaining, grant.held) == (
            "promotion", "Spring", D("12.5"), D("10.5"), D("2"),
        )  # fmt: skip
        assert (grant.expires_at, grant.services, grant.allowance, grant.purchase_id) == (
            NOON + DAY, ["veo", "tag:video"], "", uuid.UUID(int=3),
        )  # fmt: skip


class TestReplays:
    def test_the_same_key_answers_the_first_figures_and_another_body_is_refused(self, account):
        first = give(account, "10", "one", fingerprint=b"a")
        give(account, "5", "two")
        spend(account, "3")
        again = give(account, "10", "one", fingerprint=b"a", now=NOON + HOUR)
        assert (again.grant_id, again.balance_after, again.repaid) == (first.grant_id, D("10"), 0)
        assert (first.replayed, again.replayed) == (False, True)
        with pytest.raises(ledger.KeyReused):
            give(account, "10", "one", fingerprint=b"b")
        assert amounts(account) == ("12", "0", "0")

    def test_keys_of_another_account_are_its_own(self, account):
        other = new_account()
        assert not give(account, "10", "one", fingerprint=b"a").replayed
        assert not give(other, "10", "one", fingerprint=b"b").replayed

    def test_a_replay_is_answered_also_where_a_new_grant_would_be_refused(self, account):
        first = give(account, "10", "one", expires_at=NOON + DAY, most_open=1)
        again = give(account, "10", "one", expires_at=NOON + DAY, now=NOON + 2 * DAY, most_open=1)
        assert (again.replayed, again.grant_id) == (True, first.grant_id)


class TestRefusals:
    def test_an_expiry_at_this_instant_or_before(self, account):
        for ends in NOON, NOON - INSTANT:
            with pytest.raises(ledger.AlreadyExpired) as refusal:
                give(account, "1", "late", expires_at=ends)
            assert refusal.value.expires_at == ends
        assert Grant.objects.count() == 0
        assert give(account, "1", "late", expires_at=NOON + INSTANT).balance_after == D("1")

    def test_an_expiry_before_the_wallets_newest_entry(self, account):
        give(account, "1", "newest", now=NOON + HOUR)
        with pytest.raises(ledger.AlreadyExpired):
            give(account, "1", "late", expires_at=NOON + HOUR)

    def test_more_open_grants_than_are_allowed(self, account):
        give(account, "1", "a", most_open=2)
        give(account, "1", "b", most_open=2)
        with pytest.raises(ledger.TooManyGrants) as refusal:
            give(account, "1", "c", most_open=2)
        assert refusal.value.most == 2
        assert give(account, "1", "b", most_open=2).replayed
        give(new_account(), "1", "c", most_open=1)
        spend(account, "1")
        give(account, "1", "c", most_open=2)

    @pytest.mark.parametrize("amount", ["0", "-1", "0.0000001", "NaN"])
    def test_an_amount_that_is_none(self, account, amount):
        with pytest.raises(ledger.AmountInvalid):
            give(account, amount)
        assert not Grant.objects.exists()


class TestSpendingOrder:
    def test_a_lower_number_before_a_sooner_expiry(self, account):
        give(account, "1", "a", label="late", priority=10, expires_at=NOON + 9 * DAY)
        give(account, "1", "b", label="soon", priority=11, expires_at=NOON + DAY)
        assert spent_first(account) == ["late", "soon"]

    def test_a_sooner_expiry_before_an_older_grant_and_never_expiring_last(self, account):
        give(account, "1", "a", label="forever", now=NOON - 9 * DAY)
        give(account, "1", "b", label="late", expires_at=NOON + 9 * DAY, now=NOON - DAY)
        give(account, "1", "c", label="soon", expires_at=NOON + DAY)
        assert spent_first(account) == ["soon", "late", "forever"]

    def test_an_older_grant_before_a_smaller_id_and_the_id_at_one_instant(self, account):
        for n in range(6):
            give(account, "1", f"grant {n}", label=f"{n}", now=NOON - DAY if n == 5 else NOON - 2 * DAY)
        ids = Grant.objects.exclude(label="5").order_by("id").values_list("label", flat=True)
        assert spent_first(account) == [*ids, "5"]

    def test_a_scoped_grant_keeps_its_place_among_those_that_cover_the_use(self, account):
        give(account, "2", "a", label="videos", priority=1, services=["tag:video"])
        give(account, "2", "b", label="this", priority=2, services=["other", "gpt-4o"])
        give(account, "2", "c", label="texts", priority=3, services=["tag:text"])
        give(account, "2", "d", label="all", priority=4)
        spend(account, "5")
        assert {name: row[0] for name, row in grants(account).items()} == {
            "videos": "2", "this": "0", "texts": "0", "all": "1",
        }  # fmt: skip
        with pytest.raises(ledger.InsufficientCredits) as refusal:
            spend(account, "1.5", "more")
        assert refusal.value.available == D("1")
        balance = ledger.balance(account, NOON)
        assert (balance.available, balance.limited, balance.total) == (D("1"), D("2"), D("3"))
        assert balance.spendable_on(["tag:video"]) == D("3")
        assert balance.spendable_on([]) == D("1")

    def test_the_entries_of_a_charge_over_several_grants(self, account):
        give(account, "2", "a", label="day", kind="daily")
        give(account, "3", "b", label="plan", kind="plan")
        give(account, "4", "c", label="pack")
        charged = spend(account, "5.5", "use", NOON + HOUR)
        assert [(part.kind, plain(part.credits)) for part in charged.drawn] == [
            ("daily", "2"), ("plan", "3"), ("top_up", "0.5"),
        ]  # fmt: skip
        assert entries(account, after=3) == [
            "60 charge day -2 = 0 / 7 charge use",
            "60 charge plan -3 = 0 / 4 charge use",
            "60 charge pack -0.5 = 3.5 / 3.5 charge use",
        ]
        assert grants(account) == {
            "day": ("0", "0", "2", False), "plan": ("0", "0", "3", False), "pack": ("3.5", "0", "0.5", True),
        }  # fmt: skip

    def test_a_charge_that_empties_a_grant_takes_nothing_from_the_next(self, account):
        give(account, "2", "a", label="first", priority=1)
        give(account, "3", "b", label="second")
        charged = spend(account, "2")
        assert len(charged.drawn) == 1
        assert entries(account, after=2) == ["0 charge first -2 = 0 / 3 charge use"]


class TestRepayment:
    @pytest.mark.parametrize(
        ("amount", "repaid", "balance", "debt"),
        [("2", "2", "0", "3"), ("5", "5", "0", "0"), ("8.5", "5", "3.5", "0")],
    )
    def test_new_credits_repay_debt_first(self, account, amount, repaid, balance, debt):
        owe(account, "5")
        since = Wallet.objects.get().seq
        granted = give(account, amount, "new", label="new", expires_at=NOON + DAY)
        assert (plain(granted.repaid), plain(granted.balance_after)) == (repaid, balance)
        assert amounts(account) == (balance, "0", debt)
        row = Grant.objects.get(label="new")
        assert (plain(row.repaid), plain(row.spent), plain(row.remaining)) == (repaid, repaid, balance)
        assert row.open is (balance != "0")
        assert entries(account, since) == [
            f"0 grant new {amount} = {amount} / {amount}",
            f"0 repay new -{repaid} = {balance} / {balance} debt -{repaid}",
        ]
        assert broken([account]) == []

    def test_credits_that_the_account_has_do_not_repay(self, account):
        give(account, "10", "own")
        owe(account, "5")
        assert amounts(account) == ("10", "0", "5")
        with pytest.raises(ledger.InDebt) as refusal:
            spend(account, "1", "use")
        assert (refusal.value.needed, refusal.value.debt) == (D("1"), D("5"))
        give(account, "5", "new")
        assert spend(account, "10", "use").balance_after == 0

    def test_the_entries_are_in_one_chain(self, account):
        owe(account, "5")
        give(account, "7", "new")
        seqs = list(Entry.objects.order_by("seq").values_list("seq", flat=True))
        assert seqs == list(range(1, len(seqs) + 1))
        assert sum(Entry.objects.values_list("debt", flat=True), Decimal(0)) == 0
