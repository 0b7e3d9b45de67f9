"""Who calls the API, for which account, and whose objects a path may name."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from accounts import authentication, selectors
from accounts.api_keys import Principal
from accounts.models import Account, ApiKey, Membership, User
from tests.usage.api.conftest import use

SignedIn = Callable[[User], Client]


@pytest.mark.fault("Z4", "Z5")
@pytest.mark.parametrize(("role", "refused"), [("owner", False), ("billing", False), ("member", True)])
def test_a_session_reads_and_spends_and_manages_by_its_role(
    team: Account, bob: User, signed_in: SignedIn, role: str, refused: bool
) -> None:
    Membership.objects.filter(account=team, user=bob).update(role=role)
    browser, query = signed_in(bob), f"?account={team.public_id}"
    assert browser.get(f"/api/v1/balance{query}").status_code == 200
    answers = [
        browser.post(
            f"/api/v1/charges{query}",
            use(),
            content_type="application/json",
            headers={"Idempotency-Key": "c"},
        ),
        browser.get(f"/api/v1/projects{query}"),
        browser.get(f"/api/v1/alerts{query}"),
    ]
    assert [answer.status_code for answer in answers] == [201, *[403 if refused else 200] * 2]


def test_a_session_acts_for_the_account_that_is_named_else_for_the_selected_one(
    team: Account, bob: User, account_of: Callable[[User], Account], signed_in: SignedIn
) -> None:
    Account.objects.filter(pk=team.pk).update(external_id="our-team")
    browser, own = signed_in(bob), account_of(bob).public_id

    def acts_for(query: str) -> tuple[int, str]:
        answer = browser.get(f"/api/v1/balance{query}")
        return answer.status_code, answer.json().get("account", answer.json().get("code"))

    assert acts_for("") == (200, own)
    assert acts_for("?account=our-team") == (200, team.public_id)
    browser.post(f"/switch/{team.public_id}/")
    assert acts_for("") == (200, team.public_id)
    assert acts_for(f"?account={own}") == (200, own)
    for unknown in ("nobody", "acct_" + "0" * 32, ""):
        assert acts_for(f"?account={unknown}") == (404, "unknown_account")
    Account.objects.filter(pk=team.pk).update(erased_at=timezone.now())
    for name in (team.public_id, "our-team"):
        assert acts_for(f"?account={name}") == (404, "unknown_account")
    assert acts_for("") == (200, own)


@pytest.mark.fault("Z5")
def test_the_session_of_a_deactivated_user_is_refused(alice: User, signed_in: SignedIn) -> None:
    browser = signed_in(alice)
    User.objects.filter(pk=alice.pk).update(is_active=False)
    assert browser.get("/api/v1/balance").status_code == 401


@pytest.mark.fault("Z1")
def test_a_platform_key_finds_accounts_by_id_and_by_external_id_but_none_that_is_erased(
    platform_api: Any, team: Account, alice: User, charlie: User, account_of: Callable[[User], Account]
) -> None:
    # charlie's external id is spelled like the public id of the team: the public id decides
    Account.objects.filter(pk=account_of(charlie).pk).update(external_id=team.public_id)
    Account.objects.filter(pk=account_of(alice).pk).update(external_id="alice-81")
    named = {team.public_id: team, "alice-81": account_of(alice)}
    for name, account in named.items():
        assert platform_api.get("balance", account=name).json()["account"] == account.public_id
        assert selectors.account_of_platform(name) == account
    authentication._account_ids.clear()
    backend = ApiKey.objects.get(kind="platform").pk
    platform = Principal(
        id=backend, kind="platform", account_id=None, member_id=None, scopes=frozenset(), last_used_at=None
    )
    asked = [(platform, name) for name in (*named, "nobody", "nul\0", None)]
    assert authentication.accounts_of(asked) == [*(one.pk for one in named.values()), None, None, None]
    erased = account_of(alice)
    Account.objects.filter(pk=erased.pk).update(erased_at=timezone.now())
    authentication._account_ids.clear()
    assert authentication.accounts_of([(platform, erased.public_id), (platform, "alice-81")]) == [None, None]
    for name in (erased.public_id, "alice-81"):
        assert platform_api.get("balance", account=name).status_code == 404
        assert platform_api.get(f"accounts/{name}").status_code == 404
        assert selectors.account_of_platform(name) is None


@pytest.mark.fault("Z1")
def test_an_id_in_a_path_names_an_object_of_the_named_account_only(
    platform_api: Any, alice: User, charlie: User, account_of: Callable[[User], Account]
) -> None:
    account, other = account_of(alice), account_of(charlie)
    charge = platform_api.post("charges", use(account=account.public_id), key="c").json()["id"]
    path = f"charges/{charge}"
    assert platform_api.get(path).status_code == 200
    assert platform_api.get(path, account=account.public_id).status_code == 200
    assert platform_api.get(path, account=other.public_id).status_code == 404
    assert platform_api.get(path, account="nobody").json()["code"] == "unknown_account"
    assert platform_api.get("charges/hold_" + charge.partition("_")[2]).status_code == 404
    Account.objects.filter(pk=account.pk).update(erased_at=timezone.now())
    assert platform_api.get(path).status_code == 404


@pytest.mark.parametrize(
    ("header", "status"),
    [
        ("Bearer {}", 200),
        ("bearer {}", 200),
        ("BEARER   {}  ", 200),
        ("Basic {}", 401),
        ("Bearer{}", 401),
        ("{}", 401),
        ("Token {}", 401),
        ("", 401),
    ],
)
def test_a_key_is_sent_as_a_bearer_token(platform_api: Any, team: Account, header: str, status: int) -> None:
    answer = Client().get(
        "/api/v1/balance",
        {"account": team.public_id},
        headers={"authorization": header.format(platform_api.secret)},
    )
    assert answer.status_code == status


def test_entries_name_the_platform_key_that_granted_or_reversed(platform_api: Any, team: Account) -> None:
    platform_api.post(f"accounts/{team.public_id}/grants", {"credits": "5", "kind": "bonus"}, key="g")
    charge = platform_api.post("charges", use(account=team.public_id), key="c").json()["id"]
    platform_api.post(f"charges/{charge}/reversals", {}, key="r")
    entries = platform_api.get("transactions", account=team.public_id).json()["data"]
    key = ApiKey.objects.get().public_id
    assert [entry["kind"] for entry in entries if entry["actor"] == key] == ["reverse", "grant"]


def test_memberships_are_ordered_with_the_personal_account_first_then_by_age(
    team: Account, bob: User, alice: User
) -> None:
    now = timezone.now()
    second = Account.objects.create(name="Second", kind="team", created_at=now)
    Membership.objects.create(account=second, user=bob, role="member")
    personal = Membership.objects.get(account__person=bob)
    Membership.objects.filter(pk=personal.pk).update(created_at=now + timedelta(days=1))

    def names() -> list[str]:
        return [membership.account.name for membership in selectors.memberships_of(bob.pk)]

    assert names() == ["Bob", "Wonderland", "Second"]
    Account.objects.filter(person=bob).update(person=None)
    assert names() == ["Wonderland", "Second", "Bob"]
    Account.objects.filter(pk=team.pk).update(erased_at=now)
    assert names() == ["Second", "Bob"]
    assert selectors.membership_in(bob.pk, team.pk) is None
    assert selectors.membership_in(alice.pk, second.pk) is None
    found = selectors.membership_in(bob.pk, second.pk)
    assert found is not None and (found.role, found.user_id) == ("member", bob.pk)


def test_e_mail_about_an_account_goes_to_its_active_owners(
    team: Account, alice: User, bob: User, charlie: User
) -> None:
    def addresses() -> list[str]:
        return selectors.owner_addresses(team.pk)

    assert addresses() == [alice.email]
    Membership.objects.filter(account=team, user=bob).update(role="billing")
    assert addresses() == [alice.email]
    Membership.objects.filter(account=team, user=bob).update(role="owner")
    assert addresses() == [alice.email, bob.email]
    User.objects.filter(pk=alice.pk).update(is_active=False)
    assert addresses() == [bob.email]


def test_keys_are_listed_active_ones_first_then_the_newest(team: Account, alice: User, bob: User) -> None:

    from accounts import api_keys

    start = timezone.now()
    for minutes, name in enumerate(("first", "second", "third", "fourth")):
        api_keys.issue(
            kind="account",
            name=name,
            scopes=["read"],
            account=team,
            created_by=alice,
            now=start + timedelta(minutes=minutes),
        )
    for minutes, name in ((1, "fourth"), (2, "first")):
        ApiKey.objects.filter(name=name).update(revoked_at=start + timedelta(minutes=minutes))
    assert [key.name for key in selectors.keys_of(team)] == ["third", "second", "first", "fourth"]
    assert list(selectors.keys_of(Account.objects.get(person=bob))) == []


@pytest.mark.parametrize(
    ("first", "last", "email", "shown"),
    [
        ("Ada", "Lovelace", "ada@example.org", "Ada Lovelace"),
        ("Ada", "", "ada@example.org", "Ada"),
        ("", "", "ada.l@example.org", "ada.l"),
    ],
)
def test_a_user_is_shown_by_name_else_by_the_start_of_the_address(
    first: str, last: str, email: str, shown: str
) -> None:
    assert User(first_name=first, last_name=last, email=email).shown_name == shown


def test_a_user_is_created_with_the_address_in_lower_case_and_without_powers(db: None) -> None:
    user = User.objects.create_user("Ada@Example.ORG", "a long enough passphrase", first_name="Ada")
    assert (user.email, user.is_staff, user.is_superuser) == ("ada@example.org", False, False)
    assert user.check_password("a long enough passphrase")
    root = User.objects.create_superuser("Root@example.org")
    assert (root.email, root.is_staff, root.is_superuser) == ("root@example.org", True, True)
    assert not root.has_usable_password()


def test_a_person_can_have_one_personal_account_and_a_team_has_none(alice: User, team: Account) -> None:
    from django.db import IntegrityError, transaction

    for terms in ({"person": alice}, {"kind": "team", "person": User.objects.create_user("x@example.org")}):
        with pytest.raises(IntegrityError), transaction.atomic():
            Account.objects.create(name="x", **terms)
