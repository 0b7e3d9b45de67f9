"""Endpoints of members, invitations and keys. Each function returns a call."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from refill_client._calls import JSON, Call, Page, delete, get_page, path, post, reader
from refill_client._decoding import (
    UNCHANGED,
    Amount,
    Unchanged,
    amount_or_none,
    changed,
    decode,
    given,
)
from refill_client.models import Invitation, Key, Member, NewKey, TeamRequest


def members(*, account: str | None = None, limit: int | None = None) -> Call[Page[Member]]:
    """Members of the account, newest first."""
    return get_page("/members", Member, account=account, limit=limit)


def add_member(
    *,
    email: str | None = None,
    user: str | None = None,
    role: str | None = None,
    monthly_limit: Amount | None = None,
    account: str | None = None,
) -> Call[Member | Invitation]:
    """Add a user of the product (platform keys), by a verified address, id or external id.

    With any other key the address is invited, and the result is the invitation.
    """
    body: JSON = {"email": email, "user": user, "role": role, "account": account}
    body |= {"monthly_limit": amount_or_none(monthly_limit)}
    return Call("POST", "/members", _member_or_invitation, body=given(body), repeatable=False)


def update_member(
    member: str,
    *,
    role: str | None = None,
    monthly_limit: Amount | Unchanged | None = UNCHANGED,
    account: str | None = None,
) -> Call[Member]:
    """Change a member's role or monthly limit; `monthly_limit=None` removes the limit."""
    body = given({"role": role, "account": account}) | changed(monthly_limit=monthly_limit)
    return Call("PATCH", path("members", member), reader(Member), body=body)


def remove_member(member: str, *, account: str | None = None) -> Call[None]:
    """Remove a member, whose keys end."""
    return delete(path("members", member), account=account)


def hand_over(member: str, *, account: str | None = None) -> Call[Member]:
    """Make the member an owner, and the creator of the key, who is one, a billing member."""
    return post(path("members", member, "hand-over"), Member, {"account": account})


def leave(*, account: str | None = None) -> Call[None]:
    """Leave the account: the membership of the key's creator ends, and with it the key."""
    return Call("POST", "/members/leave", reader(None), body=given({"account": account}), repeatable=False)


def team_requests(*, account: str | None = None, limit: int | None = None) -> Call[Page[TeamRequest]]:
    """Requests of the key's creator for a team account, newest first."""
    return get_page("/team-requests", TeamRequest, account=account, limit=limit)


def request_team(
    kind: str, name: str, *, note: str | None = None, account: str | None = None
) -> Call[TeamRequest]:
    """Ask for a `family` or `business` account; the answer is sent by e-mail."""
    body: JSON = {"kind": kind, "name": name, "note": note, "account": account}
    return post("/team-requests", TeamRequest, body)


def withdraw_team_request(team_request: str, *, account: str | None = None) -> Call[None]:
    """Withdraw an open request for a team account."""
    return delete(path("team-requests", team_request), account=account)


def invitations(*, account: str | None = None, limit: int | None = None) -> Call[Page[Invitation]]:
    """Invitations of the account, newest first."""
    return get_page("/invitations", Invitation, account=account, limit=limit)


def invite(
    email: str,
    *,
    role: str | None = None,
    monthly_limit: Amount | None = None,
    account: str | None = None,
) -> Call[Invitation]:
    """Invite an address to the account, or send its open invitation again."""
    body: JSON = {"email": email, "role": role, "account": account}
    return post("/invitations", Invitation, body | {"monthly_limit": amount_or_none(monthly_limit)})


def revoke_invitation(invitation: str, *, account: str | None = None) -> Call[None]:
    """Revoke an open invitation."""
    return delete(path("invitations", invitation), account=account)


def keys(*, account: str | None = None, limit: int | None = None) -> Call[Page[Key]]:
    """Keys of the account, newest first, revoked and expired ones included."""
    return get_page("/keys", Key, account=account, limit=limit)


def create_key(
    name: str,
    scopes: Sequence[str],
    *,
    daily_limit: Amount | None = None,
    monthly_limit: Amount | None = None,
    expires_at: datetime | None = None,
    member: str | None = None,
    account: str | None = None,
) -> Call[NewKey]:
    """Create a key. `member`, for platform keys: the user with whose membership it ends."""
    body: JSON = {"name": name, "scopes": list(scopes), "expires_at": expires_at, "member": member}
    body |= {"daily_limit": amount_or_none(daily_limit), "monthly_limit": amount_or_none(monthly_limit)}
    return post("/keys", NewKey, body | {"account": account})


def update_key(
    key: str,
    *,
    name: str | None = None,
    scopes: Sequence[str] | None = None,
    daily_limit: Amount | Unchanged | None = UNCHANGED,
    monthly_limit: Amount | Unchanged | None = UNCHANGED,
    expires_at: datetime | Unchanged | None = UNCHANGED,
    account: str | None = None,
) -> Call[Key]:
    """Change a key; None removes a limit or the expiry."""
    body = given({"name": name, "scopes": None if scopes is None else list(scopes), "account": account})
    body |= changed(daily_limit=daily_limit, monthly_limit=monthly_limit, expires_at=expires_at)
    return Call("PATCH", path("keys", key), reader(Key), body=body)


def revoke_key(key: str, *, account: str | None = None) -> Call[None]:
    """Revoke a key. When this returns, it is refused everywhere."""
    return delete(path("keys", key), account=account)


def _member_or_invitation(data: Any) -> Member | Invitation:
    result: Member | Invitation = decode(Member if "user" in data else Invitation, data)
    return result
