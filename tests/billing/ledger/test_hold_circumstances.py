"""Holds on several grants, on grants for some services, in debt, and captured above what there is."""

import datetime as dt
import uuid
from typing import Any

import pytest
from django.db import connection

from billing import ledger
from billing.ledger.models import Charge, Hold, Wallet
from core.amounts import plain
from tests.billing.ledger.conftest import (
    NOON,
    D,
    capture,
    give,
    hold,
    owe,
    release,
    spend,
)
from tests.billing.ledger.state import broken
from tests.billing.ledger.statement import amounts, entries, grants

pytestmark = pytest.mark.django_db
MINUTE, HOUR, INSTANT = dt.timedelta(minutes=1), dt.timedelta(hours=1), dt.timedelta(microseconds=1)
PROJECT, MEMBER, KEY = (uuid.UUID(int=n) for n in (11, 12, 13))
EVERYONE = {"project_id": PROJECT, "member_id": MEMBER, "api_key_id": KEY, "quota": ("files", 2)}
ALL_LIMITS = {"project": str(PROJECT), "member": str(MEMBER), "key": str(KEY), "quota": "files"}


def drawn(use: Any) -> list[tuple[str, str]]:
    return [(one.kind, plain(one.credits)) for one in use.drawn]


class TestSeveralGrants:
    """A hold of 7 on a daily grant of 3 and a pack of 5, which leaves 1 of the pack."""

    @pytest.fixture
    def held(self, account):
        give(account, "5", "pack", label="pack")
        give(account, "3", "day", label="day", kind="daily")
        return hold(account, "7")

    def test_the_hold_reserves_them_in_spending_order(self, account, held):
        assert drawn(held) == [("daily", "3"), ("top_up", "4")]
        assert grants(account) == {"day": ("0", "3", "0", False), "pack": ("1", "4", "0", True)}
        assert amounts(account) == ("1", "7", "0")
        assert entries(account, after=2) == [
            "0 hold day -3 = 0 / 5 hold hold",
            "0 hold pack -4 = 1 / 1 hold hold",
        ]

    @pytest.mark.parametrize(
        ("amount", "parts", "day", "pack"),
        [
            ("2", [("daily", "2")], ("1", "0", "2", True), ("5", "0", "0", True)),
            ("3", [("daily", "3")], ("0", "0", "3", False), ("5", "0", "0", True)),
            ("5", [("daily", "3"), ("top_up", "2")], ("0", "0", "3", False), ("3", "0", "2", True)),
            ("7", [("daily", "3"), ("top_up", "4")], ("0", "0", "3", False), ("1", "0", "4", True)),
            (
                "8",
                [("daily", "3"), ("top_up", "5")],
                ("0", "0", "3", False),
                ("0", "0", "5", False),
            ),
        ],
    )
    def test_a_capture_uses_the_held_credits_first_in_the_same_order(
        self, account, held, amount, parts, day, pack
    ):
        charged = capture(account, held, amount)
        assert drawn(charged) == parts
        assert (plain(charged.balance_before), charged.balance_after) == ("8", D("8") - D(amount))
        assert charged.uncollected == 0
        assert grants(account) == {"day": day, "pack": pack}
        assert amounts(account) == (plain(D("8") - D(amount)), "0", "0")
        assert broken([account]) == []

    @pytest.mark.owner
    def test_two_lines_of_a_grant_by_an_earlier_release_still_add_up(self, account, held):
        with connection.cursor() as cursor:
            cursor.execute(
                "create or replace function ledger_drawn_by_grant(p_lines jsonb) returns jsonb"
                " language sql stable as 'select p_lines'"
            )
        charged = capture(account, held, "8")
        assert drawn(charged) == [("daily", "3"), ("top_up", "4"), ("top_up", "1")]
        assert [one["check"] for one in ledger.audit.run(now=NOON).findings] == ["installation"]
        terms = {"account_id": account, "charge_id": charged.charge_id, "reason": "", "actor": "staff"}
        ledger.reverse(key="all", now=NOON, **terms)
        assert grants(account) == {"day": ("3", "0", "0", True), "pack": ("5", "0", "0", True)}

    def test_the_entries_of_a_partial_capture_release_and_charge_each_grant(self, account, held):
        capture(account, held, "5", now=NOON + MINUTE)
        assert entries(account, after=4) == [
            "1 release day 3 = 3 / 4 charge capture hold hold",
            "1 charge day -3 = 0 / 1 charge capture hold hold",
            "1 release pack 4 = 5 / 5 charge capture hold hold",
            "1 charge pack -2 = 3 / 3 charge capture hold hold",
        ]

    def test_the_entries_of_a_release_name_the_hold_and_no_charge(self, account, held):
        assert release(account, held, NOON + MINUTE).balance_after == D("8")
        assert entries(account, after=4) == [
            "1 release day 3 = 3 / 4 hold hold",
            "1 release pack 4 = 5 / 8 hold hold",
        ]
        assert grants(account) == {"day": ("3", "0", "0", True), "pack": ("5", "0", "0", True)}

    def test_the_entries_of_an_ended_hold_are_dated_at_its_end(self, account, held):
        ledger.settle([account], NOON + 2 * HOUR)
        assert entries(account, after=4) == [
            "60 release day 3 = 3 / 4 hold hold",
            "60 release pack 4 = 5 / 8 hold hold",
        ]
        assert Hold.objects.get().closed_at == NOON + HOUR

    def test_a_reversal_returns_the_last_drawn_first(self, account, held):
        charged = capture(account, held, "7")
        terms = {"account_id": account, "charge_id": charged.charge_id, "reason": "failed", "actor": "staff"}
        ledger.reverse(key="part", credits=D("5"), now=NOON, **terms)
        assert grants(account) == {"day": ("1", "0", "2", True), "pack": ("5", "0", "0", True)}
        assert entries(account, after=8) == [
            "0 reverse pack 4 = 5 / 5 charge capture because failed by staff",
            "0 reverse day 1 = 1 / 6 charge capture because failed by staff",
        ]


