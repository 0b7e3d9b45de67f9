"""/members and /invitations: who may change whom, and what charlie, who is no member, sees."""

from datetime import timedelta
from typing import Any

import pytest
from allauth.account.models import EmailAddress
from django.utils import timezone

from accounts import invitations, memberships
from accounts.models import Account, Invitation, Membership, User
from billing.models import Limit, Mail
from tests.usage.api.conftest import give, use

pytestmark = [pytest.mark.usefixtures("catalogue"), pytest.mark.requirement("APIN-12")]


@pytest.fixture
def owner(team: Account, alice: User, api_of: Any) -> Any:
    return api_of(alice, account=team)


@pytest.fixture
def billing(team: Account, bob: User, api_of: Any) -> Any:
    """Bob with the role billing."""
    Membership.objects.filter(account=team, user=bob).update(role="billing")
    return api_of(bob, account=team)


def id_of(team: Account, user: User) -> str:
    return Membership.objects.get(account=team, user=user).public_id


def join(team: Account, user: User, role: str = "member") -> str:
    return memberships.add(account=team, user=user, role=role, now=timezone.now()).public_id


def verify(user: User) -> None:
    EmailAddress.objects.create(user=user, email=user.email, verified=True, primary=True)


def code_of(response: Any) -> tuple[int, str]:
    return response.status_code, response.json()["code"]


def test_members_are_listed_with_role_limit_and_the_id_for_uses(
    owner: Any, team: Account, alice: User, bob: User
) -> None:
    newest, oldest = owner.get("members").json()["data"]
    assert (newest["id"], newest["user"]) == (id_of(team, bob), bob.public_id)
    assert newest["id"].startswith("mem_")
    assert (newest["email"], newest["role"], newest["monthly_limit"]) == (bob.email, "member", None)
    assert (oldest["email"], oldest["role"]) == (alice.email, "owner")
    first = owner.get("members", limit=1).json()
    assert first["has_more"] and owner.get("members", cursor=first["next_cursor"]).json()["data"] == [oldest]


def test_a_monthly_limit_stops_the_member_and_no_one_else(
    owner: Any, team: Account, bob: User, api_of: Any
) -> None:
    member = api_of(bob, account=team)
    changed = owner.patch(f"members/{id_of(team, bob)}", {"monthly_limit": "11"}).json()
    assert (changed["monthly_limit"], changed["role"]) == ("11", "member")
    assert member.post("charges", use(5000), key="a").status_code == 201
    refused = member.post("charges", use(1), key="b")
    assert (code_of(refused), refused.json()["limit"]) == ((429, "limit_reached"), "member")
    assert refused.json()["resets_at"] and "Retry-After" in refused.headers
    assert owner.post("charges", use(5000), key="c").status_code == 201
    assert owner.patch(f"members/{id_of(team, bob)}", {"monthly_limit": None}).json()["monthly_limit"] is None
    assert member.post("charges", use(1), key="b").status_code == 201
    assert not Limit.objects.filter(account=team, kind="member").exists()


def test_a_former_members_limit_is_gone_when_they_come_back(owner: Any, team: Account, bob: User) -> None:
    owner.patch(f"members/{id_of(team, bob)}", {"monthly_limit": "1"})
    assert owner.delete(f"members/{id_of(team, bob)}").status_code == 204
    join(team, bob)
    assert not Limit.objects.filter(account=team, kind="member").exists()


@pytest.mark.fault("Z5")
def test_a_removed_members_keys_are_refused_at_once(
    owner: Any, team: Account, bob: User, api_of: Any
) -> None:
    member = api_of(bob, account=team)
    assert member.get("balance").status_code == 200
    assert owner.delete(f"members/{id_of(team, bob)}").status_code == 204
    assert member.get("balance").status_code == 401
    assert owner.delete(f"members/{'mem_' + '0' * 32}").status_code == 404


@pytest.mark.fault("Z8")
def test_the_last_owner_stays(owner: Any, team: Account, alice: User, bob: User) -> None:
    own = id_of(team, alice)
    assert code_of(owner.delete(f"members/{own}")) == (409, "last_owner")
    assert code_of(owner.patch(f"members/{own}", {"role": "member"})) == (409, "last_owner")
    assert owner.patch(f"members/{id_of(team, bob)}", {"role": "owner"}).json()["role"] == "owner"
    assert owner.patch(f"members/{own}", {"role": "billing"}).json()["role"] == "billing"


