"""The terms of invitations, each at its boundary: age, limits, what qualifies, rewards."""

import uuid
from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from structlog.testing import capture_logs

from accounts.models import Account, Membership, User
from billing import ledger
from billing.models import (
    Dispute,
    Grant,
    InvitationCode,
    Purchase,
    Referral,
)
from billing.promotions import referrals
from tests.billing.conftest import change_policies, smallest_pack
from tests.billing.promotions.conftest import NOW, TICK, outcome

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("clock")]


def refer(**policy: Any) -> None:
    terms = {"inviter_credits": "30", "invited_credits": "20", "assumed": True, "reason": "for this test"}
    change_policies(referral=terms | policy)


def rewards(*accounts: Account) -> list[Decimal]:
    """What each account has been given for invitations and still has."""
    return [
        sum(
            (one.remaining for one in ledger.balance(account.pk, NOW).grants if one.kind == "referral"),
            Decimal(0),
        )
        for account in accounts
    ]


@pytest.fixture
def invited(account: Account, bobs: Account, catalogue: None) -> Callable[..., Referral]:
    """Alice accepts Bob's invitation: `invited(qualifies="sign_up")`."""

    def accept(**policy: Any) -> Referral:
        refer(**policy)
        Account.objects.update(created_at=NOW)
        assert outcome(account, code=referrals.code_of(bobs)) == "ok"
        return Referral.objects.get()

    return accept


@pytest.fixture
def buy(account: Account) -> Callable[..., Purchase]:
    def make(amount: int = 1000, **fields: Any) -> Purchase:
        values: dict[str, Any] = {"kind": "pack", "origin": "page", "offer": smallest_pack(), "label": "-"}
        values |= {"currency": "usd", "status": "paid", "paid_at": NOW, "created_at": NOW}
        values |= {"amount": amount, "list_amount": amount, "idempotency_key": f"k{Purchase.objects.count()}"}
        purchase: Purchase = Purchase.objects.create(**{"account": account} | values | fields)
        referrals.mark_qualifying_purchase(purchase, NOW)
        return purchase

    return make


@pytest.mark.parametrize(
    ("age", "expected"), [(timedelta(days=14), "ok"), (timedelta(days=14) + TICK, "not_new")]
)
def test_an_invitation_is_for_accounts_of_at_most_fourteen_days(
    account: Account, bobs: Account, catalogue: None, age: timedelta, expected: str
) -> None:
    refer()
    Account.objects.filter(pk=account.pk).update(created_at=NOW - age)
    account.refresh_from_db()
    assert outcome(account, code=referrals.code_of(bobs)) == expected


def test_an_invitation_has_its_limit_and_ends_with_its_account_or_the_policy(
    account: Account, bobs: Account, charlie: User, account_of: Callable[[User], Account]
) -> None:
    refer(most_invitations=1)
    Account.objects.update(created_at=NOW)
    account.refresh_from_db()
    code = referrals.code_of(bobs)
    assert code == referrals.code_of(bobs) and InvitationCode.objects.filter(account=bobs).count() == 1
    third = account_of(charlie)
    Account.objects.filter(pk=bobs.pk).update(erased_at=NOW)
    assert outcome(third, code=code) == "unknown_code"
    Account.objects.filter(pk=bobs.pk).update(erased_at=None)
    change_policies(referral=None)
    assert outcome(third, code=code) == "unknown_code"
    refer(most_invitations=1)
    Membership.objects.filter(account=bobs).update(role=Membership.Role.BILLING)
    assert outcome(bobs, code=code) == "own_invitation", "also of an account without an owner"
    assert outcome(third, code=code) == "ok"
    assert outcome(account, code=code) == "code_used_up"
    refer(most_invitations=2)
    assert outcome(account, code=code) == "ok"


def test_the_rewards_have_the_terms_of_the_policy(
    invited: Callable[..., Referral], account: Account, bobs: Account
) -> None:
    invited(qualifies="sign_up", lasts="2 months", services=["gpt-4o"])
    for _again in range(2):
        referrals.reward_if_due(account.pk, NOW)
    grants = {one.account_id: one for one in Grant.objects.filter(kind="referral")}
    facts = {pk: (one.credits, one.label, one.services) for pk, one in grants.items()}
    assert facts == {
        account.pk: (20, "Invitation bonus", ["gpt-4o"]),
        bobs.pk: (30, "Referral reward", ["gpt-4o"]),
    }
    assert {one.expires_at for one in grants.values()} == {NOW.replace(month=7)}
    done = Referral.objects.get()
    assert (done.state, done.rewarded_at) == ("rewarded", NOW)


