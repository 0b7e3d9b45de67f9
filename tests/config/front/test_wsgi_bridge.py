"""A WSGI application behind the bridge, in granian as the Procfile starts it, asked over sockets."""

import asyncio
import http.client
import json
import os
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from config.front.wsgi_bridge import Bridge, Overloaded
from tests import event_loop
from tests.config.front.served import CHUNK, wsgi
from tests.integration.races.web import ROOT, command, free_port, procfile_environment, wait_for

TARGET = "tests.config.front.served:application"


class Server:
    def __init__(self) -> None:
        self.port = free_port()
        environment = os.environ | procfile_environment(self.port)
        self.process = subprocess.Popen(command(TARGET), cwd=ROOT, env=environment, stderr=subprocess.DEVNULL)
        wait_for(f"http://127.0.0.1:{self.port}/", self.process)

    def socket(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=10)

    def raw(self, request: bytes, *, until: bytes = b"") -> bytes:
        """What the server sends before it closes the connection, or up to `until`."""
        answer = b""
        with self.socket() as client:
            client.sendall(request)
            while chunk := client.recv(65_536):
                answer += chunk
                if until and until in answer:
                    break
        return answer

    def get(self, *paths: str) -> list[tuple[int, bytes]]:
        """Status and body of each, over one connection."""
        with closing(http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)) as client:
            answers = []
            for path in paths:
                client.request("GET", path)
                answer = client.getresponse()
                answers.append((answer.status, answer.read()))
        return answers

    def state(self, path: str = "/") -> Any:
        return json.loads(self.get(path)[0][1])

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(30)


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    served = Server()
    yield served
    served.stop()


def test_the_environment_is_that_of_wsgi(server: Server) -> None:
    environ = json.loads(
        server.raw(
            b"GET /a%2Fb%20\xc3\xa9?x=%20&y=\xc3\xa9 HTTP/1.1\r\nHost: portal.example\r\nX-Twice: 1\r\n"
            b"X-Twice: 2\r\nCookie: a=1\r\nCookie: b=2\r\nX_Under: 3\r\nX-Binary: \xe9\r\n"
            b"X-Forwarded-Proto: https\r\nContent-Type: text/x\r\nContent-Length: 3\r\n"
            b"Connection: close\r\n\r\nabc"
        ).partition(b"\r\n\r\n")[2]
    )
    expected = {
        "REQUEST_METHOD": "GET",
        "PATH_INFO": "/a/b \u00c3\u00a9",  # PEP 3333: the bytes of UTF-8 as Latin-1
        "QUERY_STRING": "x=%20&y=\u00c3\u00a9",
        "REMOTE_ADDR": "127.0.0.1",
        "SERVER_PORT": str(server.port),
        "SERVER_PROTOCOL": "HTTP/1.1",
        "HTTP_HOST": "portal.example",
        "HTTP_X_TWICE": "1, 2",
        "HTTP_COOKIE": "a=1; b=2",
        "HTTP_X_BINARY": "",
        "HTTP_X_FORWARDED_PROTO": "https",
        "CONTENT_TYPE": "text/x",
        "CONTENT_LENGTH": "3",
        "body": "abc",
        "scheme": "http",
    }
    assert {name: environ.get(name) for name in expected} == expected
    assert not {"HTTP_X_UNDER", "HTTP_CONTENT_TYPE", "HTTP_CONTENT_LENGTH"} & environ.keys()


