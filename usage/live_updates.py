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

from accounts.http import AccountRequest
from accounts.models import User
from billing import ledger

DUE = "due"  # the version while a settlement is due: no page shows it

_WAITING_PAYMENTS = """
  select '.' || to_hex(hashtextextended(string_agg(p.id || p.status, ',' order by p.id), 0))
  from billing_purchase p where p.account_id = a.id and p.status in ('created', 'pending')"""
_WAITING = f"select coalesce(({_WAITING_PAYMENTS}), '') from (select %(account)s::uuid as id) a"
_CHANGED = f"""
select a.id, v.version
from unnest(%(accounts)s::uuid[], %(versions)s::text[]) a(id, version)
join billing_wallet w on w.account_id = a.id
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


@dataclass(frozen=True, slots=True)
class Follower:
    """A member who follows an account in a browser session, with stamp and version of the beginning."""

    session_key: str
    user_id: UUID
    account_id: UUID
    stamp: str = ""
    version: str = ""


def follower_of(request: AccountRequest, now: datetime) -> Follower:
    """The follower of the request's session and account."""
    assert isinstance(request.user, User)
    follower = Follower(request.session.session_key or "", request.user.pk, request.account.pk)
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
    """For each follower a string that changes when the session, the password or the membership changes.

    It is empty when the session has ended or expired, the user is not active, the membership or the account
    is removed. The chosen account is part of the session.
    """
    found = [""] * len(followers)
    parameters: dict[str, Any] = {
        "sessions": [follower.session_key for follower in followers],
        "users": [follower.user_id for follower in followers],
        "accounts": [follower.account_id for follower in followers],
        "now": now,
    }
    with connection.cursor() as cursor:
        cursor.execute(_STAMPS, parameters)
        for number, stamp in cursor.fetchall():
            found[number - 1] = stamp
    return found
