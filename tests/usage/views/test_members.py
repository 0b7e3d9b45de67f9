"""The members pages and the way to a team: request, approval, invitation, leaving, handing over."""

import re
from collections.abc import Callable
from typing import Any

import pytest
from allauth.account.models import EmailAddress
from django.core import mail
from django.test import Client
from django.utils import timezone

from accounts import memberships, team_requests
from accounts.models import Account, ApiKey, Invitation, Membership, TeamRequest, User
from billing import ledger
from billing.models import Mail
from billing.notifications import emails
from tests.billing.conftest import change_policies
from tests.usage.spending import spend

pytestmark = [pytest.mark.usefixtures("catalogue"), pytest.mark.requirement("APIN-12")]
SignedIn = Callable[[User], Client]


@pytest.fixture
def in_team(team: Account, signed_in: SignedIn) -> SignedIn:
    """A client of a signed-in user who has chosen the team."""

    def browser(user: User) -> Client:
        client = signed_in(user)
        client.post(f"/switch/{team.public_id}/")
        return client

    return browser


def id_of(team: Account, user: User) -> str:
    return Membership.objects.get(account=team, user=user).public_id


def text_of(response: Any) -> str:
    return re.sub(r"\s+", " ", response.content.decode())


def sent_link(address: str) -> str:
    """The path in the newest e-mail to the address."""
    emails.send_due(timezone.now())
    newest = [message for message in mail.outbox if message.to == [address]][-1]
    found = re.search(r"https?://[^/]+(/join/\S+)", str(newest.body))
    assert found
    return found[1]


def test_the_whole_way_from_the_request_to_a_shared_balance(
    alice: User, charlie: User, staff: User, signed_in: SignedIn
) -> None:
    change_policies(teams={"kinds": ["family", "business"]})
    browser, admin = signed_in(alice), signed_in(staff)
    assert "Team account" in text_of(browser.get("/settings/"))
    form = {"kind": "family", "name": "The Liddells", "note": "Three sisters"}
    assert browser.post("/teams/new/", form).status_code == 302
    [asked] = TeamRequest.objects.all()
    page = text_of(browser.get("/teams/new/"))
    assert "The Liddells" in page and "Open" in page and "Send request" not in page
    assert "already" in text_of(browser.post("/teams/new/", form, follow=True))
    decided = {"decision": "approve", "answer": "Welcome"}
    path = f"/admin/accounts/teamrequest/{asked.pk}/change/"
    assert "Three sisters" in text_of(admin.get(path))
    assert admin.post(path, decided).status_code == 302
    asked.refresh_from_db()
    team = asked.account
    assert team is not None and (team.kind, team.name) == ("team", "The Liddells")
    assert Membership.objects.get(account=team).user == alice
    assert ledger.balance(team.pk, timezone.now()).total is not None, "it has a wallet"
    emails.send_due(timezone.now())
    assert any("is open" in str(message.body) and "Welcome" in str(message.body) for message in mail.outbox)
    with pytest.raises(team_requests.AlreadyAnswered):
        team_requests.decline(asked.pk, by=staff, answer="No", now=timezone.now())

    browser.post(f"/switch/{team.public_id}/")
    invited = {"email": charlie.email, "role": "member", "monthly_limit": "5"}
    assert browser.post("/members/", invited).status_code == 302
    assert charlie.email in text_of(browser.get("/members/"))
    EmailAddress.objects.create(user=charlie, email=charlie.email, verified=True, primary=True)
    guest, link = signed_in(charlie), sent_link(charlie.email)
    assert "Join “The Liddells”" in text_of(guest.get(link))
    assert guest.post(link).status_code == 302
    member = Membership.objects.get(account=team, user=charlie)
    assert (member.role, member.monthly_limit) == ("member", 5)
    assert guest.get("/settings/").context["request"].account == team
    assert guest.post(link).status_code == 409
    assert "Open invitations" not in text_of(browser.get("/members/"))
    spend(team, "0", timezone.now(), member_id=charlie.pk)
    row = text_of(browser.get("/members/")).partition(charlie.email)[2]
    assert "1 call" in row and "0 of 5 used this month" in row


