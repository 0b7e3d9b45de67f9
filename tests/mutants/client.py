"""The caller of tests.mutants.server: a pytest process that runs some tests for each request."""

import json
import os
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any


class Server:
    """A pytest process that has collected the tests of a copy of the tree."""

    def __init__(
        self, command: Sequence[str], *, tree: Path, environment: Mapping[str, str], output: IO[bytes]
    ) -> None:
        requests, writing = os.pipe()
        replying, replies = os.pipe()
        self._process = subprocess.Popen(
            [*command, "-p", "tests.mutants.server"],
            cwd=tree,
            env={**environment, "REQUESTS": str(requests), "REPLIES": str(replies)},
            stdout=output,
            stderr=output,
            pass_fds=(requests, replies),
        )
        os.close(requests)
        os.close(replies)
        self._writing = os.fdopen(writing, "w")
        self._reading = os.fdopen(replying)
        self.tests: int = self._reply()["tests"]

    def run(
        self,
        tests: Sequence[str],
        *,
        functions: Mapping[str, tuple[str, str]],
        seconds: float,
        each: Mapping[str, float],
    ) -> Any:
        """Run the tests in a process of their own, with other code of the functions of some files.

        `functions`: the original and the changed text by path. `seconds` limits all tests, `each` those
        that it names. The reply has `killed_by`, a test or None, `limit`: whether a time limit stopped it,
        and `lost` where the process was killed, or `possible`: whether the functions could be replaced.
        """
        request = {"tests": list(tests), "functions": functions, "seconds": seconds, "each": each}
        print(json.dumps(request), file=self._writing, flush=True)
        return self._reply()

    def stop(self) -> None:
        """End the process."""
        self._writing.close()
        self._process.kill()
        self._process.wait()
        self._reading.close()

    def _reply(self) -> Any:
        line = self._reading.readline()
        if not line:
            raise RuntimeError(f"pytest ended with {self._process.wait()}")
        return json.loads(line)
