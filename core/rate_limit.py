"""Rate limit: the number of requests of one caller in a window, counted exactly over all processes.

Invariant: in one window no more than the quota pass, whatever the concurrency. The database has the count; a
process reserves permits in blocks of a hundredth of the quota (single ones for small quotas), so that a busy
caller costs one short statement for many requests. While it runs, only requests of that caller wait; a thread
that works for several callers asks with `take_at_once`. Unused permits of a process expire with the window.

The caller is identified by key or session, never by address: X-Forwarded-For can be forged.
"""

import threading
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django.conf import settings
from django.db import connection

LARGEST_CACHE = 10_000
COUNTED = "refill.allowance"  # in the WSGI environment of a request that has been counted
AT_ONCE_SECONDS = 0.005
_INSERT = "insert into core_ratewindow as w (identity, window_start, used)"
_ON_CONFLICT = """on conflict (identity) do update set
      window_start = greatest(w.window_start, excluded.window_start),
      used = case when w.window_start < excluded.window_start then 0 else w.used end + excluded.used
    returning window_start, used"""
_DRAW = f"{_INSERT} values (%(identity)s, %(start)s, %(block)s) {_ON_CONFLICT}"
_DRAW_AT_ONCE = f"""
    with free as (select from core_ratewindow where identity = %(identity)s for no key update skip locked)
    {_INSERT} select %(identity)s, %(start)s, %(block)s
    where exists (select from free) or not exists (select from core_ratewindow where identity = %(identity)s)
    {_ON_CONFLICT}
"""


@dataclass(frozen=True, slots=True)
class Rate:
    """At most `quota` requests in `seconds`."""

    quota: int
    seconds: int


@dataclass(frozen=True, slots=True)
class Allowance:
    """The decision for one request, and the values of its headers."""

    passes: bool
    remaining: int
    reset_seconds: int
    rate: Rate | None

    def headers(self) -> dict[str, str]:
        """The RateLimit header fields of the IETF draft; none without a limit."""
        if self.rate is None:
            return {}
        fields = {
            "RateLimit-Policy": f'"default";q={self.rate.quota};w={self.rate.seconds}',
            "RateLimit": f'"default";r={self.remaining};t={self.reset_seconds}',
        }
        if not self.passes:
            fields["Retry-After"] = str(self.reset_seconds)
        return fields


@dataclass(slots=True)
class _Lease:
    start: int = -1
    permits: int = 0  # reserved and not used yet
    beyond: int = 0  # not reserved by any process when last read
    lock: threading.Lock = field(default_factory=threading.Lock)


_UNLIMITED = Allowance(passes=True, remaining=0, reset_seconds=0, rate=None)
_leases: dict[str, _Lease] = {}
_lock = threading.Lock()


def rate_of(*, is_platform: bool, requests_per_minute: int | None) -> Rate | None:
    """The rate of a key: its own, or that of its kind; None for no limit.

    The settings API_RATE and PLATFORM_API_RATE are "quota/seconds"; an empty one is no limit.
    """
    if requests_per_minute is not None:
        return Rate(requests_per_minute, 60)
    quota, _, seconds = (settings.PLATFORM_API_RATE if is_platform else settings.API_RATE).partition("/")
    return Rate(int(quota), int(seconds)) if quota else None


def take(identity: str, now: datetime, rate: Rate | None) -> Allowance:
    """Count one request of `identity` (at most 70 characters). Without a rate nothing is counted."""
    allowance = _count(identity, now, rate, waits=True)
    assert allowance is not None
    return allowance


def take_at_once(identity: str, now: datetime, rate: Rate | None) -> Allowance | None:
    """Count one request as `take` does; None, and nothing is counted, where that would wait for others."""
    return _count(identity, now, rate, waits=False)


def _count(identity: str, now: datetime, rate: Rate | None, *, waits: bool) -> Allowance | None:
    if rate is None:
        return _UNLIMITED
    identity = f"{identity} {rate.quota}/{rate.seconds}"  # a separate counter for each length of window
    second = int(now.timestamp())
    start = second - second % rate.seconds
    with _lock:
        if len(_leases) >= LARGEST_CACHE and identity not in _leases:
            _leases.clear()
        lease = _leases.setdefault(identity, _Lease())
    if not lease.lock.acquire(timeout=-1 if waits else AT_ONCE_SECONDS):
        return None
    try:
        if lease.start < start or (lease.permits == 0 and lease.beyond > 0):
            parameters = {"identity": identity, "start": start, "block": max(1, rate.quota // 100)}
            if not _draw(lease, rate, _DRAW if waits else _DRAW_AT_ONCE, parameters):
                return None
        passes = lease.permits > 0
        if passes:
            lease.permits -= 1
        resets_in = max(1, lease.start + rate.seconds - second)
        return Allowance(passes, lease.permits + lease.beyond, resets_in, rate)
    finally:
        lease.lock.release()


def _draw(lease: _Lease, rate: Rate, statement: str, parameters: dict[str, Any]) -> bool:
    """Reserve a block of permits. False where the row is locked and the statement does not wait."""
    with connection.cursor() as cursor:
        cursor.execute(statement, parameters)
        row = cursor.fetchone()
    if row is None:
        return False
    window_start, used = row
    block = parameters["block"]
    # If the clock of another process is ahead, its later window has begun already: count in that one.
    lease.start = window_start
    lease.permits = min(max(rate.quota - (used - block), 0), block)
    lease.beyond = max(rate.quota - used, 0)
    return True
