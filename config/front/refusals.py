"""Responses of the front itself to a request whose body it does not take."""

import json
from http import HTTPStatus
from typing import Any

from django.utils.translation import gettext_lazy as _

from config.front.bodies import API
from config.middleware import request_id_of
from core.problems import MEDIA_TYPE, Problem

_DETAILS = {
    408: ("request_timeout", _("The body did not arrive in time.")),
    413: ("body_too_large", _("The body is too large.")),
}


def send(scope: Any, protocol: Any, status: int) -> None:
    """Answer 408 or 413, under /api/ with a problem document."""
    code, detail = _DETAILS[status]
    request_id = request_id_of(scope.headers.get("x-request-id") or "")
    headers = [("X-Request-Id", request_id), ("Cache-Control", "no-store"), ("Connection", "close")]
    if scope.path.startswith(API):
        text = json.dumps(Problem(status, code, str(detail)).document(request_id))
        protocol.response_str(status, [("Content-Type", MEDIA_TYPE), *headers], text)
    else:
        text = f"{HTTPStatus(status).phrase}. {detail}\n"
        protocol.response_str(status, [("Content-Type", "text/plain; charset=utf-8"), *headers], text)