@pytest.mark.parametrize(
    ("qualifies", "after_a_free_use", "after_a_charge", "after_a_gift", "after_a_purchase"),
    [
        ("sign_up", True, True, True, True),
        ("first_charge", False, True, True, True),
        ("first_purchase", False, False, False, True),
    ],
)
def test_what_qualifies_an_invited_account(
    invited: Callable[..., Referral],
    buy: Callable[..., Purchase],
    account: Account,
    bobs: Account,
    qualifies: str,
    after_a_free_use: bool,
    after_a_charge: bool,
    after_a_gift: bool,
    after_a_purchase: bool,
) -> None:
    invited(qualifies=qualifies)

    def use(credits: str, of: Account) -> None:
        request = ledger.ChargeRequest(
            account_id=of.pk, credits=Decimal(credits), key=f"u{credits}", service="gpt-4o", covered_by=None
        )
        ledger.charge(request, NOW)

    def rewarded() -> bool:
        referrals.reward_all_due(NOW)
        return rewards(bobs) == [30]

    use("1", bobs)  # the inviter's own use
    use("0", account)
    assert rewarded() == after_a_free_use
    use("0.5", account)
    assert rewarded() == after_a_charge
    buy(amount=0)
    assert rewarded() == after_a_gift
    buy()
    assert rewarded() == after_a_purchase


def test_a_purchase_qualifies_nobody_where_the_catalogue_has_no_invitations_any_more(
    invited: Callable[..., Referral], buy: Callable[..., Purchase]
) -> None:
    joined = invited(qualifies="first_purchase")
    change_policies(referral=None)
    referrals.mark_qualifying_purchase(buy(), NOW)
    referrals.reward_all_due(NOW)
    joined.refresh_from_db()
    assert (joined.purchase, joined.state) == (None, "joined")


def test_no_reward_is_due_before_the_first_purchase_or_when_it_was_refunded_meanwhile(
    invited: Callable[..., Referral], buy: Callable[..., Purchase], account: Account, bobs: Account
) -> None:
    invited()
    referrals.reward_if_due(account.pk, NOW)
    purchase = buy()
    Purchase.objects.filter(pk=purchase.pk).update(refunded=1000)
    referrals.reward_if_due(account.pk, NOW)
    assert rewards(account, bobs) == [0, 0]

    Purchase.objects.filter(pk=purchase.pk).update(refunded=999)
    referrals.reward_if_due(account.pk, NOW)
    assert rewards(account, bobs) == [20, 30]


@pytest.mark.requirement("RECR-05")
@pytest.mark.parametrize(
    ("refunded", "disputes", "left"),
    [
        (0, [], [20, 30]),
        (999, [], [20, 30]),
        (1000, [], [0, 0]),
        (0, [("lost", 1000)], [0, 0]),
        (0, [("lost", 999)], [20, 30]),
        (400, [("lost", 600)], [0, 0]),
        (400, [("lost", 599)], [20, 30]),
        (0, [("open", 1000)], [20, 30]),
        (0, [("won", 1000)], [20, 30]),
        (0, [("lost", 500), ("lost", 500)], [0, 0]),
    ],
)
def test_rewards_are_taken_back_when_all_the_money_is_lost_and_return_with_it(
    invited: Callable[..., Referral],
    buy: Callable[..., Purchase],
    account: Account,
    bobs: Account,
    refunded: int,
    disputes: list[tuple[str, int]],
    left: list[int],
) -> None:
    invited()
    purchase = buy()
    later = buy()
    referrals.reward_if_due(account.pk, NOW)
    assert Referral.objects.get().purchase_id == purchase.pk
    Purchase.objects.filter(pk=later.pk).update(refunded=1000)
    referrals.follow_purchase(later.pk, NOW)

    Purchase.objects.filter(pk=purchase.pk).update(refunded=refunded)
    for number, (status, amount) in enumerate(disputes):
        Dispute.objects.create(
            account=account,
            purchase=purchase,
            stripe_dispute_id=f"du_{number}",
            status=status,
            stripe_status=status,
            amount=amount,
            currency="usd",
            created_at=NOW,
        )
    for _again in range(2):
        referrals.reward_all_due(NOW)
    assert rewards(account, bobs) == left

    Purchase.objects.filter(pk=purchase.pk).update(refunded=0)
    Dispute.objects.update(status="won")
    for _again in range(2):
        referrals.reward_all_due(NOW)
    assert rewards(account, bobs) == [20, 30]
    assert Referral.objects.get().state == "rewarded"
    assert ledger.audit.run(now=NOW).findings == []


