"""Long responses without a server: what a stream that fails leaves behind."""

import socket
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from config.front import streams


class Protocol:
    """Reads the pipe of a response, as granian does."""

    def response_file(self, _status: int, _headers: Any, path: str) -> None:
        def read() -> None:
            with Path(path).open("rb") as pipe:
                while pipe.read(65_536):
                    pass

        self.reader = threading.Thread(target=read)
        self.reader.start()


def descriptors() -> int:
    return len(list(Path("/dev/fd").iterdir()))


def failing() -> Iterator[bytes]:
    yield b"x" * (streams.SMALL + 1)
    raise ValueError("the database is gone")


def test_a_stream_that_fails_cuts_its_connection_and_leaves_no_descriptor_open() -> None:
    with (
        closing(socket.create_server(("127.0.0.1", 0))) as server,
        closing(socket.create_connection(server.getsockname(), timeout=10)) as client,
    ):
        connection, (address, port) = server.accept()
        with closing(connection), closing(socket.create_connection(server.getsockname())) as other:
            before = descriptors()
            protocol = Protocol()
            with pytest.raises(ValueError, match="database"):
                streams.send(
                    failing(), status=200, headers=[], protocol=protocol, client=(address, str(port))
                )
            protocol.reader.join()
            assert client.recv(1) == b""
            assert descriptors() <= before  # those of earlier tests may be closed meanwhile
            other.sendall(b"still open")
