"""Fresh environments with the clients' packages as they were built."""

import importlib.metadata
import os
import re
import shutil
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from clients import build

needs_compiler = pytest.mark.skipif(
    not (build.TYPESCRIPT / "node_modules/typescript").exists(),
    reason="the TypeScript compiler is not installed; `make typescript` installs it",
)


def python_environment(directory: Path, *, extra: str = "") -> Path:
    """A virtual environment with the wheel and the packages it requires, and no others; returns its Python.

    The required packages are linked from this environment, so that no registry is needed.
    """
    venv.create(directory, with_pip=False)
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    site = directory / "lib" / version / "site-packages"
    wheel = build.wheel(directory)
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)
    metadata = importlib.metadata.Distribution.at(next(site.glob("refill_client-*.dist-info")))
    for name in _required(metadata, extra, set()):
        _link(name, site)
    return directory / "bin" / "python"


def _required(distribution: importlib.metadata.Distribution, extra: str, seen: set[str]) -> set[str]:
    for line in distribution.requires or []:
        requirement = Requirement(line)
        name = re.sub(r"[-_.]+", "-", requirement.name).lower()
        if (requirement.marker is None or requirement.marker.evaluate({"extra": extra})) and name not in seen:
            seen.add(name)
            for inner in requirement.extras or {""}:
                _required(importlib.metadata.distribution(name), inner, seen)
    return seen


def _link(name: str, site: Path) -> None:
    distribution = importlib.metadata.distribution(name)
    for top in {file.parts[0] for file in distribution.files or [] if file.parts[0] not in ("..", "bin")}:
        source = Path(str(distribution.locate_file(top)))
        if source.exists() and not (site / top).exists() and top != "__pycache__":
            (site / top).symlink_to(source)


def node_environment(directory: Path) -> Path:
    """A directory in which the package from the tarball is installed."""
    shutil.unpack_archive(build.tarball(directory), directory, filter="data")
    (directory / "node_modules").mkdir()
    (directory / "package").rename(directory / "node_modules/refill-client")
    (directory / "package.json").write_text('{"type": "module"}')
    return directory


def run(command: list[str | Path], cwd: Path, **environment: str) -> str:
    """The output of a program that has none of this project's variables. Raises AssertionError."""
    environ = {"PATH": os.environ["PATH"], "HOME": str(cwd), **environment}
    done = subprocess.run(
        [str(part) for part in command], cwd=cwd, env=environ, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
