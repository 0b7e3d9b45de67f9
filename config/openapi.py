"""Generation of the OpenAPI document: operation names, authentication, and the problem document of errors."""

from typing import Any

from drf_spectacular.extensions import OpenApiAuthenticationExtension
from drf_spectacular.openapi import AutoSchema
from drf_spectacular.utils import OpenApiParameter


class BearerKey(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    target_class = "accounts.authentication.KeyAuthentication"
    name = "key"

    def get_security_definition(self, auto_schema: AutoSchema) -> dict[str, Any]:
        return {"type": "http", "scheme": "bearer", "description": "A platform or an account key."}


class BrowserSession(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    target_class = "accounts.authentication.SessionAuthentication"
    name = "session"

    def get_security_definition(self, auto_schema: AutoSchema) -> dict[str, Any]:
        return {
            "type": "apiKey",
            "in": "cookie",
            "name": "refill_session",
            "description": "A signed-in browser; writes need the CSRF token.",
        }


class Address(AutoSchema):
    """The schema generator for our endpoints."""

    def get_operation_id(self) -> str:
        name = type(self.view).__name__
        return f"{self.method.lower()}{name}"

    def get_override_parameters(self) -> list[Any]:
        parameters = list(super().get_override_parameters())
        takes_key = getattr(self.view, "takes_key", "")
        if self.method == "POST" and takes_key:
            parameters.append(
                OpenApiParameter(
                    "Idempotency-Key",
                    str,
                    OpenApiParameter.HEADER,
                    required=takes_key == "required",
                    description="1 to 255 visible ASCII characters; the same for every retry.",
                )
            )
        return parameters

    def get_description(self) -> str:  # type: ignore[override]  # spectacular's own signature
        scope = getattr(self.view, "scopes", {}).get(self.method)
        told = super().get_description() or ""
        if scope is None:
            return told
        who = " of a platform key" if getattr(self.view, "platform_only", False) else ""
        return f"{told}\n\nNeeds the scope `{scope}`{who}.".strip()


def with_problems(result: dict[str, Any], **_: Any) -> dict[str, Any]:
    """Add the problem document to the responses of every operation."""
    refused = {
        "description": "A problem document (RFC 9457); `code` tells which.",
        "content": {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}},
    }
    for methods in result["paths"].values():
        for operation in methods.values():
            operation["responses"]["default"] = refused
    _anything_or_nothing(result["components"]["schemas"])
    return result


def _anything_or_nothing(node: Any) -> None:
    """ "Any JSON value" includes null: as `oneOf` of {} and null, null would match twice and be invalid."""
    if isinstance(node, dict):
        if {} in node.get("oneOf", ()):
            del node["oneOf"]
        for inner in node.values():
            _anything_or_nothing(inner)
    elif isinstance(node, list):
        for inner in node:
            _anything_or_nothing(inner)
