"""Streaming responses: sent while they are made, no faster than the client reads.

granian's own streams accept any number of bytes, whatever the client has read. A longer response therefore
goes through a named pipe, which granian reads as a file: a full pipe makes the writer wait, and a pipe that
nobody reads any more ends it.

Invariants: at most SMALL bytes and what the pipe holds are in memory; a client that reads nothing for
STALLED_SECONDS is given up; a response that fails on its way does not end like a complete one, because the
client's connection is cut; the pipe's directory does not outlast the call.
"""

import os
import select
import socket
import stat
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

SMALL = 256 * 1024  # bytes; a response of this length is sent whole
STALLED_SECONDS = 60.0
OPEN_SECONDS = 10.0  # for granian to open the pipe
_OPEN_EVERY = 0.0005


Address = tuple[str, str]  # IP address and port


class ClientGone(Exception):
    """The client has gone, or reads nothing."""


def send(
    response: Iterable[bytes], *, status: int, headers: list[tuple[str, str]], protocol: Any, client: Address
) -> None:
    """Send the response. Raises what the iterable raises; a client that has gone is no error."""
    chunks = iter(response)
    beginning, ended = _beginning(chunks)
    if ended:
        protocol.response_bytes(status, headers, beginning)
        return
    with tempfile.TemporaryDirectory(prefix="response-") as directory:
        path = f"{directory}/pipe"
        os.mkfifo(path, 0o600)
        protocol.response_file(status, headers, path)
        try:
            _write_all(path, beginning, chunks, client)
        except (ClientGone, BrokenPipeError):
            return


def _beginning(chunks: Iterator[bytes]) -> tuple[bytes, bool]:
    """The first bytes of the response, and whether they are all of it."""
    taken = bytearray()
    for chunk in chunks:
        taken += chunk
        if len(taken) > SMALL:
            return bytes(taken), False
    return bytes(taken), True


def _write_all(path: str, beginning: bytes, chunks: Iterator[bytes], client: Address) -> None:
    pipe = _opened(path)
    try:
        _write(pipe, beginning)
        for chunk in chunks:
            _write(pipe, chunk)
    except BaseException:
        _cut(client)  # before the pipe ends, which granian takes for the end of the response
        raise
    finally:
        os.close(pipe)


def _cut(client: Address) -> None:
    """Shut down this process's connections from the client's address, of which there is one.

    granian has no call for it: a response can only be ended, and its socket is found among the process's
    descriptors.
    """
    for descriptor in Path("/dev/fd").iterdir():
        with suppress(OSError):
            number = int(descriptor.name)
            if not stat.S_ISSOCK(os.fstat(number).st_mode):
                continue  # `socket` refuses it, and would leave the copy open
            with socket.socket(fileno=os.dup(number)) as connection:
                if connection.family not in {socket.AF_INET, socket.AF_INET6}:
                    continue
                address, port, *_rest = connection.getpeername()
                if (address, str(port)) == client:
                    connection.shutdown(socket.SHUT_RDWR)


def _opened(path: str) -> int:
    """The pipe for writing, once granian has opened it for reading."""
    until = time.monotonic() + OPEN_SECONDS
    while True:
        try:
            return os.open(path, os.O_WRONLY | os.O_NONBLOCK)
        except OSError:  # ENXIO: no reader yet
            if time.monotonic() > until:
                raise ClientGone from None
        time.sleep(_OPEN_EVERY)


def _write(pipe: int, chunk: bytes) -> None:
    left = memoryview(chunk)
    while left:
        try:
            left = left[os.write(pipe, left) :]
        except BlockingIOError:
            waiting = select.poll()
            waiting.register(pipe, select.POLLOUT)
            if not waiting.poll(STALLED_SECONDS * 1000):
                raise ClientGone from None