def test_a_refused_role_changes_no_limit(owner: Any, team: Account, alice: User) -> None:
    changes = {"role": "member", "monthly_limit": "5"}
    assert code_of(owner.patch(f"members/{id_of(team, alice)}", changes)) == (409, "last_owner")
    assert Membership.objects.get(account=team, user=alice).monthly_limit is None
    assert not Limit.objects.filter(account=team, kind="member").exists()


@pytest.mark.fault("Z4")
def test_billing_members_manage_plain_members_and_make_no_owner(
    billing: Any, team: Account, alice: User, bob: User, charlie: User
) -> None:
    plain, own, owners = join(team, charlie), id_of(team, bob), id_of(team, alice)
    refused = (403, "role_not_allowed")
    for target, change in [
        (plain, {"role": "owner"}),
        (own, {"role": "owner"}),
        (own, {"role": "member"}),
        (own, {"monthly_limit": None}),
        (owners, {"role": "member"}),
        (owners, {"monthly_limit": "1"}),
    ]:
        assert code_of(billing.patch(f"members/{target}", change)) == refused, (target, change)
    assert code_of(billing.delete(f"members/{owners}")) == refused
    assert code_of(billing.post("invitations", {"email": "d@example.org", "role": "owner"})) == refused
    assert billing.patch(f"members/{plain}", {"monthly_limit": "3"}).status_code == 200
    assert billing.delete(f"members/{plain}").status_code == 204
    assert billing.delete(f"members/{own}").status_code == 204, "everybody may leave"
    assert billing.get("members").status_code == 401


@pytest.mark.fault("Z1")
def test_charlie_sees_and_changes_nothing(
    owner: Any, team: Account, bob: User, charlie: User, api_of: Any
) -> None:
    invitation = owner.post("invitations", {"email": "d@example.org"}).json()["id"]
    other = api_of(charlie)
    for path in (f"members/{id_of(team, bob)}", f"invitations/{invitation}"):
        assert other.delete(path).status_code == 404
    assert other.patch(f"members/{id_of(team, bob)}", {"role": "owner"}).status_code == 404
    assert [one["email"] for one in other.get("members").json()["data"]] == [charlie.email]
    assert other.get("invitations").json()["data"] == []
    assert other.get("members", account=team.public_id).status_code == 404
    assert code_of(other.post("members", {"email": "d@example.org"})) == (409, "not_a_team")
    assert code_of(other.post("invitations", {"email": "d@example.org"})) == (409, "not_a_team")


class TestThePlatform:
    def test_adds_a_user_by_address_by_id_and_by_external_id(
        self, platform_api: Any, team: Account, charlie: User, bob: User, account_of: Any
    ) -> None:
        verify(charlie)
        named = {"account": team.public_id}
        added = platform_api.post("members", named | {"email": "Charlie@example.org", "monthly_limit": "5"})
        assert added.status_code == 201
        assert (added.json()["user"], added.json()["monthly_limit"]) == (charlie.public_id, "5")
        again = platform_api.post("members", named | {"user": charlie.public_id})
        assert code_of(again) == (409, "already_member")
        Account.objects.filter(person=charlie).update(external_id="u-81")
        assert platform_api.delete(f"members/{added.json()['id']}").status_code == 204
        assert (
            platform_api.post("members", named | {"user": "u-81", "role": "owner"}).json()["role"] == "owner"
        )

    def test_adds_nobody_whose_address_is_not_verified(
        self, platform_api: Any, team: Account, charlie: User
    ) -> None:
        named = {"account": team.public_id}
        for who in ({"email": charlie.email}, {"user": "nobody"}, {"user": "user_" + "0" * 32}):
            assert code_of(platform_api.post("members", named | who)) == (404, "unknown_user")

    def test_makes_a_team_of_an_account_that_it_opened(
        self, platform_api: Any, charlie: User, account_of: Any
    ) -> None:
        opened = platform_api.post("accounts", {"external_id": "firm"}).json()["id"]
        body = {"user": charlie.public_id, "role": "owner"}
        assert platform_api.post("members", body | {"account": opened}).status_code == 201
        assert platform_api.get(f"accounts/{opened}").json()["kind"] == "team"
        personal = account_of(charlie).public_id
        assert code_of(platform_api.post("members", {"user": charlie.public_id, "account": personal})) == (
            409, "not_a_team",
        )  # fmt: skip

    def test_invites_without_an_inviter(self, platform_api: Any, team: Account, charlie: User) -> None:
        verify(charlie)
        named = {"account": team.public_id, "email": charlie.email, "role": "owner"}
        assert platform_api.post("invitations", named).status_code == 201
        [invitation] = Invitation.objects.all()
        assert invitations.accept(invitation, charlie, timezone.now()).role == "owner"


