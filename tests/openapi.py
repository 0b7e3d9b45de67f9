"""Validate every response of the API against the OpenAPI document.

Stricter than the document, which lets responses grow: a field that is not declared is an error here.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import jsonschema_rs
import pytest
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase
from drf_spectacular.generators import SchemaGenerator

from core.endpoint import Endpoint


@cache
def document() -> dict[str, Any]:
    """The OpenAPI document as clients receive it."""
    generated = SchemaGenerator().get_schema(request=None, public=True)  # type: ignore[no-untyped-call]
    plain: dict[str, Any] = json.loads(json.dumps(generated, default=str))
    return plain


@contextmanager
def every_answer_agrees() -> Iterator[None]:
    """In this context, a response that differs from the document raises an error in the test."""
    finalize = Endpoint.finalize_response

    def checked(self: Any, request: Any, response: Any, *args: Any, **kwargs: Any) -> Any:
        check(request._request, response)
        return finalize(self, request, response, *args, **kwargs)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Endpoint, "finalize_response", checked)
        yield


def check(request: HttpRequest, response: HttpResponseBase) -> None:
    """Raise unless the response is valid for the operation in the document."""
    if request.method == "HEAD" or response.status_code == 405:
        return
    documented = _operation(request)["responses"]
    status = str(response.status_code)
    assert status in documented, f"{request.method} {request.path} does not document {status}"
    content = documented[status].get("content")
    if content is None:
        assert not _body(response)
        return
    kind = response["Content-Type"].partition(";")[0]
    assert kind in content, f"{kind} is not among {list(content)}"
    if not kind.endswith("json"):
        assert content[kind]["schema"]["type"] == "string"
        return
    validator(json.dumps(content[kind]["schema"])).validate(json.loads(_body(response)))


def _body(response: HttpResponseBase) -> bytes:
    """The body; that of a stream is read and can be read again."""
    if isinstance(response, StreamingHttpResponse):
        body = response.getvalue()
        response.streaming_content = [body]
        return body
    assert isinstance(response, HttpResponse)
    return response.content


def _operation(request: HttpRequest) -> Any:
    match = request.resolver_match
    assert match is not None
    path = "/" + match.route.replace("<str:", "{").replace(">", "}")
    return document()["paths"][path][str(request.method).lower()]


@cache
def validator(schema: str) -> Any:
    """A validator of a schema of the document that allows no undeclared field."""
    whole = json.loads(schema) | {"components": _closed()}
    return jsonschema_rs.Draft202012Validator(whole, validate_formats=True)


@cache
def _closed() -> dict[str, Any]:
    components: dict[str, Any] = json.loads(json.dumps(document()["components"]))
    for schema in components["schemas"].values():
        if "properties" in schema:
            schema.setdefault("additionalProperties", False)
    return components
