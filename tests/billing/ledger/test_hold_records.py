"""What holds and their charges keep of a request, when holds end, and what a repeated request answers."""

import datetime as dt
import uuid
from typing import Any

import pytest

from billing import ledger
from billing.ledger.models import Charge, Grant, Hold, Wallet
from core.amounts import plain
from tests.billing.ledger.conftest import (
    DAY,
    NOON,
    D,
    capture,
    charge_request,
    give,
    hold,
    new_account,
    owe,
    release,
)
from tests.billing.ledger.state import broken
from tests.billing.ledger.statement import amounts, entries, grants

pytestmark = pytest.mark.django_db
MINUTE, HOUR, INSTANT = dt.timedelta(minutes=1), dt.timedelta(hours=1), dt.timedelta(microseconds=1)
PROJECT, MEMBER, KEY = (uuid.UUID(int=n) for n in (11, 12, 13))
EVERYONE = {"project_id": PROJECT, "member_id": MEMBER, "api_key_id": KEY, "quota": ("files", 2)}
ALL_LIMITS = {"project": str(PROJECT), "member": str(MEMBER), "key": str(KEY), "quota": "files"}


def limit(account, kind: str, maximum: str | None, period: str = "day", now=NOON, subject: str | None = None):
    amount = None if maximum is None else D(maximum)
    name = subject or ALL_LIMITS[kind]
    return ledger.set_limit(
        account_id=account, kind=kind, subject=name, period=period, maximum=amount, now=now
    )


def drawn(use: Any) -> list[tuple[str, str]]:
    return [(one.kind, plain(one.credits)) for one in use.drawn]


class TestOfARequest:
    ATTRIBUTES = {
        "service": "veo", "covers": ("veo", "tag:video"), "action": "render", "conversation": "talk",
        "project_id": PROJECT, "member_id": MEMBER, "api_key_id": KEY, "quota": ("videos", 3),
        "detail": {"lines": [1]}, "fingerprint": b"body",
    }  # fmt: skip

    def test_a_hold_keeps_all_attributes(self, account):
        give(account, "9")
        held = hold(account, "5", **self.ATTRIBUTES)
        row = Hold.objects.get()
        assert (row.pk, row.account_id, row.idempotency_key, bytes(row.fingerprint)) == (
            held.hold_id, account, "hold", b"body",
        )  # fmt: skip
        assert (row.credits, row.status, row.created_at, row.expires_at, row.closed_at, row.charge_id) == (
            D("5"), "held", NOON, NOON + HOUR, None, None,
        )  # fmt: skip
        assert (row.service, list(row.covers), row.action, row.conversation) == (
            "veo", ["veo", "tag:video"], "render", "talk",
        )  # fmt: skip
        assert (row.project_id, row.member_id, row.api_key_id) == (PROJECT, MEMBER, KEY)
        assert (row.quota, row.quota_count, row.detail) == ("videos", 3, {"lines": [1]})
        assert (held.detail, held.expires_at, held.created_at, held.charge_id) == (
            {"lines": [1]}, NOON + HOUR, NOON, None,
        )  # fmt: skip

    @pytest.mark.parametrize("amount", ["5", "3", "7"])  # each takes its own way through the SQL
    def test_its_charge_has_the_attributes_of_the_hold_and_the_detail_of_the_capture(self, account, amount):
        give(account, "9")
        held = hold(account, "5", **self.ATTRIBUTES)
        terms = {"detail": {"real": 1}, "fingerprint": b"captured", "covered_by": "own_key"}
        charged = capture(account, held, amount, now=NOON + MINUTE, **terms)
        row = Charge.objects.get()
        assert (row.pk, row.idempotency_key, bytes(row.fingerprint), row.hold_id) == (
            charged.charge_id, "capture", b"captured", held.hold_id,
        )  # fmt: skip
        assert (row.service, row.action, row.conversation) == ("veo", "render", "talk")
        assert (row.project_id, row.member_id, row.api_key_id) == (PROJECT, MEMBER, KEY)
        assert (row.quota, row.quota_count, row.detail, row.covered_by) == (
            "videos", 3, {"real": 1}, "own_key",
        )  # fmt: skip
        assert (row.created_at, row.credits, row.uncollected, row.returned) == (
            NOON + MINUTE, D(amount), 0, 0,
        )  # fmt: skip
        assert (row.balance_before, row.balance_after) == (D("9"), D("9") - D(amount))
        assert (charged.covered_by, charged.detail, charged.created_at) == (
            "own_key", {"real": 1}, NOON + MINUTE,
        )  # fmt: skip
        closed = Hold.objects.get()
        assert (closed.status, closed.closed_at, closed.charge_id) == (
            "captured", NOON + MINUTE, charged.charge_id,
        )  # fmt: skip
        assert broken([account]) == []


