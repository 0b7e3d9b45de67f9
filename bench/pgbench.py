"""Run pgbench on the embedded server's socket and parse its report."""

import os
import re
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from django.db import connection

from config.supervisor.embedded_postgres import binaries


@dataclass(frozen=True)
class Run:
    """Transactions per second, and the mean latency in milliseconds."""

    tps: float
    latency_ms: float


def run(script: str, *, clients: int, seconds: int, lo: int = 1, hi: int = 1000) -> Run:
    """Run the script with that many clients. Raises RuntimeError with pgbench's output if it fails."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "script.sql"
        file.write_text(script)
        settings = connection.settings_dict
        command = [
            binaries() / "pgbench", "-n", "-M", "prepared", "-c", clients, "-j", min(clients, 2), "-T", seconds,
            "-D", f"lo={lo}", "-D", f"hi={hi}", "-f", file, "-h", settings["HOST"], "-U", settings["USER"],
            settings["NAME"],
        ]  # fmt: skip
        environment = os.environ | {"PGPASSWORD": settings.get("PASSWORD") or ""}
        done = subprocess.run(
            [str(part) for part in command], capture_output=True, text=True, check=False, env=environment
        )
    tps = re.search(r"tps = ([0-9.]+)", done.stdout)
    latency = re.search(r"latency average = ([0-9.]+) ms", done.stdout)
    failed = re.search(r"number of failed transactions: ([0-9]+)", done.stdout)
    if done.returncode or not tps or not latency or (failed and int(failed[1])):
        raise RuntimeError(done.stdout + done.stderr)
    return Run(float(tps[1]), float(latency[1]))
