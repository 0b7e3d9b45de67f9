"""/statement and /statement.json: the entries of a period, in pages that add up, and the signed document."""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.http import HttpResponse, StreamingHttpResponse
from django.utils.translation import gettext as _
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request

from accounts.authentication import account_of
from accounts.models import Account
from billing import ledger
from core import json_body
from core.amounts import plain
from core.endpoint import Endpoint, query_of
from core.errors import DomainError
from core.fields import instant
from core.pagination import cursor_at, invalid_cursor, position_of
from core.problems import field_problem
from usage import periods
from usage.api import history_schemas, request_schemas
from usage.history import pages, statements
from usage.history.lines import HistoryLine

LIST = "statement"
RESOLUTION = timedelta(microseconds=1)


class StatementArchived(DomainError):
    """All entries of the period are in an archive; support has its file."""

    code, status = "archived", 410

    def __init__(self, archive: history_schemas.Archive) -> None:
        super().__init__(_("The entries of this period are in an archive. Ask support for its file."))
        self.archive = archive

    def extra(self) -> history_schemas.Archive:
        return self.archive


class Statement(Endpoint):
    """The entries of a period, newest first: opening balance + movements = closing balance.

    Without `from` and `to` it is the current month in the account's time zone, up to the end of today. Each
    page adds up too. Entries that arrive meanwhile change no page, and neither the figures on it.
    """

    scopes = {"GET": "read"}
    raises = {"GET": (statements.EntriesMissing,)}

    @extend_schema(parameters=[request_schemas.Span], responses=history_schemas.Statement)
    def get(self, request: Request) -> HttpResponse:
        query = query_of(request, request_schemas.Span)
        statement = _statement(account_of(request, query.get("account")), query, self.now)
        until = statement.closing.seq
        if "cursor" in query:
            statement, until = _continued(statement, query["cursor"])
        statements.request_signature(statement)
        after = max(statement.opening.seq, until - query["limit"])
        part = pages.statement_part(statement, ledger.Span(after=after, until=until))
        more = after > statement.opening.seq
        answer: history_schemas.Statement = {
            "account": statement.account.public_id,
            "zone": statement.account.zone,
            "from": instant(statement.start),
            "to": instant(statement.end),
            "opening_balance": plain(statement.opening.balance),
            "closing_balance": plain(statement.closing.balance),
            "movements": [
                {"kind": kind, "credits": plain(credits)} for kind, credits in pages.movements_of(statement)
            ],
            "signed": statement.complete,
            "archived": statements.archive_of(statement),
            "page": {"opening_balance": plain(part.opening), "closing_balance": plain(part.closing)},
            "data": [_line(line) for line in part.lines],
            "has_more": more,
            "next_cursor": cursor_at([after, statement.closing.seq], of_list=LIST) if more else None,
        }
        return json_body.answer(answer)


class SignedStatement(Endpoint):
    """The statement with hashes, a proof and a signature, which clients/verify_statement.py verifies offline.

    Without `from` and `to` it is of the current month, as the statement.
    """

    scopes = {"GET": "read"}
    raises = {"GET": (StatementArchived, statements.EntriesMissing)}

    @extend_schema(
        tags=["statement"],
        parameters=[request_schemas.PeriodQuery],
        responses=history_schemas.SignedStatement,
    )
    def get(self, request: Request) -> StreamingHttpResponse:
        query = query_of(request, request_schemas.PeriodQuery)
        statement = _statement(account_of(request, query.get("account")), query, self.now)
        archive = statements.archive_of(statement)
        if archive is not None and statement.all_archived:
            raise StatementArchived(archive)
        statements.request_signature(statement)
        return StreamingHttpResponse(statements.as_json(statement), content_type="application/json")


def _statement(account_id: UUID, query: dict[str, Any], now: datetime) -> statements.Statement:
    """The statement of the period of the query. Raises Problem (400)."""
    account = Account.objects.get(pk=account_id)
    ledger.settle_for_read(account_id, now)
    end = query.get("to") or periods.month_to_date(account, now=now).end
    start = query.get("from") or periods.month_to_date(account, now=end - RESOLUTION).start
    if start >= end:
        raise field_problem("to", "invalid", _("The end must be later than the start."))
    return statements.of_period(account, start=start, end=end)


def _continued(statement: statements.Statement, cursor: str) -> tuple[statements.Statement, int]:
    """The statement as on the page before, without entries that came later; and the next page's last entry.

    Raises Problem (400) for a cursor of another statement.
    """
    until, closing = position_of(cursor, of_list=LIST, length=2)
    if not statement.opening.seq < until <= closing <= statement.closing.seq:
        raise invalid_cursor()
    return replace(statement, closing=statements.position_at(statement.account, closing)), until


def _line(line: HistoryLine) -> history_schemas.StatementLine:
    return {
        "id": line.entry_id,
        "kind": line.kind,
        "title": line.title,
        "credits": plain(line.credits),
        "balance_after": plain(line.balance_after),
        "grant": line.grant_public_id or None,
        "grant_kind": line.grant_kind or None,
        "charge": line.charge_public_id or None,
        "covered_by": line.covered_by or None,
        "service": line.service or None,
        "action": line.action or None,
        "conversation": line.conversation or None,
        "actor": line.actor,
        "created_at": instant(line.created_at),
    }
