"""URLs of endpoints, and the addresses to which webhooks are sent."""

import socket
from typing import Any

import pytest

from accounts.webhook_endpoints import targets

PUBLIC = [
    "93.184.215.14",
    "2606:2800:21f:cb07::1",
    "64:ff9b::5db8:d70e",
    "2002:5db8:d70e::1",
]
NEVER = [
    "169.254.169.254",
    "192.0.0.8",
    "192.0.0.192",
    "::ffff:192.0.0.192",
    "::ffff:169.254.169.254",
    "64:ff9b::a9fe:a9fe",
    "2002:a9fe:a9fe::1",
    "fe80::1",
    "0.0.0.0",
    "::",
    "224.0.0.1",
    "ff02::1",
    "255.255.255.255",
    "240.0.0.1",
    "192.0.2.1",
    "198.18.0.1",
    "fec0::1",
    "2001:db8::1",
    "2001:0:a9fe:a9fe::1",
    "::127.0.0.1",
    "64:ff9b:1::7f00:1",
    "100::1",
]
PRIVATE = [
    "127.0.0.1",
    "127.8.8.8",
    "10.1.2.3",
    "172.16.0.1",
    "172.31.255.255",
    "192.168.1.1",
    "100.64.0.1",
    "::1",
    "fd00::1",
    "::ffff:127.0.0.1",
    "::ffff:10.0.0.1",
    "64:ff9b::7f00:1",
    "2002:7f00:1::1",
]


def resolves(monkeypatch: pytest.MonkeyPatch, *addresses: str) -> None:
    def look_up(_host: Any, port: Any, **_options: Any) -> Any:
        families = [socket.AF_INET6 if ":" in one else socket.AF_INET for one in addresses]
        return [
            (family, socket.SOCK_STREAM, 6, "", (address, port))
            for family, address in zip(families, addresses, strict=True)
        ]

    monkeypatch.setattr(socket, "getaddrinfo", look_up)


def used(url: str, *, private: bool) -> list[str]:
    target = targets.parsed(url, private=private)
    return [address for _family, address in targets.resolve(target, private=private)]


@pytest.mark.parametrize("address", PUBLIC)
def test_public_addresses_are_used(monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    resolves(monkeypatch, address)
    assert used("https://hooks.example.com/", private=False) == [address]


@pytest.mark.fault("W4")
@pytest.mark.parametrize("address", [*NEVER, *PRIVATE])
def test_other_addresses_are_refused(monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    resolves(monkeypatch, PUBLIC[0], address)
    with pytest.raises(targets.AddressRefused):
        used("https://hooks.example.com/", private=False)


@pytest.mark.parametrize("address", PRIVATE)
def test_private_addresses_are_used_where_they_are_allowed(
    monkeypatch: pytest.MonkeyPatch, address: str
) -> None:
    resolves(monkeypatch, address)
    assert used("http://product.internal/", private=True) == [address]


@pytest.mark.fault("W4")
@pytest.mark.parametrize("address", NEVER)
def test_link_local_and_special_addresses_are_never_used(
    monkeypatch: pytest.MonkeyPatch, address: str
) -> None:
    resolves(monkeypatch, address)
    for scheme in ("http", "https"):
        with pytest.raises(targets.AddressRefused):
            used(f"{scheme}://product.internal/", private=True)


def test_public_addresses_need_tls(monkeypatch: pytest.MonkeyPatch) -> None:
    resolves(monkeypatch, PUBLIC[0])
    with pytest.raises(targets.AddressRefused):
        used("http://hooks.example.com/", private=True)


@pytest.mark.fault("W4")
@pytest.mark.parametrize(
    "url",
    [
        "http://hooks.example.com/",
        "ftp://hooks.example.com/",
        "https://user:password@hooks.example.com/",
        "https://@hooks.example.com/",
        "https://hooks.example.com:25/",
        "https://hooks.example.com:0/",
        "https://hooks.example.com:70000/",
        "https://hooks.example.com:x/",
        "https://hooks.example.com/#part",
        "https:///path",
        "https://[::1",
        "https://hooks.example.com/ x",
        "https://hooks.example.com/\r\nHost: other",
        "https://bücher.example.com/",
        "https://hooks.example.com/" + "x" * 2000,
        "https://" + "x" * 300 + ".example.com/",
        "hooks.example.com",
        "",
        *(f"https://{'[' + address + ']' if ':' in address else address}/" for address in [*NEVER, *PRIVATE]),
    ],
)
def test_urls_that_are_refused(url: str) -> None:
    with pytest.raises(targets.UrlRefused):
        targets.parsed(url, private=False)


@pytest.mark.parametrize(
    ("url", "header", "path"),
    [
        ("https://hooks.example.com", "hooks.example.com", "/"),
        ("https://hooks.example.com:443/a?b=c", "hooks.example.com", "/a?b=c"),
        ("https://hooks.example.com:8443/a", "hooks.example.com:8443", "/a"),
        (
            "https://[2606:2800:21f:cb07::1]/",
            "[2606:2800:21f:cb07::1]",
            "/",
        ),
    ],
)
def test_the_parts_of_a_url(url: str, header: str, path: str) -> None:
    target = targets.parsed(url, private=False)
    assert (target.host_header, target.path, target.is_tls) == (header, path, True)


@pytest.mark.parametrize(
    ("setting", "platform", "account"),
    [("none", False, False), ("platform", True, False), ("all", True, True)],
)
def test_the_setting_says_whose_endpoints_may_be_private(
    settings: Any, setting: str, platform: bool, account: bool
) -> None:
    settings.WEBHOOK_PRIVATE_ADDRESSES = setting
    allowed = [targets.private_allowed(is_platform=one) for one in (True, False)]
    assert allowed == [platform, account]
