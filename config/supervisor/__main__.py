"""The supervisor: `python -m config.supervisor` (started by `make run`) runs the whole portal.

Invariant: one supervisor runs per data directory; every process that it started, the embedded PostgreSQL
included, ends with it. A process that dies is restarted, and the restart is printed.
"""

import contextlib
import fcntl
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import IO, Any

import psycopg

from config.supervisor import embedded_postgres, processes

BASE_DIR = Path(__file__).resolve().parents[2]
VAR_DIR = Path(os.environ.get("REFILL_VAR") or BASE_DIR / "var").resolve()
PORT = int(os.environ.get("PORT") or 8000)
HOST = os.environ.get("HOST") or "127.0.0.1"
POSTGRES = VAR_DIR / "postgres"
EMBEDDED = not os.environ.get("DATABASE_URL")

READY_SECONDS = 90.0
LOOK_EVERY_SECONDS = 0.2
TRY_EVERY_SECONDS = 5.0
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
MOST_STARTS = 6  # of one child within a minute; more means that restarting does not help


class Stop(Exception):
    """A signal (Ctrl-C, TERM) or a fatal error ends the supervisor."""


def main() -> int:
    if os.environ.get("MAKELEVEL"):
        processes.die_with_parent()  # started by make: ends when make is killed
    processes.adopt_orphans()
    for number in SIGNALS:
        signal.signal(number, _stop)
    try:
        lock = _lock()
    except Stop as reason:
        print(reason, file=sys.stderr)
        return 1
    children: list[processes.Child] = []
    status = 0
    try:
        _run(children)
    except Stop as reason:
        if str(reason):
            print(f"\n{reason}", file=sys.stderr)
            status = 1
    finally:
        _end(children)
        lock.close()
    return status


def _run(children: list[processes.Child]) -> None:
    """Prepare, start the processes, and watch them until a signal arrives."""
    began = time.monotonic()
    if left := processes.end_leftovers(VAR_DIR):
        _print(f"Ended {left} processes that a killed supervisor had left behind.")
    _demand_free_port()
    _print("Preparing database and catalogue …")
    if EMBEDDED:
        with _signals_wait():
            embedded_postgres.ensure(POSTGRES)
    _prepare()
    os.chdir(BASE_DIR)
    children += processes.from_procfile(BASE_DIR / "Procfile", logs=VAR_DIR / "log", var=VAR_DIR)
    for child in children:
        with _signals_wait():
            child.start()
    _wait_until_ready(children)
    _print(_welcome(time.monotonic() - began))
    database = Database()
    logs = [*(child.log for child in children), *([POSTGRES / "server.log"] if EMBEDDED else [])]
    while True:
        if not EMBEDDED or database.runs():
            _look_after(children)
        for log in logs:
            processes.rotate(log)
        processes.reap_orphans(children)
        time.sleep(LOOK_EVERY_SECONDS)


def _prepare() -> None:
    """Run config.prepare, which a signal ends. Raises Stop when it fails."""
    preparing = None
    try:
        with _signals_wait():
            preparing = subprocess.Popen([sys.executable, "-m", "config.prepare", "--whole"], cwd=BASE_DIR)
        if preparing.wait():
            raise Stop("Preparing failed; see the error above.")
    finally:
        if preparing:
            preparing.kill()
            preparing.wait()


class Database:
    """The embedded PostgreSQL. While the disk is full it cannot start: this is tried until it succeeds."""

    def __init__(self) -> None:
        self._next_try = 0.0  # monotonic seconds
        self._error = ""

    def runs(self) -> bool:
        """Whether it runs. Starts it when it died; prints each error once."""
        if embedded_postgres.is_running(POSTGRES):
            return True
        if time.monotonic() < self._next_try:
            return False
        if not self._error:
            _print("PostgreSQL died; starting it again.")
        try:
            with _signals_wait():
                embedded_postgres.ensure(POSTGRES)
        except (embedded_postgres.EmbeddedPostgresError, OSError, psycopg.Error) as error:
            if not self._error:
                _print(f"{error}\nThis is tried again every {TRY_EVERY_SECONDS:.0f} s.")
            self._error = str(error)
            self._next_try = time.monotonic() + TRY_EVERY_SECONDS
            return False
        if self._error:
            _print("PostgreSQL runs again.")
        self._error = ""
        return True


def _look_after(children: list[processes.Child]) -> None:
    """Restart processes that have ended. Raises Stop for one that ends too often."""
    for child in children:
        if how := child.ended():
            if child.starts_within(60) >= MOST_STARTS:
                raise Stop(f"{child.name} {how} again and again. Its last output:\n{child.last_output()}")
            _print(f"{child.name} {how}; starting it again. Its log: {child.log}")
            with _signals_wait():
                child.end_group()  # its own children still use the port
                child.start()


