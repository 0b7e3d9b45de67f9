"""Credits that staff give and take: the threshold, the second person, and what is refused."""

from datetime import timedelta
from decimal import Decimal
from uuid import uuid4

import pytest
from django.db import IntegrityError, transaction
from django.utils import timezone

from accounts import staff_roles
from accounts.models import Account, User
from billing import adjustments, ledger
from billing.models import CreditAdjustment, Entry
from core.models import StaffAct
from tests.conftest import person

pytestmark = [pytest.mark.django_db, pytest.mark.fault("Z6")]
Refused = adjustments.AdjustmentRefused


@pytest.fixture(autouse=True)
def threshold(settings):
    settings.CREDITS_WITHOUT_APPROVAL = 100


@pytest.fixture
def account(alice, account_of):
    return account_of(alice)


def of_role(role, by, name) -> User:
    user = person(name)
    staff_roles.assign(user, role, by=by)
    return User.objects.get(pk=user.pk)


@pytest.fixture
def erin(staff):
    return of_role("finance", staff, "erin")


@pytest.fixture
def frank(staff):
    return of_role("finance", staff, "frank")


@pytest.fixture
def sue(staff):
    return of_role("support", staff, "sue")


def make(account, credits, by, **given) -> CreditAdjustment:
    terms = {"reason": "goodwill", "token": uuid4(), "now": timezone.now()}
    return adjustments.make(account=account, credits=Decimal(credits), by=by, **{**terms, **given})


def total(account) -> Decimal:
    return ledger.balance(account.pk, timezone.now()).total


def test_small_ones_apply_at_once_and_are_recorded_with_the_balances(account, erin):
    start = total(account)
    given = make(account, "60", erin)
    taken = make(account, "-10.5", erin, reason="given twice")
    assert (given.status, taken.status, total(account)) == ("applied", "applied", start + Decimal("49.5"))
    entry = Entry.objects.filter(account=account, kind="adjust").latest("seq")
    assert (entry.reason, entry.actor) == ("given twice", "staff")
    acts = list(StaffAct.objects.order_by("created_at", "id"))
    assert [act.act for act in acts] == ["credits.give", "credits.take"]
    assert (acts[0].actor_id, acts[0].account_id, acts[0].reason) == (erin.pk, account.pk, "goodwill")
    assert Decimal(acts[0].before["balance"]) == start
    assert Decimal(acts[1].after["balance"]) == start + Decimal("49.5")


def test_above_the_threshold_another_person_approves(account, erin, frank):
    start = total(account)
    asked = make(account, "100.000001", erin)
    assert (asked.status, total(account)) == ("requested", start)
    with pytest.raises(Refused, match="own request"):
        adjustments.approve(asked, by=erin, now=timezone.now())
    done = adjustments.approve(asked, by=frank, now=timezone.now())
    assert (done.status, done.decided_by, total(account)) == ("applied", frank, start + asked.credits)
    with pytest.raises(Refused, match="already decided"):
        adjustments.approve(asked, by=frank, now=timezone.now())
    assert total(account) == start + asked.credits
    acts = StaffAct.objects.order_by("created_at", "id").values_list("act", "actor_id")
    assert list(acts) == [("credits.request", erin.pk), ("credits.approve", frank.pk)]


def test_a_large_one_in_small_parts_is_counted_as_one(account, charlie, account_of, erin, frank):
    now = timezone.now()
    assert make(account, "60", erin, now=now).status == "applied"
    assert make(account, "-15", erin, now=now).status == "applied"
    assert make(account_of(charlie), "25", erin, now=now).status == "applied"
    assert make(account, "0.000001", erin, now=now).status == "requested"
    assert make(account, "-1", erin, now=now).status == "requested"
    assert make(account, "60", frank, now=now).status == "applied"
    assert make(account, "60", erin, now=now + timedelta(days=1, seconds=1)).status == "applied"


def test_support_requests_and_never_applies_or_approves(account, sue, erin):
    start = total(account)
    asked = make(account, "1", sue)
    assert (asked.status, total(account)) == ("requested", start)
    other = make(account, "500", erin)
    for decide in (
        lambda: adjustments.approve(other, by=sue, now=timezone.now()),
        lambda: adjustments.refuse(other, by=sue, reason="no", now=timezone.now()),
    ):
        with pytest.raises(Refused):
            decide()
    assert total(account) == start


