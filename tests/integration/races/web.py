"""The web server as the Procfile starts it, on the test database."""

import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

from django.conf import settings
from django.db import connection

from tests import clock

ROOT = Path(__file__).resolve().parents[3]
LIMIT_SECONDS = 60
FRONT = "config.front.application:application"


@contextmanager
def serving(processes: int = 2, **environment: str) -> Iterator[str]:
    """Start the web server, yield its address, and stop it."""
    port = free_port()
    address = f"http://127.0.0.1:{port}"
    environ = os.environ | {
        "DJANGO_SETTINGS_MODULE": "tests.web_settings",
        "DATABASE_URL": database_url(),
        "REFILL_VAR": str(settings.VAR_DIR),
        "SITE_URL": address,
        "LOG_LEVEL": "ERROR",
        **clock.environment(),
        **environment,
    }
    process = subprocess.Popen(command(), cwd=ROOT, env=environ | procfile_environment(port, processes))
    try:
        wait_for(f"{address}/healthz", process)
        yield address
    finally:
        process.terminate()
        process.wait(LIMIT_SECONDS)


def command(target: str = FRONT) -> list[str]:
    """The command of the web process in the Procfile, serving another application if one is given."""
    lines = (ROOT / "Procfile").read_text().splitlines()
    line = next(line for line in lines if line.startswith("web:")).removeprefix("web:")
    assert FRONT in line
    return ["/bin/sh", "-c", f"exec {line.replace(FRONT, target)}"]


def procfile_environment(port: int, processes: int = 1) -> dict[str, str]:
    """The variables of the Procfile."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return {"PATH": path, "HOST": "127.0.0.1", "PORT": str(port), "WEB_PROCESSES": str(processes)}


def database_url() -> str:
    """The URL of the test's database, for a process that the test starts."""
    database = connection.settings_dict
    user, password = quote(database["USER"] or "", safe=""), quote(database["PASSWORD"] or "", safe="")
    query = f"?host={database['HOST']}" if str(database["HOST"]).startswith("/") else ""
    host = "" if query else f"{database['HOST']}:{database['PORT']}"
    return f"postgres://{user}:{password}@{host}/{database['NAME']}{query}"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for(url: str, process: "subprocess.Popen[bytes]") -> None:
    until = time.monotonic() + LIMIT_SECONDS
    while time.monotonic() < until:
        assert process.poll() is None, "the web server exited on start"
        try:
            with urllib.request.urlopen(url, timeout=5):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.05)
    raise AssertionError(f"the web server did not respond within {LIMIT_SECONDS} s")
