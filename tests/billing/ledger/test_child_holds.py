"""Child holds: they reserve from their parent, and a tree never spends more than its root reserved."""

import datetime as dt
import uuid

import pytest

from billing import ledger
from billing.ledger.models import Charge, Entry, Hold, Limit, Wallet
from tests.billing.ledger.conftest import (
    DAY,
    NOON,
    D,
    capture,
    charge_request,
    give,
    hold,
    owe,
    release,
    spend,
)
from tests.billing.ledger.state import broken

pytestmark = pytest.mark.django_db
MINUTE = dt.timedelta(minutes=1)
HOUR = NOON + 60 * MINUTE


def child(
    account: uuid.UUID,
    parent: ledger.Held,
    amount: str,
    key: str,
    until: dt.datetime = HOUR,
    now: dt.datetime = NOON,
    at_expiry: str = "release",
    **terms,
) -> ledger.Held:
    request = charge_request(account, amount, key, **terms)
    return ledger.hold(request, expires_at=until, now=now, parent=parent.hold_id, at_expiry=at_expiry)


def remaining(held: ledger.Held) -> str:
    parts = Hold.objects.get(pk=held.hold_id).reserved
    return "untouched" if parts is None else str(sum(D(part["credits"]) for part in parts))


@pytest.fixture(autouse=True)
def nothing_is_broken(account):
    yield
    assert broken([account]) == []
    assert ledger.audit.run(now=NOON + DAY).findings == []


@pytest.fixture
def root(account):
    give(account, "100")
    return hold(account, "60", "root", HOUR)


def test_a_child_reserves_from_its_parent_and_not_from_the_balance(account, root):
    held = child(account, root, "25", "a")
    assert (held.credits, held.balance_after) == (D("25"), D("40"))
    assert remaining(root) == "35.000000"
    found = ledger.balance(account, NOON)
    assert (found.available, found.held) == (D("40"), D("60"))
    one = Hold.objects.get(pk=held.hold_id)
    assert (one.parent_id, one.depth, one.status) == (root.hold_id, 2, "held")


def test_a_child_that_asks_for_more_than_remains_is_refused_and_changes_nothing(account, root):
    child(account, root, "25", "a")
    entries = Entry.objects.count()
    with pytest.raises(ledger.BudgetExceeded) as refusal:
        child(account, root, "35.000001", "b")
    assert refusal.value.extra() == {"needed": "35.000001", "remaining": "35"}
    assert (Entry.objects.count(), Hold.objects.count(), remaining(root)) == (entries, 2, "35.000000")
    assert child(account, root, "35", "b").credits == D("35"), "exactly what remains"


def test_a_capture_counts_against_the_tree_and_the_rest_goes_back_to_the_parent(account, root):
    held = child(account, root, "25", "a")
    charged = capture(account, held, "10")
    assert (charged.credits, charged.uncollected) == (D("10"), 0)
    assert (charged.balance_before, charged.balance_after) == (D("50"), D("40"))
    assert remaining(root) == "50.000000"
    assert ledger.balance(account, NOON).held == D("50")


def test_releasing_a_child_gives_its_credits_back_to_the_parent(account, root):
    release(account, child(account, root, "25", "a"))
    assert remaining(root) == "60.000000"
    assert ledger.balance(account, NOON).available == D("40")


def test_a_parent_closes_only_after_its_children(account, root):
    held = child(account, root, "25", "a")
    with pytest.raises(ledger.ChildrenOpen) as refusal:
        release(account, root)
    assert refusal.value.extra() == {"children": 1}
    with pytest.raises(ledger.ChildrenOpen):
        capture(account, root, "1", "too early")
    capture(account, held, "5", "a is captured")
    charged = capture(account, root, "7")
    assert (charged.credits, charged.balance_after) == (D("7"), D("88"))


def test_a_capture_above_the_child_takes_what_is_free_above_and_never_the_balance(account, root):
    middle = child(account, root, "20", "middle")
    held = child(account, middle, "5", "leaf")
    charged = capture(account, held, "70")
    assert (charged.credits, charged.uncollected) == (D("70"), D("10"))
    assert (remaining(middle), remaining(root)) == ("0.000000", "0.000000")
    assert ledger.balance(account, NOON).available == D("40")
    assert [part.credits for part in charged.drawn] == [D("60")], "one line for each grant"


def test_a_capture_takes_from_each_hold_above_only_what_is_still_missing(account, root):
    middle = child(account, root, "20", "middle")
    charged = capture(account, child(account, middle, "5", "leaf"), "30")
    assert (charged.credits, charged.uncollected) == (D("30"), 0)
    assert (remaining(middle), remaining(root)) == ("0.000000", "30.000000")
    assert sum(part.credits for part in charged.drawn) == D("30")


