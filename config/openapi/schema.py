"""Generation of the OpenAPI document: operations, authentication, headers and errors.

Requests are described by their serializers, which also validate them; responses by the TypedDicts that the
endpoints build (config.openapi.components); errors by what an endpoint declares (core.declared_problems).
"""

import inspect
from collections import defaultdict
from http import HTTPStatus
from typing import Any

from drf_spectacular.extensions import OpenApiAuthenticationExtension
from drf_spectacular.openapi import AutoSchema
from drf_spectacular.utils import OpenApiParameter

from config.openapi import components
from config.openapi import examples as recorded
from core import declared_problems
from core.declared_problems import Declared
from core.endpoint import Endpoint
from core.fields import StrictSerializer
from core.json_types import id_of
from core.problems import MEDIA_TYPE

KEY_PATTERN = "^[!-~]{1,255}$"  # core.idempotency
HEADERS: dict[str, Any] = {
    "X-Request-Id": {
        "description": "The id of the request in our logs: the caller's own X-Request-Id, or a new one.",
        "required": True,
        "schema": {"type": "string", "pattern": "^[A-Za-z0-9._:/+=@-]{1,128}$"},
    },
    "RateLimit": {
        "description": "Requests left (`r`) and seconds until the window ends (`t`). Absent without a limit.",
        "schema": {"type": "string", "pattern": '^"default";r=[0-9]+;t=[0-9]+$'},
    },
    "RateLimit-Policy": {
        "description": "Requests (`q`) in a window of seconds (`w`). Absent without a limit.",
        "schema": {"type": "string", "pattern": '^"default";q=[0-9]+;w=[0-9]+$'},
    },
    "Retry-After": {
        "description": "Seconds to wait before the request is sent again.",
        "schema": {"type": "integer", "minimum": 1},
    },
    "Idempotent-Replayed": {
        "description": "Present when this is the response of an earlier request with the same key.",
        "schema": {"type": "string", "enum": ["true"]},
    },
    "WWW-Authenticate": {"required": True, "schema": {"type": "string", "enum": ["Bearer"]}},
}
_ALWAYS = ("X-Request-Id", "RateLimit", "RateLimit-Policy")


