"""PgBouncer in transaction mode in front of the test's database.

`python -m tests.integration.pooler.pgbouncer` finds or installs it and prints its path; without it the tests
of the pooler are skipped.
"""

import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
from django.db import connection

POOL_SIZE = 2
LIMIT_SECONDS = 30
MISSING = "PgBouncer is not installed (on Debian: apt-get install pgbouncer)"

CONFIGURATION = """
[databases]
* = host={host} port={port} user={user} password={password}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {listen}
unix_socket_dir =
auth_type = any
pool_mode = transaction
default_pool_size = {size}
max_client_conn = 300
query_wait_timeout = 60
"""


def find() -> str | None:
    """The program's path, or None."""
    return shutil.which("pgbouncer") or shutil.which("pgbouncer", path="/usr/sbin:/usr/local/sbin")


def install() -> str | None:
    """Install PgBouncer where apt can; returns its path, or None."""
    if os.geteuid() == 0 and shutil.which("apt-get"):
        environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        for command in (["update"], ["install", "-y", "--no-install-recommends", "pgbouncer"]):
            subprocess.run(
                ["apt-get", "-qq", *command],
                env=environment,
                check=False,
                timeout=300,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
    return find()


@contextmanager
def running() -> Iterator[int]:
    """Run PgBouncer in front of the server of the test's database; yields its port on 127.0.0.1."""
    database = connection.settings_dict
    port = _free_port()
    with tempfile.TemporaryDirectory(prefix="refill-pgbouncer-") as folder:
        Path(folder).chmod(0o755)
        file = Path(folder) / "pgbouncer.ini"
        file.write_text(
            CONFIGURATION.format(
                host=database["HOST"],
                port=database["PORT"] or 5432,
                user=database["USER"],
                password=database["PASSWORD"] or "none",
                listen=port,
                size=POOL_SIZE,
            )
        )
        file.chmod(0o644)
        with (Path(folder) / "log").open("wb") as log:
            process = subprocess.Popen(
                [str(find()), str(file)], stdout=log, stderr=log, **_identity(database)
            )
        try:
            _wait(process, port, Path(folder) / "log")
            yield port
        finally:
            process.kill()
            process.wait()


def url(port: int, name: str) -> str:
    return f"postgres://{connection.settings_dict['USER']}@127.0.0.1:{port}/{name}"


def _identity(database: dict[str, Any]) -> dict[str, Any]:
    """PgBouncer refuses to run as root; the owner of PostgreSQL's socket directory can reach the socket."""
    if os.geteuid() != 0:
        return {}
    folder = Path(str(database["HOST"]))
    status = folder.stat() if folder.is_absolute() else None
    return {"user": status.st_uid, "group": status.st_gid} if status and status.st_uid else {"user": "nobody"}


def _wait(process: "subprocess.Popen[bytes]", port: int, log: Path) -> None:
    until = time.monotonic() + LIMIT_SECONDS
    while True:
        try:
            psycopg.connect(url(port, connection.settings_dict["NAME"]), prepare_threshold=None).close()
        except psycopg.OperationalError:
            assert process.poll() is None and time.monotonic() < until, log.read_text()
            time.sleep(0.05)
        else:
            return


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


if __name__ == "__main__":
    print(f"PgBouncer of the tests: {find() or install() or MISSING}")
