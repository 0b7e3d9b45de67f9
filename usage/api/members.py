"""/members and /invitations: who shares an account, with which role and monthly limit."""

from typing import Any
from uuid import UUID

from allauth.account.models import EmailAddress
from django.http import HttpResponse
from django.utils.translation import gettext as _
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request

from accounts import invitations, memberships
from accounts.authentication import account_of, object_of, principal_of
from accounts.models import Account, Invitation, Membership, User
from core import json_body
from core.amounts import plain_or_none
from core.endpoint import Endpoint, query_of
from core.fields import AccountNamed, AccountQuery, instant
from core.pagination import Page, PageQuery, page
from core.problems import field_problem
from core.unset import UNSET
from usage.api import member_schemas


class Members(Endpoint):
    """Members of the account, and adding or inviting one."""

    scopes = {"GET": "manage", "POST": "manage"}
    raises = {
        "POST": (
            memberships.AlreadyMember,
            memberships.NotATeam,
            memberships.RoleNotAllowed,
            memberships.TooManyMembers,
            memberships.UnknownUser,
            invitations.TooManyInvitations,
        )
    }

    @extend_schema(parameters=[PageQuery], responses=Page[member_schemas.Member])
    def get(self, request: Request) -> HttpResponse:
        """Members of the account, newest first."""
        query = query_of(request, PageQuery)
        rows = Membership.objects.filter(account_id=account_of(request)).select_related("user")
        return json_body.answer(page(rows, query, keys=("created_at", "id"), build=_member))

    @extend_schema(
        request=member_schemas.MemberInput,
        responses={201: member_schemas.Member, 202: member_schemas.Invitation},
    )
    def post(self, request: Request) -> HttpResponse:
        """Add a member, or invite one.

        A platform key adds a user of the product at once (201). Any other caller invites the address (202):
        the person becomes a member by accepting the invitation.
        """
        body = member_schemas.MemberInput.checked(request.data)
        account_id = account_of(request, body.get("account"))
        if not principal_of(request).is_platform:
            if "email" not in body:
                raise field_problem("email", "required", _("Send the e-mail address to invite."))
            return json_body.answer(_invite(request, account_id, body, self.now), 202)
        membership = memberships.add(
            account=Account.objects.get(pk=account_id),
            user=_user(body),
            role=body["role"],
            monthly_limit=body.get("monthly_limit"),
            now=self.now,
        )
        return json_body.answer(_member(membership), 201)


class OneMember(Endpoint):
    """Change a member's role or monthly limit; remove a member, whose keys end."""

    scopes = {"PATCH": "manage", "DELETE": "manage"}
    raises = dict.fromkeys(
        ("PATCH", "DELETE"), (memberships.LastOwner, memberships.NoMember, memberships.RoleNotAllowed)
    )
    path_ids = {"member": Membership}

    @extend_schema(request=member_schemas.MemberChange, responses=member_schemas.Member)
    def patch(self, request: Request, member: str) -> HttpResponse:
        """Change a member's role or monthly limit."""
        body = member_schemas.MemberChange.checked(request.data)
        membership = object_of(request, Membership, member, body.get("account"))
        memberships.change(
            membership,
            by=acting(request),
            role=body.get("role"),
            monthly_limit=body.get("monthly_limit", UNSET),
            now=self.now,
        )
        return json_body.answer(_member(Membership.objects.select_related("user").get(pk=membership.pk)))

    @extend_schema(parameters=[AccountQuery], responses={204: None})
    def delete(self, request: Request, member: str) -> HttpResponse:
        """Remove a member. The keys that the member created end."""
        query_of(request, AccountQuery)
        memberships.remove(object_of(request, Membership, member), self.now, by=acting(request))
        return HttpResponse(status=204)


class Leave(Endpoint):
    """Leave the account: the membership ends, and with it the keys that the member created."""

    scopes = {"POST": "manage"}
    every_member = True
    raises = {"POST": (memberships.LastOwner, memberships.NoMember)}

    @extend_schema(request=AccountNamed, responses={204: None})
    def post(self, request: Request) -> HttpResponse:
        """Leave the account: the membership ends, and with it the keys that the member created.

        The member is the one who is signed in or created the key. A platform key is of no member and removes
        members with DELETE.
        """
        body = AccountNamed.checked(request.data)
        account_id, member_id = account_of(request, body.get("account")), acting(request)
        members = Membership.objects.filter(account_id=account_id)
        own = members.filter(user_id=member_id).first() if member_id else None
        if own is None:
            raise memberships.NoMember
        memberships.remove(own, self.now, by=member_id)
        return HttpResponse(status=204)


