"""A pytest plugin that collects the tests once and runs some of them for each request, in a forked process.

Used by tests.mutants.client: `pytest -p tests.mutants.server` with REQUESTS and REPLIES, descriptors of
pipes, in the environment. A request and its reply are a line of JSON. To start pytest takes longer than to
notice most mutations; a forked process has everything loaded.

Invariant: a request changes only its own process. The parent has no thread and no connection to the database.
"""

import contextlib
import functools
import gc
import json
import mmap
import os
import signal
import time
import traceback
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import zip_longest
from types import CodeType, FunctionType
from typing import Any

import pytest

PASSED, FAILED, STOPPED, NOT_POSSIBLE = range(4)


class TimeLimit(BaseException):
    """The time limit of a test is over. The test fails, and its fixtures are torn down."""


@pytest.hookimpl(tryfirst=True)
def pytest_runtestloop(session: pytest.Session) -> bool:
    """Answer requests until the pipe is closed."""
    items = {item.nodeid: item for item in session.items}
    with (
        os.fdopen(int(os.environ["REQUESTS"])) as requests,
        os.fdopen(int(os.environ["REPLIES"]), "w") as replies,
    ):
        _set_up(session)
        print(json.dumps({"tests": len(items)}), file=replies, flush=True)
        for line in requests:
            request = json.loads(line)
            chosen = [items[name] for name in request["tests"] if name in items]
            print(json.dumps(_answer(session, chosen, request)), file=replies, flush=True)
    return True


def _set_up(session: pytest.Session) -> None:
    """Run one test, which sets up the fixtures of the session, and close its connections."""
    from django.db import connections

    found = [item for item in session.items if "alice" in getattr(item, "fixturenames", ())]
    first = min(found, key=lambda item: "integration" in item.nodeid)  # those depend on the load
    _run(session, first, None)
    if session.testsfailed:
        raise pytest.UsageError(f"{first.nodeid} fails without any mutation")
    connections.close_all()


def _answer(session: pytest.Session, items: Sequence[pytest.Item], request: dict[str, Any]) -> dict[str, Any]:
    """`killed_by`: the test that failed, or, with `limit`, that a time limit has stopped; else None.

    `lost`: the process was killed, because a test did not end or the time for all of them was over.
    """
    progress = mmap.mmap(-1, 4)  # shared with the process: the number of the test that runs
    process = os.fork()
    if process == 0:
        os.setsid()
        try:
            os._exit(_status(session, items, request, progress))
        except TimeLimit:  # between two steps of the test
            os._exit(STOPPED)
        except BaseException:  # such as code with another closure than that of the loaded function
            traceback.print_exc()
            os._exit(NOT_POSSIBLE)
    status = _wait(process, request["seconds"])
    last = items[int.from_bytes(progress[:])].nodeid if items else ""
    if status is None or os.WIFSIGNALED(status):
        return {"killed_by": last if status else None, "limit": True, "lost": True}
    code = os.waitstatus_to_exitcode(status)
    killed_by = last if code in {FAILED, STOPPED} else None
    return {"killed_by": killed_by, "limit": code == STOPPED, "possible": code != NOT_POSSIBLE}


def _wait(process: int, seconds: float) -> int | None:
    """The status of the process, or None when it was killed after `seconds`."""
    deadline = time.perf_counter() + seconds
    while time.perf_counter() < deadline:
        finished, status = os.waitpid(process, os.WNOHANG)
        if finished:
            _kill_group(process)
            return status
        time.sleep(0.01)
    _kill_group(process)
    os.waitpid(process, 0)
    return None


def _kill_group(process: int) -> None:
    """Also what the tests have started."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process, signal.SIGKILL)


def _status(
    session: pytest.Session, items: Sequence[pytest.Item], request: dict[str, Any], progress: mmap.mmap
) -> int:
    """What became of the tests. The last number in `progress` is that of the last one that ran."""
    for file, (original, text) in request["functions"].items():
        replace_functions(file, original, text)
    failures: list[str] = []
    stopped = False

    def stop(*_signal: Any) -> None:
        nonlocal stopped
        stopped = True
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.alarm(20)  # ends this process when the test does not end, also one whose parent was killed
        raise TimeLimit

    class Watch:
        def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
            if report.failed:
                failures.append(report.nodeid)
                print(report.nodeid, report.longreprtext, flush=True)

    session.config.pluginmanager.register(Watch())
    for number, (item, following) in enumerate(zip_longest(items, items[1:])):
        progress[:] = number.to_bytes(4)
        signal.signal(signal.SIGALRM, stop)
        signal.alarm(int(request["each"].get(item.nodeid, request["seconds"])))
        _run(session, item, following)
        if failures:
            return STOPPED if stopped else FAILED
    return PASSED


def _run(session: pytest.Session, item: pytest.Item, following: pytest.Item | None) -> None:
    """Run a test. After the last one, the fixtures of the session are kept as if another one followed."""
    if following is None:
        # far from this one, so that its package is set up for the request alone
        others = (other for other in session.items if other is not item)
        following = min(others, key=lambda other: len(set(other.listchain()) & set(item.listchain())))
    item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)


def replace_functions(file: str, original: str, text: str) -> None:
    """Give the functions of a loaded file the code that they have in `text`, and forget cached results."""
    old, new = _codes(original, file), _codes(text, file)
    by_place = {(name, code.co_firstlineno): new[name, ordinal] for (name, ordinal), code in old.items()}
    gc.unfreeze()  # frozen objects are not found
    for found in gc.get_objects():  # `type`, because isinstance asks the object of a weak reference
        if type(found) is FunctionType and found.__code__.co_filename == file:
            found.__code__ = by_place[found.__code__.co_qualname, found.__code__.co_firstlineno]
        elif type(found) is functools._lru_cache_wrapper:
            found.cache_clear()


def _codes(text: str, file: str) -> dict[tuple[str, int], CodeType]:
    """The code of each function by its name and its number among the functions of this name."""
    seen: Counter[str] = Counter()
    found = {}
    for code in _inside(compile(text, file, "exec")):
        found[code.co_qualname, seen[code.co_qualname]] = code
        seen[code.co_qualname] += 1
    return found


def _inside(code: CodeType) -> Iterator[CodeType]:
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield constant
            yield from _inside(constant)
