"""Hot endpoints of the API without Django's handler and REST framework's request.

Invariant: the endpoint's own code checks, acts, refuses and answers; only what leads to it differs. A request
whose key is unknown or cannot be looked up is left to Django before the endpoint has run; so is one whose
database connection broke, which its idempotency key makes safe to repeat.
"""

from types import SimpleNamespace
from typing import Any

from django.conf import settings
from django.db import InterfaceError, OperationalError, connection
from django.http import HttpResponse, QueryDict
from django.utils import timezone, translation
from django.utils.functional import cached_property

from accounts import api_keys
from accounts.api_keys import Principal
from billing.ledger.waiting import WalletLocked
from config.compression import Compression
from config.front.calls import Call
from core import json_body, problems, rate_limit, request_context

_COMPRESSION: Any = Compression(lambda _request: HttpResponse())


class Postponed(Exception):
    """Too many threads wait for the wallet of this call. Nothing was attempted: it can be made later."""


class DirectRequest:
    """What endpoints use of REST framework's request."""

    def __init__(self, call: Call, principal: Principal) -> None:
        self.method = call.method
        self.path = self.path_info = call.path
        self.auth = principal
        self.request_id = call.request_id
        self.META: dict[str, Any] = {rate_limit.COUNTED: call.allowance}
        if call.key is not None:
            self.META["HTTP_IDEMPOTENCY_KEY"] = call.key
        self._request = self
        self._content = call.content
        self._query = call.query

    @cached_property
    def data(self) -> Any:
        """The body. Raises Problem (400)."""
        return json_body.loads(self._content) if self._content else {}

    @cached_property
    def query_params(self) -> QueryDict:
        return QueryDict(self._query)


def answer(call: Call, *, is_last: bool = True) -> HttpResponse | None:
    """The endpoint's response. None where Django has to answer. Raises Postponed unless this `is_last`."""
    try:
        principal = api_keys.verify(call.secret, timezone.now())
    except (api_keys.UnknownKey, OperationalError, InterfaceError):
        return None
    request_context.request_id.set(call.request_id)
    request_context.account_id.set(None)
    translation.activate(settings.LANGUAGE_CODE)
    view: Any = call.endpoint()
    view.request = request = DirectRequest(call, principal)
    try:
        view.initial(request)
        response = getattr(view, call.method.lower())(request, **call.parameters)
    except (OperationalError, InterfaceError) as error:
        call.allowance = view._allowance
        if isinstance(error, WalletLocked) and not is_last:
            raise Postponed from error
        if connection.connection is None or connection.connection.closed:
            return None  # Django's handler opens another connection
        response = problems.handle(error, {"request": request, "view": view})
    except Exception as error:
        response = problems.handle(error, {"request": request, "view": view})
    return compressed(call, view.finalize_response(request, response))


def compressed(call: Call, response: HttpResponse) -> HttpResponse:
    """The response as Django's middleware compresses it for the client."""
    accepted = {"HTTP_ACCEPT_ENCODING": call.accept_encoding} if call.accept_encoding is not None else {}
    request = SimpleNamespace(method=call.method, path_info=call.path, META=accepted)
    result: HttpResponse = _COMPRESSION.process_response(request, response)
    return result
