"""Generation of the OpenAPI document: operation names, authentication, responses and problem documents.

Requests are described by their serializers, which also validate them; responses by the TypedDicts that the
endpoints build.
"""

import inspect
from types import NoneType, UnionType
from typing import Annotated, Any, NotRequired, Union, get_args, get_origin, get_type_hints, is_typeddict

from drf_spectacular.drainage import has_override
from drf_spectacular.extensions import OpenApiAuthenticationExtension, OpenApiSerializerExtension
from drf_spectacular.openapi import AutoSchema
from drf_spectacular.plumbing import append_meta, build_array_type, build_object_type, resolve_type_hint
from drf_spectacular.utils import OpenApiParameter


class BearerKey(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    target_class = "accounts.authentication.KeyAuthentication"
    name = "key"

    def get_security_definition(self, auto_schema: AutoSchema) -> dict[str, Any]:
        return {"type": "http", "scheme": "bearer", "description": "A platform key or an account key."}


class BrowserSession(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    target_class = "accounts.authentication.SessionAuthentication"
    name = "session"

    def get_security_definition(self, auto_schema: AutoSchema) -> dict[str, Any]:
        return {
            "type": "apiKey",
            "in": "cookie",
            "name": "refill_session",
            "description": "The session of a signed-in browser. Writes require the CSRF token.",
        }


class TypedDictSchema(OpenApiSerializerExtension):  # type: ignore[no-untyped-call]
    """Components for TypedDicts, and for `Page[Charge]` the component "ChargeList".

    drf-spectacular resolves TypedDicts itself, but inline, without `Annotated` and without components.
    """

    @classmethod
    def _matches(cls, target: Any) -> bool:
        # The inherited method compares with issubclass(), which TypedDict does not support.
        return is_typeddict(get_origin(target) or target)

    def get_name(self, auto_schema: AutoSchema, direction: Any) -> str | None:
        if has_override(self.target, "component_name"):
            return None  # drf-spectacular reads the override
        [item] = get_args(self.target) or [None]
        return f"{item.__name__}List" if item else self.target.__name__

    def map_serializer(self, auto_schema: AutoSchema, direction: Any) -> dict[str, Any]:
        declared, arguments = get_origin(self.target) or self.target, get_args(self.target)
        properties = {}
        for name, hint in get_type_hints(declared, include_extras=True).items():
            concrete = hint[arguments] if getattr(hint, "__parameters__", ()) else hint
            properties[name] = _schema_of(concrete, auto_schema, direction)
        return build_object_type(
            properties=properties,
            required=declared.__required_keys__,
            description="" if arguments else inspect.cleandoc(declared.__doc__ or ""),
        )


def _schema_of(hint: Any, auto_schema: AutoSchema, direction: Any) -> dict[str, Any]:
    """The JSON schema of a type hint; see core.json_types for the metadata of `Annotated`."""
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is NotRequired:
        return _schema_of(arguments[0], auto_schema, direction)
    if origin is Annotated:
        return _annotated(_schema_of(hint.__origin__, auto_schema, direction), hint.__metadata__)
    if origin in (Union, UnionType):
        [inner] = [argument for argument in arguments if argument is not NoneType]
        schema = _schema_of(inner, auto_schema, direction)
        if "enum" in schema:
            return schema | {"enum": [*schema["enum"], None]}  # the form that the enum hook expects
        return append_meta(schema, {"nullable": True})
    if origin is list:
        return build_array_type(_schema_of(arguments[0], auto_schema, direction))
    if origin is dict and arguments[1] is not Any:
        return {
            "type": "object",
            "additionalProperties": _schema_of(arguments[1], auto_schema, direction),
        }
    if is_typeddict(hint):
        reference: dict[str, Any] = auto_schema.resolve_serializer(hint, direction).ref
        return reference
    return {} if hint is Any else _resolved(hint)


def _annotated(schema: dict[str, Any], notes: tuple[Any, ...]) -> dict[str, Any]:
    for note in notes:
        schema = append_meta(schema, {"description": note}) if isinstance(note, str) else _resolved(note)
    return schema


def _resolved(hint: Any) -> dict[str, Any]:
    schema: dict[str, Any] = resolve_type_hint(hint)  # type: ignore[no-untyped-call]
    return schema


class EndpointSchema(AutoSchema):
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
                    description="1 to 255 visible ASCII characters. Send the same key with every retry.",
                )
            )
        return parameters

    def get_description(self) -> str:  # type: ignore[override]  # spectacular's own signature
        scope = getattr(self.view, "scopes", {}).get(self.method)
        description = super().get_description() or ""
        if scope is None:
            return description
        key = " on a platform key" if getattr(self.view, "platform_only", False) else ""
        return f"{description}\n\nRequires the scope `{scope}`{key}.".strip()


def with_problems(result: dict[str, Any], **_: Any) -> dict[str, Any]:
    """Add the problem document to the responses of every operation."""
    problem = {
        "description": "A problem document (RFC 9457). `code` identifies the error.",
        "content": {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}},
    }
    for methods in result["paths"].values():
        for operation in methods.values():
            operation["responses"]["default"] = problem
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