def test_a_sibling_keeps_what_it_reserved(account, root):
    sibling = child(account, root, "30", "sibling")
    charged = capture(account, child(account, root, "10", "a"), "50")
    assert (charged.uncollected, remaining(root)) == (D("20"), "0.000000")
    assert capture(account, sibling, "30", "all of it").uncollected == 0


def test_the_root_of_a_tree_takes_nothing_from_the_balance(account, root):
    capture(account, child(account, root, "25", "a"), "20", "a is captured")
    charged = capture(account, root, "50")
    assert (charged.uncollected, charged.balance_after) == (D("10"), D("40"))


def test_a_tree_is_at_most_four_deep(account, root):
    second = child(account, root, "30", "2")
    third = child(account, second, "20", "3")
    fourth = child(account, third, "10", "4")
    with pytest.raises(ledger.TreeTooDeep) as refusal:
        child(account, fourth, "5", "5")
    assert refusal.value.extra() == {"most": 4}


def test_a_child_of_a_closed_or_unknown_hold_is_refused(account, root):
    release(account, root)
    with pytest.raises(ledger.HoldClosed):
        child(account, root, "5", "a")
    with pytest.raises(ledger.UnknownHold):
        ledger.hold(charge_request(account, "1", "b"), expires_at=HOUR, now=NOON, parent=uuid.uuid4())


def test_a_child_is_made_once_for_its_key_also_when_the_parent_is_closed(account, root):
    first = child(account, root, "25", "a")
    again = child(account, root, "25", "a")
    assert (again.hold_id, again.replayed) == (first.hold_id, True)
    release(account, first)
    release(account, root)
    assert child(account, root, "25", "a").hold_id == first.hold_id
    with pytest.raises(ledger.KeyReused):
        child(account, root, "25", "a", fingerprint=b"other")


def test_a_child_ends_with_its_parent_at_the_latest(account, root):
    assert child(account, root, "5", "a", HOUR + DAY).expires_at == HOUR
    assert child(account, root, "5", "b", HOUR - MINUTE).expires_at == HOUR - MINUTE


def test_the_end_of_a_parent_closes_its_children_at_that_instant(account, root):
    middle = child(account, root, "30", "middle")
    leaf = child(account, middle, "10", "leaf")
    ledger.settle([account], HOUR + DAY)
    assert set(Hold.objects.values_list("status", "closed_at")) == {("expired", HOUR)}
    found = ledger.balance(account, HOUR + DAY)
    assert (found.available, found.held) == (D("100"), 0)
    with pytest.raises(ledger.HoldClosed):
        capture(account, leaf, "1", now=HOUR)


def test_the_end_of_a_child_gives_its_credits_back_to_the_parent(account, root):
    child(account, root, "30", "a", NOON + MINUTE)
    ledger.settle([account], NOON + MINUTE)
    assert remaining(root) == "60.000000"
    assert child(account, root, "60", "b", now=NOON + MINUTE).credits == D("60")
    assert Wallet.objects.get().running_holds == 2


def test_a_child_takes_only_grants_that_cover_its_service(account):
    give(account, "10", "images", services=["tag:image"], priority=1)
    give(account, "10", "any")
    both = hold(account, "20", "root", HOUR, covers=("agent", "tag:image", "tag:text"))
    with pytest.raises(ledger.BudgetExceeded) as refusal:
        child(account, both, "15", "text")
    assert refusal.value.remaining == D("10")
    image = child(account, both, "15", "image", covers=("flux", "tag:image"))
    assert [part.credits for part in image.drawn] == [D("10"), D("5")]
    text = child(account, both, "5", "text")
    release(account, image)
    charged = capture(account, text, "12", "of the rest")
    assert charged.uncollected == D("2"), "credits for images do not pay for text"


def test_debt_does_not_stop_a_tree_whose_credits_are_reserved(account, root):
    owe(account, "30")
    held = child(account, root, "25", "a")
    assert capture(account, held, "30").uncollected == 0
    release(account, root)
    assert (Wallet.objects.get().debt, ledger.balance(account, NOON).available) == (0, D("40"))


def test_a_tree_keeps_credits_past_their_expiry_and_the_rest_expires_with_the_root(account):
    give(account, "50", expires_at=NOON + MINUTE)
    later = NOON + 2 * MINUTE
    root = hold(account, "40", "root", HOUR)
    held = child(account, root, "30", "a")
    assert ledger.balance(account, later).available == 0
    assert capture(account, held, "12", now=later).uncollected == 0
    second = child(account, root, "28", "b", now=later)
    release(account, second, later)
    release(account, root, later)
    assert ledger.balance(account, later).held == 0
    assert Entry.objects.filter(kind="expire").count() == 2


def limited(account, project, most):
    ledger.set_limit(
        account_id=account, kind="project", subject=str(project), period="day", maximum=D(most), now=NOON
    )


def used():
    return {one.subject: one.used for one in Limit.objects.all()}


