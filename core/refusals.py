"""Refused requests of accounts, counted in this process until they are stored (usage.refusals.storing).

Invariants: counting takes microseconds, waits for no database and fails no request; requests of one group
in one hour are one count, and the groups of an hour are bounded. What has not been stored when a process is
killed is lost: the counts explain refusals to users and decide nothing.
"""

import threading
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any
from uuid import UUID

STATUSES = frozenset({402, 403, 429})  # the statuses of refusals that somebody can mend
MOST_GROUPS = 20_000  # of an hour; further ones are not counted
MOST_GROUPS_OF_ACCOUNT = 200  # of an hour; further ones are counted without service, key, member and subject


@dataclass(frozen=True, slots=True)
class Group:
    """What refused requests have in common. `limit` and `subject` say which limit was reached, if one was."""

    account_id: UUID
    hour: datetime
    code: str
    limit: str = ""  # project, member, key, account
    subject: str = ""
    service: str = ""
    api_key_id: UUID | None = None
    member_id: UUID | None = None


@dataclass(slots=True)
class Count:
    """The requests of a group. `figures` are those of the last problem document, such as `needed`."""

    calls: int
    first_at: datetime
    last_at: datetime
    figures: dict[str, Any]


class Counts:
    """Counts by group that wait to be stored."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: dict[Group, Count] = {}
        self._hour: datetime | None = None
        self._groups: dict[UUID, set[Group]] = {}  # counted in the hour
        self._size = 0

    def add(self, group: Group, figures: dict[str, Any], now: datetime) -> None:
        """Count a refused request."""
        with self._lock:
            bounded = self._bounded(group)
            if bounded is None:
                return
            count = self._waiting.get(bounded)
            if count is None:
                self._waiting[bounded] = Count(1, now, now, figures)
            else:
                count.calls += 1
                count.last_at, count.figures = now, figures

    def take(self, most: int) -> list[tuple[Group, Count]]:
        """Up to `most` counts, which are no longer kept here."""
        with self._lock:
            taken = list(self._waiting.items())[:most]
            for group, _count in taken:
                del self._waiting[group]
        return taken

    def _bounded(self, group: Group) -> Group | None:
        """The group to count in; None where the process counts as many as it may."""
        if self._hour is None or group.hour > self._hour:
            self._hour, self._size = group.hour, 0
            self._groups.clear()
        groups = self._groups.setdefault(group.account_id, set())
        if group in groups:
            return group
        if len(groups) >= MOST_GROUPS_OF_ACCOUNT:
            group = replace(group, limit="", subject="", service="", api_key_id=None, member_id=None)
        if group not in groups:
            if self._size >= MOST_GROUPS:
                return None
            groups.add(group)
            self._size += 1
        return group


counts = Counts()


def hour_of(now: datetime) -> datetime:
    """The hour that contains `now`."""
    return now.replace(minute=0, second=0, microsecond=0)
