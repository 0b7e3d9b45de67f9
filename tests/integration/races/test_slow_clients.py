"""Clients that send slowly take no thread: 500 of them do not delay charges or the health check."""

import contextlib
import json
import socket
import time
import urllib.request
from typing import Any
from urllib.parse import urlsplit

import pytest

from accounts.models import User
from tests.integration.races.web import serving

SLOW = 500
GIVEN_UP_SECONDS = 12
HALF_A_REQUEST = (
    b"POST /accounts/login/ HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 100\r\n"
    b"Content-Type: application/x-www-form-urlencoded\r\n\r\nlogin="
)


@pytest.mark.fault("I8")
@pytest.mark.django_db(transaction=True)
def test_slow_clients_delay_neither_charges_nor_the_health_check(
    catalogue: None, alice: User, api_of: Any
) -> None:
    secret = api_of(alice).secret
    with (
        serving(processes=1, WEB_BODY_SECONDS=str(GIVEN_UP_SECONDS)) as address,
        contextlib.ExitStack() as opened,
    ):
        at = urlsplit(address)
        slow = []
        for _number in range(SLOW):
            client = opened.enter_context(socket.create_connection((at.hostname, at.port), timeout=60))
            client.sendall(HALF_A_REQUEST)
            slow.append(client)
        began = time.monotonic()
        for number in range(8):
            assert _charge(address, secret, f"k{number}") == 201
            with urllib.request.urlopen(f"{address}/healthz", timeout=60) as answer:
                assert answer.status == 200
        assert time.monotonic() - began < GIVEN_UP_SECONDS, (
            "they waited until the slow clients had been given up"
        )
        assert {client.recv(12) for client in slow} == {b"HTTP/1.1 408"}


def _charge(address: str, secret: str, key: str) -> int:
    body = json.dumps({"service": "document-question", "usage": {"uses": 1}}).encode()
    headers = {
        "Authorization": f"Bearer {secret}", "Idempotency-Key": key, "Content-Type": "application/json"
    }  # fmt: skip
    with urllib.request.urlopen(
        urllib.request.Request(f"{address}/api/v1/charges", body, headers), timeout=60
    ) as response:
        return int(response.status)
