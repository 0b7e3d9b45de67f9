"""Receivers of webhooks for tests: HTTP servers in threads, good and hostile."""

import re
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class Received:
    """A request as it arrived."""

    path: str
    headers: dict[str, str]
    body: bytes


@dataclass
class Receiver:
    """What a receiver got, and how it answers: a status, or a function of the request that returns one."""

    url: str = ""
    answer: int | Callable[[Received], int] = 200
    headers: dict[str, str] = field(default_factory=dict)
    text: bytes = b"ok"
    received: list[Received] = field(default_factory=list)
    at_once: int = 0
    most_at_once: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def ids(self) -> list[str]:
        return [one.headers["webhook-id"] for one in self.received]


@contextmanager
def http_receiver(**options: Any) -> Iterator[Receiver]:
    """A server that answers as the receiver says at that moment."""
    receiver = Receiver(**options)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            got = Received(self.path, {name.lower(): v for name, v in self.headers.items()}, body)
            with receiver.lock:
                receiver.received.append(got)
                receiver.at_once += 1
                receiver.most_at_once = max(receiver.most_at_once, receiver.at_once)
            status = receiver.answer if isinstance(receiver.answer, int) else receiver.answer(got)
            with receiver.lock:
                receiver.at_once -= 1
            with suppress(OSError):
                self.send_response(status)
                for name, value in {"Content-Length": str(len(receiver.text)), **receiver.headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(receiver.text)

        def log_message(self, *_arguments: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    receiver.url = f"http://127.0.0.1:{server.server_port}/hook?of=alice"
    try:
        yield receiver
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@contextmanager
def raw_receiver(speak: Callable[[socket.socket, threading.Event], None]) -> Iterator[str]:
    """A server that runs `speak` with each connection, after the request arrived. Yields its URL."""
    stop = threading.Event()
    listener = socket.create_server(("127.0.0.1", 0))
    listener.settimeout(0.05)
    threads = []

    def serve(peer: socket.socket) -> None:
        with peer, suppress(OSError):
            peer.settimeout(60)
            _read_request(peer)
            speak(peer, stop)

    def accept() -> None:
        while not stop.is_set():
            with suppress(TimeoutError):
                peer, _address = listener.accept()
                threads.append(threading.Thread(target=serve, args=[peer], daemon=True))
                threads[-1].start()

    accepting = threading.Thread(target=accept, daemon=True)
    accepting.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/"
    finally:
        stop.set()
        accepting.join()
        listener.close()
        for thread in threads:
            thread.join()


def _read_request(peer: socket.socket) -> None:
    """Read the whole request: a connection that is closed with unread bytes is reset."""
    request = b""
    while b"\r\n\r\n" not in request:
        request += peer.recv(65536)
    head, _, body = request.partition(b"\r\n\r\n")
    length = int(re.findall(rb"(?i)content-length: ([0-9]+)", head)[0])
    while len(body) < length:
        body += peer.recv(65536)


def silence(_peer: socket.socket, stop: threading.Event) -> None:
    stop.wait(120)


def drip_headers(peer: socket.socket, stop: threading.Event) -> None:
    """One byte of a header each 20 ms, for ever."""
    peer.sendall(b"HTTP/1.1 200 OK\r\nX-Long: ")
    while not stop.is_set():
        peer.sendall(b"x")
        time.sleep(0.02)


def drip_body(peer: socket.socket, stop: threading.Event) -> None:
    peer.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n")
    while not stop.is_set():
        peer.sendall(b"x")
        time.sleep(0.02)


def endless_body(peer: socket.socket, stop: threading.Event) -> None:
    peer.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
    while not stop.is_set():
        peer.sendall(b"x" * 65536)


def endless_chunk(peer: socket.socket, stop: threading.Event) -> None:
    """A chunk of the size -1, which Python's HTTP client reads to the end of the connection."""
    peer.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\n")
    while not stop.is_set():
        peer.sendall(b"x" * 65536)


def endless_continue(peer: socket.socket, stop: threading.Event) -> None:
    while not stop.is_set():
        peer.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")


def no_http(peer: socket.socket, _stop: threading.Event) -> None:
    peer.sendall(b"220 smtp.example.com ESMTP\r\n")


def nul_status_line(peer: socket.socket, _stop: threading.Event) -> None:
    peer.sendall(b"HTTP/1.1 2\x0000 OK\r\n\r\n")


def cut_off(peer: socket.socket, _stop: threading.Event) -> None:
    peer.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf \xff\x00")


def cut_off_chunk(peer: socket.socket, _stop: threading.Event) -> None:
    peer.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n20\r\nhalf \xff\x00")


def reset(peer: socket.socket, _stop: threading.Event) -> None:
    """Close with an RST after a part of the body."""
    cut_off(peer, _stop)
    peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
