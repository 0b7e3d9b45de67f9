"""The modules of tests, compiled with rewritten assertions before several processes import them.

In a fresh clone, each process would do that for every module. Invariant: pytest's own cache is used; a module
that is not in it is compiled when it is imported.
"""

import os
import sys
from pathlib import Path

import pytest
from _pytest.assertion import rewrite

TESTS = Path(__file__).resolve().parent
PROCESSES = os.cpu_count() or 1


def compile_all(config: pytest.Config) -> None:
    """Compile the modules whose source has changed, in one process for each processor."""
    if sys.dont_write_bytecode:
        return
    modules = [*TESTS.rglob("test_*.py"), *TESTS.rglob("conftest.py")]
    changed = [module for module in modules if rewrite._read_pyc(module, _cached(module)) is None]
    parts = [part for start in range(PROCESSES) if (part := changed[start::PROCESSES])]
    for child in [_compiling(config, part) for part in parts]:
        os.waitpid(child, 0)


def _compiling(config: pytest.Config, modules: list[Path]) -> int:
    """Start a process that compiles the modules. An error is left to the process that imports the module."""
    child = os.fork()
    if not child:
        try:
            for module in modules:
                rewrite.try_makedirs(_cached(module).parent)
                source_hash, code = rewrite._rewrite_test(module, config)
                rewrite._write_pyc(config.stash[rewrite.assertstate_key], code, source_hash, _cached(module))
        finally:
            os._exit(0)
    return child


def _cached(module: Path) -> Path:
    return rewrite.get_cache_dir(module) / f"{module.stem}{rewrite.PYC_TAIL}"
