"""Sign-in with the account of another site: which sites, from SOCIAL_LOGIN and the variables of each.

Invariants: without SOCIAL_LOGIN there is no button and no route of it; an unknown name, a missing client and
a server without TLS are refused at start, and the error names the variable.
"""

from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from django.core.exceptions import ImproperlyConfigured

from config.environment import Environment

OIDC = "oidc"
# Scopes and the rest are allauth's: https://docs.allauth.org/en/latest/socialaccount/providers/
_NAMES = {"google": "Google", "github": "GitHub", OIDC: "OpenID Connect"}
_CLIENTS = {
    "google": ("GOOGLE_CLIENT_ID", "GOOGLE_CLIENT_SECRET"),
    "github": ("GITHUB_CLIENT_ID", "GITHUB_CLIENT_SECRET"),
    OIDC: ("OIDC_CLIENT_ID", "OIDC_CLIENT_SECRET"),
}
_PACKAGES = {"google": "google", "github": "github", OIDC: "openid_connect"}
_PAGES = {"google": "https://accounts.google.com", "github": "https://github.com"}
_LOCAL = ("localhost", "127.0.0.1")


@dataclass
class SocialLogin:
    """The configured sites, in the order of SOCIAL_LOGIN."""

    names: list[str] = field(default_factory=list)
    apps: list[str] = field(default_factory=list)  # for INSTALLED_APPS
    providers: dict[str, dict[str, Any]] = field(default_factory=dict)  # for SOCIALACCOUNT_PROVIDERS
    pages: list[str] = field(default_factory=list)  # origins that the forms of the buttons redirect to


def read(env: Environment) -> SocialLogin:
    """Raises ImproperlyConfigured."""
    found = SocialLogin()
    for name in dict.fromkeys(env.texts("SOCIAL_LOGIN")):
        if name not in _NAMES:
            raise ImproperlyConfigured(
                f"SOCIAL_LOGIN has “{name}”: use {', '.join(_NAMES)}, separated by commas"
            )
        app = {"provider_id": name, "name": _NAMES[name]}
        app["client_id"], app["secret"] = (_required(env, name, variable) for variable in _CLIENTS[name])
        if name == OIDC:
            app["name"] = env.text("OIDC_NAME", _NAMES[OIDC])
            app["settings"] = {"server_url": _server(env)}  # type: ignore[assignment]
        package = _PACKAGES[name]
        found.names.append(name)
        found.apps.append(f"allauth.socialaccount.providers.{package}")
        found.providers[package] = {"APPS": [app], "OAUTH_PKCE_ENABLED": True}
        found.pages.append(_PAGES.get(name) or _origin(_server(env)))
    return found


def _required(env: Environment, name: str, variable: str) -> str:
    if value := env.text(variable):
        return value
    raise ImproperlyConfigured(f"{variable} is missing: SOCIAL_LOGIN has {name}")


def _server(env: Environment) -> str:
    server = _required(env, OIDC, "OIDC_SERVER_URL").rstrip("/")
    url = urlsplit(server)
    if not url.hostname or (url.scheme != "https" and url.hostname not in _LOCAL):
        raise ImproperlyConfigured(
            f"OIDC_SERVER_URL is “{server}”: set it to the https:// address of the issuer"
        )
    return server


def _origin(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"