def test_limits_count_a_child_for_its_own_project_and_for_that_of_its_parent(account):
    give(account, "100")
    ours, theirs = uuid.uuid4(), uuid.uuid4()
    limited(account, ours, "60")
    limited(account, theirs, "20")
    root = hold(account, "60", "root", HOUR, project_id=ours)
    with pytest.raises(ledger.LimitReached):
        child(account, root, "21", "too much", project_id=theirs)
    held = child(account, root, "20", "theirs", project_id=theirs)
    assert used() == {str(ours): D("60"), str(theirs): D("20")}
    child(account, root, "40", "ours", project_id=ours)
    assert used() == {str(ours): D("60"), str(theirs): D("20")}, "counted already"
    capture(account, held, "5")
    assert used() == {str(ours): D("55"), str(theirs): D("5")}
    ledger.settle([account], HOUR)
    assert used() == {str(ours): D("0"), str(theirs): D("5")}


def test_a_hold_that_visits_another_project_leaves_no_room_in_the_limit_of_its_own(account):
    """Its credits come back, and would pass the limit if others had used the room meanwhile."""
    give(account, "200")
    ours, theirs = uuid.uuid4(), uuid.uuid4()
    limited(account, ours, "60")
    root = hold(account, "60", "root", HOUR, project_id=ours)
    visit = child(account, root, "60", "visit", project_id=theirs)
    with pytest.raises(ledger.LimitReached):
        spend(account, "60", "meanwhile", project_id=ours)
    release(account, visit)
    capture(account, root, "60")
    assert used() == {str(ours): D("60")}


def test_a_limit_counts_a_grandchild_of_its_project_once(account):
    give(account, "100")
    ours, theirs = uuid.uuid4(), uuid.uuid4()
    limited(account, ours, "60")
    root = hold(account, "60", "root", HOUR, project_id=ours)
    other = child(account, root, "40", "other", project_id=theirs)
    back = child(account, other, "30", "back", project_id=ours)
    assert used() == {str(ours): D("60")}
    limited(account, theirs, "90")  # a limit that is set now counts the same
    assert used() == {str(ours): D("60"), str(theirs): D("40")}
    capture(account, back, "35", "back's")  # 5 of them from the hold above
    assert used() == {str(ours): D("60"), str(theirs): D("5")}
    capture(account, other, "25", "other's")  # 20 of them from the root
    assert used() == {str(ours): D("35"), str(theirs): D("25")}
    release(account, root)
    assert used() == {str(ours): D("35"), str(theirs): D("25")}


def test_a_child_counts_its_own_use_of_a_quota_beside_that_of_its_parent(account):
    give(account, "100")
    ledger.set_limit(
        account_id=account, kind="quota", subject="files", period="month", maximum=D("4"), now=NOON
    )
    ours = uuid.uuid4()
    limited(account, ours, "60")
    root = hold(account, "60", "root", HOUR, quota=("files", 1), project_id=ours)
    held = child(account, root, "5", "three", quota=("files", 3), project_id=ours)
    assert used() == {"files": D("4"), str(ours): D("60")}
    with pytest.raises(ledger.QuotaReached):
        child(account, root, "5", "one more", quota=("files", 1))
    release(account, held)
    assert used() == {"files": D("1"), str(ours): D("60")}
    capture(account, child(account, root, "5", "two", quota=("files", 2)), "1")
    assert used() == {"files": D("3"), str(ours): D("59")}  # the child without a project took 1


def test_children_count_as_running_holds(account, root):
    child(account, root, "1", "a")
    with pytest.raises(ledger.TooManyHolds):
        ledger.hold(
            charge_request(account, "1", "b"),
            expires_at=HOUR,
            now=NOON,
            most_running=2,
            parent=root.hold_id,
        )


def test_a_child_of_nothing_is_recorded(account, root):
    held = child(account, root, "0", "free", covered_by="own_key")
    assert capture(account, held, "0", covered_by="own_key").credits == 0
    assert remaining(root) == "60.000000"


def test_a_tree_over_many_grants_spends_them_in_order(account):
    for number in range(60):
        give(account, "1", f"grant {number}")
    root = hold(account, "60", "root", HOUR)
    held = child(account, root, "55.5", "a")
    assert capture(account, held, "57.25").uncollected == 0
    assert remaining(root) == "2.750000"
    release(account, root)
    assert ledger.balance(account, NOON).available == D("2.75")


def test_a_reversal_of_a_childs_charge_returns_to_the_balance(account, root):
    charged = capture(account, child(account, root, "25", "a"), "20")
    ledger.reverse(
        account_id=account, charge_id=charged.charge_id, credits=D("20"), key="r", reason="r", now=NOON
    )
    assert (ledger.balance(account, NOON).available, remaining(root)) == (D("60"), "40.000000")
    assert Charge.objects.get().returned == D("20")