def test_nobody_makes_a_request_of_theirs_somebody_elses(account, erin, frank):
    asked = make(account, "500", erin)
    for change in ({"decided_by": erin}, {"status": "applied"}):
        with pytest.raises(IntegrityError), transaction.atomic():
            CreditAdjustment.objects.filter(pk=asked.pk).update(**change)


def test_nobody_gives_themselves_credits_without_another_person(erin, frank, account_of, account):
    own = account_of(erin)
    asked = make(own, "1", erin)
    assert asked.status == "requested"
    other = make(account_of(frank), "1", erin)
    assert other.status == "applied"
    for_frank = make(account_of(frank), "500", erin)
    with pytest.raises(Refused, match="member of this account"):
        adjustments.approve(for_frank, by=frank, now=timezone.now())
    assert adjustments.approve(asked, by=frank, now=timezone.now()).status == "applied"


def test_a_form_sent_again_acts_once_and_with_other_values_not_at_all(account, erin, frank):
    start, token = total(account), uuid4()
    first = make(account, "5", erin, token=token)
    assert make(account, "5", erin, token=token) == first
    for credits, by in (("6", erin), ("5", frank)):
        with pytest.raises(Refused, match="sent before"):
            make(account, credits, by, token=token)
    assert total(account) == start + 5


def test_more_than_there_is_cannot_be_taken(account, erin):
    start = total(account)
    for credits in (start + Decimal("0.000001"), start + 500):
        with pytest.raises(Refused, match="More cannot be taken") as refused:
            make(account, -credits, erin)
        assert refused.value.field == "amount"
    assert (total(account), CreditAdjustment.objects.count(), StaffAct.objects.count()) == (start, 0, 0)


def test_what_was_spent_since_the_request_is_not_taken(account, erin, frank):
    adjustments.approve(make(account, "500", erin), by=frank, now=timezone.now())
    asked = make(account, "-400", erin)
    now = timezone.now()
    spent = total(account) - 399
    ledger.adjust(account_id=account.pk, credits=-spent, key="s", reason="spent", actor="x", now=now)
    with pytest.raises(Refused, match="399"):
        adjustments.approve(asked, by=frank, now=now)
    asked.refresh_from_db()
    assert (asked.status, total(account)) == ("requested", 399)


def test_a_request_ends_after_three_days_and_can_be_refused_or_withdrawn_before(account, erin, frank):
    now = timezone.now()
    asked, refused, withdrawn = (make(account, "500", erin, now=now) for _ in range(3))
    assert adjustments.refuse(refused, by=frank, reason="no", now=now).status == "refused"
    assert adjustments.refuse(withdrawn, by=erin, reason="mine", now=now).status == "withdrawn"
    with pytest.raises(Refused, match="expired"):
        adjustments.approve(asked, by=frank, now=asked.expires_at)
    for closed in (refused, withdrawn):
        with pytest.raises(Refused, match="already decided"):
            adjustments.approve(closed, by=frank, now=now)


def test_those_who_left_neither_ask_nor_approve_nor_have_their_requests_approved(account, erin, frank):
    asked = make(account, "500", erin)
    stale = User.objects.get(pk=frank.pk)  # as an open session has it
    User.objects.filter(pk=frank.pk).update(is_active=False)
    with pytest.raises(Refused, match="no member of staff"):
        adjustments.approve(asked, by=stale, now=timezone.now())
    with pytest.raises(Refused, match="no member of staff"):
        make(account, "1", stale)
    User.objects.filter(pk=frank.pk).update(is_active=True)
    User.objects.filter(pk=erin.pk).update(is_staff=False)
    with pytest.raises(Refused, match="no member of staff"):
        adjustments.approve(asked, by=stale, now=timezone.now())


def test_an_erased_account_gets_nothing(account, erin):
    Account.objects.filter(pk=account.pk).update(erased_at=timezone.now())
    account.refresh_from_db()
    with pytest.raises(Refused, match="erased"):
        make(account, "1", erin)