def test_rewards_are_taken_back_each_time_that_the_money_is_lost(
    invited: Callable[..., Referral], buy: Callable[..., Purchase], account: Account, bobs: Account
) -> None:
    invited()
    purchase = buy()
    referrals.reward_if_due(account.pk, NOW)
    for refunded, left in ((1000, [0, 0]), (0, [20, 30])) * 3:
        Purchase.objects.filter(pk=purchase.pk).update(refunded=refunded)
        referrals.follow_purchase(purchase.pk, NOW)
        assert rewards(account, bobs) == left


def test_paid_purchases_do_not_count_among_the_rewards_that_are_taken_back_at_once(
    bobs: Account, buy: Callable[..., Purchase]
) -> None:
    refer()
    for refunded in (0, 0, 0, 1000, 0, 0):
        invited = Account.objects.create(name="Test")
        ledger.open_wallet(invited.pk, NOW)
        purchase = buy(account=invited, refunded=refunded)
        Referral.objects.create(
            inviter=bobs, invited=invited, purchase=purchase, state="rewarded", created_at=NOW
        )
    referrals.reward_all_due(NOW, limit=1)
    assert Referral.objects.get(state="taken_back").purchase.refunded == 1000


def test_invitations_that_cannot_be_followed_keep_no_later_one_waiting(
    bobs: Account, buy: Callable[..., Purchase]
) -> None:
    """Partly refunded, refunded for good, disputed, without a wallet: older than those that are due."""
    refer()
    cases = [
        ("rewarded", {"refunded": 1}, {}),
        ("taken_back", {"refunded": 1000}, {}),
        ("joined", {"refunded": 400}, {"status": "lost", "amount": 600}),
        ("joined", {"status": "cancelled"}, {}),
        ("joined", {}, {}),  # without a wallet
    ]
    due = [("rewarded", {"refunded": 1000}, {}), ("taken_back", {}, {}), ("joined", {}, {})]
    for number, (state, fields, dispute) in enumerate([*cases * 2, *due]):
        invited = Account.objects.create(name="Test")
        if number >= len(cases) * 2 or number % len(cases) < 4:
            ledger.open_wallet(invited.pk, NOW)
        purchase = buy(account=invited)
        Purchase.objects.filter(pk=purchase.pk).update(**fields)
        if dispute:
            Dispute.objects.create(
                account=invited, purchase=purchase, stripe_dispute_id=f"du_{number}", currency="usd",
                created_at=NOW, **dispute,
            )  # fmt: skip
        Referral.objects.create(
            pk=uuid.UUID(int=number + 1), inviter=bobs, invited=invited, purchase=purchase, state=state,
            created_at=NOW,
        )  # fmt: skip
    with capture_logs() as logs:
        referrals.reward_all_due(NOW, limit=1)
    states = Referral.objects.order_by("pk").values_list("state", flat=True)
    assert list(states)[-3:] == ["taken_back", "rewarded", "rewarded"]
    assert list(states)[:-3] == [state for state, *_rest in cases] * 2
    assert [log["event"] for log in logs] == ["referral_not_rewarded"] * 2


def test_invitations_are_rewarded_later_for_four_hundred_days_and_one_that_fails_delays_no_other(
    invited: Callable[..., Referral], account: Account, bobs: Account
) -> None:
    referral = invited(qualifies="sign_up")
    without_wallet = Account.objects.create(name="Test")
    Referral.objects.create(
        pk=uuid.UUID(int=1), inviter=bobs, invited=without_wallet, created_at=NOW
    )  # the first in the order of ids
    for age, checked, given in (
        (timedelta(days=400), 1, [0, 0]),
        (timedelta(days=400) - TICK, 2, [20, 30]),
    ):
        Referral.objects.filter(pk=referral.pk).update(created_at=NOW - age)
        with capture_logs() as logs:
            assert referrals.reward_all_due(NOW) == checked
        assert rewards(account, bobs) == given
        assert [(log["event"], log["alert"], log["account"]) for log in logs] == [
            ("referral_not_rewarded", True, str(without_wallet.pk))
        ]
    assert Referral.objects.get(invited=without_wallet).state == "joined"
