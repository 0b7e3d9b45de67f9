"""Conditions of the pages of members, team requests and keys."""

from datetime import timedelta
from decimal import Decimal
from typing import Any

from django.utils import timezone

from accounts import account_keys, memberships, team_requests
from accounts.authentication import session_principal
from accounts.models import ApiKey, Invitation, Membership
from tests.forms.world import World
from tests.pages.case import Case, account, both, policies, role
from tests.usage.spending import spend

MEMBERS, MEMBER, TEAM, KEYS, SETTINGS = (
    "/members/",
    "/members/{member}/",
    "/teams/new/",
    "/keys/",
    "/settings/",
)


def limit(world: World) -> None:
    memberships.set_monthly_limit(world.member, Decimal(5), timezone.now())


def invited(**ends: Any) -> Any:
    def create(world: World) -> None:
        now = timezone.now()
        Invitation.objects.create(
            account=world.account,
            email="guest@example.org",
            created_at=now,
            expires_at=now + timedelta(**ends),
        )

    return create


def asked(world: World) -> None:
    team_requests.create(user=world.user, kind="family", name="Liddell", note="", now=timezone.now())


def declined(world: World) -> None:
    asked(world)
    request = team_requests.open_request_of(world.user)
    assert request is not None
    team_requests.decline(request.pk, by=world.user, answer="Too small", now=timezone.now())


def key(**terms: Any) -> Any:
    def create(world: World) -> None:
        owner = Membership.objects.get(account=world.account, user=world.user)
        fields = {"name": "Agent", "scopes": ["read"], "now": timezone.now(), **terms}
        by = session_principal(owner)
        account_keys.create(account_id=world.account.pk, by=by, member_id=world.user.pk, **fields)

    return create


def expired(world: World) -> None:
    key()(world)
    ApiKey.objects.filter(name="Agent").update(expires_at=timezone.now() - timedelta(days=1))


CASES = [
    Case("a limit", MEMBERS, limit, ("0 of 5 used this month",), absent=("limit reached",)),
    Case(
        "a limit and an amount with decimals",  # in the same row 2.57, which is rounded
        MEMBERS,
        both(
            limit,
            lambda world: spend(world.account, "2.5675", timezone.now(), member_id=world.member.user_id),
        ),
        ("2.5675 of 5 used this month",),
    ),
    Case(
        "a limit that is reached",
        MEMBERS,
        both(limit, lambda world: spend(world.account, "5", timezone.now(), member_id=world.member.user_id)),
        ("5 of 5 used this month", "limit reached"),
    ),
    Case(
        "an invitation",
        MEMBERS,
        invited(days=7),
        ("Open invitations", "guest@example.org", "Revoke invitation"),
        absent=(">expired<",),
    ),
    Case("an expired invitation", MEMBERS, invited(days=-1), (">expired<",)),
    Case(
        "a plain member",
        MEMBERS,
        both(invited(days=7), role("member")),
        hidden=("Send invitation", "/members/mem_"),
        absent=("Revoke invitation",),
    ),
    Case(
        "a personal account",
        MEMBERS,
        account(kind="personal"),
        ("This is a personal account",),
        hidden=("Send invitation", "Leave team"),
    ),
    Case("not an owner", MEMBER, role("billing"), hidden=("Hand over ownership",)),
    Case("an open request", TEAM, asked, ("Liddell", ">Open<", "Withdraw request"), hidden=("Send request",)),
    Case("a declined request", TEAM, declined, ("Too small", ">Declined<"), absent=(">Open<", "Withdraw")),
    Case("no teams", SETTINGS, policies(teams=None), hidden=('href="/teams/new/"',)),
    Case(
        "settings of a member",
        SETTINGS,
        role("member"),
        ("Only an owner of the account can change these settings.",),
        ("Save account",),
    ),
    Case("no team", SETTINGS, account(kind="personal"), hidden=('href="/members/"',)),
    Case(
        "a key by day", KEYS, key(daily_limit=Decimal(5)), ("5 credits a day",), absent=("credits a month",)
    ),
    Case("a key by month", KEYS, key(monthly_limit=Decimal(7)), ("7 credits a month",), absent=("a day",)),
    Case("a key that has expired", KEYS, expired, ("Expired ",)),
    Case("a key that expires", KEYS, key(expires_at=timezone.now() + timedelta(days=900)), ("Expires ",)),
]