class TestScopes:
    def test_a_capture_above_the_hold_draws_on_grants_that_cover_its_service_only(self, account):
        give(account, "5", "pack", label="pack")
        give(account, "9", "images", label="images", kind="bonus", services=["tag:image"])
        give(account, "2", "text", label="text", services=["tag:text"])
        charged = capture(account, hold(account, "4"), "10")
        assert (plain(charged.credits), plain(charged.uncollected)) == ("10", "3")
        assert plain(charged.balance_after) == "9"
        assert {name: row[0] for name, row in grants(account).items()} == {
            "pack": "0", "images": "9", "text": "0",
        }  # fmt: skip

    def test_a_hold_is_refused_with_what_covers_its_service(self, account):
        give(account, "5", "pack")
        give(account, "9", "images", kind="bonus", services=["tag:image"])
        with pytest.raises(ledger.InsufficientCredits) as refusal:
            hold(account, "6")
        assert (refusal.value.needed, refusal.value.available) == (D("6"), D("5"))
        assert not Hold.objects.exists()


class TestDebt:
    def test_a_capture_above_the_hold_in_debt_takes_nothing_from_the_balance(self, account):
        give(account, "10", "pack", label="pack")
        held = hold(account, "4")
        owe(account, "3")
        charged = capture(account, held, "6")
        assert (plain(charged.credits), plain(charged.uncollected)) == ("6", "2")
        assert amounts(account) == ("6", "0", "3")
        assert broken([account]) == []

    @pytest.mark.parametrize(
        ("amount", "after"),
        [
            ("4", ("6", "0", "3")),
            ("3.5", ("6", "0", "2.5")),
            ("1", ("6", "0", "0")),
            ("0.5", ("6.5", "0", "0")),
            ("0", ("7", "0", "0")),
        ],
    )
    def test_what_a_capture_returns_repays_debt_first(self, account, amount, after):
        give(account, "10", "pack", label="pack")
        held = hold(account, "4")
        owe(account, "3")
        charged = capture(account, held, amount)
        assert amounts(account) == after
        assert plain(charged.balance_after) == after[0]
        assert plain(charged.balance_before) == "10", "the balance with the held credits"
        assert broken([account]) == []

    def test_several_returned_parts_repay_in_the_order_of_the_hold(self, account):
        give(account, "5", "pack", label="pack")
        give(account, "3", "day", label="day", kind="daily")
        held = hold(account, "8")
        owe(account, "4")
        since = Wallet.objects.get().seq
        release(account, held)
        assert entries(account, since) == [
            "0 release day 3 = 3 / 3 hold hold",
            "0 repay day -3 = 0 / 0 debt -3",
            "0 release pack 5 = 5 / 5 hold hold",
            "0 repay pack -1 = 4 / 4 debt -1",
        ]
        assert amounts(account) == ("4", "0", "0")
        assert grants(account) == {
            "day": ("0", "0", "3", False), "pack": ("4", "0", "1", True), "owed": ("0", "0", "0", False),
        }  # fmt: skip

    def test_a_hold_in_debt_is_refused_with_the_debt_and_a_free_one_is_not(self, account):
        owe(account, "3")
        give(account, "5", "pack")
        owe(account, "3")
        with pytest.raises(ledger.InDebt) as refusal:
            hold(account, "1")
        assert (refusal.value.needed, refusal.value.available, refusal.value.debt) == (D("1"), 0, D("3"))
        assert hold(account, "0", "free").status == "held"
        assert spend(account, "0", "free use", covered_by="unlimited").credits == 0
        assert amounts(account) == ("2", "0", "3")

    def test_a_hold_of_nothing_captured_above_it_in_debt_is_uncollected(self, account):
        owe(account, "3")
        charged = capture(account, hold(account, "0"), "2")
        assert (plain(charged.credits), plain(charged.uncollected), charged.drawn) == ("2", "2", ())
        assert amounts(account) == ("0", "0", "3")


