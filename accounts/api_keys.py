"""API keys: issue, verify, revoke.

Invariants: a secret is shown once and stored only as its SHA-256; when `revoke` (or the removal of a member)
has returned, no process accepts the key any more; from the instant `expires_at` on none accepts it either.

Caching and immediate revocation: a process trusts a verified key for LEASE_SECONDS, counted from *before* its
database query. `revoke` commits first and returns only when every lease from before the commit has expired.
So a busy key costs one query every quarter of a second instead of one per request, and no request succeeds
after `revoke` has returned. Measurements and alternatives: docs/decisions/0020-api-key-leases.md.
"""

import hmac
import time
import uuid
from collections.abc import Collection
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal

from django.db import connection, transaction
from django.db.models import Q, QuerySet
from django.utils.translation import gettext as _

from accounts import key_format, spending_limits
from accounts.models import Account, ApiKey, Membership, User
from core import rate_limit
from core.caches import TimedCache
from core.errors import Refusal

LEASE_SECONDS = 0.25
SEEN_SECONDS = 60.0
MAX_CACHED_KEYS = 10_000  # a few hundred bytes each
MOST_KEYS = 100  # active keys of an account
SESSION = "session"  # the kind of a principal from a browser session
USE_NOTED_EVERY = timedelta(minutes=1)

_FIND = """
    select k.id, k.kind, k.account_id, k.created_by_id, k.scopes, m.role, k.last_used_at,
      k.requests_per_minute, k.expires_at, k.secret_hash
      from accounts_apikey k
      left join accounts_account a on a.id = k.account_id
      left join accounts_membership m on m.account_id = k.account_id and m.user_id = k.created_by_id
      left join accounts_user u on u.id = k.created_by_id
     where k.secret_hash = %s and k.revoked_at is null
       and (k.kind = 'platform' or (a.erased_at is null and m.id is not null and u.is_active))
"""
_NOTE_USE = """
    update accounts_apikey set last_used_at = %(now)s where id = (
      select id from accounts_apikey
       where id = %(id)s and (last_used_at is null or last_used_at <= %(due)s) for no key update skip locked)
"""


class UnknownKey(Exception):
    """Malformed, never issued, revoked, expired, or its member has left; clients do not learn which."""


class TooManyKeys(Refusal):
    """The account already has MOST_KEYS active keys (409)."""

    code = "too_many_keys"

    def __init__(self) -> None:
        super().__init__(_("The account already has %(n)d keys. Revoke a key first.") % {"n": MOST_KEYS})


@dataclass(frozen=True, slots=True)
class Principal:
    """The caller identified by a key. `account_id` is None for a platform key, which names the account."""

    id: uuid.UUID
    kind: str
    account_id: uuid.UUID | None
    member_id: uuid.UUID | None
    scopes: frozenset[str]
    last_used_at: datetime | None
    requests_per_minute: int | None = None  # the key's own limit
    expires_at: datetime | None = None

    @property
    def rate(self) -> rate_limit.Rate | None:
        """The limit of its requests; None for none."""
        return rate_limit.rate_of(is_platform=self.is_platform, requests_per_minute=self.requests_per_minute)

    @property
    def is_platform(self) -> bool:
        return self.kind == ApiKey.Kind.PLATFORM

    @property
    def is_session(self) -> bool:
        return self.kind == SESSION

    def may(self, scope: str) -> bool:
        return scope in self.scopes

    def is_expired(self, now: datetime) -> bool:
        return self.expires_at is not None and self.expires_at <= now


@dataclass(frozen=True, slots=True)
class Issued:
    """A new key with its secret, which is available only here."""

    key: ApiKey
    secret: str


_leases: TimedCache[bytes, Principal] = TimedCache(seconds=LEASE_SECONDS, max_entries=MAX_CACHED_KEYS)
_seen: TimedCache[bytes, bool] = TimedCache(seconds=SEEN_SECONDS, max_entries=MAX_CACHED_KEYS)


