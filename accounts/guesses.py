"""Limits on guesses of codes: promotion codes, and the codes that are sent by e-mail.

Invariant: in an hour an account, an e-mail address and a client's address have a fixed number of attempts
each, over all sessions and processes, right or wrong; later ones are refused before the code is compared.
A code by e-mail has three attempts (allauth), so the number of codes to an e-mail address limits its guesses.

Attempts are counted outside of the transaction of what they attempt, which rolls back when the code is wrong.
"""

import hashlib
import ipaddress
from datetime import datetime
from uuid import UUID

from allauth.account.adapter import get_adapter
from django.http import HttpRequest
from django.utils.translation import gettext as _

from core import rate_limit
from core.errors import DomainError
from core.rate_limit import Rate

OF_ACCOUNT = Rate(20, 3600)  # promotion codes
OF_EMAIL = Rate(10, 3600)  # codes by e-mail
FROM_CLIENT = Rate(60, 3600)  # of each kind


class TooManyGuesses(DomainError):
    """Too many codes were entered or requested (429)."""

    code, status = "too_many_attempts", 429

    def __init__(self, seconds: int) -> None:
        super().__init__(_("Too many codes were entered. Wait for the number of seconds in Retry-After."))
        self.seconds = seconds

    def headers(self, now: datetime) -> dict[str, str]:
        return {"Retry-After": str(self.seconds)}


def count_promotion_code(*, account_id: UUID, client: str, now: datetime) -> None:
    """Count a promotion code that is entered for an account. `client`: as `client_of`, "" for a platform key.

    Raises TooManyGuesses.
    """
    if client:
        _count("promotion", client, FROM_CLIENT, now)
    _count("promotion", str(account_id), OF_ACCOUNT, now)


def count_emailed_code(*, client: str, now: datetime) -> None:
    """Count a code that is entered after it was sent by e-mail. Raises TooManyGuesses."""
    _count("emailed", client, FROM_CLIENT, now)


def count_email(*, address: str, now: datetime) -> None:
    """Count an e-mail with a code; one to an unknown address too, so that both are refused alike.

    Raises TooManyGuesses.
    """
    _count("emailed", address.lower(), OF_EMAIL, now)


def client_of(request: HttpRequest) -> str:
    """The client's address; of IPv6 the network, of which one client has all addresses."""
    address = ipaddress.ip_address(get_adapter().get_client_ip(request))
    if address.version == 4:
        return str(address)
    return str(ipaddress.ip_network((address, 64), strict=False))


def _count(kind: str, whose: str, rate: Rate, now: datetime) -> None:
    digest = hashlib.sha256(whose.encode()).hexdigest()[:40]
    allowance = rate_limit.take(f"{kind} {digest}", now, rate)
    if not allowance.passes:
        raise TooManyGuesses(allowance.reset_seconds)
