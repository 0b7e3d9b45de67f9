"""Responses of the front itself to a request that it gives to nobody else."""

import json
from http import HTTPStatus
from typing import Any

from django.utils.translation import gettext as _

from config.front.bodies import API
from config.middleware import request_id_of
from core.problems import MEDIA_TYPE, Problem


def late() -> Problem:
    return Problem(408, "request_timeout", _("The body did not arrive in time."))


def too_large() -> Problem:
    return Problem(413, "body_too_large", _("The body is too large."))


def overloaded() -> Problem:
    """For a request of which nothing has been done."""
    detail = _("Too many requests are waiting. Nothing was done for this one: send it again.")
    return Problem(503, "overloaded", detail, headers={"Retry-After": "5"})


def send(scope: Any, protocol: Any, problem: Problem) -> None:
    """Refuse the request, under /api/ with a problem document, and close its connection."""
    request_id = request_id_of(scope.headers.get("x-request-id") or "")
    headers = [("X-Request-Id", request_id), ("Cache-Control", "no-store"), ("Connection", "close")]
    headers += problem.headers.items()
    if scope.path.startswith(API):
        text = json.dumps(problem.document(request_id))
        protocol.response_str(problem.status, [("Content-Type", MEDIA_TYPE), *headers], text)
    else:
        text = f"{HTTPStatus(problem.status).phrase}. {problem.detail}\n"
        protocol.response_str(problem.status, [("Content-Type", "text/plain; charset=utf-8"), *headers], text)
