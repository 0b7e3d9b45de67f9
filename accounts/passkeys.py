"""Passkeys: for which host name browsers store them, and what of them is stored here.

Invariants: nothing that a browser sends makes a request fail with an error of the server; a passkey belongs
to the host of SITE_URL, so that every host of ALLOWED_HOSTS below it accepts it.
Browsers have none for IP addresses (https://www.w3.org/TR/webauthn-3/#relying-party-identifier): where
SITE_URL has one, as with `make run`, they belong to the host of the page, such as localhost.
"""

import contextlib
import ipaddress
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

from allauth.mfa.models import Authenticator
from django.conf import settings
from django.core.exceptions import ValidationError
from django.http import HttpRequest
from django.utils.translation import gettext as _

from accounts.models import User

LONGEST_NAME = 60
MOST = 20  # of a user
LONGEST_PART = 20_000  # characters; attestations are not requested, so that a credential has about 600


def host_of(request: HttpRequest) -> str:
    """The host name that passkeys of this site belong to; "" for an IP address, which has none."""
    hosts = (urlsplit(settings.SITE_URL).hostname or "", urlsplit(f"//{request.get_host()}").hostname or "")
    return next((host for host in hosts if not _is_ip_address(host)), "")


def _is_ip_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return not host
    return True


def require_few(user: User) -> None:
    """Raises ValidationError for a user who has as many passkeys as allowed."""
    if Authenticator.objects.filter(user=user, type=Authenticator.Type.WEBAUTHN).count() >= MOST:
        raise ValidationError(_("You have %(most)s passkeys. Remove one first.") % {"most": MOST})


def stored_part(credential: dict[str, Any]) -> dict[str, Any]:
    """What later sign-ins need of a verified credential; the rest of what the browser sent is dropped."""
    response, extensions = credential["response"], credential.get("clientExtensionResults") or {}
    kept = {
        "id": credential["id"],
        "rawId": credential.get("rawId", credential["id"]),
        "type": "public-key",
        "response": {name: response[name] for name in ("clientDataJSON", "attestationObject")},
        "clientExtensionResults": {"credProps": {"rk": _is_stored_on_the_device(extensions)}},
    }
    if sum(len(text) for text in (kept["id"], kept["rawId"], *kept["response"].values())) > LONGEST_PART:
        raise _not_accepted()
    return kept


def _is_stored_on_the_device(extensions: dict[str, Any]) -> bool:
    properties = extensions.get("credProps")
    return not isinstance(properties, dict) or properties.get("rk") is not False


@contextlib.contextmanager
def refused_alike() -> Iterator[None]:
    """Whatever is wrong with an authenticator's answer is one error of the form.

    Of a malformed one allauth raises other errors, too.
    """
    try:
        yield
    except (AttributeError, LookupError, TypeError, ValueError) as error:
        raise _not_accepted() from error
    except ValidationError as error:
        if getattr(error, "code", "") in {"incorrect_code", "invalid"}:  # "invalid": not the id of a user
            raise _not_accepted() from error
        raise


def _not_accepted() -> ValidationError:
    return ValidationError(_("The passkey was not accepted. Try again, or use another way."), code="passkey")


class Answered:
    """Mixin for the forms that a passkey answers."""

    def clean_credential(self) -> Authenticator:
        with refused_alike():
            authenticator: Authenticator = super().clean_credential()  # type: ignore[misc]
        return authenticator
