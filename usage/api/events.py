"""GET /events: what happens to an account, as Server-Sent Events.

The web front (config.front.live) keeps the connection, as for pages (usage.views.live): the endpoint names
the follower and the position at which its stream begins; `read` returns the events after a position.

Invariants: an event's id is a position in the account's ledger and in the changes of its purchases, so that a
stream resumed with the last id misses nothing, and an event may come twice; an event contains the object as
it is when it is sent; a client whose position is not one of the account, or too far behind, gets `reload`.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.db import connection
from django.http import HttpResponse
from django.utils.translation import gettext as _
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.request import Request

from accounts.authentication import account_of, principal_of
from billing import ledger
from billing.api.purchases import purchase_in_full
from billing.models import Charge, Purchase
from core import json_body
from core.endpoint import Endpoint, query_of
from core.errors import Refusal
from core.fields import AccountQuery
from core.problems import field_problem
from usage import live_updates
from usage.api.balance import balance_of
from usage.api.charges import stored_charge
from usage.views.live import FOLLOW

MOST_BEHIND = 5_000  # entries of the ledger between a client's position and the present
MOST_PURCHASES = 100  # changes of purchases
MOST_AT_ONCE = 200  # charges in one reading
# A change of a purchase is dated before its transaction commits: changes of this time are looked for again.
OVERLAP = timedelta(seconds=30)
_ID = re.compile(r"([0-9]{1,15})-([0-9]{1,17})(b?)", re.ASCII)
_EPOCH = datetime.fromisoformat("1970-01-01T00:00:00+00:00")

# A charge that several grants paid has several entries, with at most one other between two of them (a
# capture releases what was held): the first one stands for it. The entry `correct` ends each reversal.
_CHARGES = """
select e.seq, e.charge_id from billing_entry e
 where e.account_id = %(account)s and e.seq > %(after)s and e.seq <= %(until)s and e.charge_id is not null
   and e.kind in ('charge', 'reverse')
   and not exists (select from billing_entry p
                     join billing_entry b on b.account_id = p.account_id and b.seq = e.seq - 1
                   where p.account_id = e.account_id and p.seq in (e.seq - 1, e.seq - 2)
                     and p.charge_id = e.charge_id and p.kind = e.kind and b.kind <> 'correct')
 order by e.seq limit %(most)s"""
_IS_KEPT = "select exists (select from billing_entry where account_id = %s and seq = %s)"


@dataclass(frozen=True, slots=True)
class Position:
    """What a stream has sent: entries up to `seq`, and changes of purchases up to `changed_at`.

    `has_balance`: the balance after these entries too. `seen` are the changes within OVERLAP before
    `changed_at`. At the beginning seq and changed_at are None: what comes next is sent.
    """

    seq: int | None = None
    changed_at: datetime | None = None
    has_balance: bool = True
    seen: frozenset[tuple[UUID, datetime | None]] = frozenset()

    def id(self, seq: int, *, has_balance: bool) -> str:
        assert self.changed_at is not None
        micros = (self.changed_at - _EPOCH) // timedelta(microseconds=1)
        return f"{seq}-{micros}{'b' if has_balance else ''}"


@dataclass(frozen=True, slots=True)
class Reading:
    """Events after a position, in the format of the stream; `more` when there are more at once."""

    content: bytes
    position: Position
    more: bool = False


class NotStreamable(Refusal):
    """This server cannot keep a stream open: poll instead (406)."""

    code, status = "not_streamable", 406

    def __init__(self) -> None:
        super().__init__(
            _("This server cannot keep a stream open. Poll GET /balance and GET /charges instead.")
        )


class Events(Endpoint):
    """A stream of Server-Sent Events of the account: `balance`, `charge` and `purchase`.

    `data` is the object as the other endpoints return it. After a break send the id of the last event in
    `Last-Event-ID`: the events since then follow; one may come twice. The event `reload` says that too much
    has happened since that id, or that the account has no such event: read the lists again. The stream
    begins with a `balance` and ends when the key is revoked or expires or its member leaves. Comments keep
    the connection open.
    """

    scopes = {"GET": "read"}
    raises = {"GET": (NotStreamable,)}

    @extend_schema(
        parameters=[
            AccountQuery,
            OpenApiParameter(
                "Last-Event-ID",
                {"type": "string", "pattern": f"^{_ID.pattern}$"},
                OpenApiParameter.HEADER,
                description="Id of an event.",
            ),
        ],
        responses={(200, "text/event-stream"): OpenApiTypes.STR},
    )
    def get(self, request: Request) -> HttpResponse:
        query_of(request, AccountQuery)
        account_id, principal = account_of(request), principal_of(request)
        follow = request.META.get(FOLLOW)
        if follow is None:
            raise NotStreamable
        session_key = request._request.session.session_key if principal.is_session else ""
        follow(
            live_updates.follower_of_principal(
                principal,
                account_id=account_id,
                session_key=session_key,
                position=position_of(request.META.get("HTTP_LAST_EVENT_ID")),
                now=self.now,
            )
        )
        response = HttpResponse(content_type="text/event-stream")
        response["X-Accel-Buffering"] = "no"  # nginx sends each event at once
        return response


def position_of(last_event_id: str | None) -> Position:
    """The position of an event's id; the beginning without one. Raises Problem (400) for a malformed id."""
    if last_event_id is None:
        return Position()
    match = _ID.fullmatch(last_event_id)
    if match is None:
        message = _("Send the id of an event of this stream, or no Last-Event-ID.")
        raise field_problem("Last-Event-ID", "invalid", message)
    changed_at = _EPOCH + timedelta(microseconds=int(match[2]))
    return Position(int(match[1]), changed_at, has_balance=bool(match[3]))