def issue(
    *,
    kind: str,
    name: str,
    scopes: Collection[str],
    now: datetime,
    account: Account | None = None,
    created_by: User | None = None,
    requests_per_minute: int | None = None,
    daily_limit: Decimal | None = None,
    monthly_limit: Decimal | None = None,
    expires_at: datetime | None = None,
) -> Issued:
    """Issue a key. An account key needs its account and its creator; it ends with the membership.

    The limits are credits of a day and of a month. Raises TooManyKeys, and ValueError for invalid scopes or
    an invalid combination.
    """
    if not scopes or not set(scopes) <= set(ApiKey.Scope.values):
        raise ValueError(f"Scopes must be some of {ApiKey.Scope.values}")
    if (kind == ApiKey.Kind.ACCOUNT) != (account is not None) or (account and created_by is None):
        raise ValueError("An account key needs its account and its maker, a platform key has no account")
    secret = key_format.new_secret(kind)
    with transaction.atomic():
        if account is not None:
            Account.objects.select_for_update(no_key=True).get(
                pk=account.pk
            )  # concurrent requests count one after the other
            if live_keys(now).filter(account=account).count() >= MOST_KEYS:
                raise TooManyKeys
        key = ApiKey.objects.create(
            kind=kind,
            account=account,
            created_by=created_by,
            name=name,
            scopes=[scope for scope in ApiKey.Scope.values if scope in scopes],
            prefix=key_format.shown_part(secret),
            secret_hash=key_format.hash_of(secret),
            created_at=now,
            expires_at=expires_at,
            daily_limit=daily_limit,
            monthly_limit=monthly_limit,
            requests_per_minute=requests_per_minute,
        )
        for period, maximum in (("day", daily_limit), ("month", monthly_limit)):
            if account is not None and maximum is not None:
                spending_limits.set_limit(key, period=period, maximum=maximum, now=now)
    return Issued(key=key, secret=secret)


def verify(secret: str, now: datetime) -> Principal:
    """The principal of a key. Raises UnknownKey; malformed keys are refused without a query."""
    secret_hash = key_format.hash_of(secret)
    principal = _leases.get(secret_hash)  # first, because the check of the form takes longer
    if principal is None:
        if not key_format.is_well_formed(secret):
            raise UnknownKey
        try:
            principal = _leases.get_or_load(secret_hash, _find)
        except UnknownKey:
            _seen.forget(secret_hash)
            raise
        _seen.put(secret_hash, True)
    if principal.is_expired(now):
        raise UnknownKey
    last = principal.last_used_at
    if last is None or now - last >= USE_NOTED_EVERY:
        _note_use(secret_hash, principal, now)
    return principal


def seen(secret: str) -> bool:
    """Whether this process has verified the key within SEEN_SECONDS. It may have ended since."""
    return _seen.get(key_format.hash_of(secret)) is not None


def revoke(key: ApiKey, now: datetime) -> None:
    """Revoke a key. Returns when no process accepts it any more. Idempotent."""
    revoke_all(ApiKey.objects.filter(pk=key.pk), now)


def revoke_all(keys: QuerySet[ApiKey], now: datetime) -> None:
    """Revoke these keys (see revoke)."""
    keys.filter(revoked_at=None).update(revoked_at=now)
    outlast_leases()


def outlast_leases() -> None:
    """After a change that ends keys: drop our leases and, after the commit, wait until all others expire."""
    _leases.clear()
    transaction.on_commit(_wait_out)


def live_keys(now: datetime) -> QuerySet[ApiKey]:
    """Keys that are neither revoked nor expired."""
    return ApiKey.objects.filter(Q(expires_at=None) | Q(expires_at__gt=now), revoked_at=None)


def _wait_out() -> None:
    _leases.clear()  # leases that this process took before the commit
    time.sleep(LEASE_SECONDS)


def _find(secret_hash: bytes) -> Principal:
    with connection.cursor() as cursor:
        cursor.execute(_FIND, [secret_hash])
        row = cursor.fetchone()
    # The index found the row by hash; comparing in constant time guards against a corrupt index.
    if row is None or not hmac.compare_digest(bytes(row[9]), secret_hash):
        raise UnknownKey
    key_id, kind, account_id, member_id, scopes, role, last_used_at, per_minute, expires_at = row[:9]
    granted = frozenset(scopes)
    if role == Membership.Role.MEMBER:
        granted -= {
            ApiKey.Scope.MANAGE.value
        }  # keys of a plain member have no `manage`, whatever the role at their creation
    return Principal(
        id=key_id,
        kind=kind,
        account_id=account_id,
        member_id=member_id,
        scopes=granted,
        last_used_at=last_used_at,
        requests_per_minute=per_minute,
        expires_at=expires_at,
    )


def _note_use(secret_hash: bytes, principal: Principal, now: datetime) -> None:
    """Store the time of the last use, at most once a minute over all processes (the row decides).

    Whoever has locked the row, another process that notes a use or a change of the key, is not waited for.
    """
    with connection.cursor() as cursor:
        cursor.execute(_NOTE_USE, {"id": principal.id, "now": now, "due": now - USE_NOTED_EVERY})
    _leases.update(secret_hash, lambda newest: replace(newest, last_used_at=now))
