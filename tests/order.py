"""The order of the test files: the longest are first, so that no process works alone at the end.

`pytest-randomly` shuffles the files and the tests of a file; the order of all other files stays shuffled. The
last lines of `make test` name the slowest files.
"""

from collections import Counter
from pathlib import Path
from typing import Any

import pytest

BASE_DIR = Path(__file__).resolve().parent.parent
# Each takes more than ten seconds, the longest first.
LONGEST = [
    "tests/moves/money/test_moves.py",
    "tests/config/supervisor/test_supervisor.py",
    "tests/moves/usage/test_usage_moves.py",
    "tests/integration/operations/test_preparation.py",
    "tests/config/generated/test_requests.py",
    "tests/billing/histories/test_purchases.py",
    "tests/integration/races/test_pairs.py",
    "tests/billing/ledger/test_against_model.py",
    "tests/config/test_worker.py",
    "tests/config/front/test_differences.py",
    "tests/integration/journeys/test_live.py",
    "tests/config/supervisor/test_embedded_postgres.py",
    "tests/clients/generated/test_generated_clients.py",
    "tests/billing/webhooks/test_event_order.py",
    "tests/config/front/test_bodies.py",
    "tests/test_suite.py",
    "tests/billing/subscriptions/test_proration.py",
    "tests/integration/journeys/test_dashboard.py",
    "tests/forms/test_pages.py",
    "tests/billing/refunds/test_disputes.py",
    "tests/config/test_deployment.py",
    "tests/forms/test_staff.py",
    "tests/access/test_matrix.py",
    "tests/integration/journeys/test_buying.py",
    "tests/integration/crashes/test_claims.py",
    "tests/integration/pooler/test_transaction_mode.py",
    "tests/integration/races/test_isolation.py",
    "tests/config/test_timeouts.py",
    "tests/billing/subscriptions/test_intervals.py",
    "tests/integration/crashes/test_payments.py",
    "tests/integration/crashes/test_second_subscriptions.py",
    "tests/integration/races/test_live_tabs.py",
]


def longest_first(items: list[pytest.Item]) -> None:
    ranks = {BASE_DIR / file: rank for rank, file in enumerate(LONGEST)}
    items.sort(key=lambda item: ranks.get(item.path, len(ranks)))


def slowest_files(reports: list[Any], count: int) -> list[str]:
    """The files with the largest sum of durations: `61.0s tests/config/supervisor/test_supervisor.py`."""
    seconds: Counter[str] = Counter()
    for report in reports:
        seconds[report.nodeid.partition("::")[0]] += report.duration
    return [f"{total:.1f}s {file}" for file, total in seconds.most_common(count)]
