"""The whole portal under its supervisor: a start, a life with blows, an end that leaves nothing behind."""

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from config.supervisor import processes

BASE_DIR = Path(__file__).resolve().parents[2]
PATIENCE_SECONDS = 120.0


class Portal:
    """`make run` without make, in a data directory and on a port of its own."""

    def __init__(self, var: Path) -> None:
        self.var = var
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.said = var / "said"
        self.process: subprocess.Popen[bytes] | None = None

    def launch(self) -> "subprocess.Popen[bytes]":
        environment = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
        environment |= {"REFILL_VAR": str(self.var), "PORT": str(self.port)}
        with self.said.open("ab") as said:
            command = [sys.executable, "-m", "config.supervisor"]
            return subprocess.Popen(command, cwd=BASE_DIR, env=environment, stdout=said, stderr=said)

    def start(self) -> None:
        self.said.write_bytes(b"")
        self.process = self.launch()
        self.until(lambda: "Refill is ready" in self.said.read_text())

    def until(self, holds: Callable[[], bool]) -> None:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not holds():
            assert time.monotonic() < deadline, self.said.read_text()
            assert self.process is None or self.process.poll() is None, self.said.read_text()
            time.sleep(0.1)

    def answer(self, path: str) -> int:
        try:
            with urllib.request.urlopen(f"{self.url}{path}", timeout=5) as response:
                return int(response.status)
        except urllib.error.HTTPError as error:
            return error.code
        except OSError:
            return 0

    def left(self) -> list[str]:
        """Every process that works in this data directory."""
        found = []
        for entry in Path("/proc").glob("[0-9]*"):
            try:
                words = (entry / "cmdline").read_bytes() + (entry / "environ").read_bytes()
            except OSError:
                continue
            if str(self.var).encode() in words:
                found.append((entry / "cmdline").read_bytes().replace(b"\0", b" ").decode())
        return found

    def pid_of(self, word: str) -> int:
        """The oldest process under supervision whose command has this word in it."""
        marked = processes._marked(self.var)
        return min(pid for pid in marked if word.encode() in Path(f"/proc/{pid}/cmdline").read_bytes())


@pytest.fixture
def portal() -> Iterator[Portal]:
    with tempfile.TemporaryDirectory(prefix="refill-test-", ignore_cleanup_errors=True) as directory:
        portal = Portal(Path(directory).resolve())
        yield portal
        if portal.process and portal.process.poll() is None:
            portal.process.terminate()
            portal.process.wait(timeout=60)


@pytest.mark.fault("L14", "C4")
def test_it_starts_survives_kills_stops_clean_and_finds_its_data_again(portal: Portal) -> None:
    portal.start()
    demo = json.loads((portal.var / "demo.json").read_text())
    assert demo["url"] == portal.url
    assert portal.answer("/readyz") == 200

    # A second supervisor over the same data is refused, and does no harm.
    second = portal.launch()
    assert second.wait(timeout=60) == 1
    assert "already runs" in portal.said.read_text()
    assert portal.answer("/readyz") == 200

    # The web process is killed: it comes back, and that is said.
    os.kill(portal.pid_of("granian"), signal.SIGKILL)
    portal.until(lambda: "web was killed by SIGKILL; starting it again" in portal.said.read_text())
    portal.until(lambda: portal.answer("/healthz") == 200)

    # PostgreSQL is killed: it comes back, and everybody finds it again.
    os.kill(int((portal.var / "postgres" / "postmaster.pid").read_text().split()[0]), signal.SIGKILL)
    portal.until(lambda: "PostgreSQL died; starting it again" in portal.said.read_text())
    portal.until(lambda: portal.answer("/readyz") == 200)

    # Ctrl-C: everything ends, nothing is left.
    assert portal.process is not None
    portal.process.send_signal(signal.SIGINT)
    assert portal.process.wait(timeout=60) == 0
    assert portal.left() == []

    # The supervisor itself is killed this time; the next start finds the data and the keys as they were.
    portal.start()
    portal.process.kill()
    portal.process.wait()
    portal.start()
    again = json.loads((portal.var / "demo.json").read_text())
    assert again == demo
    request = urllib.request.Request(
        f"{portal.url}/api/v1/balance", headers={"Authorization": f"Bearer {again['account_key']}"}
    )
    with urllib.request.urlopen(request, timeout=10) as response:
        assert json.loads(response.read())["account"] == demo["account"]
    portal.process.terminate()
    assert portal.process.wait(timeout=60) == 0
    assert portal.left() == []


def test_a_port_that_is_taken_is_named_with_a_way_out(portal: Portal) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", portal.port))
        taken.listen()
        assert portal.launch().wait(timeout=60) == 1
    assert f"Port {portal.port} on 127.0.0.1 cannot be used" in portal.said.read_text()
    assert f"make run PORT={portal.port + 1}" in portal.said.read_text()
    assert portal.left() == []
