"""Environment variables: what is not understood is refused, and the error names the variable."""

from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured

from config.environment import Environment

LOCAL = "postgres://user@host:5432/name"


def value(method: str, given: str, *arguments: Any) -> Any:
    return getattr(Environment({"NAME": given}), method)("NAME", *arguments)


@pytest.mark.parametrize(
    ("method", "given", "arguments", "read"),
    [
        ("text", " word ", (), "word"),
        ("text", "  ", ("default",), "default"),
        ("raw", "", ("default",), ""),
        ("texts", "one, ,two", (), ["one", "two"]),
        ("flag", "On", (False,), True),
        ("flag", "0", (True,), False),
        ("flag", "", (True,), True),
        ("count", "1", (7,), 1),
        ("count", "", (7,), 7),
        ("seconds", "0.5", (1.0,), 0.5),
        ("share", "1", (0.0,), 1.0),
        ("rate", "600/60", ("1/1",), "600/60"),
        ("rate", "", ("1/1",), ""),
        ("choice", "b", ("a", ("a", "b")), "b"),
        ("broker", "amqps://user:password@host//", ("pgmq://localhost",), "amqps://user:password@host//"),
        ("broker", "", ("pgmq://localhost",), "pgmq://localhost"),
        ("address", "https://key@sentry.example.org/4", (), "https://key@sentry.example.org/4"),
        ("address", "", (), ""),
    ],
)
def test_values_are_read(method: str, given: str, arguments: tuple[Any, ...], read: Any) -> None:
    assert value(method, given, *arguments) == read


@pytest.mark.fault("O4")
@pytest.mark.parametrize(
    ("method", "given", "arguments"),
    [
        ("flag", "ture", (False,)),
        ("count", "foo", (1,)),
        ("count", "0", (1,)),
        ("count", "-1", (1,)),
        ("count", "1e3", (1,)),
        ("seconds", "nan", (1.0,)),
        ("seconds", "soon", (1.0,)),
        ("share", "1.5", (0.0,)),
        *(
            ("rate", rate, ())
            for rate in ("foo", "60", "60/", "/60", "60/0", "0/60", "-1/60", "1.5/60", "٣/60")
        ),
        ("choice", "c", ("a", ("a", "b"))),
        ("database", "mysql://user@host/name", ()),
        ("database", "refill", ()),
        ("database", "postgres://user@host", ()),
        ("cache", "memory", ()),
        ("email", "mail.example.org", ()),
        ("email", "smtp://", ()),
        ("email", "consolemail://", ()),
        *(
            ("broker", url, ("",))
            for url in ("memory://", "filesystem://", "rabbit", "redis://", "amqp://h:x")
        ),
        *(("address", url, ()) for url in ("collector:4318", "grpc://host:4317", "https://", "key@sentry")),
    ],
)
def test_a_value_that_is_not_understood_is_refused_by_name(
    method: str, given: str, arguments: tuple[Any, ...]
) -> None:
    with pytest.raises(ImproperlyConfigured, match="NAME"):
        value(method, given, *arguments)


def test_a_variable_that_is_missing_has_its_default() -> None:
    environment = Environment({"OTHER": "1"})
    assert environment.rate("NAME", "60/1") == "60/1"
    assert environment.raw("NAME", "default") == "default"
    assert environment.given == {"OTHER"}


@pytest.mark.parametrize("method", ["database", "cache", "email"])
def test_the_error_of_a_url_has_no_password(method: str) -> None:
    with pytest.raises(ImproperlyConfigured) as error:
        value(method, "ftp://user:hunter2@host/name")
    assert "hunter2" not in str(error.value)
    assert Environment({"NAME": LOCAL}).database("NAME")["HOST"] == "host"