class TestAfterTheGrantEnded:
    """Held credits of a grant that has ended expire, but for what is owed of them: that repays its debt."""

    @pytest.mark.parametrize(
        ("claimed", "amount", "debt", "expired"),
        [
            (None, "0", "2", None), (None, "3", "5", None), (None, "8", "10", None),
            ("12", "0", "2", "8"), ("12", "3", "2", "5"), ("12", "7", "2", "1"), ("12", "8", "2", None),
        ],
    )  # fmt: skip
    def test_a_capture(self, account, claimed, amount, debt, expired):
        """Of 20 credits 2 are spent and 8 held; the other 10 are taken back, and all or 2 of these owed."""
        purchase = uuid.uuid4()
        give(account, "20", "pack", label="pack", purchase_id=purchase, expires_at=NOON + MINUTE)
        spend(account, "2", "spent")
        held = hold(account, "8")
        claim = {"account_id": account, "purchase_id": purchase, "key": "claim", "reason": "r", "now": NOON}
        taken = ledger.claw_back(credits=claimed and D(claimed), **claim)
        assert (plain(taken.credits), plain(taken.debt)) == ("10", "2" if claimed else "10")
        capture(account, held, amount, now=NOON + 2 * MINUTE)
        assert amounts(account) == ("0", "0", debt)
        gone = [line for line in entries(account) if " expire " in line]
        assert gone == ([f"2 expire pack -{expired} = 0 / 0"] if expired else [])
        assert broken([account]) == []


class TestUncollected:
    @pytest.fixture
    def charged(self, account):
        give(account, "6", "pack", label="pack")
        return capture(account, hold(account, "4"), "10")

    def test_only_what_was_collected_can_be_reversed(self, account, charged):
        assert plain(charged.uncollected) == "4"
        terms = {"account_id": account, "charge_id": charged.charge_id, "reason": "r", "now": NOON}
        with pytest.raises(ledger.NotReversible) as refusal:
            ledger.reverse(key="too much", credits=D("6.000001"), **terms)
        assert (refusal.value.asked, refusal.value.left) == (D("6.000001"), D("6"))
        assert ledger.reverse(key="part", credits=D("2.5"), **terms).credits == D("2.5")
        assert Charge.objects.get().status == "partly_reversed"
        assert ledger.reverse(key="rest", **terms).credits == D("3.5")
        assert Charge.objects.get().status == "reversed"
        with pytest.raises(ledger.NotReversible):
            ledger.reverse(key="none", **terms)
        assert amounts(account) == ("6", "0", "0")

    def test_nothing_collected_is_nothing_to_reverse(self, account):
        charged = capture(account, hold(account, "0"), "5")
        assert plain(charged.uncollected) == "5"
        with pytest.raises(ledger.NotReversible):
            ledger.reverse(account_id=account, charge_id=charged.charge_id, key="r", reason="r", now=NOON)
