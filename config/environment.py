"""Environment variables, with errors that name the variable.

Invariant: a value that cannot be read is refused; none is taken for its default. Errors contain no value that
may be a secret.
"""

import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar
from urllib.parse import urlsplit

import environ
from django.core.exceptions import ImproperlyConfigured

POSTGRESQL = "django.db.backends.postgresql"
_TRUE, _FALSE = ("on", "true", "yes", "1"), ("off", "false", "no", "0")
_BROKERS = ("amqp", "amqps", "redis", "rediss")
T = TypeVar("T")


class Environment:
    """Reads variables; an empty one counts as missing. Each method raises ImproperlyConfigured."""

    def __init__(self, variables: Mapping[str, str] = os.environ) -> None:
        self._variables = variables
        self.given = frozenset(name for name, value in variables.items() if value.strip())
        self._urls = environ.Env()

    def text(self, name: str, default: str = "") -> str:
        return self._variables[name].strip() if name in self.given else default

    def raw(self, name: str, default: str) -> str:
        """The value also where it is empty: such a variable switches its default off."""
        return self._variables.get(name, default).strip()

    def texts(self, name: str) -> list[str]:
        """Values separated by commas."""
        return [text for text in map(str.strip, self.text(name).split(",")) if text]

    def choice(self, name: str, default: str, choices: Sequence[str]) -> str:
        value = self.text(name, default)
        if value not in choices:
            raise ImproperlyConfigured(f"{name} is “{value}”: set it to one of {', '.join(choices)}")
        return value

    def flag(self, name: str, default: bool) -> bool:
        value = self.text(name, _TRUE[0] if default else _FALSE[0]).lower()
        if value not in _TRUE + _FALSE:
            raise ImproperlyConfigured(f"{name} is “{value}”: set it to on or off")
        return value in _TRUE

    def count(self, name: str, default: int, *, least: int = 1) -> int:
        return int(self._number(name, int, default, least, "a whole number"))

    def seconds(self, name: str, default: float) -> float:
        return float(self._number(name, float, default, 0, "a number of seconds"))

    def share(self, name: str, default: float) -> float:
        return float(self._number(name, float, default, 0, "a number from 0 to 1", most=1))

    def _number(
        self, name: str, kind: Callable[[str], Any], default: Any, least: float, form: str, most: float = 1e9
    ) -> Any:
        text = self.text(name, str(default))
        try:
            value = kind(text)
        except ValueError:
            value = None
        if value is None or not least <= value <= most:
            raise ImproperlyConfigured(f"{name} is “{text}”: set it to {form}, at least {least}")
        return value

    def rate(self, name: str, default: str = "") -> str:
        """Requests/seconds, or nothing for no limit."""
        text = self.raw(name, default)
        quota, slash, seconds = text.partition("/")
        if text and not (slash and all(part.isascii() and part.isdecimal() for part in (quota, seconds))):
            raise ImproperlyConfigured(f"{name} is “{text}”: set it to requests/seconds, such as 600/60")
        if text and not (int(quota) and int(seconds)):
            raise ImproperlyConfigured(f"{name} is “{text}”: both numbers must be above 0")
        return text

    def database(self, name: str) -> dict[str, Any]:
        settings: dict[str, Any] = self._url(
            name, self._urls.db_url_config, "postgres://user:password@host/name"
        )
        if settings.get("ENGINE") != POSTGRESQL or not settings.get("NAME"):
            raise ImproperlyConfigured(f"{name} is not postgres://user:password@host:5432/name")
        return settings

    def cache(self, name: str) -> dict[str, Any]:
        return self._url(name, self._urls.cache_url_config, "redis://host:6379/0")

    def email(self, name: str) -> dict[str, Any]:
        form = "smtp+tls://user:password@host:587"
        settings: dict[str, Any] = self._url(name, self._urls.email_url_config, form)
        if not settings.get("EMAIL_HOST"):
            raise ImproperlyConfigured(f"{name} names no host: its form is {form}")
        return settings

    def broker(self, name: str, default: str) -> str:
        """The address of a message broker that processes share; one in memory would lose every task."""
        text = self.text(name, default)
        if text != default and not self._is_url(text, _BROKERS):
            raise ImproperlyConfigured(f"{name} cannot be read: its form is amqp://… or redis://host:6379/0")
        return text

    def address(self, name: str) -> str:
        """An address of HTTP, or nothing."""
        text = self.text(name)
        if text and not self._is_url(text, ("https", "http")):
            raise ImproperlyConfigured(f"{name} cannot be read: its form is https://host/path")
        return text

    @staticmethod
    def _is_url(text: str, schemes: Sequence[str]) -> bool:
        try:
            url = urlsplit(text)
            return url.scheme in schemes and bool(url.hostname) and url.port != 0
        except ValueError:  # such as a port that is no number
            return False

    def _url(self, name: str, read: Callable[[str], T], form: str) -> T:
        try:
            return read(self.text(name))
        except Exception:  # its message may contain the password
            raise ImproperlyConfigured(f"{name} cannot be read: its form is {form}") from None
