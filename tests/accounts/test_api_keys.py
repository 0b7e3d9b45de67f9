"""Keys are issued, verified and revoked; when `revoke` has returned, no process accepts the key."""

import threading
import time
from datetime import timedelta
from unittest import mock

import pytest
from django.db import connection
from django.utils import timezone

from accounts import api_keys, memberships
from accounts.models import ApiKey, Membership
from core.caches import TimedCache


@pytest.fixture
def key_of(account_of):
    """Issue a key of a user: `key_of(alice).secret`."""

    def issue(user, *, account=None, scopes=("read", "spend", "manage")):
        return api_keys.issue(
            kind="account",
            name="program",
            scopes=scopes,
            account=account or account_of(user),
            created_by=user,
            now=timezone.now(),
        )

    return issue


def test_a_key_acts_for_its_account_with_its_scopes(alice, account_of, key_of):
    principal = api_keys.verify(key_of(alice, scopes=["spend", "read"]).secret, timezone.now())
    assert principal.account_id == account_of(alice).pk
    assert principal.member_id == alice.pk
    assert not principal.is_platform
    assert principal.may("read") and principal.may("spend") and not principal.may("manage")


def test_a_platform_key_belongs_to_no_account(db):
    issued = api_keys.issue(kind="platform", name="backend", scopes=["read"], now=timezone.now())
    principal = api_keys.verify(issued.secret, timezone.now())
    assert principal.is_platform
    assert principal.account_id is None


@pytest.mark.fault("W9")
def test_the_secret_is_stored_nowhere(alice, key_of):
    issued = key_of(alice)
    with connection.cursor() as cursor:
        cursor.execute("select to_jsonb(k)::text from accounts_apikey k where id = %s", [issued.key.pk])
        row = cursor.fetchone()[0]
    random_part = issued.secret.rpartition("_")[2]
    assert random_part not in row
    assert random_part.encode().hex() not in row
    assert issued.secret not in repr(issued.key)


def test_scopes_that_do_not_exist_are_refused(alice, key_of):
    with pytest.raises(ValueError):
        key_of(alice, scopes=["read", "everything"])
    with pytest.raises(ValueError):
        key_of(alice, scopes=[])


def test_an_account_key_without_a_creator_is_refused(alice, account_of):
    with pytest.raises(ValueError):
        api_keys.issue(
            kind="account", name="x", scopes=["read"], account=account_of(alice), now=timezone.now()
        )


def test_the_number_of_active_keys_of_an_account_is_limited(alice, key_of, monkeypatch):
    monkeypatch.setattr(api_keys, "MOST_KEYS", 2)
    first = key_of(alice)
    key_of(alice)
    with pytest.raises(api_keys.TooManyKeys):
        key_of(alice)
    api_keys.revoke(first.key, timezone.now())
    key_of(alice)


@pytest.mark.fault("Z5")
def test_a_revoked_key_is_refused_immediately(alice, key_of):
    issued = key_of(alice)
    api_keys.verify(issued.secret, timezone.now())
    api_keys.revoke(issued.key, timezone.now())
    with pytest.raises(api_keys.UnknownKey):
        api_keys.verify(issued.secret, timezone.now())


@pytest.mark.fault("Z5")
def test_the_key_of_a_removed_member_is_refused_immediately(team, bob, key_of):
    issued = key_of(bob, account=team)
    api_keys.verify(issued.secret, timezone.now())
    memberships.remove(Membership.objects.get(account=team, user=bob), timezone.now())
    with pytest.raises(api_keys.UnknownKey):
        api_keys.verify(issued.secret, timezone.now())


@pytest.mark.fault("Z5")
def test_the_old_key_stays_revoked_when_the_member_returns(team, bob, key_of):
    issued = key_of(bob, account=team)
    memberships.remove(Membership.objects.get(account=team, user=bob), timezone.now())
    memberships.add(account=team, user=bob, role="member", now=timezone.now())
    with pytest.raises(api_keys.UnknownKey):
        api_keys.verify(issued.secret, timezone.now())


@pytest.mark.fault("Z5")
def test_a_key_loses_manage_when_its_creator_loses_the_role(team, alice, bob, key_of):
    memberships.change_role(Membership.objects.get(account=team, user=bob), "owner")
    issued = key_of(alice, account=team)
    assert api_keys.verify(issued.secret, timezone.now()).may("manage")
    memberships.change_role(Membership.objects.get(account=team, user=alice), "member")
    principal = api_keys.verify(issued.secret, timezone.now())
    assert principal.may("spend")
    assert not principal.may("manage")


def test_the_keys_of_an_erased_account_are_refused(alice, account_of, key_of):
    issued = key_of(alice)
    account = account_of(alice)
    account.erased_at = timezone.now()
    account.save(update_fields=["erased_at"])
    with pytest.raises(api_keys.UnknownKey):
        api_keys.verify(issued.secret, timezone.now())


def test_a_well_formed_key_that_was_never_issued_is_unknown(db):
    with pytest.raises(api_keys.UnknownKey):
        api_keys.verify(api_keys.key_format.new_secret("account"), timezone.now())


