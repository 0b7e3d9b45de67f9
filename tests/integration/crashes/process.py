"""A child process that is killed with SIGKILL at a chosen commit.

The child is a fork of the test's own process, so it costs milliseconds. In it, and only in it, the database
driver is watched: whenever a connection has nothing open any more (a commit, or a write in autocommit), a
commit boundary is passed, and at the chosen one the process kills itself, with nothing tidied up.
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

MOST_BOUNDARIES = 200
_elsewhere = 0
_pass_boundary: Callable[[], None] = int  # in a watched child: counts commits and kills at the chosen one


@contextmanager
def elsewhere() -> Iterator[None]:
    """Mark calls of another machine, which is not killed. Their end is a boundary too."""
    global _elsewhere
    _elsewhere += 1
    try:
        yield
    finally:
        _elsewhere -= 1
    _pass_boundary()


def dies_at(boundary: int, call: Callable[[], Any]) -> bool:
    """Run `call` in a child that dies right after its commit number `boundary` (0: before its first).

    False when the child ended by itself before it got that far. Raises AssertionError when it failed.
    """
    child = fork(lambda: _watched(call, boundary))
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        assert os.WTERMSIG(status) == signal.SIGKILL
        return True
    assert os.WEXITSTATUS(status) == 0, "the child failed before it was killed: see its words above"
    return False


def every_boundary(scenario: Callable[[int], tuple[Callable[[], Any], Callable[[], None]]]) -> int:
    """For each commit boundary: set up, kill the operation there, then run the check.

    `scenario(boundary)` makes the scene and gives the operation and the check. Returns how many boundaries
    there were, the last of them being the end.
    """
    for boundary in range(MOST_BOUNDARIES):
        operation, check = scenario(boundary)
        killed = dies_at(boundary, operation)
        check()
        if not killed:
            return boundary
    raise AssertionError(f"more than {MOST_BOUNDARIES} commits")


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
        call()
        status = 0
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(status)


def _only_reads(query: str) -> bool:
    """Return whether a statement can change something; a kill after a plain select equals one before it."""
    return query.lstrip().lower().startswith("select") and "ledger_" not in query


def _watched(call: Callable[[], Any], boundary: int) -> None:
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

    def watched_execute(self: Any, query: Any, *arguments: Any, **options: Any) -> Any:
        outcome = execute(self, query, *arguments, **options)
        if self.connection.info.transaction_status == TransactionStatus.IDLE and not _only_reads(str(query)):
            pass_boundary()
        return outcome

    def watched_commit(self: Any) -> None:
        commit(self)
        pass_boundary()

    psycopg.Cursor.execute = watched_execute  # type: ignore[method-assign]
    psycopg.Connection.commit = watched_commit  # type: ignore[method-assign]
    pass_boundary()
    call()