class TestEnds:
    def test_a_grant_that_a_capture_uses_up_is_not_open(self, account):
        give(account, "10")
        capture(account, hold(account, "10"), "10")
        assert Grant.objects.values_list("remaining", "held", "spent", "open").get() == (0, 0, 10, False)

    def test_a_hold_can_be_captured_until_the_instant_of_its_end_and_not_in_it(self, account):
        give(account, "10", "pack")
        first, second = hold(account, "4", "first"), hold(account, "4", "second")
        assert capture(account, first, "4", "before", NOON + HOUR - INSTANT).credits == D("4")
        with pytest.raises(ledger.HoldClosed) as refusal:
            capture(account, second, "4", "at", NOON + HOUR)
        assert refusal.value.hold_status == "expired"
        with pytest.raises(ledger.HoldClosed):
            release(account, second, NOON + HOUR)

    @pytest.mark.parametrize(
        ("now", "after"), [(NOON + HOUR - INSTANT, ("3", "0")), (NOON + HOUR, ("0", "0"))]
    )
    def test_what_a_capture_leaves_of_a_grant_expires_from_the_instant_of_its_end_on(
        self, account, now, after
    ):
        give(account, "5", "pack", label="pack", expires_at=NOON + HOUR)
        held = hold(account, "5", until=NOON + DAY)
        charged = capture(account, held, "2", now=now)
        assert (plain(charged.credits), drawn(charged)) == ("2", [("top_up", "2")])
        assert (plain(charged.balance_after), amounts(account)[0]) == (after[0], after[0])
        assert ledger.balance(account, NOON + HOUR).total == 0

    @pytest.mark.parametrize("now", [NOON + HOUR - INSTANT, NOON + HOUR])
    def test_a_release_at_the_end_of_the_grant(self, account, now):
        give(account, "5", "pack", label="pack", expires_at=NOON + HOUR)
        held = hold(account, "5", until=NOON + DAY)
        left = release(account, held, now).balance_after
        assert left == (0 if now == NOON + HOUR else D("5"))
        assert grants(account)["pack"][1:3] == ("0", "0")

    def test_a_grant_and_a_hold_that_end_together_expire(self, account):
        give(account, "5", "pack", label="pack", expires_at=NOON + HOUR)
        hold(account, "2")
        ledger.settle([account], NOON + HOUR)
        assert entries(account, after=2) == [
            "60 expire pack -3 = 0 / 0",
            "60 release pack 2 = 2 / 2 hold hold",
            "60 expire pack -2 = 0 / 0",
        ]

    def test_the_hold_with_the_sooner_end_makes_the_wallet_due(self, account):
        give(account, "10", "pack", expires_at=NOON + 3 * DAY)
        hold(account, "1", "late", NOON + 2 * DAY)
        assert Wallet.objects.get().next_due_at == NOON + 2 * DAY
        hold(account, "1", "soon", NOON + DAY)
        assert Wallet.objects.get().next_due_at == NOON + DAY
        ledger.settle([account], NOON + DAY)
        wallet = Wallet.objects.get()
        assert (wallet.next_due_at, wallet.running_holds) == (NOON + 2 * DAY, 1)
        assert set(Hold.objects.values_list("idempotency_key", "status")) == {
            ("late", "held"), ("soon", "expired"),
        }  # fmt: skip

    def test_a_hold_asked_for_by_a_late_clock_lasts_as_long_as_was_asked_for(self, account):
        give(account, "10", "pack", now=NOON + MINUTE)
        held = hold(account, "4", until=NOON + HOUR)
        assert (held.created_at, held.expires_at) == (NOON + MINUTE, NOON + HOUR + MINUTE)


class TestReplays:
    def test_a_closed_hold_answers_its_status_and_its_charge(self, account):
        give(account, "10")
        first = hold(account, "4", detail={"n": 1})
        charged = capture(account, first, "3")
        again = hold(account, "4", now=NOON + MINUTE)
        assert (again.replayed, again.hold_id, again.status, again.charge_id) == (
            True, first.hold_id, "captured", charged.charge_id,
        )  # fmt: skip
        assert (again.credits, again.detail, again.expires_at, again.created_at) == (
            D("4"), {"n": 1}, NOON + HOUR, NOON,
        )  # fmt: skip
        assert (again.drawn, again.balance_after) == (first.drawn, D("7"))
        assert first.replayed is False

    @pytest.mark.parametrize("why", ["running holds", "limit", "debt", "balance", "nothing"])
    def test_a_replayed_hold_is_not_refused_and_another_body_is(self, account, why):
        give(account, "10", "pack")
        terms = {"project_id": PROJECT, "fingerprint": b"one"}
        first = hold(account, "10", **terms)
        if why == "limit":
            limit(account, "project", "1")
        elif why == "debt":
            owe(account, "3")
        elif why == "nothing":
            give(account, "100", "more")

        def again(fingerprint):
            request = charge_request(account, "10", "hold", **terms | {"fingerprint": fingerprint})
            most = 1 if why == "running holds" else None
            return ledger.hold(request, expires_at=NOON + HOUR, now=NOON, most_running=most)

        assert (again(b"one").replayed, again(b"one").hold_id) == (True, first.hold_id)
        with pytest.raises(ledger.KeyReused):
            again(b"two")
        assert Hold.objects.count() == 1

    def test_a_capture_with_another_body_is_refused_also_for_another_hold(self, account):
        give(account, "10")
        first, second = hold(account, "4", "first"), hold(account, "4", "second")
        charged = capture(account, first, "4", fingerprint=b"one")
        for held in first, second:
            assert capture(account, held, "4", fingerprint=b"one").charge_id == charged.charge_id
            with pytest.raises(ledger.KeyReused):
                capture(account, held, "4", fingerprint=b"two")
        assert amounts(account) == ("2", "4", "0")

    def test_a_replayed_capture_answers_every_figure_again(self, account):
        give(account, "6", "pack")
        held = hold(account, "4")
        first = capture(account, held, "10", covered_by="x", now=NOON + MINUTE)
        give(account, "50", "more")
        again = capture(account, held, "10", covered_by="x", now=NOON + HOUR)
        assert again.replayed
        for name in (
            "charge_id", "credits", "uncollected", "balance_before", "balance_after", "drawn", "covered_by",
            "created_at",
        ):  # fmt: skip
            assert getattr(again, name) == getattr(first, name), name

    def test_the_number_of_running_holds_is_that_of_one_account(self, account):
        give(account, "10")
        other = new_account()
        give(other, "10")
        for which in account, other:
            request = charge_request(which, "1", "hold")
            ledger.hold(request, expires_at=NOON + HOUR, now=NOON, most_running=1)
            assert Wallet.objects.get(account_id=which).running_holds == 1