@pytest.mark.fault("W6")
def test_malformed_keys_cause_no_query(db, django_assert_num_queries):
    with django_assert_num_queries(0):
        for number in range(500):
            with pytest.raises(api_keys.UnknownKey):
                api_keys.verify(f"rk_account_{number:049d}", timezone.now())


def test_a_busy_key_causes_one_query_for_each_lease(alice, key_of, monkeypatch, django_assert_num_queries):
    seconds = [1000.0]
    monkeypatch.setattr(api_keys._leases, "clock", lambda: seconds[0])
    issued = key_of(alice)
    now = timezone.now()
    api_keys.verify(issued.secret, now)
    with django_assert_num_queries(0):
        for _ in range(100):
            api_keys.verify(issued.secret, now)
    seconds[0] += api_keys.LEASE_SECONDS
    with django_assert_num_queries(1):
        for _ in range(100):
            api_keys.verify(issued.secret, now)


def test_a_key_in_use_stays_known_to_the_process(alice, key_of, monkeypatch):
    seconds = [1000.0]
    for cache in (api_keys._leases, api_keys._seen):
        monkeypatch.setattr(cache, "clock", lambda: seconds[0])
    issued = key_of(alice)
    for _time in range(3):
        api_keys.verify(issued.secret, timezone.now())
        seconds[0] += api_keys.SEEN_SECONDS * 2 / 3
        assert api_keys.seen(issued.secret)
    seconds[0] += api_keys.SEEN_SECONDS
    assert not api_keys.seen(issued.secret)


def test_the_last_use_is_written_at_most_once_a_minute(alice, key_of):
    issued = key_of(alice)
    first = timezone.now()
    for seconds in (0, 1, 59):
        api_keys.verify(issued.secret, first + timedelta(seconds=seconds))
        assert ApiKey.objects.get(pk=issued.key.pk).last_used_at == first
    later = first + timedelta(seconds=60)
    api_keys.verify(issued.secret, later)
    assert ApiKey.objects.get(pk=issued.key.pk).last_used_at == later


def test_revoking_twice_keeps_the_first_time(alice, key_of):
    issued = key_of(alice)
    first = timezone.now()
    api_keys.revoke(issued.key, first)
    api_keys.revoke(issued.key, first + timedelta(days=1))
    assert ApiKey.objects.get(pk=issued.key.pk).revoked_at == first


@pytest.mark.fault("Z5")
@pytest.mark.django_db(transaction=True)
def test_when_revoke_has_returned_no_process_accepts_the_key(alice, key_of, monkeypatch):
    """Two caches simulate two processes: `revoke` does not clear the cache of the other one."""
    issued = key_of(alice)
    secret_hash = api_keys.key_format.hash_of(issued.secret)
    other_process: TimedCache = TimedCache(seconds=api_keys.LEASE_SECONDS, max_entries=10)
    monkeypatch.setattr(api_keys, "_leases", other_process)
    api_keys.verify(issued.secret, timezone.now())  # the other process caches the key
    assert other_process.get_or_load(secret_hash, lambda _key: None) is not None
    monkeypatch.setattr(
        api_keys, "_leases", TimedCache(seconds=api_keys.LEASE_SECONDS, max_entries=10)
    )  # the process that revokes

    api_keys.revoke(issued.key, timezone.now())

    monkeypatch.setattr(api_keys, "_leases", other_process)
    with pytest.raises(api_keys.UnknownKey):
        api_keys.verify(issued.secret, timezone.now())


@pytest.mark.fault("Z5")
@pytest.mark.django_db(transaction=True)
def test_concurrent_verifications_do_not_keep_a_revoked_key_cached(alice, key_of):
    issued = key_of(alice)
    revoked = threading.Event()
    accepted_after: list[float] = []

    def verify_until_refused():
        try:
            while True:
                late = revoked.is_set()
                api_keys.verify(issued.secret, timezone.now())
                if late:
                    accepted_after.append(time.monotonic())
                    return
        except api_keys.UnknownKey:
            return
        finally:
            connection.close()

    threads = [threading.Thread(target=verify_until_refused) for _ in range(4)]
    for thread in threads:
        thread.start()
    api_keys.revoke(issued.key, timezone.now())
    revoked.set()
    for thread in threads:
        thread.join(timeout=60)
    assert accepted_after == []


def test_storing_the_last_use_of_a_key_keeps_the_newest_scopes(alice, account_of):
    account, now = account_of(alice), timezone.now()
    issued = api_keys.issue(
        kind="account", name="k", scopes=["read", "manage"], now=now, account=account, created_by=alice
    )
    store_use = api_keys._note_use

    def demote_meanwhile(secret_hash, principal, at):
        Membership.objects.filter(account=account, user=alice).update(role="member")
        api_keys._leases.clear()
        with mock.patch.object(api_keys, "_note_use"):
            assert not api_keys.verify(issued.secret, at).may("manage")
        store_use(secret_hash, principal, at)

    with mock.patch.object(api_keys, "_note_use", demote_meanwhile):
        api_keys.verify(issued.secret, now)
    assert not api_keys.verify(issued.secret, now).may("manage")
