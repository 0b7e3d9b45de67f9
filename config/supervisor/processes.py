"""The processes of the supervisor: started from the Procfile, watched, ended with their descendants.

Invariant: no process survives `end_all`; processes of an earlier, killed supervisor are found by a variable
in their environment and ended by `end_leftovers` before new ones start.
"""

import contextlib
import ctypes
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

MARK = "REFILL_SUPERVISED_IN"  # in the environment of every child: its data directory
GRACE_SECONDS = 6.0  # enough for running tasks; interrupted ones are delivered again
LARGEST_LOG_BYTES = 10_000_000
PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36


@dataclass
class Child:
    """The process of one line of the Procfile."""

    name: str
    command: str
    log: Path
    environment: dict[str, str]
    process: "subprocess.Popen[bytes] | None" = None
    started_at: list[float] = field(default_factory=list)  # monotonic seconds

    def start(self) -> None:
        """Start it in its own session, so that it and its descendants can be ended together."""
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                ["/bin/sh", "-c", f"exec {self.command}"],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=self.environment,
                start_new_session=True,
                preexec_fn=die_with_parent,
            )
        self.started_at.append(time.monotonic())

    def ended(self) -> str:
        """Why it ended ("was killed by SIGKILL"), or "" while it runs."""
        status = self.process.poll() if self.process else None
        if status is None:
            return ""
        return (
            f"was killed by {signal.Signals(-status).name}" if status < 0 else f"ended with status {status}"
        )

    def ask_to_end(self) -> None:
        if self.process and self.process.poll() is None:
            self.process.terminate()

    def end_group(self) -> None:
        """Kill what remains of its session."""
        if self.process:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()

    def starts_within(self, seconds: float) -> int:
        return sum(time.monotonic() - moment < seconds for moment in self.started_at)

    def last_output(self, lines: int = 15) -> str:
        words = self.log.read_text(errors="replace").splitlines() if self.log.exists() else []
        return "\n".join(words[-lines:])


def rotate(log: Path) -> None:
    """Copy a large log to `….log.1` and empty it: the process that appends to it keeps it open.

    Lines that are written in between are lost. On a full disk the log is emptied without a copy.
    """
    if not log.exists() or log.stat().st_size <= LARGEST_LOG_BYTES:
        return
    kept = log.with_suffix(".log.1")
    try:
        shutil.copyfile(log, kept)
    except OSError:
        kept.unlink(missing_ok=True)
    os.truncate(log, 0)


def from_procfile(procfile: Path, *, logs: Path, var: Path) -> list[Child]:
    """A child for each line of the Procfile except `release`; programs come from the directory of Python."""
    environment = {
        **os.environ,
        MARK: str(var),
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}",
        "PYTHONUNBUFFERED": "1",
        # silences Celery's warning about root; a bare machine may have no other user
        "PYTHONWARNINGS": "ignore:You're running the worker",
    }
    children = []
    for line in procfile.read_text().splitlines():
        name, separator, command = line.partition(":")
        if separator and name != "release" and not line.startswith("#"):
            children.append(Child(name, command.strip(), logs / f"{name}.log", environment))
    return children


def end_all(children: list[Child]) -> None:
    """Terminate all, wait, then kill what remains, descendants included."""
    for child in children:
        child.ask_to_end()
    deadline = time.monotonic() + GRACE_SECONDS
    while time.monotonic() < deadline and not all(child.ended() for child in children if child.process):
        time.sleep(0.05)
    for child in children:
        child.end_group()


def end_leftovers(var: Path) -> int:
    """End processes of this data directory that an earlier supervisor started; returns how many."""
    ended = set()
    deadline = time.monotonic() + GRACE_SECONDS
    while left := _marked(var):
        for pid in left:
            try:
                os.kill(pid, signal.SIGTERM if pid not in ended else signal.SIGKILL)
            except ProcessLookupError:
                continue
            ended.add(pid)
        if time.monotonic() > deadline:
            break
        time.sleep(0.5)
    return len(ended)


def _marked(var: Path) -> list[int]:
    mark = f"{MARK}={var}".encode()
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            if mark in (entry / "environ").read_bytes().split(b"\0") and int(entry.name) != os.getpid():
                found.append(int(entry.name))
        except OSError:
            continue
    return found


def adopt_orphans() -> None:
    """Become the parent of orphaned descendants; not every init process reaps them."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1)


def reap_orphans(children: list[Child]) -> None:
    """Reap dead adopted processes (`Child.ended` reaps our own)."""
    own = {child.process.pid for child in children if child.process}
    while True:
        try:
            # Inspect before reaping: our own children must not be reaped here.
            dead = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            if dead is None or dead.si_pid in own:
                return
            os.waitpid(dead.si_pid, 0)
        except ChildProcessError:
            return


def die_with_parent() -> None:
    """Let the kernel end this process when its parent dies, even by kill -9 (Linux only)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
