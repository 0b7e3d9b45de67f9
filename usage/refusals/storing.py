"""Stores the refused requests that this process has counted (core.refusals).

Invariant: a request's own transaction never stores its refusal. Every few seconds one statement adds the
counts of all groups, in the same order in all processes, so that these do not block each other for long.
"""

import json
import threading
from collections.abc import Sequence
from contextlib import suppress

import structlog
from django.db import Error, connection

from core import refusals
from core.refusals import Count, Group

EVERY_SECONDS = 3.0
PORTION = 1000  # rows of a statement
_ADD = """
    insert into usage_refusedcalls as r (account_id, hour, code, limit_kind, subject, service, api_key_id,
      member_id, calls, first_at, last_at, figures)
    select x.account_id, x.hour, x.code, x.limit_kind, x.subject, x.service, x.api_key_id, x.member_id,
      x.calls, x.first_at, x.last_at, x.figures
      from jsonb_to_recordset(%s::jsonb) as x (account_id uuid, hour timestamptz, code text, limit_kind text,
        subject text, service text, api_key_id uuid, member_id uuid, calls bigint, first_at timestamptz,
        last_at timestamptz, figures jsonb)
     order by 1, 2, 3, 4, 5, 6, 7, 8
    on conflict (account_id, hour, code, limit_kind, subject, service, api_key_id, member_id) do update set
      calls = r.calls + excluded.calls,
      first_at = least(r.first_at, excluded.first_at),
      last_at = greatest(r.last_at, excluded.last_at),
      figures = case when excluded.last_at >= r.last_at then excluded.figures else r.figures end
"""
log = structlog.get_logger(__name__)


class Storing:
    """A thread that stores what the process counts, until `end`."""

    def __init__(self) -> None:
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run, name="refusals", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def end(self) -> None:
        """Store what has been counted, and wait for it."""
        self._ending.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._ending.wait(EVERY_SECONDS):
            store_counted()
        store_counted()


def store_counted() -> None:
    """Store all counts of this process. Counts that the database does not take are logged and lost."""
    while portion := refusals.counts.take(PORTION):
        try:
            _add(portion)
        except Error:
            log.exception("refusals_not_stored", calls=sum(count.calls for _group, count in portion))
            break  # the others wait until the database can be reached
        finally:
            if not connection.in_atomic_block:
                with suppress(Error):
                    connection.close()  # most of the time there is nothing to store


def _add(portion: Sequence[tuple[Group, Count]]) -> None:
    rows = [
        {
            "account_id": str(group.account_id),
            "hour": group.hour.isoformat(),
            "code": group.code,
            "limit_kind": group.limit,
            "subject": group.subject,
            "service": group.service,
            "api_key_id": group.api_key_id and str(group.api_key_id),
            "member_id": group.member_id and str(group.member_id),
            "calls": count.calls,
            "first_at": count.first_at.isoformat(),
            "last_at": count.last_at.isoformat(),
            "figures": count.figures,
        }
        for group, count in portion
    ]
    with connection.cursor() as cursor:
        cursor.execute(_ADD, [json.dumps(rows)])
