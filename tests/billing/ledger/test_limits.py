"""Limits of projects, members and keys, and quotas: counted with the charge itself."""

import datetime as dt
import uuid

import pytest

from accounts.models import Account
from billing import ledger
from billing.ledger.models import Limit
from tests.billing.ledger.conftest import DAY, NOON, D, charge_request, give, new_account, spend
from tests.billing.ledger.state import broken

pytestmark = pytest.mark.django_db
HOUR = dt.timedelta(hours=1)


def limit(account, subject, maximum: str | None, kind="project", period="day", now=NOON):
    return ledger.set_limit(
        account_id=account,
        kind=kind,
        subject=str(subject),
        period=period,
        maximum=None if maximum is None else D(maximum),
        now=now,
    )


@pytest.mark.requirement("FLOW-09")
def test_at_a_projects_daily_limit_its_charges_are_refused_with_the_reset_and_others_go_on(db):
    account = new_account("Asia/Kathmandu")
    give(account, "100")
    server, other = uuid.uuid4(), uuid.uuid4()
    limit(account, server, "10")
    spend(account, "8", "a", project_id=server)
    with pytest.raises(ledger.LimitReached) as refusal:
        spend(account, "3", "b", project_id=server)
    assert (refusal.value.limit, refusal.value.used) == ("project", D("8"))
    assert refusal.value.resets_at == dt.datetime(2026, 3, 10, 18, 15, tzinfo=dt.UTC), "midnight in Kathmandu"
    spend(account, "3", "b", project_id=other)
    spend(account, "2", "c", project_id=server)
    spend(account, "10", "d", project_id=server, now=refusal.value.resets_at)


def test_a_new_limit_counts_earlier_use_in_its_window_and_a_change_does_not_reset_it(account):
    give(account, "100")
    server = uuid.uuid4()
    spend(account, "8", "a", project_id=server)
    assert limit(account, server, "10") == D("8")
    with pytest.raises(ledger.LimitReached):
        spend(account, "3", "b", project_id=server)
    assert limit(account, server, "20") == D("8")
    spend(account, "3", "b", project_id=server)
    limit(account, server, None)
    spend(account, "80", "c", project_id=server)


def test_a_change_of_the_accounts_zone_gives_no_second_day(db):
    account, server = new_account("Asia/Tokyo"), uuid.uuid4()
    give(account, "1000")
    limit(account, server, "100")
    spend(account, "100", "a", project_id=server, now=NOON + 2 * HOUR)  # the day in Tokyo ends at 15:00 UTC
    Account.objects.filter(id=account).update(zone="UTC")
    spend(account, "100", "b", project_id=server, now=NOON + 4 * HOUR)
    with pytest.raises(ledger.LimitReached) as refusal:
        spend(account, "1", "c", project_id=server, now=NOON + 13 * HOUR)
    assert refusal.value.resets_at == dt.datetime(2026, 3, 12, tzinfo=dt.UTC), "at least a day after 15:00"
    spend(account, "100", "c", project_id=server, now=refusal.value.resets_at)
    assert ledger.audit.run(now=NOON + 2 * DAY).findings == []


def test_members_are_capped_by_the_month_and_keys_too(account):
    give(account, "100")
    bob, key = uuid.uuid4(), uuid.uuid4()
    limit(account, bob, "10", "member", "month")
    limit(account, key, "5", "key", "month")
    spend(account, "5", "a", member_id=bob, api_key_id=key)
    with pytest.raises(ledger.LimitReached) as refusal:
        spend(account, "1", "b", member_id=bob, api_key_id=key)
    assert refusal.value.limit == "key"
    spend(account, "5", "b", member_id=bob)
    spend(account, "10", "c", member_id=bob, now=NOON + 30 * DAY)


def test_holds_count_and_their_unused_part_is_subtracted(account):
    give(account, "100")
    server = uuid.uuid4()
    limit(account, server, "10")
    held = ledger.hold(
        charge_request(account, "9", "h", project_id=server),
        expires_at=NOON + dt.timedelta(hours=1),
        now=NOON,
    )
    with pytest.raises(ledger.LimitReached):
        spend(account, "2", "a", project_id=server)
    ledger.capture(account_id=account, hold_id=held.hold_id, credits=D("3"), key="c", detail={}, now=NOON)
    spend(account, "7", "a", project_id=server)


def test_a_reversal_gives_the_window_back(account):
    give(account, "100")
    server = uuid.uuid4()
    limit(account, server, "10")
    charged = spend(account, "10", "a", project_id=server)
    ledger.reverse(account_id=account, charge_id=charged.charge_id, key="r", reason="r", now=NOON)
    assert spend(account, "10", "b", project_id=server).balance_after == 90
    with pytest.raises(ledger.LimitReached):
        spend(account, "0.000001", "c", project_id=server)


