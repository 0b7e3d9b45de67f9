"""What a page of an account shows, as a short version, and who may follow it.

Invariants: the version changes with every entry of the ledger, so with every use, free ones included, and
when a purchase begins to wait for its payment or no longer waits; versions of many accounts, and the stamps
of many followers, are one query each.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import connection

from accounts.api_keys import Principal
from accounts.http import AccountRequest
from accounts.models import User
from billing import ledger

DUE = "due"  # the version while a settlement is due: no page shows it

_WAITING_PAYMENTS = """
  select '.' || to_hex(hashtextextended(string_agg(p.id || p.status, ',' order by p.id), 0))
  from billing_purchase p where p.account_id = a.id and p.status in ('created', 'pending')"""
_WAITING = f"select coalesce(({_WAITING_PAYMENTS}), '') from (select %(account)s::uuid as id) a"
# (the wallets before the purchases: on a distributed database they are on other nodes)
_CHANGED = f"""
with wallets as materialized (
  select account_id, seq, next_due_at from billing_wallet where account_id = any(%(accounts)s::uuid[]))
select a.id, v.version
from unnest(%(accounts)s::uuid[], %(versions)s::text[]) a(id, version)
join wallets w on w.account_id = a.id
cross join lateral (select case when w.next_due_at <= %(now)s then '{DUE}'
  else w.seq || coalesce(({_WAITING_PAYMENTS}), '') end as version) v
where v.version <> a.version"""
_STAMPS = """
select v.number,
  md5(concat_ws(' ', s.session_data, u.password, u.sign_in_epoch, m.id))
from unnest(%(sessions)s::text[], %(users)s::uuid[], %(accounts)s::uuid[])
  with ordinality v(session, user_id, account_id, number)
join django_session s on s.session_key = v.session and s.expire_date > %(now)s
join accounts_user u on u.id = v.user_id and u.is_active
join accounts_membership m on m.user_id = v.user_id and m.account_id = v.account_id
join accounts_account a on a.id = v.account_id and a.erased_at is null"""


_KEY_STAMPS = """
select v.number, md5(concat_ws(' ', k.scopes, m.role))
from unnest(%(keys)s::uuid[], %(accounts)s::uuid[]) with ordinality v(key_id, account_id, number)
join accounts_apikey k on k.id = v.key_id and k.revoked_at is null
  and (k.expires_at is null or k.expires_at > %(now)s) and 'read' = any(k.scopes)
join accounts_account a on a.id = v.account_id and a.erased_at is null
left join accounts_membership m on m.account_id = k.account_id and m.user_id = k.created_by_id
left join accounts_user u on u.id = k.created_by_id
where k.kind = 'platform' or (k.account_id = a.id and m.id is not null and u.is_active)"""


@dataclass(frozen=True, slots=True)
class Follower:
    """Who follows an account: a member in a browser session, or an API key.

    Stamp and version are those of the beginning. `position` is where a stream of events begins
    (usage.api.events); None for a page's stream.
    """

    session_key: str
    user_id: UUID | None
    account_id: UUID
    stamp: str = ""
    version: str = ""
    key_id: UUID | None = None
    position: Any = None

    @property
    def group(self) -> str:
        """Followers of one group share a bound on their streams."""
        return (
            self.session_key
            if self.position is None
            else f"{self.key_id or self.session_key} {self.account_id}"
        )


def follower_of(request: AccountRequest, now: datetime) -> Follower:
    """The follower of the request's session and account."""
    assert isinstance(request.user, User)
    follower = Follower(request.session.session_key or "", request.user.pk, request.account.pk)
    return _begun(follower, now)


def follower_of_principal(
    principal: Principal, *, account_id: UUID, session_key: str | None, position: Any, now: datetime
) -> Follower:
    """The follower of a request to the API, who gets events from `position` on."""
    is_key = not session_key
    follower = Follower(
        session_key=session_key or "",
        user_id=None if is_key else principal.id,
        account_id=account_id,
        key_id=principal.id if is_key else None,
        position=position,
    )
    return _begun(follower, now)


def _begun(follower: Follower, now: datetime) -> Follower:
    version = version_of(follower.account_id, now)
    return replace(follower, stamp=stamps([follower], now)[0], version=version)


def changed(shown: Mapping[UUID, str], now: datetime) -> dict[UUID, str]:
    """The current versions of those accounts whose version differs from the given one."""
    parameters: dict[str, Any] = {
        "accounts": list(shown),
        "versions": list(shown.values()),
        "now": now,
    }
    with connection.cursor() as cursor:
        cursor.execute(_CHANGED, parameters)
        return dict(cursor.fetchall())


def version_of(account_id: UUID, now: datetime) -> str:
    """The account's version; DUE while a settlement is due, empty without a wallet."""
    return changed({account_id: ""}, now).get(account_id, "")


def version_after(balance: ledger.Balance) -> str:
    """The version of a page that shows this balance."""
    with connection.cursor() as cursor:
        cursor.execute(_WAITING, {"account": balance.account_id})
        waiting: str = cursor.fetchone()[0]
    return f"{balance.version}{waiting}"


def stamps(followers: Sequence[Follower], now: datetime) -> list[str]:
    """For each follower a string that changes when the session, password, key or membership changes.

    It is empty when the session or the key has ended or expired, the user is not active, the membership or
    the account is removed. The chosen account is part of the session.
    """
    found = [""] * len(followers)
    sessions = [number for number, follower in enumerate(followers) if follower.key_id is None]
    keys = [number for number, follower in enumerate(followers) if follower.key_id is not None]
    for statement, numbers in ((_STAMPS, sessions), (_KEY_STAMPS, keys)):
        if not numbers:
            continue
        parameters: dict[str, Any] = {
            "sessions": [followers[number].session_key for number in numbers],
            "users": [followers[number].user_id for number in numbers],
            "keys": [followers[number].key_id for number in numbers],
            "accounts": [followers[number].account_id for number in numbers],
            "now": now,
        }
        with connection.cursor() as cursor:
            cursor.execute(statement, parameters)
            for place, stamp in cursor.fetchall():
                found[numbers[place - 1]] = stamp
    return found