def test_head_has_the_length_and_no_body_and_204_and_304_have_neither(server: Server) -> None:
    head = server.raw(b"HEAD / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
    assert b"content-length: " in head and head.endswith(b"\r\n\r\n")
    for status in (b"204", b"304"):
        answer = server.raw(b"GET /" + status + b" HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        assert answer.startswith(b"HTTP/1.1 " + status) and answer.endswith(b"\r\n\r\n")
        assert b"content-length" not in answer and b"transfer-encoding" not in answer


def test_requests_in_chunks_announced_and_pipelined_are_understood(server: Server) -> None:
    head = b"POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n"
    chunked = server.raw(head + b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n")
    assert b'"body": "abcde"' in chunked
    announced = server.raw(head + b"Content-Length: 3\r\nExpect: 100-continue\r\n\r\n", until=b"\r\n\r\n")
    assert announced.startswith(b"HTTP/1.1 100 ")
    one = b"GET /%d HTTP/1.1\r\nHost: a\r\n%s\r\n"
    answers = server.raw(one % (1, b"") + one % (2, b"") + one % (3, b"Connection: close\r\n"))
    paths = [answers.index(b'"PATH_INFO": "/%d"' % number) for number in (1, 2, 3)]
    assert paths == sorted(paths)


def test_too_long_a_url_and_too_many_headers_are_refused(server: Server) -> None:
    url = b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\nHost: a\r\n\r\n"
    assert server.raw(url).startswith(b"HTTP/1.1 414 ")
    headers = b"GET / HTTP/1.1\r\nHost: a\r\n" + b"X-A: 1\r\n" * 1000 + b"\r\n"
    assert server.raw(headers).startswith(b"HTTP/1.1 431 ")


def test_an_error_of_the_application_is_a_500_and_the_next_request_is_answered(server: Server) -> None:
    failed, next_one = server.get("/raises", "/")
    assert failed == (500, b"")
    assert next_one[0] == 200


@pytest.mark.parametrize("chunks", [0, 1, 100])
def test_a_stream_arrives_whole_and_is_closed(server: Server, chunks: int) -> None:
    before = server.state()["closed"]
    assert server.get(f"/stream/{chunks}") == [(200, CHUNK * chunks)]
    assert server.state()["closed"] == before + 1


def test_a_stream_that_fails_does_not_end_like_a_complete_one(server: Server) -> None:
    assert server.get("/fails/1") == [(500, b"")]
    before = server.state()["closed"]
    with server.socket() as other:
        with pytest.raises(http.client.HTTPException):
            server.get("/fails/100")
        assert server.state()["closed"] == before + 1
        other.sendall(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        assert other.recv(100).startswith(b"HTTP/1.1 200 "), "no other connection is cut"


def test_a_request_is_refused_at_once_when_enough_are_waiting() -> None:
    began, gate, done = threading.Event(), threading.Event(), list[int]()

    def work(number: int) -> None:
        began.set()
        gate.wait(10)
        done.append(number)

    async def scenario() -> list[BaseException | None]:
        bridge = Bridge(wsgi, threads=1, most_waiting=2)
        tasks = [asyncio.create_task(bridge.run(partial(work, 0)))]
        while not began.is_set():
            await asyncio.sleep(0.001)
        tasks += [asyncio.create_task(bridge.run(partial(work, number))) for number in (1, 2, 3)]
        await asyncio.wait([tasks[3]], timeout=5)
        assert tasks[3].done() and not done
        gate.set()
        results = await asyncio.gather(*tasks, return_exceptions=True)
        await bridge.run(partial(work, 4))
        return results

    *waited, refused = event_loop.run(scenario())
    assert waited == [None, None, None] and isinstance(refused, Overloaded)
    assert done == [0, 1, 2, 4]


def test_a_stream_is_made_no_faster_than_it_is_read_and_ends_with_its_client(server: Server) -> None:
    before = server.state()
    client = server.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65_536)
    client.sendall(b"GET /endless HTTP/1.1\r\nHost: a\r\n\r\n")
    client.recv(1000)
    sent = -1
    while sent != (sent := server.state()["sent"] - before["sent"]):
        time.sleep(0.3)
    assert sent * len(CHUNK) < 16_000_000  # buffers of the kernel on the way, and the pipe
    client.close()
    until = time.monotonic() + 10
    while server.state()["closed"] == before["closed"]:
        assert time.monotonic() < until
        time.sleep(0.05)


def test_a_request_that_runs_when_the_server_is_asked_to_stop_is_answered(tmp_path: Path) -> None:
    server, began, answers = Server(), tmp_path / "began", list[int]()
    running = threading.Thread(target=lambda: answers.append(server.get(f"/slow?{began}")[0][0]))
    running.start()
    while not began.exists():
        time.sleep(0.01)
    server.process.send_signal(signal.SIGTERM)
    running.join()
    assert answers == [200]
    server.process.wait(10)
