"""The base of every address of the REST API: who calls, how often, with which scope.

Invariants: no method runs without a principal that has the method's scope; a method without a declared scope
does not exist (405). Answers are written by `json_body.answer`, errors by `problems.handle`.
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

from core import json_body, problems, rate_limit
from core.fields import StrictSerializer
from core.problems import Problem


class AlwaysJSON(BaseContentNegotiation):
    """There is one form of answer; what the client would rather have is not asked."""

    def select_parser(self, request: Request, parsers: Any) -> Any:
        offered = (request.content_type or "").partition(";")[0].strip().lower()
        return next((parser for parser in parsers if parser.media_type == offered), None)

    def select_renderer(self, request: Request, renderers: Any, format_suffix: str | None = None) -> Any:
        return renderers[0], renderers[0].media_type


class Endpoint(APIView):
    """One address. Subclasses declare `scopes` and write a method for each."""

    scopes: ClassVar[Mapping[str, str]] = {}  # HTTP method -> scope it needs
    platform_only: ClassVar[bool] = False
    takes_key: ClassVar[str] = ""  # whether POST takes an Idempotency-Key: "required", "optional" or not
    largest_body: ClassVar[int] = json_body.LARGEST_BODY

    http_method_names = ["get", "head", "post", "put", "patch", "delete"]
    parser_classes = [json_body.StrictJSONParser]
    renderer_classes = [JSONRenderer]
    content_negotiation_class = AlwaysJSON
    now: datetime  # when the request came: the time of all that it does
    _allowance: rate_limit.Allowance | None = None

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        """Before the method: identity, rate, scope, in this order."""
        self.now = timezone.now()
        principal: Any = request.auth  # accounts.api_keys.Principal; this app stands below accounts
        if principal is None:
            raise problems.unauthenticated()
        self._allowance = rate_limit.take(str(principal.id), self.now, rate_limit.configured())
        if not self._allowance.passes:
            raise Problem(429, "rate_limited", _("Too many requests. Wait until the time in Retry-After."))
        if "HTTP_TRANSFER_ENCODING" in request.META and not request.META.get("CONTENT_LENGTH"):
            raise Problem(411, "length_required", _("Send the complete body with its Content-Length."))
        method = "GET" if request.method == "HEAD" else str(request.method)
        scope = self.scopes.get(method)
        if scope is None:
            return  # the dispatcher answers 405
        if self.platform_only and not principal.is_platform:
            raise Problem(403, "platform_key_required", _("Only a platform key may do this."))
        if not principal.may(scope):
            detail = _("This key lacks the scope “%(scope)s”.") % {"scope": scope}
            raise Problem(403, "missing_scope", detail, scope=scope)

    def finalize_response(  # type: ignore[override]  # endpoints answer in Django's own class
        self, request: Request, response: HttpResponse, *args: Any, **kwargs: Any
    ) -> HttpResponse:
        if self._allowance is not None:
            for name, value in self._allowance.headers().items():
                response.setdefault(name, value)
        response["Cache-Control"] = "no-store"
        return response


def query_of(request: Request, shape: type[StrictSerializer]) -> dict[str, Any]:
    """The checked parameters of the address. Raises Problem for one that is sent twice."""
    parameters = request.query_params
    for name in parameters:
        if len(parameters.getlist(name)) > 1:
            raise problems.field_problem(name, "repeated", _("Send this parameter once."))
    return shape.checked(parameters.dict())
