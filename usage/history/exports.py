"""Exports of the history as files, written in the background, with an e-mail when they are ready.

Invariants: an export is written portion by portion, each with its progress in one transaction, so that a
worker that is killed repeats at most one portion; two workers never write the same export; files are in the
database, where every process finds them, until they expire.
"""

import csv
import io
import zlib
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import structlog
from django.conf import settings
from django.db import transaction
from django.db.models import F, QuerySet
from django.utils import translation
from django.utils.translation import gettext as _

from accounts.models import Account, User
from billing import ledger
from billing.notifications import emails
from core.errors import Refusal
from usage.history import pages
from usage.models import Export, ExportPart

DIRECT_ENTRIES = 10_000  # a history of fewer entries is downloaded without waiting
PORTION = 5000  # entries written by one transaction
KEPT = timedelta(days=7)
MOST_WAITING = 3  # exports of one account
MOST_ATTEMPTS = 5
log = structlog.get_logger(__name__)


class TooManyExports(Refusal):
    """Three exports of the account are being written: wait until one is ready (409)."""

    code = "too_many_exports"

    def __init__(self) -> None:
        super().__init__(_("Other exports are still being written. Wait until one is ready."))


def is_large(account: Account, filters: pages.Filter) -> bool:
    """Whether the file has to be written in the background."""
    span = _span(account, filters)
    return span.until - span.after > DIRECT_ENTRIES


def request(account: Account, user: User | None, filters: pages.Filter, now: datetime) -> Export:
    """Request the file of the entries that match. Raises TooManyExports.

    The user gets an e-mail when it is ready; a program that requests one has none.
    """
    with transaction.atomic():
        Account.objects.select_for_update(no_key=True).get(pk=account.pk)
        if Export.objects.filter(account=account, state=Export.State.WAITING).count() >= MOST_WAITING:
            raise TooManyExports
        span = _span(account, filters)
        stored = {
            "kind": filters.kind,
            "grant": filters.grant_id.hex if filters.grant_id else "",
            "search": filters.search,
            "after": span.after,
            "until": span.until,
            "language": translation.get_language(),
        }
        return Export.objects.create(account=account, requested_by=user, filters=stored, created_at=now)


def of(account_id: UUID, now: datetime) -> QuerySet[Export]:
    """The account's exports, newest first, without those whose file has expired."""
    found = Export.objects.filter(account_id=account_id).exclude(expires_at__lte=now)
    return found.order_by("-created_at", "-pk")


def write_waiting(now: datetime) -> int:
    """Write the exports that wait. Returns how many portions were written.

    One that fails delays no other; after MOST_ATTEMPTS it is given up, with an alert in the log.
    """
    portions = 0
    waiting = Export.objects.filter(state=Export.State.WAITING).order_by("created_at")
    for export_id in list(waiting.values_list("pk", flat=True)):
        try:
            while write_portion(export_id, now):
                portions += 1
        except Exception:  # whatever the cause, the others are written
            log.exception("export_failed", export=str(export_id))
            _count_failure(export_id, now)
    return portions


def text_of(export: Export) -> Iterator[bytes]:
    """The file's content, part by part."""
    for number in export.parts.order_by("number").values_list("number", flat=True):
        yield zlib.decompress(export.parts.values_list("data", flat=True).get(number=number))


def file_name(export: Export) -> str:
    """The name with which the file is saved: its day is that of the account."""
    day = export.created_at.astimezone(ZoneInfo(export.account.zone)).date()
    return f"history-{day.isoformat()}.csv"


def delete_expired(now: datetime) -> None:
    """Delete the files that have expired, with their entries in the list."""
    Export.objects.filter(expires_at__lte=now).delete()


def write_portion(export_id: UUID, now: datetime) -> bool:
    """Write the next portion; False: nothing is left, or another worker writes this export."""
    with transaction.atomic():
        found = Export.objects.select_for_update(skip_locked=True, no_key=True, of=("self",))
        found = found.select_related("account")
        export = found.filter(pk=export_id, state=Export.State.WAITING).first()
        if export is None:
            return False
        with translation.override(export.filters.get("language", settings.LANGUAGE_CODE)):
            page = pages.page_of(
                export.account, _filter(export.filters), older_than=export.cursor, size=PORTION, every=True
            )
        zone = ZoneInfo(export.account.zone)
        rows = [pages.csv_row(line, zone) for line in page.lines]
        first = [] if export.cursor is not None else [pages.CSV_HEADINGS]
        data = zlib.compress(_csv_text(first + rows, is_first=export.cursor is None).encode())
        number = export.parts.count()
        ExportPart.objects.create(export=export, number=number, data=data)
        export.rows += len(rows)
        export.attempts = 0
        export.cursor = export.filters["after"] if page.older_than is None else page.older_than
        if page.older_than is None:
            export.state, export.expires_at = Export.State.READY, now + KEPT
            _queue_email(export, now)
        export.save()
        return True


def _csv_text(rows: list[list[str]], *, is_first: bool) -> str:
    """The rows as CSV; the first begin with a byte order mark, without which Excel does not read UTF-8."""
    file = io.StringIO()
    csv.writer(file).writerows(rows)
    return ("\ufeff" if is_first else "") + file.getvalue()


def _count_failure(export_id: UUID, now: datetime) -> None:
    waiting = Export.objects.filter(pk=export_id, state=Export.State.WAITING)
    waiting.update(attempts=F("attempts") + 1)
    if waiting.filter(attempts__gte=MOST_ATTEMPTS).update(state=Export.State.FAILED, expires_at=now + KEPT):
        log.error("export_given_up", alert=True, export=str(export_id))


def _queue_email(export: Export, now: datetime) -> None:
    if export.requested_by is not None:
        emails.queue(
            account_id=export.account_id,
            template="export_ready",
            key=f"export:{export.pk}",
            context={"rows": export.rows, "days": KEPT.days},
            only_to=export.requested_by.email,
            now=now,
        )


def _span(account: Account, filters: pages.Filter) -> ledger.Span:
    return ledger.span(account.pk, start=filters.start, end=filters.end)


def _filter(stored: dict[str, Any]) -> pages.Filter:
    return pages.Filter(
        kind=stored["kind"],
        grant_id=UUID(stored["grant"]) if stored["grant"] else None,
        search=stored["search"],
        span=ledger.Span(after=stored["after"], until=stored["until"]),
    )
