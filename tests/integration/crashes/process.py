"""A child process that is killed with SIGKILL at a chosen commit.

The child is a fork of the test's own process, so it costs milliseconds. In it, and only in it, the database
driver is instrumented: a commit, or a write in autocommit, is a commit boundary. At the chosen boundary the
process kills itself without any clean-up.
"""

import os
import signal
import traceback
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
from django.db import connections
from psycopg.pq import TransactionStatus

MAX_BOUNDARIES = 200
_elsewhere = 0
_inherited: list[Any] = []  # in a child process: connections of the parent
_pass_boundary: Callable[[], object] = int  # in a child process: counts commits and kills at the chosen one


@contextmanager
def elsewhere() -> Iterator[None]:
    """Mark calls of another machine, which is not killed. The end of such a call is a boundary too."""
    global _elsewhere
    _elsewhere += 1
    try:
        yield
    finally:
        _elsewhere -= 1
    _pass_boundary()


def is_killed_at(boundary: int, call: Callable[[], Any]) -> bool:
    """Run `call` in a child that is killed right after commit number `boundary` (0: before the first).

    Returns False if the child ended before that boundary. Raises AssertionError if it failed.
    """
    child = fork(lambda: _run_until(call, boundary))
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        assert os.WTERMSIG(status) == signal.SIGKILL
        return True
    assert os.WEXITSTATUS(status) == 0, "the child failed before it was killed: see its output above"
    return False


def every_boundary(scenario: Callable[[int], tuple[Callable[[], Any], Callable[[], None]]]) -> int:
    """For each commit boundary: set up, kill the operation there, then run the check.

    `scenario(boundary)` prepares the data and returns the operation and the check. Returns the number of
    boundaries, the end included.
    """
    for boundary in range(MAX_BOUNDARIES):
        operation, check = scenario(boundary)
        killed = is_killed_at(boundary, operation)
        check()
        if not killed:
            return boundary
    raise AssertionError(f"more than {MAX_BOUNDARIES} commits")


def fork(call: Callable[[], Any]) -> int:
    """Fork a child that runs `call` with its own connections. Returns its process id."""
    connections.close_all()
    with warnings.catch_warnings():
        warnings.simplefilter(
            "ignore", DeprecationWarning
        )  # threads of other tests: the child uses none of them
        child = os.fork()
    if child:
        return child
    status = 1
    try:
        _drop_inherited_connections()
        call()
        status = 0
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(status)


def _drop_inherited_connections() -> None:
    """Leave the parent's open connections to the parent; the child opens its own.

    While Playwright's event loop runs in this thread, Django keeps connections of asynchronous code apart
    from those of synchronous code. No loop runs in the child, which therefore finds a connection that
    `connections.close_all` in the parent did not. Its server process would survive the kill of the child and
    keep its locks. The references are kept, because closing them would end the parent's sessions.
    """
    for wrapper in connections.all(initialized_only=True):
        _inherited.append(wrapper.connection)
        wrapper.connection = None


def _only_reads(query: str) -> bool:
    """Return whether a statement is a plain select; a kill after it equals one before it."""
    return query.lstrip().lower().startswith("select") and "ledger_" not in query


def _run_until(call: Callable[[], Any], boundary: int) -> None:
    passed = 0

    def pass_boundary() -> None:
        nonlocal passed
        if _elsewhere:
            return
        if passed == boundary:
            os.kill(os.getpid(), signal.SIGKILL)
        passed += 1

    global _pass_boundary
    _pass_boundary = pass_boundary
    execute, commit = psycopg.Cursor.execute, psycopg.Connection.commit

    def counting_execute(self: Any, query: Any, *arguments: Any, **options: Any) -> Any:
        outcome = execute(self, query, *arguments, **options)
        if self.connection.info.transaction_status == TransactionStatus.IDLE and not _only_reads(str(query)):
            pass_boundary()
        return outcome

    def counting_commit(self: Any) -> None:
        commit(self)
        pass_boundary()

    psycopg.Cursor.execute = counting_execute  # type: ignore[method-assign]
    psycopg.Connection.commit = counting_commit  # type: ignore[method-assign]
    pass_boundary()
    call()
