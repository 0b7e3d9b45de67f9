"""A pytest plugin that records which test runs which lines of Python and which functions of the database.

Used by tests.mutants.coverage_map: `pytest -p tests.mutants.recorder` with RECORD_TO in the environment.
PostgreSQL counts the calls of functions when `track_functions` is `all`
(https://www.postgresql.org/docs/current/monitoring-stats.html); a backend reports them when its transaction
has ended.
"""

import json
import os
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import coverage
import pytest

_TARGET = Path(os.environ["RECORD_TO"])
_FILES = json.loads(os.environ["RECORD_FILES"])
_coverage = coverage.Coverage(data_file=None, include=_FILES, check_preimported=False)
_coverage.start()  # before the modules are imported
_tests: dict[str, float] = {}
_failed: set[str] = set()
_skipped: set[str] = set()
_functions: dict[str, list[str]] = defaultdict(list)
_calls: dict[str, int] = {}


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[Any]:
    """Record a test under its id, set-up and tear-down included."""
    _coverage.switch_context(item.nodeid)
    result = yield
    for function, count in _counted_calls().items():
        if count != _calls.get(function):
            _functions[function].append(item.nodeid)
            _calls[function] = count
    _coverage.switch_context("")
    return result


def pytest_collection_finish() -> None:
    """Every test runs the code that signs its people up, which is restored from a copy otherwise."""
    from tests import saved_rows

    saved_rows.least_requests = float("inf")


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Add up the seconds of a test and note a failure."""
    _tests[report.nodeid] = _tests.get(report.nodeid, 0.0) + report.duration
    if report.failed:
        _failed.add(report.nodeid)
    elif report.skipped:
        _skipped.add(report.nodeid)


def pytest_sessionfinish() -> None:
    """Write what was recorded."""
    _coverage.stop()
    data = _coverage.get_data()
    lines = {
        file: {
            str(line): [name for name in names if name]
            for line, names in data.contexts_by_lineno(file).items()
        }
        for file in data.measured_files()
    }
    seconds = {test: seconds for test, seconds in _tests.items() if test not in _failed | _skipped}
    recorded = {"seconds": seconds, "lines": lines, "functions": _functions, "failed": sorted(_failed)}
    _TARGET.write_text(json.dumps(recorded))


def _counted_calls() -> dict[str, int]:
    from django.db import connection

    if connection.connection is None or connection.connection.closed or connection.in_atomic_block:
        return {}
    with connection.connection.cursor() as cursor:
        try:
            cursor.execute("select pg_stat_force_next_flush()")
            cursor.execute(
                "select funcname, sum(calls) as calls from pg_stat_user_functions group by funcname"
            )
            return {str(name): int(calls) for name, calls in cursor.fetchall()}
        except Exception:
            return {}
