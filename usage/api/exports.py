"""/exports: files of the history that are written in the background."""

from datetime import datetime
from uuid import UUID

from django.http import HttpResponse, StreamingHttpResponse
from django.utils.translation import gettext as _
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request

from accounts.authentication import account_of, object_of
from accounts.models import Account, User
from billing.models import Grant
from core import idempotency, json_body, problems
from core.endpoint import Endpoint, query_of
from core.errors import Refusal
from core.fields import AccountQuery, instant, instant_or_none
from core.pagination import Page, PageQuery, page
from usage.api import history_schemas
from usage.history import exports, pages
from usage.models import Export


class ExportNotReady(Refusal):
    """The file is not written completely, or it cannot be written: see the export's `state`."""

    code = "export_not_ready"

    def __init__(self, export: Export) -> None:
        waiting = export.state == Export.State.WAITING
        super().__init__(
            _("The file is being written. Request it again later.")
            if waiting
            else _("The file could not be written. Request another export.")
        )


class Exports(Endpoint):
    """Exports of the account, and starting one."""

    scopes = {"GET": "read", "POST": "read"}
    raises = {"POST": (exports.TooManyExports,)}
    takes_key = "optional"

    @extend_schema(parameters=[PageQuery], responses=Page[history_schemas.Export])
    def get(self, request: Request) -> HttpResponse:
        """The account's exports, newest first, without those whose file has expired."""
        query = query_of(request, PageQuery)
        rows = exports.of(account_of(request, query.get("account")), self.now)
        return json_body.answer(page(rows, query, keys=("created_at", "id"), build=_export))

    @extend_schema(request=history_schemas.ExportInput, responses={201: history_schemas.Export})
    def post(self, request: Request) -> HttpResponse:
        """Start an export of the history: a CSV file with the entries that match, for seven days.

        Entries that arrive later are not part of it. A member who starts it in a browser gets an e-mail when
        the file is ready.
        """
        key = idempotency.optional_key_of(request)
        body = history_schemas.ExportInput.checked(request.data)
        account = Account.objects.get(pk=account_of(request, body.get("account")))
        filters = pages.Filter(
            kind=body.get("kind", ""),
            grant_id=Grant.uuid_of(body.get("grant", "")),
            search=body.get("search", ""),
            start=body.get("from"),
            end=body.get("to"),
        )

        def start() -> tuple[int, history_schemas.Export]:
            user = request.user if isinstance(request.user, User) else None
            return 201, _export(exports.request(account, user, filters, self.now))

        return idempotency.once(request, owner=account.pk, key=key, now=self.now, act=start)


class OneExport(Endpoint):
    """One export with its progress."""

    scopes = {"GET": "read"}
    path_ids = {"export": Export}

    @extend_schema(parameters=[AccountQuery], responses=history_schemas.Export)
    def get(self, request: Request, export: str) -> HttpResponse:
        query_of(request, AccountQuery)
        return json_body.answer(_export(_found(request, export, self.now)))


class ExportFile(Endpoint):
    """The file of an export that is ready: CSV in UTF-8, with a byte order mark, newest entries first."""

    scopes = {"GET": "read"}
    path_ids = {"export": Export}
    raises = {"GET": (ExportNotReady,)}

    @extend_schema(parameters=[AccountQuery], responses={(200, "text/csv"): OpenApiTypes.STR})
    def get(self, request: Request, export: str) -> StreamingHttpResponse:
        query_of(request, AccountQuery)
        found = _found(request, export, self.now)
        if found.state != Export.State.READY:
            raise ExportNotReady(found)
        response = StreamingHttpResponse(exports.text_of(found), content_type="text/csv; charset=utf-8")
        response["Content-Disposition"] = f'attachment; filename="{exports.file_name(found)}"'
        return response


def _found(request: Request, public_id: str, now: datetime) -> Export:
    """The export, unless its file has expired. Raises Problem (404)."""
    export = object_of(request, Export, public_id)
    if export.is_expired(now):
        raise problems.not_found()
    return export


def _export(export: Export) -> history_schemas.Export:
    filters = export.filters
    return {
        "id": export.public_id,
        "account": Account.public_id_of(export.account_id),
        "state": export.state,
        "percent": export.percent,
        "rows": export.rows,
        "kind": filters["kind"] or None,
        "grant": Grant.public_id_of(UUID(filters["grant"])) if filters["grant"] else None,
        "search": filters["search"] or None,
        "created_at": instant(export.created_at),
        "expires_at": instant_or_none(export.expires_at),
    }