class HandOver(Endpoint):
    """Make the member an owner, and the owner on whose behalf the request acts a billing member."""

    scopes = {"POST": "manage"}
    raises = {"POST": (memberships.NoMember, memberships.RoleNotAllowed)}
    path_ids = {"member": Membership}

    @extend_schema(request=AccountNamed, responses=member_schemas.Member)
    def post(self, request: Request, member: str) -> HttpResponse:
        body = AccountNamed.checked(request.data)
        membership = object_of(request, Membership, member, body.get("account"))
        member_id = acting(request)
        if member_id is None:
            raise memberships.RoleNotAllowed
        memberships.hand_over(membership, by=member_id, now=self.now)
        return json_body.answer(_member(Membership.objects.select_related("user").get(pk=membership.pk)))


class Invitations(Endpoint):
    """Invitations of the account, and inviting an address."""

    scopes = {"GET": "manage", "POST": "manage"}
    raises = {
        "POST": (
            memberships.AlreadyMember,
            memberships.NotATeam,
            memberships.RoleNotAllowed,
            invitations.TooManyInvitations,
        )
    }

    @extend_schema(parameters=[PageQuery], responses=Page[member_schemas.Invitation])
    def get(self, request: Request) -> HttpResponse:
        """Invitations of the account, newest first, whatever their status."""
        query = query_of(request, PageQuery)
        rows = Invitation.objects.filter(account_id=account_of(request))
        build = lambda row: _invitation(row, self.now)  # noqa: E731
        return json_body.answer(page(rows, query, keys=("created_at", "id"), build=build))

    @extend_schema(request=member_schemas.InvitationInput, responses={201: member_schemas.Invitation})
    def post(self, request: Request) -> HttpResponse:
        """Invite an address.

        An address that has an open invitation gets a new link with these terms; the former link ends.
        """
        body = member_schemas.InvitationInput.checked(request.data)
        account_id = account_of(request, body.get("account"))
        return json_body.answer(_invite(request, account_id, body, self.now), 201)


class OneInvitation(Endpoint):
    """Revoke an invitation."""

    scopes = {"DELETE": "manage"}
    raises = {"DELETE": (invitations.InvitationClosed, memberships.RoleNotAllowed)}
    path_ids = {"invitation": Invitation}

    @extend_schema(parameters=[AccountQuery], responses={204: None})
    def delete(self, request: Request, invitation: str) -> HttpResponse:
        """Revoke an open invitation."""
        query_of(request, AccountQuery)
        invitations.revoke(object_of(request, Invitation, invitation), self.now, by=acting(request))
        return HttpResponse(status=204)


def acting(request: Request) -> UUID | None:
    """The member on whose behalf the request acts; None for the platform."""
    return principal_of(request).member_id if not principal_of(request).is_platform else None


def _invite(request: Request, account_id: UUID, body: dict[str, Any], now: Any) -> member_schemas.Invitation:
    invitation = invitations.invite(
        account_id=account_id,
        email=body["email"],
        role=body["role"],
        monthly_limit=body.get("monthly_limit"),
        by=acting(request),
        now=now,
    )
    return _invitation(invitation, now)


def _user(body: dict[str, Any]) -> User:
    """The user that a platform key names. Raises UnknownUser."""
    users = User.objects.filter(is_active=True)
    if "email" in body:
        verified = EmailAddress.objects.filter(email=body["email"], verified=True)
        found = users.filter(pk__in=verified.values("user_id")).first()
    elif (user_id := User.uuid_of(body["user"])) is not None:
        found = users.filter(pk=user_id).first()
    else:
        found = users.filter(personal_account__external_id=body["user"]).first()
    if found is None:
        raise memberships.UnknownUser
    return found


def _member(membership: Membership) -> member_schemas.Member:
    return {
        "id": membership.public_id,
        "user": membership.user.public_id,
        "email": membership.user.email,
        "name": membership.user.shown_name,
        "role": membership.role,
        "monthly_limit": plain_or_none(membership.monthly_limit),
        "created_at": instant(membership.created_at),
    }


def _invitation(invitation: Invitation, now: Any) -> member_schemas.Invitation:
    return {
        "id": invitation.public_id,
        "email": invitation.email,
        "role": invitation.role,
        "monthly_limit": plain_or_none(invitation.monthly_limit),
        "status": invitation.status_at(now),
        "created_at": instant(invitation.created_at),
        "expires_at": instant(invitation.expires_at),
    }
