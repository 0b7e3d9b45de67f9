"""An API key by the state of the key, its maker, the maker's membership and its account."""

from collections.abc import Callable
from datetime import timedelta

import pytest
from django.utils import timezone

from accounts import account_keys, api_keys, memberships
from accounts.authentication import session_principal
from accounts.models import Account, ApiKey, Membership, User

ALL = ("read", "spend", "manage")
LONG_AGO = timezone.datetime(2026, 1, 1, tzinfo=timezone.get_fixed_timezone(0))


def principal(issued: api_keys.Issued) -> api_keys.Principal | None:
    """What a request with the key may do; None when it is refused. Leases of this process are dropped."""
    api_keys._leases.clear()
    try:
        return api_keys.verify(issued.secret, timezone.now())
    except api_keys.UnknownKey:
        return None


@pytest.fixture
def bobs_key(team: Account, bob: User) -> api_keys.Issued:
    """A key of the team that bob made as a member with the role billing."""
    Membership.objects.filter(account=team, user=bob).update(role="billing")
    return api_keys.issue(
        kind="account", name="k", scopes=ALL, account=team, created_by=bob, now=timezone.now()
    )


def revoked(bob: User, team: Account) -> None:
    ApiKey.objects.update(revoked_at=LONG_AGO)


def maker_deactivated(bob: User, team: Account) -> None:
    User.objects.filter(pk=bob.pk).update(is_active=False)


def another_user_deactivated(bob: User, team: Account) -> None:
    User.objects.exclude(pk=bob.pk).update(is_active=False)


def membership_deleted(bob: User, team: Account) -> None:
    Membership.objects.filter(account=team, user=bob).delete()


def another_membership_deleted(bob: User, team: Account) -> None:
    Membership.objects.filter(user=bob).exclude(account=team).delete()


def maker_deleted(bob: User, team: Account) -> None:
    Membership.objects.filter(user=bob).delete()
    Account.objects.filter(person=bob).update(person=None)
    ApiKey.objects.update(created_by=None)


def account_erased(bob: User, team: Account) -> None:
    Account.objects.filter(pk=team.pk).update(erased_at=LONG_AGO)


def personal_account_erased(bob: User, team: Account) -> None:
    Account.objects.filter(person=bob).update(erased_at=LONG_AGO)


def role(name: str) -> Callable[[User, Account], None]:
    def change(bob: User, team: Account) -> None:
        Membership.objects.filter(account=team, user=bob).update(role=name)

    change.__name__ = name
    return change


def role_elsewhere(bob: User, team: Account) -> None:
    Membership.objects.filter(user=bob).exclude(account=team).update(role="member")


@pytest.mark.fault("Z5")
@pytest.mark.parametrize(
    ("change", "scopes"),
    [
        (lambda bob, team: None, ALL),
        (revoked, None),
        (maker_deactivated, None),
        (another_user_deactivated, ALL),
        (membership_deleted, None),
        (another_membership_deleted, ALL),
        (maker_deleted, None),
        (account_erased, None),
        (personal_account_erased, ALL),
        (role("owner"), ALL),
        (role("billing"), ALL),
        (role("member"), ("read", "spend")),
        (role_elsewhere, ALL),
    ],
)
def test_an_account_key_lives_as_long_as_its_maker_is_an_active_member(
    bobs_key: api_keys.Issued,
    team: Account,
    bob: User,
    change: Callable[[User, Account], None],
    scopes: tuple[str, ...] | None,
) -> None:
    change(bob, team)
    found = principal(bobs_key)
    assert (found and set(found.scopes)) == (None if scopes is None else set(scopes))
    if found:
        assert (found.account_id, found.member_id, found.kind) == (team.pk, bob.pk, "account")


