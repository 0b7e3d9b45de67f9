"""The whole portal under its supervisor: it starts, restarts killed processes and stops all of them."""

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

BASE_DIR = Path(__file__).resolve().parents[3]
LIMIT_SECONDS = 120.0


class Portal:
    """`make run` without make, with its own data directory and port."""

    def __init__(self, var: Path) -> None:
        self.var = var
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.output = var / "output"
        self.process: subprocess.Popen[bytes] | None = None

    def launch(self) -> "subprocess.Popen[bytes]":
        environment = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
        environment |= {"REFILL_VAR": str(self.var), "PORT": str(self.port), "WEB_PROCESSES": "1"}
        with self.output.open("ab") as output:
            command = [sys.executable, "-m", "config.supervisor"]
            return subprocess.Popen(command, cwd=BASE_DIR, env=environment, stdout=output, stderr=output)

    def start(self, until: str = "Refill is ready") -> None:
        self.output.write_bytes(b"")
        self.process = self.launch()
        self.wait_until(lambda: until in self.output.read_text())

    def wait_until(self, holds: Callable[[], bool]) -> None:
        deadline = time.monotonic() + LIMIT_SECONDS
        while not holds():
            assert time.monotonic() < deadline, self.output.read_text()
            assert self.process is None or self.process.poll() is None, self.output.read_text()
            time.sleep(0.1)

    def status(self, path: str) -> int:
        try:
            with urllib.request.urlopen(f"{self.url}{path}", timeout=5) as response:
                return int(response.status)
        except urllib.error.HTTPError as error:
            return error.code
        except OSError:
            return 0

    def background(self) -> list[str]:
        """What /healthz/background says of worker and beat."""
        try:
            answer = urllib.request.urlopen(f"{self.url}/healthz/background", timeout=10)
        except urllib.error.HTTPError as error:
            answer = error  # type: ignore[assignment]
        except OSError:
            return []
        checks = json.loads(answer.read())["checks"]
        return [checks["worker"], checks["beat"]]

    def processes(self) -> list[str]:
        """The command lines of all processes that use this data directory."""
        commands = []
        for entry in Path("/proc").glob("[0-9]*"):
            try:
                words = (entry / "cmdline").read_bytes() + (entry / "environ").read_bytes()
            except OSError:
                continue
            if str(self.var).encode() in words:
                commands.append((entry / "cmdline").read_bytes().replace(b"\0", b" ").decode())
        return commands

    def pid_of(self, word: str) -> int:
        """The oldest supervised process whose command contains this word."""
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
def test_it_starts_restarts_killed_processes_stops_and_keeps_its_data(portal: Portal) -> None:
    portal.start()
    demo = json.loads((portal.var / "demo.json").read_text())
    assert demo["url"] == portal.url
    assert portal.status("/readyz") == 200
    portal.wait_until(lambda: portal.background() == ["ok", "ok"])

    # A second supervisor of the same data directory is refused and changes nothing.
    second = portal.launch()
    assert second.wait(timeout=60) == 1
    assert "already runs" in portal.output.read_text()
    assert portal.status("/readyz") == 200

    # A killed web process is restarted, and that is logged.
    os.kill(portal.pid_of("granian"), signal.SIGKILL)
    portal.wait_until(lambda: "web was killed by SIGKILL; starting it again" in portal.output.read_text())
    portal.wait_until(lambda: portal.status("/healthz") == 200)

    # A killed PostgreSQL is restarted, and the other processes reconnect.
    os.kill(int((portal.var / "postgres" / "postmaster.pid").read_text().split()[0]), signal.SIGKILL)
    portal.wait_until(lambda: "PostgreSQL died; starting it again" in portal.output.read_text())
    portal.wait_until(lambda: portal.status("/readyz") == 200)
    portal.wait_until(lambda: portal.background() == ["ok", "ok"])

    # After the supervisor is killed, the next start has the same data and keys.
    assert portal.process is not None
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

    # Ctrl-C ends all processes, and so does a signal during the preparation.
    portal.process.send_signal(signal.SIGINT)
    assert portal.process.wait(timeout=60) == 0
    assert portal.processes() == []
    portal.start("Preparing database")
    portal.process.terminate()
    assert portal.process.wait(timeout=60) == 0
    assert portal.processes() == []
    assert json.loads((portal.var / "demo.json").read_text()) == demo


def test_an_error_names_the_port_in_use_and_a_solution(portal: Portal) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", portal.port))
        taken.listen()
        assert portal.launch().wait(timeout=60) == 1
    assert f"Port {portal.port} on 127.0.0.1 cannot be used" in portal.output.read_text()
    assert f"make run PORT={portal.port + 1}" in portal.output.read_text()
    assert portal.processes() == []