@pytest.mark.requirement("REFLY-18")
def test_a_quota_of_a_hundred_files_refuses_the_hundred_and_first(account):
    limit(account, "files", "100", "quota", "ever")
    for n in range(100):
        spend(account, "0", f"file-{n}", service="file-upload", quota=("files", 1))
    with pytest.raises(ledger.QuotaReached) as refusal:
        spend(account, "0", "file-100", service="file-upload", quota=("files", 1))
    assert (refusal.value.quota, refusal.value.maximum, refusal.value.used) == ("files", D("100"), D("100"))


def test_a_quota_counts_a_running_hold_and_is_restored_at_its_release(account):
    limit(account, "files", "2", "quota", "ever")
    soon = NOON + dt.timedelta(minutes=5)

    def upload(key: str, now=NOON):
        files = charge_request(account, "0", key, service="file-upload", quota=("files", 1))
        return ledger.hold(files, expires_at=soon, now=now)

    kept, dropped = upload("a"), upload("b")
    with pytest.raises(ledger.QuotaReached):
        upload("c")
    ledger.release(account_id=account, hold_id=dropped.hold_id, now=NOON)
    ledger.capture(account_id=account, hold_id=kept.hold_id, credits=D("0"), key="k", detail={}, now=NOON)
    upload("c")
    with pytest.raises(ledger.QuotaReached):
        upload("d")
    upload("d", now=soon)


def used(account, quota="files"):
    return Limit.objects.get(account_id=account, subject=quota).used


def made_by(way, account, count, key="use"):
    """Charge 9 credits that count `count` files: singly, in a large batch, or by a capture."""
    request = charge_request(account, "9", key, quota=("files", count))
    if way == "singly":
        return ledger.charge(request, NOON).charge_id
    if way == "in a batch":
        others = [charge_request(account, "0.01", f"{key} {n}") for n in range(60)]
        return ledger.charge_many([request, *others], NOON)[0].charge_id
    held = ledger.hold(request, expires_at=NOON + DAY, now=NOON)
    terms = {"credits": D("9"), "key": f"{key} captured", "detail": {}, "now": NOON}
    return ledger.capture(account_id=account, hold_id=held.hold_id, **terms).charge_id


@pytest.mark.parametrize("way", ["singly", "in a batch", "by capture"])
def test_a_reversal_gives_a_quota_its_count_back(account, way):
    give(account, "100")
    limit(account, "files", "5", "quota", "ever")
    charge_id = made_by(way, account, 5)
    assert used(account) == 5
    ledger.reverse(account_id=account, charge_id=charge_id, key="r", reason="r", now=NOON)
    assert used(account) == 0


def test_a_partial_reversal_gives_back_its_share_in_whole_counts(account):
    give(account, "100")
    limit(account, "files", "5", "quota", "ever")
    terms = {"account_id": account, "charge_id": made_by("singly", account, 2), "reason": "r", "now": NOON}
    left = []
    for n, part in enumerate(["4", "1", "3.999999", "0.000001"]):
        ledger.reverse(key=str(n), credits=D(part), **terms)
        left.append(used(account))
    assert left == [2, 1, 1, 0], "4 of 9 credits are less than one of two counts, 5 are one"


def test_a_reversal_in_a_later_window_gives_nothing_back(account):
    give(account, "100")
    limit(account, "files", "5", "quota", "day")
    charge_id = made_by("singly", account, 2)
    tomorrow = NOON + DAY
    spend(account, "1", "tomorrow", quota=("files", 1), now=tomorrow)
    ledger.reverse(account_id=account, charge_id=charge_id, key="r", reason="r", now=tomorrow)
    assert used(account) == 1


def test_the_reversal_of_a_free_charge_gives_its_quota_back_once(account):
    limit(account, "files", "2", "quota", "ever")
    charged = spend(account, "0", service="file-upload", quota=("files", 2))
    terms = {"account_id": account, "charge_id": charged.charge_id, "reason": "r", "now": NOON}
    first = ledger.reverse(key="first", **terms)
    assert (first.credits, first.detail, used(account)) == (0, [], 0)
    assert ledger.reverse(key="first", **terms).replayed
    with pytest.raises(ledger.NotReversible):
        ledger.reverse(key="second", **terms)
    plain = spend(account, "0", "without a quota")
    with pytest.raises(ledger.NotReversible):
        ledger.reverse(**terms | {"key": "third", "charge_id": plain.charge_id})
    assert used(account) == 0
    assert broken([account]) == []
    assert ledger.audit.run(now=NOON).findings == []