def test_a_declined_request_says_why_and_another_may_follow(
    alice: User, staff: User, signed_in: SignedIn
) -> None:
    change_policies(teams={"kinds": ["business"]})
    browser, admin = signed_in(alice), signed_in(staff)
    refused = browser.post("/teams/new/", {"kind": "family", "name": "Firm"})
    assert refused.status_code == 422, "the catalogue does not offer this kind"
    browser.post("/teams/new/", {"kind": "business", "name": "Firm"})
    path = f"/admin/accounts/teamrequest/{TeamRequest.objects.get().pk}/change/"
    assert "Enter an answer" in text_of(admin.post(path, {"decision": "decline", "answer": ""}))
    assert admin.post(path, {"decision": "decline", "answer": "Too small"}).status_code == 302
    page = text_of(browser.get("/teams/new/"))
    assert "Declined" in page and "Too small" in page and "Send request" in page
    assert not Account.objects.filter(kind="team").exists()


def test_an_open_request_is_withdrawn(alice: User, bob: User, staff: User, signed_in: SignedIn) -> None:
    change_policies(teams={"kinds": ["family"]})
    browser = signed_in(alice)
    browser.post("/teams/new/", {"kind": "family", "name": "The Liddells"})
    asked = TeamRequest.objects.get()
    path = f"/teams/requests/{asked.public_id}/withdraw/"
    assert path in text_of(browser.get("/teams/new/"))
    assert signed_in(bob).post(path).status_code == 404
    assert signed_in(bob).post("/teams/requests/treq_x/withdraw/").status_code == 404
    page = text_of(browser.post(path, follow=True))
    assert "Your request was withdrawn" in page and "Withdrawn" in page and "Send request" in page
    assert path not in page
    assert "answered or withdrawn already" in text_of(browser.post(path, follow=True))
    admin = text_of(signed_in(staff).get(f"/admin/accounts/teamrequest/{asked.pk}/change/"))
    assert "Open the team account" not in admin, "staff cannot answer it any more"


def test_without_the_policy_there_is_no_request(alice: User, signed_in: SignedIn) -> None:
    browser = signed_in(alice)
    assert browser.get("/teams/new/").status_code == 404
    assert "Team account" not in text_of(browser.get("/settings/"))


class TestTheLink:
    """The page of an invitation's link."""

    @pytest.fixture
    def link(self, team: Account, alice: User, charlie: User, in_team: SignedIn) -> str:
        in_team(alice).post("/members/", {"email": charlie.email, "role": "billing"})
        return sent_link(charlie.email)

    def test_leads_visitors_to_sign_in_and_back(self, link: str, charlie: User) -> None:
        page = text_of(Client().get(link))
        assert charlie.email in page and f"next={link}" in page.replace("%3A", ":")
        assert Client().post(link).status_code == 200 and not Invitation.objects.get().accepted_at

    @pytest.mark.fault("Z3")
    def test_is_of_no_use_to_others(self, link: str, bob: User, charlie: User, signed_in: SignedIn) -> None:
        for user in (bob, charlie):  # charlie has not verified the address
            browser = signed_in(user)
            assert "another e-mail address" in text_of(browser.get(link))
            assert browser.post(link).status_code == 403
        assert Client().get("/join/forged/").status_code == 404
        assert Client().get(link[:-5] + "xxxx/").status_code == 404

    def test_ends_when_the_invitation_is_revoked(
        self, link: str, alice: User, charlie: User, in_team: SignedIn, signed_in: SignedIn
    ) -> None:
        invitation = Invitation.objects.get()
        assert in_team(alice).post(f"/members/invitations/{invitation.public_id}/revoke/").status_code == 302
        assert "no longer valid" in text_of(signed_in(charlie).get(link))


def test_a_member_is_changed_and_removed(team: Account, alice: User, bob: User, in_team: SignedIn) -> None:
    browser = in_team(alice)
    path = f"/members/{id_of(team, bob)}/"
    assert browser.post(path, {"role": "billing", "monthly_limit": "7"}).status_code == 302
    member = Membership.objects.get(account=team, user=bob)
    assert (member.role, member.monthly_limit) == ("billing", 7)
    assert 'value="7"' in text_of(browser.get(path))
    own = f"/members/{id_of(team, alice)}/"
    assert "at least one owner" in text_of(browser.post(own, {"role": "member"}))
    assert "Remove bob@example.org?" in text_of(browser.get(f"{path}remove/"))
    assert browser.post(f"{path}remove/").status_code == 302
    assert not Membership.objects.filter(account=team, user=bob).exists()