def read(after: tuple[UUID, Position], now: datetime) -> Reading:
    """The account's events after a position, and where a stream that has sent them stands.

    Raises OperationalError when the wallet is due and in use.
    """
    account_id, position = after
    balance = ledger.balances([account_id], now).get(account_id) or ledger.balance(account_id, now)
    reload = _must_reload(account_id, position, balance.version)
    if position.seq is None or position.changed_at is None or reload:
        start = Position(balance.version, _database_time())
        events = [_event("reload", start.id(balance.version, has_balance=False), {})] if reload else []
        events.append(_event("balance", start.id(balance.version, has_balance=True), balance_of(balance)))
        return Reading(b"".join(events), start)
    rows = _charge_rows(account_id, position.seq, balance.version)
    more = len(rows) > MOST_AT_ONCE
    rows = rows[:MOST_AT_ONCE]
    events = list(_charge_events(account_id, rows, position))
    if more:
        reached = replace(position, seq=rows[-1][0], has_balance=False)
        return Reading(b"".join(events), reached, more=True)
    owes_balance = balance.version > position.seq or not position.has_balance
    until = _database_time()
    purchases = _changed_purchases(account_id, position.changed_at)
    fresh = [one for one in purchases if (one.pk, one.changed_at) not in position.seen]
    at = position.id(balance.version, has_balance=not owes_balance)
    events += [_event("purchase", at, purchase_in_full(one, now)) for one in fresh]
    again = [one for one in purchases if one.changed_at and one.changed_at > until - OVERLAP]
    seen = frozenset((one.pk, one.changed_at) for one in again)
    end = Position(balance.version, until, seen=seen)
    if owes_balance:
        events.append(_event("balance", end.id(balance.version, has_balance=True), balance_of(balance)))
    return Reading(b"".join(events), end)


def _must_reload(account_id: UUID, position: Position, version: int) -> bool:
    """Whether the position is none of this account, or more has happened since than a stream repeats."""
    if position.seq is None or position.changed_at is None:
        return False
    if not 0 <= version - position.seq <= MOST_BEHIND:
        return True
    if position.seq < version and position.seq > 0 and not _is_kept(account_id, position.seq):
        return True
    return len(_changed_purchases(account_id, position.changed_at)) > MOST_PURCHASES


def _is_kept(account_id: UUID, seq: int) -> bool:
    """Whether the entry has not been archived."""
    with connection.cursor() as cursor:
        cursor.execute(_IS_KEPT, [account_id, seq])
        return bool(cursor.fetchone()[0])


def _charge_rows(account_id: UUID, after: int, until: int) -> list[tuple[int, UUID]]:
    parameters: dict[str, Any] = {"account": account_id, "after": after, "until": until}
    with connection.cursor() as cursor:
        cursor.execute(_CHARGES, parameters | {"most": MOST_AT_ONCE + 1})
        return list(cursor.fetchall())


def _charge_events(account_id: UUID, rows: Sequence[tuple[int, UUID]], position: Position) -> Iterator[bytes]:
    charges = Charge.objects.filter(account_id=account_id).in_bulk([charge_id for _seq, charge_id in rows])
    for seq, charge_id in rows:
        yield _event("charge", position.id(seq, has_balance=False), stored_charge(charges[charge_id]))


def _changed_purchases(account_id: UUID, since: datetime) -> list[Purchase]:
    rows = Purchase.objects.filter(account_id=account_id, changed_at__gt=since - OVERLAP)
    return list(rows.order_by("changed_at", "pk")[: MOST_PURCHASES + 1])


def _database_time() -> datetime:
    """The clock that dates changes of purchases."""
    with connection.cursor() as cursor:
        cursor.execute("select clock_timestamp()")
        now: datetime = cursor.fetchone()[0]
    return now


def _event(kind: str, position: str, data: Any) -> bytes:
    return f"id: {position}\nevent: {kind}\ndata: {json_body.dumps(data)}\n\n".encode()