@pytest.mark.fault("Z5")
@pytest.mark.parametrize(
    ("change", "accepted"),
    [("maker deactivated", True), ("maker deleted", True), ("revoked", False)],
)
def test_a_platform_key_does_not_depend_on_its_maker(staff: User, change: str, accepted: bool) -> None:
    issued = api_keys.issue(kind="platform", name="k", scopes=ALL, created_by=staff, now=timezone.now())
    if change == "maker deactivated":
        User.objects.filter(pk=staff.pk).update(is_active=False)
    else:
        terms = {"created_by": None} if change == "maker deleted" else {"revoked_at": LONG_AGO}
        ApiKey.objects.update(**terms)
    found = principal(issued)
    assert (found is not None) == accepted
    if found:
        assert (found.is_platform, found.account_id, found.scopes) == (True, None, frozenset(ALL))


def test_a_new_key_stores_what_it_was_issued_with(team: Account, bob: User) -> None:
    now = timezone.now()
    issued = api_keys.issue(
        kind="account", name="CI", scopes=["spend", "read"], account=team, created_by=bob, now=now
    )
    key = ApiKey.objects.get()
    assert (key.kind, key.name, key.scopes) == ("account", "CI", ["read", "spend"])
    assert (key.account, key.created_by, key.created_at) == (team, bob, now)
    assert (key.last_used_at, key.revoked_at) == (None, None)
    assert key.prefix == issued.secret[:16] and len(issued.secret) > 50
    assert issued.key == key


@pytest.mark.parametrize(
    "terms",
    [
        {"kind": "account"},
        {"kind": "account", "created_by": "bob"},
        {"kind": "account", "account": "team"},
        {"kind": "platform", "account": "team", "created_by": "bob"},
        {"kind": "platform", "account": "team"},
    ],
)
def test_a_key_with_the_wrong_owner_is_not_issued(team: Account, bob: User, terms: dict[str, str]) -> None:
    given = {"team": team, "bob": bob}
    with pytest.raises(ValueError, match="account"):
        api_keys.issue(
            name="k",
            scopes=["read"],
            now=timezone.now(),
            **{name: given.get(value, value) for name, value in terms.items()},  # type: ignore[arg-type]
        )
    assert not ApiKey.objects.exists()


