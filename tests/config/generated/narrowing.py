"""The OpenAPI document with the values that exist: its valid requests are those that the portal accepts.

A schema says which requests are well formed, not which services, plans and objects exist. Here each field
that names one allows only those of the tests.
"""

import copy
from typing import Any

CLOCK = "T[01][0-9]:[0-5][0-9]:[0-5][0-9]Z$"
BEGIN = {"type": "string", "pattern": f"^2026-03-0[1-9]{CLOCK}"}
END = {"type": "string", "pattern": f"^2026-03-[12][0-9]{CLOCK}"}
LATER = {"type": "string", "pattern": f"^21[0-8][0-9]-0[1-9]-[12][0-9]{CLOCK}"}
USAGE = {
    "type": "object",
    "properties": {"tokens": {"type": "integer", "minimum": 1, "maximum": 5000}},
    "required": ["tokens"],
    "additionalProperties": False,
}
METADATA = {
    "type": "object",
    "additionalProperties": {"type": ["integer", "string", "boolean", "null"], "maxLength": 20},
    "maxProperties": 5,
}
SERVICES = {"type": "array", "items": {"type": "string", "enum": ["tag:advanced"]}, "minItems": 1}
WITHOUT_VALUE = frozenset({"cursor", "options", "estimate", "action", "own_key", "code", "user"})


def narrowed(document: dict[str, Any], values: dict[str, list[str]]) -> dict[str, Any]:
    """The document whose fields and parameters with a name in `values` allow only these values.

    Parameters and optional fields without a value that exists in advance are left out.
    """
    result = copy.deepcopy(document)
    exact: dict[str, Any] = {name: {"type": "string", "enum": allowed} for name, allowed in values.items()}
    exact |= {
        "usage": USAGE,
        "metadata": METADATA,
        "services": SERVICES,
        "from": BEGIN,
        "to": END,
        "expires_at": LATER,
    }
    for schema in result["components"]["schemas"].values():
        if schema.get("additionalProperties") is not False:
            continue  # a response
        _narrow(schema["properties"], schema.get("required", ()), exact)
    for methods in result["paths"].values():
        for operation in methods.values():
            kept = [one for one in operation.get("parameters", ()) if one["name"] not in WITHOUT_VALUE]
            for parameter in kept:
                name = parameter["name"]
                schema = exact.get(f"{{{name}}}" if parameter["in"] == "path" else name)
                if schema is not None and parameter["in"] != "header":
                    parameter["schema"] = schema
                    # Without it the span is to the present or from a distant time: too long.
                    parameter["required"] = parameter["name"] in {"from", "to"} or parameter["in"] == "path"
            operation["parameters"] = kept
    return result


def _narrow(properties: dict[str, Any], required: Any, exact: dict[str, Any]) -> None:
    for name in list(properties):
        if name in exact:
            properties[name] = exact[name]
        elif name in WITHOUT_VALUE and name not in required:
            del properties[name]
