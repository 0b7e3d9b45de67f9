"""The endpoints of Stripe's API v1 and the types of their parameters, read from the installed SDK.

Invariant: nothing is written by hand, so an upgrade of the SDK changes what the sandbox accepts. The table is
parsed from the text of the service modules on first use; the module with an endpoint's parameters is imported
on the first call of that endpoint.
"""

import functools
import importlib
import re
import typing
from pathlib import Path
from typing import Any, NamedTuple

import stripe
from stripe._request_options import RequestOptions
from typing_extensions import get_type_hints

IMPORTED = re.compile(r"from (stripe\.params[\w.]*) import \(?\s*(\w+)")
REQUESTED = re.compile(r'_request\(\s*"(get|post|delete)",\s*"(/v1[^"]*)"')
PARAMS = re.compile(r'params: .*?"(\w+)"', re.DOTALL)
# Names that the SDK imports for type checkers only, needed to evaluate its annotations.
HIDDEN = {"StripeContext": object, "Mapping": typing.Mapping, "UntypedStripeObject": dict}


class Endpoint(NamedTuple):
    method: str
    path: str  # "/v1/checkout/sessions/{session}"
    module: str  # of the parameters' type; empty when the endpoint takes none
    type_name: str

    def params_type(self) -> Any:
        """The TypedDict of the parameters, or None when the endpoint takes none."""
        return getattr(importlib.import_module(self.module), self.type_name) if self.module else None


@functools.cache
def endpoints() -> dict[tuple[str, str], Endpoint]:
    """Every (method, path template) of API v1 that the installed SDK can call."""
    found = {}
    root = Path(stripe.__file__).parent
    for source in sorted(root.rglob("_*_service.py")):
        if "v2" in source.relative_to(root).parts:
            continue
        text = source.read_text(encoding="utf-8")
        modules = {name: module for module, name in IMPORTED.findall(text)}
        for function in re.split(r"\n    (?=(?:async )?def )", text):
            requested = REQUESTED.search(function)
            if requested is None or not function.startswith("def "):
                continue
            taken = PARAMS.search(function)
            name = taken[1] if taken else ""
            found[requested[1], requested[2]] = Endpoint(
                requested[1], requested[2], modules.get(name, ""), name
            )
    return found


@functools.cache
def fields(params_type: Any) -> dict[str, Any]:
    """The parameters that a request type declares, by name, without the SDK's options such as `api_key`."""
    names = HIDDEN | vars(importlib.import_module(params_type.__module__)) | {"UntypedStripeObject": dict}
    hints = get_type_hints(params_type, globalns=names)
    return {name: hint for name, hint in hints.items() if name not in RequestOptions.__annotations__}


def required(params_type: Any) -> list[str]:
    return [name for name in fields(params_type) if name in params_type.__required_keys__]
