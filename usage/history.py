"""The transaction history: ledger entries with what belongs to them, page by page, newest first.

Invariants: every entry of the account stands in it exactly once, in the ledger's own order (`seq`), so that
paging is stable while rows arrive; a page costs a fixed number of queries whatever its length.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from django.db.models import QuerySet, Sum
from django.utils.translation import gettext as _

from accounts.models import Account, ApiKey, Membership, User
from billing.models import Charge, Entry, Grant, Hold
from usage.dashboard import statistics

PAGE = 50
CHUNK = 1000


@dataclass(frozen=True)
class Filter:
    """Which entries are wanted; an empty one wants all. `start` is included, `end` is not."""

    kind: str = ""
    grant_id: UUID | None = None
    start: datetime | None = None
    end: datetime | None = None

    @property
    def empty(self) -> bool:
        return not (self.kind or self.grant_id or self.start or self.end)


@dataclass(frozen=True)
class Line:
    """An entry and what a person wants to know about it."""

    entry: Entry
    grant: Grant | None
    charge: Charge | None
    title: str
    who: str


@dataclass(frozen=True)
class Page:
    lines: list[Line]
    older_than: int | None  # the cursor of the next page, or None at the end


def entries_of(account: Account, wanted: Filter) -> QuerySet[Entry]:
    rows = Entry.objects.filter(account=account)
    if wanted.kind:
        rows = rows.filter(kind=wanted.kind)
    if wanted.grant_id:
        rows = rows.filter(grant_id=wanted.grant_id)
    if wanted.start:
        rows = rows.filter(created_at__gte=wanted.start)
    if wanted.end:
        rows = rows.filter(created_at__lt=wanted.end)
    return rows.order_by("-seq")


def page_of(account: Account, wanted: Filter, *, older_than: int | None = None, size: int = PAGE) -> Page:
    """The newest entries, or those older than a cursor."""
    rows = entries_of(account, wanted)
    if older_than is not None:
        rows = rows.filter(seq__lt=older_than)
    found = list(rows[: size + 1])
    lines = described(account, found[:size])
    return Page(lines=lines, older_than=found[size - 1].seq if len(found) > size else None)


def newer_than(account: Account, wanted: Filter, seq: int, *, most: int = PAGE) -> list[Line]:
    """Entries that have arrived after a certain one, newest first."""
    return described(account, list(entries_of(account, wanted).filter(seq__gt=seq)[:most]))


def all_lines(account: Account, wanted: Filter) -> Iterator[Line]:
    """Every wanted entry, in chunks, for exports: memory stays small whatever the length."""
    cursor: int | None = None
    while True:
        page = page_of(account, wanted, older_than=cursor, size=CHUNK)
        yield from page.lines
        cursor = page.older_than
        if cursor is None:
            return


def described(account: Account, entries: Sequence[Entry]) -> list[Line]:
    """Entries with their grants, charges and names, in a fixed number of queries."""
    grants = Grant.objects.filter(account=account).in_bulk({entry.grant_id for entry in entries} - {None})
    charges = Charge.objects.filter(account=account).in_bulk({entry.charge_id for entry in entries} - {None})
    holds = Hold.objects.filter(account=account).in_bulk({entry.hold_id for entry in entries} - {None})
    uses: list[Any] = [*charges.values(), *holds.values()]
    services = statistics.service_names([name for use in uses for name in (use.service, use.action) if name])
    people = dict(User.objects.filter(pk__in={use.member_id for use in uses}).values_list("pk", "email"))
    keys = dict(ApiKey.objects.filter(pk__in={use.api_key_id for use in uses}).values_list("pk", "name"))
    actors = _actors(account, {entry.actor for entry in entries})
    lines = []
    for entry in entries:
        grant = grants.get(entry.grant_id) if entry.grant_id else None
        charge = charges.get(entry.charge_id) if entry.charge_id else None
        use: Any = charge or (holds.get(entry.hold_id) if entry.hold_id else None)
        lines.append(
            Line(
                entry=entry,
                grant=grant,
                charge=charge,
                title=_title(use, services) if use else entry.reason or (grant.label if grant else ""),
                who=actors[entry.actor]
                or (use and (people.get(use.member_id) or keys.get(use.api_key_id)))
                or "",
            )
        )
    return lines


def _actors(account: Account, actors: set[str]) -> dict[str, str]:
    """Who moved credits, in people's words: members and keys by name, everybody else of the house as such."""
    users = {actor: user_id for actor in actors if (user_id := User.uuid_of(actor))}
    keys = {actor: key_id for actor in actors if (key_id := ApiKey.uuid_of(actor))}
    mine = account.memberships.filter(user_id__in=users.values()) if users else Membership.objects.none()
    emails = dict(mine.values_list("user_id", "user__email"))
    named = ApiKey.objects.filter(pk__in=keys.values()) if keys else ApiKey.objects.none()
    names = dict(named.values_list("pk", "name"))
    told = {actor: actor for actor in actors}
    told |= {actor: emails.get(user_id, _("Support")) for actor, user_id in users.items()}
    return told | {actor: names.get(key_id, "") for actor, key_id in keys.items()}


def _title(use: Charge | Hold, services: dict[str, str]) -> str:
    names = [services[name] for name in (use.action, use.service) if name]
    return " · ".join(dict.fromkeys(names))


@dataclass(frozen=True)
class Summary:
    """A statement's figures: what was there, what came and went by kind, what is there."""

    opening: Decimal
    closing: Decimal
    by_kind: list[tuple[str, Decimal]]


def summary_of(account: Account, *, start: datetime, end: datetime) -> Summary:
    """The statement of a period: opening balance, movements by kind, closing balance."""
    before = Entry.objects.filter(account=account, created_at__lt=start).order_by("-seq").first()
    until = Entry.objects.filter(account=account, created_at__lt=end).order_by("-seq").first()
    labels = dict(Entry.Kind.choices)
    sums = (
        Entry.objects.filter(account=account, created_at__gte=start, created_at__lt=end)
        .values_list("kind")
        .annotate(total=Sum("credits"))
        .order_by("kind")
    )
    return Summary(
        opening=before.balance_after if before else Decimal(0),
        closing=until.balance_after if until else Decimal(0),
        by_kind=[(str(labels[kind]), total) for kind, total in sums],
    )
