"""Where webhooks may go: checks of an endpoint's URL, and of the addresses that its name has at a delivery.

Invariants: a connection is made only to an address that was checked, not to a name that is resolved again;
an address inside another one (mapped, 6to4, NAT64) counts as the inner one; without permission for private
addresses only public ones are used, and only with TLS. Link-local addresses (metadata services of clouds)
are never used.
"""

import re
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from urllib.parse import urlsplit

from django.conf import settings
from django.utils.translation import gettext as _

from core.errors import DomainError

Address = IPv4Address | IPv6Address
LONGEST_URL = 2000
_VISIBLE = re.compile(r"[\x21-\x7e]+", re.ASCII)
_NAT64 = IPv6Network("64:ff9b::/96")
_GLOBAL_UNICAST = IPv6Network("2000::/3")
# Python takes parts of it for public; a cloud has its metadata service there
_SPECIAL = IPv4Network("192.0.0.0/24")
_PRIVATE = (
    IPv4Network("10.0.0.0/8"),
    IPv4Network("100.64.0.0/10"),
    IPv4Network("127.0.0.0/8"),
    IPv4Network("172.16.0.0/12"),
    IPv4Network("192.168.0.0/16"),
    IPv6Network("::1/128"),
    IPv6Network("fc00::/7"),
)


class UrlRefused(DomainError):
    """The URL cannot receive webhooks (400)."""

    code, status, field = "url_not_allowed", 400, "url"


class AddressRefused(Exception):
    """The name has an address to which webhooks are not sent."""


@dataclass(frozen=True, slots=True)
class Target:
    """A URL in the parts that a request needs."""

    is_tls: bool
    host: str
    port: int
    path: str  # with the query

    @property
    def host_header(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == (443 if self.is_tls else 80) else f"{host}:{self.port}"


def private_allowed(*, is_platform: bool) -> bool:
    """Whether endpoints of the platform, or of accounts, may have private addresses (and http there)."""
    allowed = settings.WEBHOOK_PRIVATE_ADDRESSES
    return allowed == "all" or (allowed == "platform" and is_platform)


def parsed(url: str, *, private: bool) -> Target:
    """The parts of a URL. `private`: private addresses are allowed. Raises UrlRefused.

    A name is not resolved here: that is done at each delivery.
    """
    if len(url) > LONGEST_URL or not _VISIBLE.fullmatch(url):
        raise UrlRefused(_("Send a URL of at most 2,000 visible ASCII characters."))
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError as error:
        raise UrlRefused(_("Send a valid URL.")) from error
    if parts.scheme != "https" and not (private and parts.scheme == "http"):
        raise UrlRefused(_("Send a URL that begins with https://."))
    if not host or len(host) > 253 or parts.fragment:
        raise UrlRefused(_("Send a URL with a host and without a fragment."))
    if "@" in parts.netloc:
        raise UrlRefused(_("Send a URL without a user name and a password. Deliveries are signed."))
    is_tls = parts.scheme == "https"
    port = port if port is not None else 443 if is_tls else 80
    if port not in (80, 443) and port < 1024:
        raise UrlRefused(_("Use port 443, port 80, or a port from 1024 on."))
    target = Target(is_tls, host, port, (parts.path or "/") + (f"?{parts.query}" if parts.query else ""))
    try:
        literal = ip_address(host)
    except ValueError:
        return target
    try:
        _check(literal, is_tls=is_tls, private=private)
    except AddressRefused as error:
        raise UrlRefused(_("Webhooks are not sent to this address. Use a public one.")) from error
    return target


def resolve(target: Target, *, private: bool) -> Sequence[tuple[socket.AddressFamily, str]]:
    """The addresses of the target now, all of them checked. Raises AddressRefused and OSError."""
    found = socket.getaddrinfo(target.host, target.port, type=socket.SOCK_STREAM)
    addresses = list(dict.fromkeys((family, str(place[0])) for family, _type, _proto, _name, place in found))
    for _family, text in addresses:
        _check(ip_address(text), is_tls=target.is_tls, private=private)
    return addresses


def _check(address: Address, *, is_tls: bool, private: bool) -> None:
    inner = _inner(address)
    is_private = any(inner in network for network in _PRIVATE if network.version == inner.version)
    if not (is_private and private) and not (_is_public(inner) and is_tls):
        raise AddressRefused(str(address))


def _inner(address: Address) -> Address:
    """The IPv4 address inside an IPv6 address that leads to it; otherwise the address."""
    if isinstance(address, IPv6Address):
        embedded = address.ipv4_mapped or address.sixtofour
        if embedded is None and address in _NAT64:
            embedded = IPv4Address(int(address) & 0xFFFFFFFF)
        return embedded or address
    return address


def _is_public(address: Address) -> bool:
    if isinstance(address, IPv6Address) and address not in _GLOBAL_UNICAST:
        return False
    if isinstance(address, IPv4Address) and address in _SPECIAL:
        return False
    return address.is_global and not address.is_multicast and not address.is_reserved
