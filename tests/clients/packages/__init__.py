"""Fresh environments with the clients' packages as they were built."""

import importlib.metadata
import os
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
    link_requirements(_needed(metadata, extra), site)
    return directory / "bin" / "python"


def link_requirements(requirements: list[str], site: Path) -> None:
    """Link the required packages, and those that they require, into a directory for packages."""
    site.mkdir(exist_ok=True)
    waiting, seen = list(requirements), set[str]()
    while waiting:
        requirement = Requirement(waiting.pop())
        distribution = importlib.metadata.distribution(requirement.name)
        if distribution.name not in seen:
            seen.add(distribution.name)
            _link(distribution, site)
            for extra in requirement.extras or {""}:
                waiting += _needed(distribution, extra)


def _needed(distribution: importlib.metadata.Distribution, extra: str) -> list[str]:
    """The requirements of a package on this machine, with those of one extra."""
    requirements = [Requirement(line) for line in distribution.requires or []]
    return [str(one) for one in requirements if one.marker is None or one.marker.evaluate({"extra": extra})]


def _link(distribution: importlib.metadata.Distribution, site: Path) -> None:
    for top in {file.parts[0] for file in distribution.files or []} - {"..", "bin", "__pycache__"}:
        source = Path(str(distribution.locate_file(top)))
        if source.exists() and not (site / top).exists():
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
        [str(part) for part in command], cwd=cwd, env=environ, capture_output=True, text=True, timeout=600
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
