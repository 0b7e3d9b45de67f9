"""One exchange with a receiver ends in time, whatever the receiver does."""

import socket
import ssl
import threading
import time
from typing import Any

import pytest

from accounts.webhook_endpoints import exchange
from tests.accounts.webhook_endpoints import receivers


def post(url: str, *, limit: float = 60.0, private: bool = True) -> exchange.Answer:
    return exchange.post(url, body=b'{"a":1}', headers={"webhook-id": "evt_1"}, private=private, limit=limit)


def test_the_request_and_the_answer() -> None:
    with receivers.http_receiver(text="grüezi\0".encode()) as receiver:
        answer = post(receiver.url)
    [got] = receiver.received
    assert (got.path, got.body) == ("/hook?of=alice", b'{"a":1}')
    assert got.headers["host"] == receiver.url.split("/")[2]
    assert got.headers["webhook-id"] == "evt_1"
    assert got.headers["connection"] == "close"
    assert (answer.status, answer.body, answer.error) == (200, "grüezi\ufffd", "")
    assert answer.succeeded


@pytest.mark.parametrize("status", [199, 300, 301, 404, 410, 500])
def test_other_answers_than_2xx_are_failures(status: int) -> None:
    with receivers.http_receiver(answer=status) as receiver:
        answer = post(receiver.url)
    assert answer.status == status
    assert not answer.succeeded


@pytest.mark.fault("W4")
def test_a_redirect_is_not_followed() -> None:
    with receivers.http_receiver() as inner:
        with receivers.http_receiver(answer=307, headers={"Location": inner.url}) as receiver:
            answer = post(receiver.url)
        assert (answer.status, answer.succeeded) == (307, False)
        assert inner.received == []


@pytest.mark.parametrize(
    "speak",
    [receivers.silence, receivers.drip_headers, receivers.drip_body, receivers.endless_continue],
    ids=lambda speak: speak.__name__,
)
def test_a_receiver_that_never_ends_its_answer_is_cut_off(speak: Any) -> None:
    with receivers.raw_receiver(speak) as url:
        begun = time.monotonic()
        answer = post(url, limit=0.4)
        assert time.monotonic() - begun < 30  # it would not end
    assert (answer.error, answer.succeeded) == ("timed out", False)


@pytest.mark.parametrize(
    "speak", [receivers.endless_body, receivers.endless_chunk], ids=lambda speak: speak.__name__
)
def test_of_an_endless_body_a_part_is_read(speak: Any) -> None:
    with receivers.raw_receiver(speak) as url:
        answer = post(url)
    assert (answer.succeeded, len(answer.body)) == (True, exchange.LARGEST_BODY)


@pytest.mark.parametrize("speak", [receivers.cut_off, receivers.cut_off_chunk, receivers.reset])
def test_the_status_decides_although_the_body_is_cut_off(speak: Any) -> None:
    with receivers.raw_receiver(speak) as url:
        answer = post(url)
    assert (answer.status, answer.body, answer.succeeded) == (200, "half \ufffd\ufffd", True)


def test_what_is_not_http_is_a_failure() -> None:
    with receivers.raw_receiver(receivers.no_http) as url:
        answer = post(url)
    assert (answer.status, answer.error.partition(":")[0]) == (None, "BadStatusLine")


def test_a_dead_receiver_is_a_failure() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    answer = post(f"http://127.0.0.1:{port}/")
    assert answer.error.startswith("ConnectionRefusedError")


@pytest.mark.fault("W4")
def test_without_permission_no_connection_is_made_to_a_private_address(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The name is public when the endpoint is made, and leads to this machine when a webhook is sent."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(0.2)
        port = listener.getsockname()[1]
        here = (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port))
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_args, **_options: [here])
        answer = post(f"https://rebinding.example.com:{port}/", private=False)
        with pytest.raises(TimeoutError):
            listener.accept()
    assert answer.error == "not sent: 127.0.0.1"


@pytest.mark.fault("W4")
def test_the_name_is_looked_up_once_for_each_request(monkeypatch: pytest.MonkeyPatch) -> None:
    looked_up = []
    real = socket.getaddrinfo

    def look_up(host: Any, *arguments: Any, **options: Any) -> Any:
        looked_up.append(host)
        return real("127.0.0.1", *arguments, **options)

    with receivers.http_receiver() as receiver:
        monkeypatch.setattr(socket, "getaddrinfo", look_up)
        port = receiver.url.split(":")[2].split("/")[0]
        assert post(f"http://hooks.example.com:{port}/").succeeded
    assert looked_up == ["hooks.example.com"]
    assert receiver.received[0].headers["host"] == f"hooks.example.com:{port}"


def test_a_slow_look_up_is_within_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    answered, over = threading.Event(), list[bool]()
    monkeypatch.setattr(
        socket, "getaddrinfo", lambda *_args, **_options: over.append(answered.wait(60)) or []
    )
    assert post("https://slow.example.com/", limit=0.1).error == "timed out"
    assert over == [], "the look-up still goes on"
    answered.set()


def test_a_certificate_that_nobody_trusts_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """The server's TLS is not even there: the handshake fails, and nothing is sent in plain text."""
    with receivers.http_receiver() as receiver:
        answer = post(receiver.url.replace("http:", "https:"))
    assert "SSL" in answer.error
    assert receiver.received == []
    context = ssl.create_default_context()
    assert (context.check_hostname, context.verify_mode) == (True, ssl.CERT_REQUIRED)


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("120", 120),
        ("", None),
        ("soon", None),
        ("-5", None),
        ("9" * 5000, None),
        ("Wed, 21 Oct 2026 07:28:00 GMT", None),
    ],
)
def test_retry_after(header: str, seconds: int | None) -> None:
    with receivers.http_receiver(answer=503, headers={"Retry-After": header}) as receiver:
        answer = post(receiver.url)
    assert (answer.status, answer.retry_after) == (503, seconds)
