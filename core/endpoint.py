"""Base class of every endpoint of the REST API: authentication, rate limit, scope.

Invariants: no method runs without a principal that has the method's scope; a method without a declared scope
is not allowed (405); query parameters that a method does not take are refused (400). `json_body.answer`
writes responses, `problems.handle` writes errors.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, ClassVar

from django.http import HttpResponse
from django.utils import timezone
from django.utils.translation import gettext as _
from rest_framework.negotiation import BaseContentNegotiation
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request
from rest_framework.views import APIView

from core import json_body, problems, rate_limit, refusals
from core.errors import DomainError
from core.fields import AccountQuery, StrictSerializer
from core.models import Identified
from core.problems import Problem

_WITH_BODY = frozenset({"POST", "PUT", "PATCH"})
# members of a problem document that explain a refusal later
_FIGURES = ("needed", "available", "debt", "remaining", "maximum", "used", "resets_at", "quota", "scope")


class AlwaysJSON(BaseContentNegotiation):
    """Responses have one content type; the Accept header is ignored."""

    def select_parser(self, request: Request, parsers: Any) -> Any:
        offered = (request.content_type or "").partition(";")[0].strip().lower()
        return next((parser for parser in parsers if parser.media_type == offered), None)

    def select_renderer(self, request: Request, renderers: Any, format_suffix: str | None = None) -> Any:
        return renderers[0], renderers[0].media_type


class Endpoint(APIView):
    """One endpoint. Subclasses declare `scopes` and define a method for each.

    What they declare is also in the OpenAPI document; core.declared_problems describes `raises`.
    """

    scopes: ClassVar[Mapping[str, str]] = {}  # HTTP method -> required scope
    platform_only: ClassVar[bool] = False
    every_member: ClassVar[bool] = False  # a browser session needs no scope: in the portal every member may
    raises: ClassVar[Mapping[str, tuple[type[DomainError], ...]]] = {}  # HTTP method -> its own errors
    path_ids: ClassVar[Mapping[str, type[Identified]]] = {}  # parameter of the path -> what it is the id of
    takes_key: ClassVar[str] = ""  # whether POST takes an Idempotency-Key: "required", "optional" or not
    largest_body: ClassVar[int] = json_body.LARGEST_BODY

    http_method_names = ["get", "head", "post", "put", "patch", "delete"]
    parser_classes = [json_body.StrictJSONParser]
    renderer_classes = [JSONRenderer]
    content_negotiation_class = AlwaysJSON
    now: datetime  # when the request arrived: the time of everything that it does
    use: Any = None  # the use or hold of the request, for `refused`
    _allowance: rate_limit.Allowance | None = None

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        """Check identity, rate and scope, in this order, before the method runs."""
        self.now = timezone.now()
        principal: Any = request.auth  # accounts.api_keys.Principal, which core cannot import
        if principal is None:
            raise problems.unauthenticated()
        # the front counts a request that it gives on to Django
        self._allowance = request.META.get(rate_limit.COUNTED) or rate_limit.take(
            str(principal.id), self.now, principal.rate
        )
        if not self._allowance.passes:
            raise Problem(
                429, "rate_limited", _("Too many requests. Wait for the number of seconds in Retry-After.")
            )
        if "HTTP_TRANSFER_ENCODING" in request.META and not request.META.get("CONTENT_LENGTH"):
            raise Problem(411, "length_required", _("Send the complete body with its Content-Length."))
        method = "GET" if request.method == "HEAD" else str(request.method)
        scope = self.scopes.get(method)
        if scope is None:
            return  # the dispatcher answers 405
        if self.platform_only and not principal.is_platform:
            raise Problem(403, "platform_key_required", _("This needs a platform key."))
        if not principal.may(scope) and not (self.every_member and principal.is_session):
            detail = _("This key lacks the scope “%(scope)s”.") % {"scope": scope}
            raise Problem(403, "missing_scope", detail, scope=scope)
        if method in _WITH_BODY:
            # the body names the account; a session has chosen it in the query before the body is read
            query_of(request, AccountQuery if principal.is_session else StrictSerializer)

    def refused(self, error: Exception, problem: Problem, use: Any = None) -> None:
        """Count a request, or the use of a batch, that gets this problem, for its account's refused calls."""
        principal: Any = self.request.auth
        use = use or self.use
        account_id = use.account_id if use else getattr(principal, "account_id", None)
        if account_id is None:
            return  # a platform key that names no account
        now = timezone.now()
        group = refusals.Group(
            account_id=account_id,
            hour=refusals.hour_of(now),
            code=problem.code,
            limit=problem.fields.get("limit", ""),
            subject=getattr(error, "subject", ""),
            service=use.service if use else "",
            api_key_id=use.api_key_id if use else None if principal.is_session else principal.id,
            member_id=use.member_id if use else principal.member_id,
        )
        figures = {name: value for name in _FIGURES if (value := problem.fields.get(name)) is not None}
        refusals.counts.add(group, figures, now)

    def finalize_response(  # type: ignore[override]  # endpoints answer in Django's own class
        self, request: Request, response: HttpResponse, *args: Any, **kwargs: Any
    ) -> HttpResponse:
        if self._allowance is not None:
            for name, value in self._allowance.headers().items():
                response.setdefault(name, value)
        response["Cache-Control"] = "no-store"
        return response


def query_of(request: Request, schema: type[StrictSerializer]) -> dict[str, Any]:
    """The validated query parameters. Raises Problem (400) for one that is sent twice."""
    parameters = request.query_params
    for name in parameters:
        if len(parameters.getlist(name)) > 1:
            raise problems.field_problem(name, "repeated", _("Send this parameter once."))
    return schema.checked(parameters.dict())
