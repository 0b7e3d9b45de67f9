"""Decodes a form-encoded request into typed parameters, checked against the type that the SDK declares.

Invariant: a handler never gets an unknown parameter, a value of the wrong type, or a request without a
required parameter; each error has Stripe's message and code.
"""

import re
import types
import typing
from decimal import Decimal, InvalidOperation
from typing import Any, get_args, get_origin

from django.http import QueryDict
from typing_extensions import is_typeddict

from sandbox import errors
from sandbox.api import sdk_types

BRACKETS = re.compile(r"\[([^\[\]]*)\]")
INTEGER = re.compile(r"-?[0-9]{1,18}", re.ASCII)
MOST_LEVELS = 12


def nested(form: QueryDict) -> dict[str, Any]:
    """`a[b][0]=x` as {"a": {"b": {"0": "x"}}}; `a[]=x` gets the next number. Leaves are strings."""
    tree: dict[str, Any] = {}
    for name, values in form.lists():
        head, *_ = name.partition("[")
        keys = [head, *BRACKETS.findall(name)]
        if not head or len(keys) > MOST_LEVELS:
            raise _unknown(name)
        for value in values:
            _put(tree, keys, value, name)
    return tree


def _put(tree: dict[str, Any], keys: list[str], value: str, name: str) -> None:
    branch = tree
    for key in keys[:-1]:
        branch = branch.setdefault(key or str(len(branch)), {})
        if not isinstance(branch, dict):
            raise errors.StripeError(f"Invalid value for {name}.", param=name)
    branch[keys[-1] or str(len(branch))] = value


def decode(form: QueryDict, params_type: Any) -> dict[str, Any]:
    """The typed parameters of a request.

    Raises StripeError with code parameter_unknown, parameter_missing, parameter_invalid_integer …
    """
    tree = nested(form)
    if params_type is None:
        for name in tree:
            raise _unknown(name)
        return {}
    return _object(tree, params_type, "")


def _object(tree: Any, params_type: Any, path: str) -> dict[str, Any]:
    if not isinstance(tree, dict):
        raise errors.StripeError("Invalid object", code="parameter_invalid_object", param=path)
    declared = sdk_types.fields(params_type)
    result = {}
    for name, value in tree.items():
        at = f"{path}[{name}]" if path else name
        if name not in declared:
            raise _unknown(at)
        result[name] = _value(value, declared[name], at)
    for name in sdk_types.required(params_type):
        if name not in tree:
            raise errors.missing(f"{path}[{name}]" if path else name)
    return result


def _unknown(name: str) -> errors.StripeError:
    return errors.StripeError(f"Received unknown parameter: {name}", code="parameter_unknown", param=name)


def _value(value: Any, hint: Any, path: str) -> Any:
    origin = get_origin(hint)
    if is_typeddict(hint):
        return _object(value, hint, path)
    if origin in (typing.Union, types.UnionType):
        return _one_of(value, hint, path)
    if origin is list:
        if not isinstance(value, dict):
            raise errors.StripeError("Invalid array", code="parameter_invalid_array", param=path)
        inner = get_args(hint)[0]
        return [_value(item, inner, f"{path}[{index}]") for index, item in _ordered(value, path)]
    if origin is dict or hint is dict:
        if not isinstance(value, dict):
            raise errors.StripeError("Invalid hash", code="parameter_invalid_object", param=path)
        inner = (get_args(hint) or (str,))[-1]
        if path.endswith(("metadata", "metadata]")):
            _check_metadata(value, path)
        return {
            key: item if item == "" else _value(item, inner, f"{path}[{key}]") for key, item in value.items()
        }
    if str(origin).endswith("Literal"):
        return _literal(value, get_args(hint), path)
    return _leaf(value, hint, path)


def _check_metadata(value: dict[str, Any], path: str) -> None:
    """https://docs.stripe.com/api/metadata"""
    if len(value) > 50:
        raise errors.StripeError("Metadata can have up to 50 keys.", param=path)
    for key, text in value.items():
        if len(key) > 40:
            raise errors.StripeError(f"Metadata keys can have up to 40 characters: {key}", param=path)
        if isinstance(text, str) and len(text) > 500:
            raise errors.StripeError(
                f"Metadata values can have up to 500 characters: {key}", param=f"{path}[{key}]"
            )


def _ordered(items: dict[str, Any], path: str) -> list[tuple[str, Any]]:
    if not all(INTEGER.fullmatch(index) for index in items):
        raise errors.StripeError("Invalid array", code="parameter_invalid_array", param=path)
    return sorted(items.items(), key=lambda item: int(item[0]))


def _one_of(value: Any, hint: Any, path: str) -> Any:
    choices = [choice for choice in get_args(hint) if choice is not type(None)]
    literals = [choice for choice in choices if str(get_origin(choice)).endswith("Literal")]
    words = [word for choice in literals for word in get_args(choice)]
    if value in words:
        return value
    # The SDK allows other strings in enumerations ("Literal[…] | str"), for later versions; the API does not.
    rest = [c for c in choices if c not in literals and not (c is str and words and words != [""])]
    fitting = [choice for choice in rest if _is_structure(choice) == isinstance(value, dict)] or rest
    failures = []
    for choice in sorted(fitting, key=lambda choice: choice is str):
        try:
            return _value(value, choice, path)
        except errors.StripeError as error:
            failures.append(error)
    raise failures[0] if failures else _not_among(value, words, path)


def _is_structure(hint: Any) -> bool:
    return is_typeddict(hint) or get_origin(hint) in (list, dict) or hint is dict


def _literal(value: Any, words: tuple[Any, ...], path: str) -> Any:
    if value not in words:
        raise _not_among(value, list(words), path)
    return value


def _not_among(value: Any, words: list[Any], path: str) -> errors.StripeError:
    listed = ", ".join(str(word) for word in words[:20] if word)
    return errors.StripeError(f"Invalid {path}: must be one of {listed}", param=path)


def _leaf(value: Any, hint: Any, path: str) -> Any:
    if not isinstance(value, str):
        code = "parameter_invalid_integer" if hint is int else "parameter_invalid_string"
        raise errors.StripeError(f"Invalid value: {path} is not a hash", code=code, param=path)
    if not value:  # empty values unset a parameter, where the SDK's type has the literal ""
        raise errors.StripeError(
            f"You passed an empty string for '{path}'. We assume empty values are an attempt to unset a"
            f" parameter; however '{path}' cannot be unset. You should remove '{path}' from your request"
            " or supply a non-empty value.",
            code="parameter_invalid_empty",
            param=path,
        )
    if hint is bool:
        if value not in ("true", "false"):
            raise errors.StripeError(f"Invalid boolean: {value}", param=path)
        return value == "true"
    if hint is int:
        if not INTEGER.fullmatch(value):
            raise errors.StripeError(
                f"Invalid integer: {value}", code="parameter_invalid_integer", param=path
            )
        return int(value)
    if hint in (float, Decimal):
        return _decimal(value, path)
    if "\x00" in value or len(value) > 5000:
        raise errors.StripeError(f"Invalid string: {path}", code="parameter_invalid_string", param=path)
    return value


def _decimal(value: str, path: str) -> Decimal:
    try:
        number = Decimal(value)
    except InvalidOperation:
        number = Decimal("NaN")
    if not number.is_finite():
        raise errors.StripeError(f"Invalid decimal: {value}", code="parameter_invalid_decimal", param=path)
    return number
