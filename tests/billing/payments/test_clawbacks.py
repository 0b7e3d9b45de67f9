"""What several claims to one payment take of its credits, and what the others take when one of them ends."""

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest

from accounts.models import Account
from billing import ledger
from billing.models import Correction, Dispute, Purchase
from billing.payments import clawbacks
from tests.billing.refunds import test_states as states
from tests.billing.refunds.test_states import NOW, apply

pytestmark = pytest.mark.django_db
clock, purchase = states.clock, states.purchase


@pytest.fixture(params=["pack", "plan"])
def paid(request: pytest.FixtureRequest, purchase: Callable[..., Purchase], account: Account) -> Purchase:
    """A payment of 10.00 that gave 100 credits, for a pack or for a plan's month."""
    if request.param == "pack":
        return purchase()
    grant: dict[str, Any] = {"kind": "plan", "label": "Plan", "key": "allowance:starter:1"}
    ledger.grant(account_id=account.pk, credits=Decimal(100), now=NOW, **grant)
    return purchase(kind="plan", offer="starter", interval="month", period_start=NOW, credits=Decimal(0))


# disputed amounts in minor units; what each takes; what each takes when the first is won
CLAIMS: list[tuple[list[int], list[str], list[str]]] = [
    ([10], ["1"], ["0"]),
    ([5], ["0.5"], ["0"]),
    ([1000], ["100"], ["0"]),
    ([2000], ["100"], ["0"]),
    ([400, 500], ["40", "50"], ["0", "50"]),
    ([400, 600], ["40", "60"], ["0", "60"]),
    ([400, 1000], ["40", "60"], ["0", "100"]),
    ([800, 800], ["80", "20"], ["0", "80"]),
    ([1000, 1000], ["100", "0"], ["0", "100"]),
    ([1000, 300], ["100", "0"], ["0", "30"]),
]


@pytest.mark.fault("P14", "P25")
@pytest.mark.parametrize(("amounts", "taken", "after"), CLAIMS, ids=str)
def test_claims_take_each_its_part_and_take_more_when_another_one_ends(
    paid: Purchase, account: Account, amounts: list[int], taken: list[str], after: list[str]
) -> None:
    full = ledger.balance(account.pk, NOW).total
    for number, amount in enumerate(amounts):
        apply("lost", id=f"du_{number}", amount=amount)
    clawbacks.apply_active_claims(paid, NOW)
    assert of_each() == [Decimal(credits) for credits in taken]
    assert (full - ledger.balance(account.pk, NOW).total, owed(account)) == (sum(of_each()), 0)
    assert clawbacks.is_withdrawn(paid) == (sum(amounts) >= 1000)

    first = apply("won", id="du_0", amount=amounts[0])
    assert of_each() == [Decimal(credits) for credits in after]
    assert (full - ledger.balance(account.pk, NOW).total, owed(account)) == (sum(of_each()), 0)
    reasons = set(Correction.objects.filter(kind="restore").values_list("reason", flat=True))
    others = [one for one in Dispute.objects.exclude(pk=first.pk) if paid.kind == "plan" and taken[1] != "0"]
    anew = {f"dispute {one.public_id} taken anew" for one in others}
    assert reasons == {f"dispute {first.public_id} won"} | anew
    assert ledger.audit.run(now=NOW).findings == []


def test_spent_credits_count_as_taken_and_are_owed_until_the_money_is_back(
    purchase: Callable[..., Purchase], account: Account
) -> None:
    purchase()
    use = {"account_id": account.pk, "service": "gpt-4o", "covers": ("gpt-4o",)}
    ledger.charge(ledger.ChargeRequest(credits=Decimal(70), key="use", **use), NOW)
    full = ledger.balance(account.pk, NOW).total
    for status, taken, left in (("lost", 100, full - 30), ("won", 0, full), ("lost", 100, full - 30)):
        assert apply(status).credits == taken
        assert ledger.balance(account.pk, NOW).total == left
        assert owed(account) == (70 if taken else 0)


def of_each() -> list[Decimal]:
    """The credits that each dispute has taken."""
    return list(Dispute.objects.order_by("stripe_dispute_id").values_list("credits", flat=True))


def owed(account: Account) -> Decimal:
    return ledger.balance(account.pk, NOW).debt


def test_a_purchase_without_credits_has_none_to_take(purchase: Callable[..., Purchase]) -> None:
    purchase(credits=Decimal(0))
    assert apply("lost").credits == 0
    assert not Correction.objects.exists()


def test_nothing_has_been_withdrawn_of_a_free_purchase(purchase: Callable[..., Purchase]) -> None:
    assert not clawbacks.is_withdrawn(purchase(amount=0))


def test_a_claim_to_a_plan_that_cost_nothing_takes_nothing(
    purchase: Callable[..., Purchase], account: Account
) -> None:
    grant: dict[str, Any] = {"kind": "plan", "label": "Plan", "key": "allowance:starter:1"}
    ledger.grant(account_id=account.pk, credits=Decimal(100), now=NOW, **grant)
    purchase(kind="plan", offer="starter", period_start=NOW, credits=Decimal(0), amount=0)
    assert apply("lost").credits == 0
    assert not Correction.objects.exists()