class TestAnInvitation:
    def test_is_sent_by_e_mail_and_its_link_is_in_no_response(self, owner: Any, team: Account) -> None:
        answer = owner.post("members", {"email": "Dora@Example.org", "role": "billing", "monthly_limit": "5"})
        assert answer.status_code == 202, "a caller that is not the platform invites"
        invitation = answer.json()
        assert invitation["id"].startswith("inv_")
        assert (invitation["email"], invitation["role"], invitation["status"]) == (
            "dora@example.org", "billing", "open",
        )  # fmt: skip
        [mail] = Mail.objects.filter(template="member_invitation")
        assert (mail.recipients, mail.context["inviter"]) == (["dora@example.org"], "alice@example.org")
        token = mail.context["path"].strip("/").rpartition("/")[2]
        assert token not in owner.get("invitations").content.decode()
        found = invitations.named_by(token)
        assert found is not None and found.public_id == invitation["id"]

    def test_is_one_for_an_address_and_the_newest_link_alone_is_valid(
        self, owner: Any, team: Account, charlie: User
    ) -> None:
        verify(charlie)
        first = owner.post("invitations", {"email": charlie.email}).json()
        second = owner.post("invitations", {"email": charlie.email.upper(), "role": "billing"}).json()
        assert (first["id"], second["role"]) == (second["id"], "billing")
        links = [mail.context["path"].split("/")[-2] for mail in Mail.objects.order_by("pk")]
        assert [invitations.named_by(link) is None for link in links] == [True, False]
        newest = invitations.named_by(links[1])
        assert newest is not None
        assert invitations.accept(newest, charlie, timezone.now()).role == "billing"
        assert [one["status"] for one in owner.get("invitations").json()["data"]] == ["accepted"]

    def test_is_not_sent_to_a_member_and_not_without_end(
        self, owner: Any, bob: User, monkeypatch: Any
    ) -> None:
        assert code_of(owner.post("invitations", {"email": bob.email})) == (409, "already_member")
        for _number in range(invitations.MOST_SENT):
            assert owner.post("invitations", {"email": "d@example.org"}).status_code == 201
        refused = (429, "too_many_invitations")
        assert code_of(owner.post("invitations", {"email": "d@example.org"})) == refused
        monkeypatch.setattr(invitations, "MOST_OPEN", 2)
        assert owner.post("invitations", {"email": "e@example.org"}).status_code == 201
        assert code_of(owner.post("invitations", {"email": "f@example.org"})) == refused
        [last, _first] = owner.get("invitations").json()["data"]
        assert owner.delete(f"invitations/{last['id']}").status_code == 204
        assert owner.post("invitations", {"email": "f@example.org"}).status_code == 201
        assert code_of(owner.post("invitations", {"email": "g@example.org"})) == refused
        Invitation.objects.filter(email="f@example.org").update(expires_at=timezone.now())
        assert owner.post("invitations", {"email": "g@example.org"}).status_code == 201

    @pytest.mark.fault("Z3")
    def test_is_accepted_by_its_address_alone_and_once(
        self, owner: Any, team: Account, charlie: User, alice: User
    ) -> None:
        owner.post("invitations", {"email": charlie.email})
        invitation, now = Invitation.objects.get(), timezone.now()
        with pytest.raises(invitations.OtherAddress):
            invitations.accept(invitation, charlie, now)  # the address is not verified
        verify(charlie)
        verify(alice)
        with pytest.raises(invitations.OtherAddress):
            invitations.accept(invitation, alice, now)
        invitations.accept(invitation, charlie, now)
        owner.delete(f"members/{id_of(team, charlie)}")
        with pytest.raises(invitations.InvitationClosed):
            invitations.accept(invitation, charlie, now)
        assert not Membership.objects.filter(account=team, user=charlie).exists()

    @pytest.mark.fault("Z3")
    def test_ends_with_its_time_its_revocation_and_the_power_of_its_sender(
        self, owner: Any, billing: Any, team: Account, bob: User, charlie: User
    ) -> None:
        verify(charlie)
        now = timezone.now()
        sent = billing.post("invitations", {"email": charlie.email}).json()
        invitation = Invitation.objects.get()
        with pytest.raises(invitations.InvitationClosed):
            invitations.accept(invitation, charlie, now + timedelta(days=7, minutes=1))
        memberships.change_role(Membership.objects.get(account=team, user=bob), "member")
        with pytest.raises(invitations.InvitationClosed):
            invitations.accept(invitation, charlie, now)
        assert owner.delete(f"invitations/{sent['id']}").status_code == 204
        assert owner.delete(f"invitations/{sent['id']}").status_code == 204, "again"
        assert owner.get("invitations").json()["data"][0]["status"] == "revoked"
        owner.post("invitations", {"email": charlie.email})
        newest = Invitation.objects.get(revoked_at=None)
        invitations.accept(newest, charlie, now)
        assert code_of(owner.delete(f"invitations/{newest.public_id}")) == (409, "invitation_closed")


