"""Components of the OpenAPI document: TypedDicts of responses, and the problem documents of errors."""

import inspect
from types import NoneType, UnionType
from typing import Annotated, Any, NotRequired, Union, get_args, get_origin, get_type_hints, is_typeddict

from drf_spectacular.drainage import has_override
from drf_spectacular.extensions import OpenApiSerializerExtension
from drf_spectacular.openapi import AutoSchema
from drf_spectacular.plumbing import (
    ResolvedComponent,
    append_meta,
    build_array_type,
    build_object_type,
    resolve_type_hint,
)

from core.declared_problems import Declared
from core.json_types import Pattern
from core.problems import ProblemDocument


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
        return build_object_type(
            properties=_properties(self.target, auto_schema, direction),
            required=declared.__required_keys__,
            description="" if arguments else inspect.cleandoc(declared.__doc__ or ""),
        )


def problem(declared: Declared, auto_schema: AutoSchema) -> dict[str, Any]:
    """A reference to the schema of one code's problem document."""
    fields = declared.fields
    properties = _properties(ProblemDocument, auto_schema, "response")
    properties |= {
        "status": {"type": "integer", "const": declared.status},
        "code": {"type": "string", "const": declared.code},
    }
    required = set(ProblemDocument.__required_keys__)
    if declared.status == 400:
        required.add("errors")
    else:
        del properties["errors"]
    if fields is not None:
        properties |= _properties(fields, auto_schema, "response")
        required |= fields.__required_keys__
    component = ResolvedComponent(  # type: ignore[no-untyped-call]
        name=declared.component,
        type=ResolvedComponent.SCHEMA,
        schema=build_object_type(properties=properties, required=required, description=declared.description),
        object=declared.component,
    )
    auto_schema.registry.register_on_missing(component)
    reference: dict[str, Any] = component.ref
    return reference


def problems(declared: list[Declared], auto_schema: AutoSchema) -> dict[str, Any]:
    """The schema of a problem document with one of these codes."""
    references = [problem(one, auto_schema) for one in sorted(declared, key=lambda one: one.code)]
    if len(references) == 1:
        return references[0]
    by_code = {one.code: f"#/components/schemas/{one.component}" for one in declared}
    return {
        "oneOf": references,
        "discriminator": {"propertyName": "code", "mapping": dict(sorted(by_code.items()))},
    }


def _properties(hint: Any, auto_schema: AutoSchema, direction: Any) -> dict[str, Any]:
    """The properties of a TypedDict, or of one of its arguments' kind (`Page[Charge]`)."""
    declared, arguments = get_origin(hint) or hint, get_args(hint)
    properties = {}
    for name, inner in get_type_hints(declared, include_extras=True).items():
        concrete = inner[arguments] if getattr(inner, "__parameters__", ()) else inner
        properties[name] = _schema_of(concrete, auto_schema, direction)
    return properties


def _schema_of(hint: Any, auto_schema: AutoSchema, direction: Any) -> dict[str, Any]:
    """The JSON schema of a type hint; see core.json_types for the metadata of `Annotated`."""
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is NotRequired:
        return _schema_of(arguments[0], auto_schema, direction)
    if origin is Annotated:
        return _annotated(hint, auto_schema, direction)
    if origin in (Union, UnionType):
        return _union(arguments, auto_schema, direction)
    if origin is list:
        return build_array_type(_schema_of(arguments[0], auto_schema, direction))
    if origin is dict:
        inner = arguments[1]
        values = {} if inner is Any else _schema_of(inner, auto_schema, direction)
        return {"type": "object", "additionalProperties": values}
    if is_typeddict(hint):
        reference: dict[str, Any] = auto_schema.resolve_serializer(hint, direction).ref
        return reference
    return {} if hint is Any else _resolved(hint)


def _union(arguments: tuple[Any, ...], auto_schema: AutoSchema, direction: Any) -> dict[str, Any]:
    members = [_schema_of(one, auto_schema, direction) for one in arguments if one is not NoneType]
    if len(members) > 1:
        return {"oneOf": members}
    [schema] = members
    if NoneType not in arguments:
        return schema
    if "enum" in schema:
        return schema | {"enum": [*schema["enum"], None]}  # the form that the enum hook expects
    return append_meta(schema, {"nullable": True})


def _annotated(hint: Any, auto_schema: AutoSchema, direction: Any) -> dict[str, Any]:
    schema = _schema_of(hint.__origin__, auto_schema, direction)
    for note in hint.__metadata__:
        if isinstance(note, str):
            schema = append_meta(schema, {"description": note})
        elif isinstance(note, Pattern):
            schema = append_meta(schema, {"pattern": note.regex})
        elif isinstance(note, tuple):
            schema = problems(list(note), auto_schema)
        else:
            schema = _resolved(note)
    return schema


def _resolved(hint: Any) -> dict[str, Any]:
    schema: dict[str, Any] = resolve_type_hint(hint)  # type: ignore[no-untyped-call]
    if len(schema.get("enum", ())) == 1:
        schema["const"] = schema.pop("enum")[0]
    return schema