class BearerKey(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    target_class = "accounts.authentication.KeyAuthentication"
    name = "key"

    def get_security_definition(self, auto_schema: AutoSchema) -> dict[str, Any]:
        return {
            "type": "http",
            "scheme": "bearer",
            "description": "A platform key or an account key. Its scopes: `read` reads, `spend` charges and "
            "holds, `manage` buys and changes settings. An operation lists the scope that it requires.",
        }


class BrowserSession(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    target_class = "accounts.authentication.SessionAuthentication"
    name = "session"

    def get_security_definition(self, auto_schema: AutoSchema) -> dict[str, Any]:
        return {
            "type": "apiKey",
            "in": "cookie",
            "name": "refill_session",
            "description": "The session of a signed-in browser. It has the scopes `read` and `spend`, and "
            "`manage` where the member may buy. Writes require the CSRF token (`X-CSRFToken`).",
        }


class EndpointSchema(AutoSchema):
    """The schema generator for our endpoints."""

    view: Endpoint  # type: ignore[override]  # every view of the document is one

    def get_operation_id(self) -> str:
        name = type(self.view).__name__
        return f"{self.method.lower()}{name}"

    def get_summary(self) -> str:
        return self._documentation().partition("\n\n")[0].replace("\n", " ").rstrip(".")

    def get_description(self) -> str:  # type: ignore[override]  # spectacular's own signature
        scope = self.view.scopes.get(self.method)
        if scope is None:
            return self._documentation()
        key = " on a platform key" if self.view.platform_only else ""
        session = "; a browser session needs none" if self.view.every_member else ""
        return f"{self._documentation()}\n\nRequires the scope `{scope}`{key}{session}."

    def _documentation(self) -> str:
        method = getattr(self.view, self.method.lower())
        return inspect.cleandoc(method.__doc__ or type(self.view).__doc__ or "")

    def get_auth(self) -> list[dict[str, Any]]:
        """The schemes, each with the scope that the operation requires."""
        scope = self.view.scopes.get(self.method)
        schemes = ["key"] if self.view.platform_only else ["key", "session"]
        super().get_auth()  # registers the schemes
        without = {"session"} if self.view.every_member else set()
        return [{scheme: [scope] if scope and scheme not in without else []} for scheme in schemes]

    def get_override_parameters(self) -> list[Any]:
        parameters = list(super().get_override_parameters())
        for name, model in self.view.path_ids.items():
            schema = {"type": "string", "pattern": id_of(model).regex}
            description = f"Id of the {name.replace('_', ' ')}."
            parameters.append(OpenApiParameter(name, schema, OpenApiParameter.PATH, description=description))
        if self.method == "POST" and self.view.takes_key:
            parameters.append(
                OpenApiParameter(
                    "Idempotency-Key",
                    {"type": "string", "pattern": KEY_PATTERN, "minLength": 1, "maxLength": 255},
                    OpenApiParameter.HEADER,
                    required=self.view.takes_key == "required",
                    description="1 to 255 visible ASCII characters. Send the same key with every retry.",
                )
            )
        return parameters

    def _map_basic_serializer(self, serializer: Any, direction: Any) -> dict[str, Any]:
        schema: dict[str, Any] = super()._map_basic_serializer(serializer, direction)  # type: ignore[no-untyped-call]
        if isinstance(serializer, StrictSerializer):
            schema["additionalProperties"] = False
            schema |= _alternatives(serializer)
        return schema

    def _get_request_body(self, direction: Any = "request") -> dict[str, Any] | None:
        body: dict[str, Any] | None = super()._get_request_body(direction)  # type: ignore[no-untyped-call]
        if not body:
            return None
        schema = self.get_request_serializer()
        if getattr(schema, "exactly_one_of", ()) or getattr(schema, "at_least_one_of", ()):
            body["required"] = True
        examples = {
            f"answered_{status}": {"value": example["request"]}
            for status, example in recorded.of(self.get_operation_id()).items()
            if status < "300" and "request" in example
        }
        if examples:
            body["content"]["application/json"]["examples"] = examples
        return body

    def _get_response_bodies(self, direction: Any = "response") -> dict[str, Any]:
        """The declared responses, with their headers, and the errors."""
        bodies: dict[str, Any] = super()._get_response_bodies(direction)
        headers = [*_ALWAYS]
        if self.method == "POST" and self.view.takes_key:
            headers.append("Idempotent-Replayed")
        for status, body in bodies.items():
            body["description"] = body["description"] or HTTPStatus(int(status)).phrase
            body["headers"] = _headers(headers) | body.get("headers", {})
        by_status = defaultdict(list)
        for declared in self._problems():
            by_status[declared.status].append(declared)
        errors = {str(status): self._error(declared) for status, declared in by_status.items()}
        responses = dict(sorted((bodies | errors).items()))
        for status, example in recorded.of(self.get_operation_id()).items():
            for content in responses[status].get("content", {}).values():
                content["examples"] = {"example": {"value": example["response"]}}
        return responses

    def _problems(self) -> list[Declared]:
        view = self.view
        standard = declared_problems.standard(
            self.method,
            scopes=view.scopes,
            platform_only=view.platform_only,
            takes_key=view.takes_key,
            names_object="{" in self.path,
        )
        own = declared_problems.of_classes(view.raises.get(self.method, ()))
        return list({one.code: one for one in [*standard, *own]}.values())

    def _error(self, declared: list[Declared]) -> dict[str, Any]:
        status = declared[0].status
        headers = {name for one in declared for name in one.headers}
        answered = ("X-Request-Id",) if status in (401, 408) else _ALWAYS
        codes = ", ".join(sorted(f"`{one.code}`" for one in declared))
        return {
            "description": f"{HTTPStatus(status).phrase}: {codes}",
            "headers": _headers([*answered, *sorted(headers)]),
            "content": {MEDIA_TYPE: {"schema": components.problems(declared, self)}},
        }


def _alternatives(serializer: StrictSerializer) -> dict[str, Any]:
    """Which fields exclude or replace each other, in keywords that generators of clients ignore: of `oneOf`
    they would make types without the other fields."""
    dependent = {name: [other] for name, other in serializer.only_with.items()}
    return _one_of(serializer) | ({"dependentRequired": dependent} if dependent else {})


def _one_of(serializer: StrictSerializer) -> dict[str, Any]:
    if serializer.exactly_one_of:
        one, other = ({"required": [name]} for name in serializer.exactly_one_of)
        return {"if": one, "then": {"not": other}, "else": other}
    if serializer.at_least_one_of:
        one, other = ({"required": [name]} for name in serializer.at_least_one_of)
        return {"if": {"not": one}, "then": other}
    return {}


def _headers(names: list[str]) -> dict[str, Any]:
    return {name: {"$ref": f"#/components/headers/{name}"} for name in names}


def with_headers(result: dict[str, Any], **_: Any) -> dict[str, Any]:
    """Add the headers that responses refer to."""
    result["components"]["headers"] = HEADERS
    _allow_any_value(result["components"]["schemas"])
    return result


def _allow_any_value(node: Any) -> None:
    """Remove `oneOf: [{}, null]`: {} matches null too, and `oneOf` requires exactly one match."""
    if isinstance(node, dict):
        if {} in node.get("oneOf", ()):
            del node["oneOf"]
        for inner in node.values():
            _allow_any_value(inner)
    elif isinstance(node, list):
        for inner in node:
            _allow_any_value(inner)