def test_only_active_keys_of_the_same_account_count_towards_the_limit(
    team: Account,
    alice: User,
    bob: User,
    account_of: Callable[[User], Account],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(api_keys, "MOST_KEYS", 2)
    now = timezone.now()

    def issue(account: Account, user: User) -> api_keys.Issued:
        return api_keys.issue(
            kind="account", name="k", scopes=["read"], account=account, created_by=user, now=now
        )

    issue(team, alice)
    issue(team, bob)  # another member's key counts
    with pytest.raises(api_keys.TooManyKeys):
        issue(team, alice)
    issue(account_of(alice), alice)
    issue(account_of(alice), alice)
    for _ in range(3):
        api_keys.issue(kind="platform", name="k", scopes=["read"], now=now)
    assert ApiKey.objects.filter(account=team).count() == 2


def test_revoking_some_keys_keeps_the_others(team: Account, alice: User, bob: User) -> None:
    now = timezone.now()
    issued = [
        api_keys.issue(kind="account", name="k", scopes=["read"], account=team, created_by=user, now=now)
        for user in (alice, alice, bob)
    ]
    api_keys.revoke(issued[0].key, now)
    assert [principal(one) is not None for one in issued] == [False, True, True]
    assert ApiKey.objects.get(pk=issued[0].key.pk).revoked_at == now


def test_the_last_use_that_another_process_noted_is_kept_for_a_minute(team: Account, bob: User) -> None:
    first = timezone.now()
    issued, other = (
        api_keys.issue(kind="account", name="k", scopes=["read"], account=team, created_by=bob, now=first)
        for _ in range(2)
    )
    api_keys.verify(issued.secret, first)
    noted = first + timedelta(seconds=45)  # by another process, while this one has a lease with `first`
    ApiKey.objects.filter(pk=issued.key.pk).update(last_used_at=noted)
    api_keys.verify(issued.secret, first + timedelta(seconds=61))
    assert ApiKey.objects.get(pk=issued.key.pk).last_used_at == noted
    api_keys._leases.clear()
    api_keys.verify(issued.secret, noted + timedelta(seconds=60))
    assert ApiKey.objects.get(pk=issued.key.pk).last_used_at == noted + timedelta(seconds=60)
    assert ApiKey.objects.get(pk=other.key.pk).last_used_at is None


@pytest.mark.fault("Z5")
def test_a_removed_members_keys_of_the_account_are_revoked_and_no_others(
    team: Account, alice: User, bob: User, account_of: Callable[[User], Account]
) -> None:
    now = timezone.now()

    def issue(account: Account, user: User) -> api_keys.Issued:
        return api_keys.issue(
            kind="account", name="k", scopes=["read"], account=account, created_by=user, now=now
        )

    old, of_bob, of_alice, elsewhere = (
        issue(team, bob),
        issue(team, bob),
        issue(team, alice),
        issue(account_of(bob), bob),
    )
    ApiKey.objects.filter(pk=old.key.pk).update(revoked_at=LONG_AGO)
    memberships.remove(Membership.objects.get(account=team, user=bob), now)
    times = {key.pk: key.revoked_at for key in ApiKey.objects.all()}
    assert [times[one.key.pk] for one in (old, of_bob, of_alice, elsewhere)] == [LONG_AGO, now, None, None]
    assert principal(elsewhere) and principal(of_alice)
    assert not Membership.objects.filter(account=team, user=bob).exists()
    assert Membership.objects.filter(user=bob).count() == 1


def test_a_member_is_added_with_the_role(team: Account, charlie: User) -> None:
    now = timezone.now()
    added = memberships.add(account=team, user=charlie, role="billing", now=now)
    stored = Membership.objects.get(account=team, user=charlie)
    assert (stored, stored.role, stored.created_at) == (added, "billing", now)


@pytest.mark.fault("Z8")
@pytest.mark.parametrize("new", ["owner", "billing", "member"])
def test_only_the_role_of_the_named_membership_changes(
    team: Account, alice: User, bob: User, new: str
) -> None:
    memberships.change_role(Membership.objects.get(account=team, user=bob), new)
    assert Membership.objects.get(account=team, user=bob).role == new
    assert Membership.objects.get(account=team, user=alice).role == "owner"
    assert Membership.objects.exclude(account=team).get(user=bob).role == "owner"


@pytest.mark.fault("Z8")
def test_a_role_is_read_anew_before_the_last_owner_is_protected(
    team: Account, alice: User, bob: User
) -> None:
    stale = Membership.objects.get(account=team, user=bob)  # read while bob was a member
    Membership.objects.filter(account=team, user=bob).update(role="owner")
    Membership.objects.filter(account=team, user=alice).update(role="member")
    for act in (
        lambda: memberships.remove(stale, timezone.now()),
        lambda: memberships.change_role(stale, "member"),
    ):
        with pytest.raises(memberships.LastOwner):
            act()
    memberships.change_role(stale, "owner")


def test_a_member_may_leave_an_account_that_the_platform_opened_without_an_owner(
    team: Account, alice: User, bob: User
) -> None:
    Membership.objects.filter(account=team, user=alice).delete()
    member = Membership.objects.get(account=team, user=bob)
    memberships.change_role(member, "billing")
    memberships.remove(member, timezone.now())
    assert not Membership.objects.filter(account=team).exists()


def test_a_key_is_refused_from_the_instant_of_its_expiry_which_is_never_the_present(
    team: Account, alice: User
) -> None:
    now = timezone.now()
    ends_at = now + timedelta(minutes=1)
    issued = api_keys.issue(
        kind="account", name="k", scopes=ALL, account=team, created_by=alice, now=now, expires_at=ends_at
    )
    assert api_keys.verify(issued.secret, ends_at - timedelta(seconds=1)).id == issued.key.pk
    with pytest.raises(api_keys.UnknownKey):
        api_keys.verify(issued.secret, ends_at)
    owner = session_principal(Membership.objects.get(account=team, user=alice))
    with pytest.raises(account_keys.ExpiryInThePast):
        account_keys.change(issued.key, by=owner, now=now, expires_at=now)