def test_an_owner_who_removes_themselves_goes_to_their_own_account(
    team: Account, alice: User, bob: User, in_team: SignedIn
) -> None:
    browser = in_team(alice)
    Membership.objects.filter(account=team, user=bob).update(role="owner")
    page = browser.post(f"/members/{id_of(team, alice)}/remove/", follow=True)
    assert page.redirect_chain == [("/", 302)]
    assert page.context["request"].account.person == alice


@pytest.mark.fault("Z4")
def test_a_plain_member_sees_the_members_and_changes_nothing(
    team: Account, alice: User, bob: User, in_team: SignedIn
) -> None:
    browser = in_team(bob)
    page = text_of(browser.get("/members/"))
    assert alice.email in page and "Send invitation" not in page
    for path in ("", f"{id_of(team, alice)}/", f"{id_of(team, alice)}/remove/"):
        assert (
            browser.post(f"/members/{path}", {"email": "d@example.org", "role": "owner"}).status_code == 403
        )


@pytest.mark.fault("Z4")
def test_a_billing_member_changes_no_owner(team: Account, alice: User, bob: User, in_team: SignedIn) -> None:
    Membership.objects.filter(account=team, user=bob).update(role="billing")
    browser, path = in_team(bob), f"/members/{id_of(team, alice)}/"
    assert "Your role does not permit this" in text_of(browser.post(path, {"role": "member"}))
    assert "Your role does not permit this" in text_of(browser.post(f"{path}remove/", follow=True))
    own = id_of(team, bob)
    assert "Your role does not permit this" in text_of(browser.post(f"/members/{own}/", {"role": "owner"}))
    browser.post(f"/members/{own}/hand-over/")
    assert set(Membership.objects.filter(account=team).values_list("user__email", "role")) == {
        (alice.email, "owner"),
        (bob.email, "billing"),
    }


@pytest.mark.fault("Z8")
def test_the_last_owner_hands_over_before_leaving(
    team: Account, alice: User, bob: User, in_team: SignedIn
) -> None:
    browser = in_team(alice)
    assert "Leave “Wonderland”?" in text_of(browser.get("/members/leave/"))
    refused = browser.post("/members/leave/", {"confirm": "yes"}, follow=True)
    assert "at least one owner" in text_of(refused)
    path = f"/members/{id_of(team, bob)}/hand-over/"
    assert "Make bob@example.org the owner?" in text_of(browser.get(path))
    assert "bob" in text_of(browser.post(path, follow=True)).lower()
    assert Membership.objects.get(account=team, user=bob).role == "owner"
    assert Membership.objects.get(account=team, user=alice).role == "billing"
    assert browser.post("/members/leave/", {"confirm": "yes"}).status_code == 302
    assert not Membership.objects.filter(account=team, user=alice).exists()
    assert browser.get("/members/").context["request"].account.person == alice, "the own account"


def test_ownership_is_not_handed_to_oneself(team: Account, alice: User) -> None:
    own = Membership.objects.get(account=team, user=alice)
    with pytest.raises(memberships.RoleNotAllowed):
        memberships.hand_over(own, by=alice.pk, now=timezone.now())


def test_a_keys_limits_are_set_on_the_page(alice: User, signed_in: SignedIn) -> None:
    browser = signed_in(alice)
    form = {"name": "Bot", "scopes": ["spend"], "daily_limit": "5", "monthly_limit": "", "days": "30"}
    page = browser.post("/keys/", form)
    assert page.status_code == 200
    key = ApiKey.objects.get(name="Bot")
    assert (key.daily_limit, key.monthly_limit) == (5, None) and key.expires_at is not None
    assert "5 credits a day" in text_of(browser.get("/keys/"))
    changed = {"name": "Robot", "daily_limit": "", "monthly_limit": "50"}
    assert browser.post(f"/keys/{key.public_id}/", changed).status_code == 302
    key.refresh_from_db()
    assert (key.name, key.daily_limit, key.monthly_limit) == ("Robot", None, 50)
    assert Mail.objects.filter(template="member_invitation").count() == 0
