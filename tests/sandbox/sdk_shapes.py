"""Compares an object of the API with the class that the installed SDK declares for it.

A field is required unless its type allows None. A value outside an enumeration and an undeclared field are
faults, although the SDK accepts both.
"""

import importlib
import typing
from decimal import Decimal
from typing import Any, get_args, get_origin

from stripe._object_classes import OBJECT_CLASSES
from stripe._stripe_object import StripeObject, UntypedStripeObject


def class_of(kind: str) -> Any:
    """The SDK's class for Stripe's `object` value. Raises KeyError for a kind Stripe does not have."""
    module, name = OBJECT_CLASSES[kind]
    return getattr(importlib.import_module(module), name)


def faults(body: dict[str, Any], path: str = "") -> list[str]:
    """The differences of an object and of every object inside it, one sentence each."""
    if body.get("object") == "list":
        return [
            fault for index, item in enumerate(body["data"]) for fault in faults(item, f"{path}[{index}]")
        ]
    return _fields(body, class_of(body["object"]), path or body["object"])


def _fields(body: dict[str, Any], declared: Any, path: str) -> list[str]:
    annotations = {
        name: hint
        for name, hint in declared.__annotations__.items()
        if not name.startswith("_") and name != "OBJECT_NAME"
    }
    found = [
        f"{path}.{name} is not a field of {declared.__name__}"
        for name in sorted(set(body) - set(annotations))
    ]
    for name, hint in annotations.items():
        if name in body:
            found += _value(body[name], hint, f"{path}.{name}")
        elif not _may_be_none(hint):
            found.append(f"{path}.{name} is missing")
    return found


def _may_be_none(hint: Any) -> bool:
    if get_origin(hint) in (typing.Union,):
        return type(None) in get_args(hint)
    return "NotRequired" in str(get_origin(hint)) or "Optional" in str(hint)[:20]


def _value(value: Any, hint: Any, path: str) -> list[str]:
    origin = get_origin(hint)
    if "NotRequired" in str(origin):
        return _value(value, get_args(hint)[0], path)
    if origin is typing.Union:
        return _one_of(value, get_args(hint), path)
    if str(origin).endswith("Literal"):
        return [] if value in get_args(hint) else [f"{path} is {value!r}, not one of {get_args(hint)[:5]}"]
    if origin is list:
        if not isinstance(value, list):
            return [f"{path} is not a list"]
        return [
            fault for n, item in enumerate(value) for fault in _value(item, get_args(hint)[0], f"{path}[{n}]")
        ]
    if isinstance(value, dict) and str(value.get("object")) in {"list", *OBJECT_CLASSES}:
        return faults(value, path)
    return _plain(value, hint, origin, path)


def _plain(value: Any, hint: Any, origin: Any, path: str) -> list[str]:
    if isinstance(hint, typing.ForwardRef):  # a reference to another object, by its id
        return [] if isinstance(value, str) else [f"{path} is not an id"]
    if isinstance(hint, type) and issubclass(hint, StripeObject) and hint is not UntypedStripeObject:
        return _fields(value, hint, path) if isinstance(value, dict) else [f"{path} is not an object"]
    if origin in (dict, UntypedStripeObject) or hint in (dict, UntypedStripeObject):
        return [] if isinstance(value, dict) else [f"{path} is not a hash"]
    expected: Any = {float: (int, float), Decimal: (str,)}.get(hint, hint)
    if expected in (int, bool, str) or isinstance(expected, tuple):
        right = isinstance(value, expected) and not (isinstance(value, bool) and hint is not bool)
        return [] if right else [f"{path} is {value!r}, not {hint}"]
    return []


def _one_of(value: Any, choices: tuple[Any, ...], path: str) -> list[str]:
    if value is None:
        return [] if type(None) in choices else [f"{path} is null"]
    closed = any(str(get_origin(choice)).endswith("Literal") for choice in choices)
    fitting = [choice for choice in choices if choice is not type(None) and not (closed and choice is str)]
    failures = [_value(value, choice, path) for choice in fitting]
    return min(failures, key=len, default=[])
