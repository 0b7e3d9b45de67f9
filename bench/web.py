"""The web server of the Procfile on the benchmark's database, and wrk, the load generator (https://github.com/wg/wrk).

wrk runs on the same cores as the server and PostgreSQL; on Debian it is the package `wrk`.
"""

import os
import re
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from django.conf import settings

from config.supervisor import processes

SCRIPTS = Path(__file__).parent / "wrk"
START_SECONDS = 60
_WSGI = (
    "granian --interface wsgi --host 127.0.0.1 --port ${PORT} --workers 2 --blocking-threads 16"
    " --log-level warning --no-ws config.wsgi:application"
)


@dataclass(frozen=True)
class Load:
    """What wrk reports: answers per second, their number, the 99th percentile of their times in milliseconds."""

    per_second: float
    answers: int
    p99_ms: float


class Server:
    """A running web server: its address and its processes."""

    def __init__(self, address: str, child: processes.Child) -> None:
        self.address = address
        self._child = child

    def load(
        self,
        path: str = "",
        *,
        connections: int,
        seconds: int,
        headers: Mapping[str, str] | None = None,
        script: str = "",
        variables: Mapping[str, str] | None = None,
    ) -> Load:
        """Run wrk on the path, or with a script of bench/wrk and its variables.

        Raises RuntimeError when wrk is not installed, or when an answer is not a success.
        """
        wrk = shutil.which("wrk")
        if wrk is None:
            raise RuntimeError("The load generator wrk is not installed; on Debian: apt-get install wrk")
        command = [wrk, "--threads", "1", "--connections", str(connections), "--duration", f"{seconds}s"]
        command += ["--latency", "--timeout", "10s"]
        for name, value in (headers or {}).items():
            command += ["--header", f"{name}: {value}"]
        if script:
            command += ["--script", str(SCRIPTS / script)]
        environment = os.environ | {
            "RUN": str(time.time_ns() // 1000),
            "REQUESTS": str(SCRIPTS / "requests.lua"),
        }
        environment |= variables or {}
        done = subprocess.run(
            [*command, self.address + path], capture_output=True, text=True, check=False, env=environment
        )
        if done.returncode or "Non-2xx" in done.stdout or "Socket errors" in done.stdout:
            raise RuntimeError(done.stdout + done.stderr)
        return _report(done.stdout)

    @property
    def session_cookie(self) -> str:
        """The name of its session cookie, which contains the port (config.settings)."""
        return f"refill_session_{self.address.rpartition(':')[2]}"

    def largest_mb(self) -> float:
        """The memory of the largest of its processes in MB, shared pages counted in parts (proportional set size)."""
        assert self._child.process is not None
        group = os.getpgid(self._child.process.pid)
        return max(_proportional_kb(pid) for pid in _pids_of(group)) / 1024


@contextmanager
def serving(*, wsgi: bool = False, workers: int = 2) -> Iterator[Server]:
    """Start the web server of the Procfile, or Django alone behind WSGI, and stop it in the end."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    children = processes.from_procfile(
        settings.BASE_DIR / "Procfile", logs=settings.VAR_DIR / "log", var=settings.VAR_DIR
    )
    child = next(one for one in children if one.name == "web")
    address = f"http://127.0.0.1:{port}"
    child.environment |= {"PORT": str(port), "SITE_URL": address, "LOG_LEVEL": "ERROR"}
    child.environment["WEB_PROCESSES"] = str(workers)
    if wsgi:
        child.command = _WSGI
    child.start()
    try:
        _wait_for(f"{address}/healthz", child)
        yield Server(address, child)
    finally:
        processes.end_all([child])


def _wait_for(url: str, child: processes.Child) -> None:
    until = time.monotonic() + START_SECONDS
    while time.monotonic() < until:
        if child.ended():
            break
        try:
            with urllib.request.urlopen(url, timeout=5):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.05)
    raise RuntimeError(f"The web server does not answer: {child.last_output()}")


def _report(text: str) -> Load:
    per_second = re.search(r"Requests/sec:\s+([0-9.]+)", text)
    answers = re.search(r"(\d+) requests in", text)
    p99 = re.search(r"99%\s+([0-9.]+)(us|ms|s)", text)
    if not (per_second and answers and p99):
        raise RuntimeError(text)
    factor = {"us": 0.001, "ms": 1.0, "s": 1000.0}[p99[2]]
    return Load(float(per_second[1]), int(answers[1]), float(p99[1]) * factor)


def _pids_of(group: int) -> list[int]:
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                if os.getpgid(int(entry.name)) == group:
                    found.append(int(entry.name))
            except ProcessLookupError:
                continue
    return found


def _proportional_kb(pid: int) -> int:
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith("Pss:")), 0)