def _wait_until_ready(children: list[processes.Child]) -> None:
    deadline = time.monotonic() + READY_SECONDS
    red = "it does not answer"
    while time.monotonic() < deadline:
        for child in children:
            if how := child.ended():
                raise Stop(f"{child.name} {how} at its start. Its last output:\n{child.last_output()}")
        try:
            request = urllib.request.Request(f"http://{_reachable()}:{PORT}/readyz")
            _OPENER.open(request, timeout=5).close()
            return
        except urllib.error.HTTPError as answer:
            red = answer.read().decode(errors="replace")[:500]
        except OSError as error:
            red = str(error)
        time.sleep(LOOK_EVERY_SECONDS)
    raise Stop(f"The portal is not ready after {READY_SECONDS:.0f} s: {red}\nIts logs: {VAR_DIR / 'log'}")


def _end(children: list[processes.Child]) -> None:
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)  # a second Ctrl-C must not leave processes running
    if children:
        _print("Stopping …")
    processes.end_all(children)
    processes.end_leftovers(VAR_DIR)
    if EMBEDDED:
        try:
            embedded_postgres.stop(POSTGRES)
        except embedded_postgres.EmbeddedPostgresError as error:
            print(error, file=sys.stderr)
    processes.reap_orphans(children)


def _lock() -> IO[str]:
    VAR_DIR.mkdir(parents=True, exist_ok=True)
    lock = (VAR_DIR / "run.lock").open("a+")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise Stop(
            f"Refill already runs with its data in {VAR_DIR}: stop it first, or set REFILL_VAR."
        ) from None
    os.set_inheritable(lock.fileno(), False)
    return lock


def _demand_free_port() -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, PORT))
        except OSError as error:
            raise Stop(
                f"Port {PORT} on {HOST} cannot be used ({error.strerror}): try make run PORT={PORT + 1}"
            ) from None


def _reachable() -> str:
    return "127.0.0.1" if HOST in {"0.0.0.0", "::", ""} else HOST  # noqa: S104 - compared, not bound


def _welcome(seconds: float) -> str:
    """Print the address, how to sign in, and how to charge credits."""
    lines = ["", f"Refill is ready after {seconds:.0f} s.  Ctrl-C stops it.", ""]
    file = VAR_DIR / "demo.json"
    if not file.exists() or not (EMBEDDED or os.environ.get("DEMO_WORLD")):
        lines += [
            f"  Address   http://{_reachable()}:{PORT}/",
            "  A database that DATABASE_URL names gets no demo data unless DEMO_WORLD=on.",
            "  The first staff user: python manage.py createsuperuser",
            "",
        ]
        return "\n".join(lines)
    demo: dict[str, Any] = json.loads(file.read_text())
    body = json.dumps({"service": demo["service"], "usage": demo["usage"]})
    lines += [
        f"  Address   {demo['url']}/",
        f"  Sign in   {demo['email']}  {demo['password']}",
        f"  Admin     {demo['url']}/admin/  {demo['staff_email']}  {demo['staff_password']}",
        f"  Mailbox   {demo['url']}/sandbox/mail/",
        f"  API       {demo['url']}/api/v1/docs/",
        "",
        "  Charge credits and watch the balance change:",
        f"  curl -sS {demo['url']}/api/v1/charges -H 'Authorization: Bearer {demo['account_key']}' \\",
        f"    -H \"Idempotency-Key: $(date +%s%N)\" -H 'Content-Type: application/json' -d '{body}'",
        "",
        f"  The same data is in {file}; the logs are in {VAR_DIR / 'log'}.",
        "",
    ]
    return "\n".join(lines)


def _print(text: str) -> None:
    print(text, flush=True)


def _stop(number: int, _frame: FrameType | None) -> None:
    print(f"\n{signal.Signals(number).name} received.", end=" ", flush=True)
    raise Stop


@contextlib.contextmanager
def _signals_wait() -> Iterator[None]:
    """Let signals wait while a process starts: until it is recorded, nothing would end it."""
    arrived: list[int] = []
    handlers = {number: signal.signal(number, lambda one, _frame: arrived.append(one)) for number in SIGNALS}
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
        if arrived:
            signal.raise_signal(arrived[0])


# Without the proxies of the environment: this request stays on the machine.
_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))

if __name__ == "__main__":
    sys.exit(main())