@pytest.mark.fault("I3")
@pytest.mark.parametrize(
    ("path", "body", "field"),
    [
        ("members", {"email": "a@b.org", "is_staff": True}, "is_staff"),
        ("members", {}, "email"),
        ("members", {"email": "a@b.org", "user": "u"}, "email"),
        ("members", {"user": "u"}, "email"),
        ("invitations", {"email": "nobody"}, "email"),
        ("invitations", {"email": "a@b.org", "role": "admin"}, "role"),
        ("invitations", {"email": "a@b.org", "monthly_limit": "-1"}, "monthly_limit"),
        ("invitations", {"email": "a@b.org", "monthly_limit": 5}, "monthly_limit"),
    ],
)
def test_an_invalid_field_is_named(owner: Any, path: str, body: dict[str, Any], field: str) -> None:
    response = owner.post(path, body)
    assert response.status_code == 400
    assert [error["field"] for error in response.json()["errors"]] == [field]


def test_the_balance_is_shared(owner: Any, team: Account, bob: User, api_of: Any) -> None:
    give(team, "50")
    member = api_of(bob, account=team)
    before = owner.get("balance").json()["available"]
    member.post("charges", use(5000), key="a")
    assert float(owner.get("balance").json()["available"]) == float(before) - 11
    rows = owner.get("usage", group_by="member").json()
    assert bob.public_id in str(rows)


def test_ownership_is_handed_over_as_in_the_portal(
    owner: Any,
    billing: Any,
    team: Account,
    alice: User,
    bob: User,
    charlie: User,
    api_of: Any,
    platform_api: Any,
) -> None:
    path = f"members/{id_of(team, bob)}/hand-over"
    for other in (billing, platform_api):
        assert code_of(other.post(path, {})) == (403, "role_not_allowed")
    assert code_of(api_of(charlie).post(path, {})) == (404, "not_found")
    assert code_of(owner.post(f"members/{id_of(team, alice)}/hand-over", {})) == (403, "role_not_allowed")
    made = owner.post(path, {}).json()
    assert (made["email"], made["role"]) == (bob.email, "owner")
    assert Membership.objects.get(account=team, user=alice).role == "billing"
    assert code_of(owner.post(path, {})) == (403, "role_not_allowed"), "who handed over is no owner"


def test_everybody_may_leave_a_plain_member_in_a_browser(
    owner: Any, billing: Any, team: Account, bob: User, charlie: User, api_of: Any, signed_in: Any
) -> None:
    assert code_of(owner.post("members/leave", {})) == (409, "last_owner")
    assert billing.post("members/leave", {}).status_code == 204
    assert billing.get("balance").status_code == 401, "the keys of a member end"
    assert not Membership.objects.filter(account=team, user=bob).exists()
    join(team, charlie)
    key = api_of(charlie, account=team, scopes=["read", "spend"])
    assert code_of(key.post("members/leave", {})) == (403, "missing_scope")
    browser = signed_in(charlie)
    browser.post(f"/switch/{team.public_id}/")
    assert browser.post("/api/v1/members/leave", {}, content_type="application/json").status_code == 204
    assert not Membership.objects.filter(account=team, user=charlie).exists()


def test_a_platform_key_is_of_no_member_and_cannot_leave(platform_api: Any, team: Account) -> None:
    refused = platform_api.post("members/leave", {"account": team.public_id})
    assert code_of(refused) == (404, "unknown_member")
    assert team.memberships.count() == 2
